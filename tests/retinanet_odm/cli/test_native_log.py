"""What C++ libraries print while they are imported: the start-up noise is dropped, everything else is shown."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

NOISE = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    "I0000 00:00:1796087730.001362   29177 port.cc:153] oneDNN custom operations are on.\n"
    "E0000 00:00:1796087733.767020   29177 util.cc:131] Unable to register cuFFT factory\n"
    "2026-12-01 01:15:30.001362: W external/local_xla/xla/service.cc:1] Created device\n"
)
_PROGRAM = """
import os, sys
from retinanet_odm.cli.native_log import import_quietly
def load():
    os.write(2, {noise!r}.encode())
    print("a warning of Python", file=sys.stderr)
    {ending}
    return "module"
print(import_quietly(load))
os.write(2, b"I0000 00:00:1 after the import\\n")
"""
SHOWN = "a warning of Python\n"
AFTER = "I0000 00:00:1 after the import\n"

ENDINGS = [
    pytest.param("pass", {}, SHOWN + AFTER, 0, id="noise is dropped, other lines and later ones are not"),
    pytest.param("raise ImportError('no library')", {}, NOISE + SHOWN, 1, id="a failed import shows all"),
    pytest.param("os.abort()", {}, NOISE + SHOWN, -6, id="an import that aborts, as without AVX, shows all"),
    pytest.param("os._exit(3)", {}, NOISE + SHOWN, 3, id="an import that ends the process shows all"),
    pytest.param(
        "pass", {"TF_CPP_MIN_LOG_LEVEL": "2"}, SHOWN + AFTER, 0, id="a level of the user's does not show noise"
    ),
    pytest.param("pass", {"TF_CPP_MIN_LOG_LEVEL": "0"}, NOISE + SHOWN + AFTER, 0, id="the user wants to see all"),
]


@pytest.mark.parametrize(("ending", "variables", "shown", "status"), ENDINGS)
def test_messages(ending: str, variables: dict[str, str], shown: str, status: int, tmp_path: Path) -> None:
    environment = {name: text for name, text in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    environment |= {**variables, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    script = _PROGRAM.format(noise=NOISE, ending=ending)
    # Standard error has several writers, and one of them outlives a process that aborts: wait until it is closed.
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == status and done.stdout == ("" if status else "module\n")
    assert done.stderr.startswith(shown) and (status or done.stderr == shown)
    deadline = time.monotonic() + 10  # the other process deletes what it has shown
    while any(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(tmp_path.iterdir())
