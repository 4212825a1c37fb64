"""The program as a user runs it, with a fake gcloud that is a real executable."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.tpu.fake_gcloud import FakeCloud
from tests.trainer.tpu.worlds import TRAINING
from trainer import submit
from trainer.tpu.gcloud import FakeClock

ROOT = Path(__file__).parents[2]
ZONE = "--zone=us-west4-a"
RUN = ["run", ZONE, "--spot", "--", *TRAINING]


@dataclass(frozen=True)
class OnPath:
    """The state file of the fake gcloud."""

    state: Path

    def set(self, **changes: object) -> None:
        """Sets entries of the state: faults, slow, …"""
        self.state.write_text(json.dumps({**FakeCloud().data, **changes}))

    def read(self) -> dict[str, Any]:
        return json.loads(self.state.read_text())


@pytest.fixture
def gcloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OnPath:
    """Puts the fake gcloud first on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "gcloud"
    here = str(Path(__file__).parent / "tpu")
    program.write_text(
        f"#!{sys.executable} -SE\nimport sys\nsys.path.insert(0, {here!r})\n"
        "import fake_gcloud\nsys.exit(fake_gcloud.main())\n"
    )
    program.chmod(0o755)
    state = tmp_path / "cloud.json"
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_GCLOUD", str(state))
    return OnPath(state)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "SystemClock", FakeClock)
    monkeypatch.setattr(submit, "build_wheel", lambda folder: folder / "retinanet.whl")
    monkeypatch.setattr(signal, "signal", lambda number, action: None)  # noqa: ARG005 - the tests keep their handlers


def test_a_run_that_is_preempted(gcloud: OnPath, capfd: pytest.CaptureFixture[str]) -> None:
    gcloud.set(faults=["ok"] * 9 + ["preempted"])
    assert submit.main(RUN) == 0
    seen = gcloud.read()
    assert (seen["nodes"], seen["made"]) == ({}, 2)
    out, err = capfd.readouterr()
    assert re.findall(r"step \d", out) == ["step 1", "step 2", "step 3"], "it resumes where it stopped"
    assert "gcloud compute tpus tpu-vm delete retinanet" in err.splitlines()[1], "shown before anything is created"
    assert "the TPU is PREEMPTED: creating another" in err and err.endswith("trained: gs://b/m\n")


REFUSED = [
    ("a zone must be named", ["run", "--", *TRAINING], "--zone"),
    ("a misspelt flag", ["run", ZONE, "--sport", "--", *TRAINING], "--sport"),
    ("a trainer's flag that is misspelt", ["run", ZONE, "--", *TRAINING, "--num_epoch=3"], "num_epoch"),
    ("a trainer's flag before the --", ["run", ZONE, "--num_epochs=3", "--", *TRAINING], "--num_epochs"),
    ("no data set", ["run", ZONE, "--", "--model_dir=gs://b/m"], "--dataset: required"),
    (
        "a local folder",
        ["run", ZONE, "--", "--dataset=DATASET", "--model_dir=gs://b/m"],
        "--dataset: expected a path that a TPU VM can access",
    ),
    (
        "local initial weights",
        ["run", ZONE, "--", *TRAINING, "--init_from=MODEL"],
        "--init_from: expected a path that a TPU VM can access",
    ),
    (
        "a pod by XLA",
        ["run", ZONE, "--accelerator_type=v5litepod-16", "--", *TRAINING, "--runtime=xla"],
        "--runtime=xla: runs on single machines, which Compute Engine rents; pass --platform=compute",
    ),
    ("the doctor alone", ["run", ZONE, "--", *TRAINING, "--mode=doctor"], "--mode=doctor"),
    ("a name Google refuses", ["run", ZONE, "--name=My_TPU", "--", *TRAINING], "--name: lower-case"),
    ("hours that are infinite", ["run", ZONE, "--max_hours=0", "--", *TRAINING], "--max_hours: above 0"),
    ("hours of another kind", ["run", ZONE, "--max_hours=day", "--", *TRAINING], "--max_hours"),
    (
        "a platform that does not exist",
        ["run", ZONE, "--platform=gke", "--", *TRAINING],
        "--platform: compute or tpu_vm",
    ),
    (
        "several machines on Compute Engine",
        ["run", ZONE, "--platform=compute", "--accelerator_type=v6e-16", "--", *TRAINING],
        "v6e-16 is not a single machine of Compute Engine",
    ),
    (
        "a machine type of Compute Engine on the Cloud TPU API",
        ["run", ZONE, "--platform=tpu_vm", "--accelerator_type=ct6e-standard-8t", "--", *TRAINING],
        "pass v6e-8, or --platform=compute",
    ),
    (
        "TensorFlow on TPU7x",
        ["run", ZONE, "--accelerator_type=tpu7x-standard-4t", "--", *TRAINING],
        "TensorFlow does not run on TPU7x; pass --runtime=xla",
    ),
    (
        "several machines of TPU7x",
        ["run", ZONE, "--accelerator_type=tpu7x-16", "--", *TRAINING],
        "expected tpu7x-standard-4t, one machine",
    ),
    (
        "TPU7x on the Cloud TPU API",
        ["run", ZONE, "--platform=tpu_vm", "--accelerator_type=tpu7x-standard-4t", "--", *TRAINING],
        "tpu7x-standard-4t is not a TPU VM",
    ),
    (
        "spot and flex-start at once",
        ["run", ZONE, "--platform=compute", "--spot", "--queued", "--", *TRAINING],
        "--spot and --queued",
    ),
    (
        "more than a flex-start VM may last",
        ["run", ZONE, "--platform=compute", "--queued", "--max_hours=169", "--", *TRAINING],
        "--max_hours: at most 168",
    ),
    (
        "a disk without room",
        ["run", ZONE, "--platform=compute", "--disk_gb=10", "--", *TRAINING],
        "--disk_gb: at least",
    ),
    ("trainer's flags for status", ["status", ZONE, "--", "--preset=tiny"], "takes no flags of the trainer"),
]


@pytest.mark.parametrize(("reason", "argv", "expected"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused_before_gcloud_is_called(
    reason: str, argv: list[str], expected: str, gcloud: OnPath, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit.main(argv) == 2, reason
    err = capsys.readouterr().err
    assert err.startswith("error: ") and expected in err and err.count("\n") == 1
    assert not gcloud.state.exists()


def test_a_missing_data_set_costs_nothing(gcloud: OnPath, capsys: pytest.CaptureFixture[str]) -> None:
    gcloud.set(faults=["quota"])  # any error while the bucket is listed
    assert submit.main(RUN) == 2
    assert capsys.readouterr().err == "error: --dataset: there is no gs://b/d/dataset.json\n"
    assert gcloud.read()["made"] == 0


def test_without_gcloud(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert submit.main(RUN) == 2
    assert capsys.readouterr().err.startswith("error: gcloud: not found on PATH")


def test_status_logs_stop(gcloud: OnPath, capfd: pytest.CaptureFixture[str]) -> None:
    started = {"state": "READY", "labels": {"retinanet-odm": "x"}, "installed": True, "started": True}
    gcloud.set(nodes={"retinanet": started})
    assert submit.main(["status", ZONE]) == 0
    assert capfd.readouterr().err == "retinanet: READY\ntrainer: running, exit status 0, 0 restart(s)\n"
    assert submit.main(["logs", ZONE]) == 0
    assert submit.main(["stop", ZONE]) == 0
    assert gcloud.read()["nodes"] == {} and "retinanet is removed" in capfd.readouterr().err
    assert submit.main(["status", ZONE]) == 1
    assert submit.main(["stop", ZONE]) == 0, "an absent TPU need not be stopped"


def _started(state: str) -> dict[str, Any]:
    return {"state": state, "labels": {"retinanet-odm": "x"}, "installed": True, "started": True}


def test_a_tpu_is_found_on_either_platform(gcloud: OnPath, capfd: pytest.CaptureFixture[str]) -> None:
    gcloud.set(instances={"retinanet": _started("RUNNING")})
    assert submit.main(["status", ZONE]) == 0
    assert capfd.readouterr().err.startswith("retinanet: RUNNING\ntrainer: running")
    assert submit.main(["status", ZONE, "--platform=tpu_vm"]) == 1, "there is none"
    assert submit.main(["stop", ZONE]) == 0
    assert gcloud.read()["instances"] == {} and "retinanet is removed" in capfd.readouterr().err
    gcloud.set(instances={"retinanet": _started("RUNNING")}, nodes={"retinanet": _started("READY")})
    assert submit.main(["stop", ZONE]) == 2
    assert "exists on both platforms; pass --platform=tpu_vm or" in capfd.readouterr().err
    assert submit.main(["stop", ZONE, "--platform=compute"]) == 0
    assert set(gcloud.read()["nodes"]) == {"retinanet"} and not gcloud.read()["instances"]


def test_a_platform_without_access_does_not_matter(gcloud: OnPath, capfd: pytest.CaptureFixture[str]) -> None:
    gcloud.set(nodes={"retinanet": _started("READY")}, faults=["denied"])
    assert submit.main(["status", ZONE]) == 0
    gcloud.set(faults=["denied"])
    assert submit.main(["stop", ZONE]) == 2
    assert "PERMISSION_DENIED" in capfd.readouterr().err, "what is not seen is not reported as absent"


def test_stop_leaves_a_foreign_tpu_unchanged(gcloud: OnPath, capsys: pytest.CaptureFixture[str]) -> None:
    gcloud.set(nodes={"retinanet": {"state": "READY", "labels": {"team": "other"}}})
    assert submit.main(["stop", ZONE]) == 2
    assert "not created by this program" in capsys.readouterr().err and gcloud.read()["nodes"]


@pytest.mark.parametrize("command", ["run", "status", "logs", "stop"])
@pytest.mark.parametrize(
    ("flags", "kind"),
    [([], "tpu-vm"), (["--queued"], "queued-resources"), (["--platform=compute"], "instances")],
)
def test_a_dry_run_prints_commands_without_running_them(
    command: str, flags: list[str], kind: str, gcloud: OnPath, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit.main([command, ZONE, *flags, "--dry_run", *(["--", *TRAINING] if command == "run" else [])]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("gcloud")]
    assert lines and not gcloud.state.exists()
    if command == "run":
        assert [f"{kind} create" in line for line in lines].index(True) == 1
        assert any(f"{kind} delete" in line for line in lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_the_creation(number: int, gcloud: OnPath) -> None:
    gcloud.set(slow=60)
    script = (
        "import signal, sys; from trainer import submit; from trainer.tpu import driver\n"
        # Background jobs of a script ignore Ctrl-C, and the tests may be one.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "submit.build_wheel = lambda folder: folder / 'w.whl'\n"
        "driver.delay_before = lambda run: 0.0\n"
        f"sys.exit(submit.main({RUN!r}))"
    )
    run = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 30
    while time.monotonic() < end and not (gcloud.state.exists() and gcloud.read()["made"]):
        time.sleep(0.05)
    os.kill(run.pid, number)
    _, err = run.communicate(timeout=60)
    assert (run.returncode, gcloud.read()["nodes"]) == (130, {}), err
    assert "interrupted: removing the TPU" in err


def test_help_needs_no_tensorflow() -> None:
    script = (
        "import sys, trainer.submit\nprint(sorted({'tensorflow', 'keras', 'apache_beam', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['numpy']")


def test_the_shell_wrapper_is_the_same_program() -> None:
    wrapper = (ROOT / "scripts/tpu.sh").read_text()
    assert shlex.split(wrapper.splitlines()[-1])[1:] == ["exec", "$root/.venv/bin/python", "-m", "trainer.submit", "$@"]
