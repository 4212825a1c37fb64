"""The job as it is started: what worker processes inherit."""

import os

import pytest
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions

from inference import pipeline

_NAMES = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


@pytest.mark.parametrize(
    ("mode", "workers", "given", "threads", "reason"),
    [
        ("in_memory", 1, None, (None, None), "one process: TensorFlow knows the machine"),
        ("multi_processing", 2, None, ("4", "4"), "the cores divided"),
        ("multi_processing", 0, None, ("1", "1"), "a process for each core"),
        ("multi_processing", 32, None, ("1", "1"), "never none"),
        ("multi_processing", 2, "3", ("3", "4"), "a value set by the user is kept"),
    ],
)
def test_processes_share_the_cores(
    mode: str,
    workers: int,
    given: str | None,
    threads: tuple[str | None, str | None],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    for name in _NAMES:
        monkeypatch.delenv(name, raising=False)
    if given is not None:
        monkeypatch.setenv(_NAMES[0], given)
    options = PipelineOptions([f"--direct_running_mode={mode}", f"--direct_num_workers={workers}"])
    with pipeline._cores_shared(pipeline._local_processes(options.view_as(DirectOptions))):
        assert tuple(map(os.environ.get, _NAMES)) == threads, reason
    assert tuple(map(os.environ.get, _NAMES)) == (given, None), "as before"
