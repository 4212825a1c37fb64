"""Writes every number of a training run to text files, so that two runs can be compared byte for byte.

    python -P benchmarks/model_values.py MODEL_DIR SHARD OUT

MODEL_DIR is the output of `python -m trainer`, SHARD a TFRecord file of a data set. Files in OUT:

events.txt       all values and images in the TensorBoard file, by step
variables.txt    all variables of all checkpoints, of the best weights and of the SavedModel
outputs.txt      all outputs of all signatures of the SavedModel for the images of SHARD (empty without an export)

Each line has name, type, shape and SHA-256 of the bytes; scalars also as hexadecimal float. The program imports nothing
of this project, so that it reads runs of any version.
"""

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

MEASURED = "images_per_second"  # differs in every run
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"  # the structure of a checkpoint, not a value
PIXELS = (240, 320)  # height and width of the decoded images for the signature image_tensor
IMAGES = 16


def line(name: str, value: np.ndarray) -> str:
    data = value.tobytes() if value.dtype != object else b"".join(value.ravel().tolist())
    number = f"  {float(value).hex()}" if value.ndim == 0 and value.dtype.kind in "fi" else ""
    return f"{name}  {value.dtype}{list(value.shape)}  {hashlib.sha256(data).hexdigest()}{number}"


def events(model_dir: Path) -> Iterator[str]:
    import tensorflow as tf
    from tensorflow.core.util.event_pb2 import Event

    for path in sorted((model_dir / "tensorboard").iterdir()):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = Event.FromString(record)
            for value in event.summary.value:
                if value.tag != MEASURED:
                    yield line(f"step {event.step}: {value.tag}", tf.make_ndarray(value.tensor))


def variables(model_dir: Path) -> Iterator[str]:
    import tensorflow as tf

    for path in sorted(model_dir.rglob("*.index")):
        checkpoint = path.with_suffix("")
        reader = tf.train.load_checkpoint(str(checkpoint))
        below = checkpoint.relative_to(model_dir)
        names = set(reader.get_variable_to_shape_map()) - {GRAPH}
        yield from sorted(line(f"{below}: {unnumbered(name)}", np.asarray(reader.get_tensor(name))) for name in names)


def unnumbered(name: str) -> str:
    """Remove the number of a variable of a SavedModel: Keras numbers them differently in every export."""
    return re.sub(r"^_all_variables/\d+/", "_all_variables/", name)


def inputs(shard: Path) -> dict[str, Any]:
    """Return the input of each signature, by the name of its argument."""
    import tensorflow as tf

    records = [record.numpy() for record in tf.data.TFRecordDataset(str(shard)).take(IMAGES)]
    key = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
    encoded = [tf.io.parse_single_example(record, key)["image/encoded"] for record in records]
    pixels = [tf.image.resize(tf.io.decode_image(data, expand_animations=False), PIXELS) for data in encoded]
    return {
        "image_bytes": tf.stack(encoded),
        "examples": tf.constant(records),
        "images": tf.cast(tf.stack(pixels), tf.uint8),
    }


def outputs(model_dir: Path, shard: Path) -> Iterator[str]:
    import tensorflow as tf

    if not (model_dir / "export").is_dir():
        return
    given = inputs(shard)
    model = tf.saved_model.load(str(model_dir / "export"))
    for name, signature in sorted(model.signatures.items()):
        _, arguments = signature.structured_input_signature
        found = signature(**{argument: given[argument] for argument in arguments})
        yield from (line(f"{name}: {output}", value.numpy()) for output, value in sorted(found.items()))


def main() -> int:
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        return 2
    model_dir, shard, out = map(Path, sys.argv[1:])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    out.mkdir(parents=True, exist_ok=True)
    for name, lines in (
        ("events", events(model_dir)),
        ("variables", variables(model_dir)),
        ("outputs", outputs(model_dir, shard)),
    ):
        (out / f"{name}.txt").write_text("".join(f"{text}\n" for text in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
