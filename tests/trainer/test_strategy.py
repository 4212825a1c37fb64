"""Several hosts: processes on this machine that train together."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pytest
import tensorflow as tf

from retinanet_odm.errors import UsageError
from trainer import strategy
from trainer.main import main

# Statistics over all replicas, so that a host's share of a batch is normalised as the whole batch is.
SETTINGS = [
    *("--preset=tiny", "--image_size=128", "--pyramid_channels=16", "--head_depth=1", "--sync_batch_norm"),
    *("--train_batch_size=4", "--steps_per_loop=2", "--learning_rate=1e-4", "--optimizer=sgd"),
]


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def start_hosts(argv: list[str], count: int = 2) -> list[subprocess.Popen]:
    hosts = ",".join(f"127.0.0.1:{port}" for port in free_ports(count))
    command = [sys.executable, "-m", "trainer", *SETTINGS, *argv, f"--worker_hosts={hosts}"]
    return [
        subprocess.Popen([*command, f"--task_index={index}"], stderr=subprocess.PIPE, text=True)
        for index in range(count)
    ]


def ends(processes: list[subprocess.Popen]) -> Iterator[tuple[int, str]]:
    """Exit status and messages of each."""
    for process in processes:
        _, errors = process.communicate(timeout=300)
        yield process.returncode, errors


def newest_weights(folder: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(folder / "checkpoints")))
    names = [name for name in reader.get_variable_to_dtype_map() if name.startswith("model/")]
    return {name: reader.get_tensor(name) for name in names}


@dataclass
class Device:
    process_index: int


def test_xla_trains_on_the_devices_of_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "devices", lambda: [Device(0), Device(0), Device(1)])
    with pytest.raises(UsageError, match=r"^--runtime=xla: trains on the devices of one machine, found those of 2$"):
        strategy.xla_devices()


def test_without_a_device_the_reason_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def devices() -> list[Device]:
        raise RuntimeError("Unable to initialize backend 'tpu': in use\nSee the web")

    monkeypatch.setattr(jax, "devices", devices)
    with pytest.raises(UsageError, match=r"^--runtime=xla: no device: Unable to initialize backend 'tpu': in use$"):
        strategy.xla_devices()


@pytest.mark.long
def test_two_hosts_learn_what_one_learns(dataset: Path, tmp_path: Path) -> None:
    argv = [f"--dataset={dataset}", "--num_epochs=1", "--eval_split=val", "--eval_batch_size=4"]
    (chief, log), (other, other_log) = ends(start_hosts([*argv, f"--model_dir={tmp_path}/two"]))
    assert (chief, other) == (0, 0), log[-2000:] + other_log[-2000:]
    assert "waiting for the other hosts: 127.0.0.1" in log and "step 6/6" in log
    assert "step 6/6" not in other_log, "progress is logged on one host only"
    assert main([*SETTINGS, *argv, f"--model_dir={tmp_path}/one"]) == 0
    one, two = (newest_weights(tmp_path / name) for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-3, atol=1e-4, err_msg=name)
    found = [
        sorted(str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).iterdir())
        for name in ("one", "two")
    ]
    assert found[0] == found[1], "one folder of everything, and nothing left over"
    metrics = [json.loads((tmp_path / name / "eval.json").read_text()) for name in ("one", "two")]
    assert metrics[1]["AP"] == pytest.approx(metrics[0]["AP"], abs=0.02)


def test_a_signal_to_one_host_stops_all_at_one_step(dataset: Path, tmp_path: Path) -> None:
    argv = [f"--dataset={dataset}", f"--model_dir={tmp_path}", "--mode=train"]
    processes = start_hosts([*argv, "--num_epochs=10000"])
    assert processes[0].stderr is not None
    for line in processes[0].stderr:
        if line.startswith("step 2/"):
            processes[1].send_signal(signal.SIGTERM)
            break
    (chief, log), (other, other_log) = ends(processes)
    assert (chief, other) == (0, 0), log[-2000:] + other_log[-2000:]
    saved = tf.train.latest_checkpoint(str(tmp_path / "checkpoints")).rpartition("-")[2]
    for text in (log, other_log):
        assert f"stopped by SIGTERM at step {saved} of" in text
