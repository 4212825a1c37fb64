"""An output folder of an earlier run, for tests of what stays in it; the fixtures are in conftest."""

import zipfile
from pathlib import Path

from tests.inference.fake_model import BLUE, RED, make_image

ROWS = "predictions-00000-of-00001.jsonl"


def write_archive(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for number, name in enumerate(names):
            target.writestr(name, make_image(20 + number, 10, {RED: (1, 2, 3, 4), BLUE: (5, 5, 7, 7)}))
    return path


def score_words(scored: Path, model: Path, out: Path, images: str, *flags: str) -> list[str]:
    return ["score", "--images", str(scored / images), "--model", str(model), "--output", str(out), *flags]


def leave_as_killed(out: Path) -> None:
    (out / ROWS).rename(out / "part-0123.jsonl")
    for name in ("summary.json", "counts.csv", "cvat.xml"):
        (out / name).unlink()
