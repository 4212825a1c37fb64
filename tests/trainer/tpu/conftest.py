"""Fixture: the fake gcloud as an executable on PATH."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.tpu.fake_gcloud import FakeCloud


@dataclass(frozen=True)
class OnPath:
    """The state file of the executable."""

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
    here = str(Path(__file__).parent)
    program.write_text(
        f"#!{sys.executable} -SE\nimport sys\nsys.path.insert(0, {here!r})\n"
        "import fake_gcloud\nsys.exit(fake_gcloud.main())\n"
    )
    program.chmod(0o755)
    state = tmp_path / "cloud.json"
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_GCLOUD", str(state))
    return OnPath(state)
