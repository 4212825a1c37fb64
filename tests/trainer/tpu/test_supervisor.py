"""The supervisor, with real processes in place of the trainer."""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainer.tpu.supervisor import (
    SupervisedJob,
    Supervisor,
    SupervisorState,
    delete_tpu,
    lock_run_folder,
    main,
    read_training,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _keep_signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def _python(code: str) -> list[str]:
    return [sys.executable, "-SEc", code]


# Succeeds when it is run for the third time.
_THIRD = "import pathlib, sys; p = pathlib.Path(sys.argv[1]); n = p.stat().st_size if p.exists() else 0\np.write_text('x' * (n + 1)); print('try', n + 1, flush=True); sys.exit(n < 2)"  # fmt: skip # noqa: E501

CASES = [
    ("success at once", _python("print('done')"), 60.0, SupervisorState(state="finished")),
    ("a bad request is not retried", _python("raise SystemExit(2)"), 60.0, SupervisorState(state="failed", code=2)),
    ("consecutive failures", _python("raise SystemExit(7)"), 60.0, SupervisorState(state="failed", code=7, restarts=2)),
    ("killed, as by the kernel for its memory", _python("import os; os.kill(os.getpid(), 9)"), 60.0,
     SupervisorState(state="failed", code=-9, restarts=2)),
    ("the time is over", _python("import time; time.sleep(60)"), 0.3, SupervisorState(state="overtime", code=-15)),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "command", "seconds", "expected"), CASES, ids=[row[0] for row in CASES])
def test_how_it_ends(
    reason: str, command: list[str], seconds: float, expected: SupervisorState, tmp_path: Path
) -> None:
    job = SupervisedJob(command=command, folder=tmp_path, max_seconds=seconds, max_failures=3, retry_pause=0.0)
    assert Supervisor(job).run() == expected, reason
    assert read_training(tmp_path, 0)[0]["state"] == expected.state, reason


def test_a_crashed_trainer_is_restarted(tmp_path: Path) -> None:
    job = SupervisedJob(
        command=[*_python(_THIRD), str(tmp_path / "n")], folder=tmp_path, max_seconds=60, retry_pause=0.0
    )
    assert Supervisor(job).run() == SupervisorState(state="finished", restarts=2)
    head, log = read_training(tmp_path, 0)
    assert log.splitlines()[:3] == [b"try 1", b"try 2", b"try 3"]
    assert read_training(tmp_path, int(str(head["offset"])))[1] == b"", "a log is shown once"


def test_sigterm_is_not_success(tmp_path: Path) -> None:
    """The trainer saves and exits with 0 on SIGTERM: a preemption must not look like success."""
    trainer = (
        "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(0)); print('up', flush=True); time.sleep(60)"
    )
    script = (
        "import sys, pathlib; from trainer.tpu.supervisor import *\n"
        f"job = SupervisedJob(command=[sys.executable, '-c', {trainer!r}], folder=pathlib.Path({str(tmp_path)!r}),"
        " max_seconds=60, resource='projects/p', removal_delay=60)\n"
        "Supervisor(job).run()"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    log = tmp_path / "train.log"
    end = time.monotonic() + 20
    while time.monotonic() < end and not (log.exists() and b"up" in log.read_bytes()):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert read_training(tmp_path, 0)[0]["state"] == "stopped"


def test_sigterm_between_two_attempts(tmp_path: Path) -> None:
    job = SupervisedJob(command=_python("raise SystemExit(7)"), folder=tmp_path, max_seconds=60, retry_pause=60.0)
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    began = time.monotonic()
    assert Supervisor(job).run().state == "stopped"
    timer.join()
    assert time.monotonic() - began < 30, "a preempted machine has half a minute"


def test_show_before_and_after_a_supervisor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", f"--folder={tmp_path}", "--offset=0"]) == 0
    assert json.loads(capsys.readouterr().out) == {"state": "none", "code": 0, "restarts": 0, "offset": 0}
    (tmp_path / "state.json").write_text(json.dumps({"state": "running", "code": 0, "restarts": 1}))
    (tmp_path / "train.log").write_bytes(b"whole line\nhalf a li")
    assert read_training(tmp_path, 0)[0]["state"] == "dead", "the lock is free"
    with lock_run_folder(tmp_path) as first, lock_run_folder(tmp_path) as second:
        assert (first, second) == (True, False), "two would train into one model_dir"
        assert read_training(tmp_path, 0) == (
            {"state": "running", "code": 0, "restarts": 1, "offset": 11},
            b"whole line\n",
        )


class _Google(http.server.BaseHTTPRequestHandler):
    """The metadata server and the TPU API."""

    asked: list[str]

    def do_GET(self) -> None:
        self._answer(b'{"access_token": "t"}')

    def do_DELETE(self) -> None:
        self._answer(b"{}")

    def _answer(self, body: bytes) -> None:
        self.asked.append(f"{self.command} {self.path} {self.headers.get('Authorization', '')}".strip())
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def test_the_supervisor_deletes_the_tpu_as_a_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _Google.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Google)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"
    monkeypatch.setenv("GCE_METADATA_HOST", address)
    monkeypatch.setenv("RETINANET_TPU_API", f"http://{address}")
    job = SupervisedJob(
        command=_python("pass"),
        folder=tmp_path,
        max_seconds=60,
        resource="projects/p/locations/z/nodes/n",
        removal_delay=0.0,
    )
    Supervisor(job).run()
    delete_tpu("projects/p/locations/z/queuedResources/n")
    delete_tpu("projects/p/zones/z/instances/n")
    server.shutdown()
    server.server_close()
    assert _Google.asked[1::2] == [
        "DELETE /v2/projects/p/locations/z/nodes/n Bearer t",
        "DELETE /v2/projects/p/locations/z/queuedResources/n?force=true Bearer t",
        "DELETE /compute/v1/projects/p/zones/z/instances/n Bearer t",
    ]
    assert b"its deletion has begun" in (tmp_path / "train.log").read_bytes()


def test_a_deletion_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")
    assert "could not be deleted from here" in delete_tpu("projects/p/locations/z/nodes/n")


def test_the_side_command_does_not_open_the_tpu(tmp_path: Path) -> None:
    side = _python(f"import os; open({str(tmp_path / 'env')!r}, 'w').write(os.environ['TPU_LOAD_LIBRARY'])")
    job = SupervisedJob(
        command=_python("import time; time.sleep(0.5)"), folder=tmp_path, max_seconds=60, side_command=side
    )
    assert Supervisor(job).run().state == "finished"
    assert (tmp_path / "env").read_text() == "0" and "TPU_LOAD_LIBRARY" not in os.environ
