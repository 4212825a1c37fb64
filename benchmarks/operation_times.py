"""Where the time of TensorFlow's steps goes: the seconds of each kind of operation, by TensorFlow's profiler."""

import collections
import tempfile
from collections.abc import Callable
from pathlib import Path


def operation_times(step: Callable[[], object]) -> dict[str, float]:
    """Run a step that has run before; return the share of its operations' time for each kind, largest first."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            step()
        (file,) = Path(folder).rglob("*.xplane.pb")
        planes = xplane_pb2.XSpace.FromString(file.read_bytes()).planes
    taken: collections.Counter[str] = collections.Counter()
    for plane in planes:
        for event in (event for line in plane.lines for event in line.events):
            # Operations are called NAME:KIND; others, of the runtime, have :: in their names.
            name, _, kind = plane.event_metadata[event.metadata_id].name.partition(":")
            if kind and not kind.startswith(":") and not name.startswith("__inference") and "__inference" not in kind:
                taken[kind.partition("#")[0]] += event.duration_ps
    return {kind: time / sum(taken.values()) for kind, time in taken.most_common()}
