"""Runs the same commands in two checkouts and compares the files that they write, byte for byte.

    python -m benchmarks.compare_checkouts OLD NEW --data BCCD [--only PATTERN] [--work DIR]

OLD and NEW are checkouts of this project, each with a .venv (or --python_old, --python_new); BCCD is the data set of
benchmarks/bccd.py. Every command is a process in its checkout. Both checkouts write to the same path, from which the
files are moved to DIR/old or DIR/new afterwards, so that no path differs. The input of every command was made by OLD,
so that a difference is shown only in the step that causes it. TensorFlow runs deterministic operations in one thread.

One line per kind of file: `ok` equal; `MISS` different, exit status 1; `note` different, but allowed (see ALLOWED).
Standard output is compared, log output is not. Run OLD against OLD first: it must print `ok` only.

--work keeps the files; the next run with the same OLD and DIR reuses what OLD wrote. --only limits the steps that run
in NEW, for example --only 'prepare-*'. The steps: benchmarks/compare_steps.py.
"""

import argparse
import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.compare_steps import STEPS, Step

HERE = Path(__file__).resolve().parent
PACKAGES = ("beam_jobs", "trainer", "inference")
ORDERED = {"TF_DETERMINISTIC_OPS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
PRINTED = "(printed)"

# Files that differ between two runs of the same code: why, and which file is compared instead.
VARIES = {
    "tensorboard/*": "contains timestamps; values: events.txt",
    "checkpoints/checkpoint": "contains timestamps; values: variables.txt",
    "best/checkpoint": "contains timestamps; values: variables.txt",
    "export/fingerprint.pb": "contains a random id; values: outputs.txt",
    "export/saved_model.pb": "function names and variable order vary; values: outputs.txt",
    "export/variables/*": "variable order varies; values: variables.txt",
}
# Files that may differ after a refactoring without change of behaviour.
ALLOWED = {
    "*.html": "pages are compared by eye",
    "receipts/*": "contain a hash over class and field names",
    "summary.json: options": "has the field names of a class",
    "problems.jsonl: wording": "is text for people",
}
# Keys of JSON files that are compared separately (True) or not at all (False: digests of files in VARIES).
PARTS = {"summary.json": {"options": True}, "model.json": {"files": False}}
WORDING = ("detail", "suggestion")  # keys of the lines of problems.jsonl
# EXIF segment of a JPEG file with orientation 6 (rotated by 90 degrees).
TURNED = b"\xff\xe1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


@dataclass(frozen=True, kw_only=True)
class Side:
    """A checkout and its Python interpreter."""

    name: str
    tree: Path
    python: Path

    def run(self, words: list[str], status: int = 0) -> str:
        """Run a command and return its standard output; exits if the status is not the expected one."""
        done = subprocess.run(
            [str(self.python), *words],
            cwd=self.tree,
            env={**os.environ, "PYTHONPATH": str(self.tree), "TF_CPP_MIN_LOG_LEVEL": "2", **ORDERED},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != status:
            raise SystemExit(f"failed in {self.tree}: {shlex.join(words)}\n{done.stderr[-3000:]}")
        return done.stdout

    def check(self) -> None:
        """Exit if Python imports the packages from elsewhere than the checkout."""
        names = ", ".join(PACKAGES)
        found = self.run(["-c", f"import {names}\nprint(*(m.__file__ for m in ({names})), sep='\\n')"])
        for path in found.splitlines():
            if self.tree not in Path(path).parents:
                raise SystemExit(f"{self.python} imports {path}, which is not in {self.tree}")


def make_inputs(sample: Path, images: Path, folder: Path) -> None:
    """Make inputs that the sample lacks: damaged files, a CVAT export, a tar.gz archive and two single images."""
    damage(sample, folder / "damaged")
    with zipfile.ZipFile(folder / "export.zip", "w") as archive:
        archive.write(sample / "cvat" / "annotations.xml", "annotations.xml")
        for path in sorted((sample / "images").iterdir()):
            archive.write(path, f"images/{path.name}")
    with tarfile.open(folder / "archive.tar.gz", "w:gz") as archive:
        archive.add(sample / "images", "frames")
    (folder / "few").mkdir()
    for number, path in enumerate(sorted(images.iterdir())[:2], start=1):
        shutil.copy(path, folder / "few" / f"{number}.jpg")


def damage(sample: Path, folder: Path) -> None:
    """Copy the sample and adds one defect of each kind."""
    for kind in ("images", "annotations"):
        shutil.copytree(sample / kind, folder / kind)
    images, annotations = (sorted((folder / kind).iterdir()) for kind in ("images", "annotations"))
    size = images[0].stat().st_size
    os.truncate(images[0], size // 2)
    images[1].write_bytes(b"not an image")
    images[2].unlink()  # leaves an annotation without image
    shutil.copy(images[3], folder / "images" / images[3].name.replace("6701", "6799"))  # duplicate
    os.truncate(annotations[4], annotations[4].stat().st_size // 2)
    text = annotations[5].read_text()
    annotations[5].write_text(re.sub("<name>([^<]*)</name>", r"<name>\1x</name>", text, count=1))
    text = annotations[6].read_text()
    annotations[6].write_text(re.sub("<xmax>[^<]*</xmax>", "<xmax>0</xmax>", text, count=1))
    data = images[7].read_bytes()
    images[7].write_bytes(data[:2] + TURNED + data[2:])


def run_step(name: str, step: Step, side: Side, work: Path, data: Path) -> None:
    """Run a step in one checkout and moves its files to the folder of that side."""
    out, kept = work / "run" / name, work / side.name
    if step.copy_of:
        shutil.copytree(work / "old" / step.copy_of, out)
    out.mkdir(parents=True, exist_ok=True)
    folders = {"out": out, "old": work / "old", "side": kept, "inputs": work / "inputs", "data": data, "here": HERE}
    printed = side.run([word.format(**folders) for word in shlex.split(step.command)], step.status)
    kept.mkdir(exist_ok=True)
    out.rename(kept / name)
    (kept / name / PRINTED).write_text(printed)


def matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of everything that is compared; separate keys of JSON files have their own names."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or matches(name, VARIES):
            continue
        data = path.read_bytes()
        if path.name in PARTS:
            yield from split_json(name, data, PARTS[path.name])
        elif path.name == "problems.jsonl":
            yield from split_wording(name, data)
        else:
            yield name, data


def split_json(name: str, data: bytes, parts: dict[str, bool]) -> Iterator[tuple[str, bytes]]:
    """Yield the keys that are compared separately, then the rest without digests of pages."""
    value = json.loads(data)
    for entry in value.get("exports", ()):
        if entry["name"].endswith(".html"):
            del entry["sha256"]
    for key, is_compared in parts.items():
        found = value.pop(key)
        if is_compared:
            yield f"{name}: {key}", json.dumps(found).encode()
    yield name, json.dumps(value).encode()


def split_wording(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the texts of problems, then the problems without them."""
    problems = [json.loads(line) for line in data.splitlines()]
    yield f"{name}: wording", json.dumps([[problem.pop(key) for key in WORDING] for problem in problems]).encode()
    yield name, json.dumps(problems).encode()


def kind_of(name: str) -> str:
    """Return one name for all files of a folder, and for all shards of a split."""
    folder, slash, rest = name.partition("/")
    return f"{folder}/*" if slash and not rest.endswith(".json") and ":" not in rest else re.sub(r"\d{5}", "*", name)


def compare(name: str, work: Path) -> bool:
    """Print a line for each kind of file that a step has written; return whether nothing is missed."""
    before, after = (dict(contents(work / side / name)) for side in ("old", "new"))
    copied = dict(contents(work / "old" / STEPS[name].copy_of)) if STEPS[name].copy_of else {}
    kinds = defaultdict(list)
    for file in sorted({*before, *after}):
        is_copy = copied.get(file) == before.get(file) == after.get(file)
        kinds["(as copied)" if is_copy else kind_of(file)].append(file)
    results = [compare_kind(name, kind, files, before, after) for kind, files in kinds.items()]
    return all(results)


def compare_kind(name: str, kind: str, files: list[str], before: dict[str, bytes], after: dict[str, bytes]) -> bool:
    """Print the line of one kind of file; return whether nothing is missed."""
    other = [file for file in files if before.get(file) != after.get(file)]
    forbidden = [file for file in other if not (matches(file, ALLOWED) and file in before and file in after)]
    mark = "MISS" if forbidden else "note" if other else "ok  "
    differ = f"{len(other)} differ: {', '.join(other[:3])}{', …' if other[3:] else ''}"
    print(f"{mark}  {name:22}  {kind:26}  {len(files):3} compared, {differ if other else 'equal'}", flush=True)
    return not forbidden


def run(old: Side, new: Side, data: Path, work: Path, only: str) -> bool:
    """Run and compare all steps; return whether nothing is missed."""
    good = True
    for name in ("run", "new"):
        shutil.rmtree(work / name, ignore_errors=True)
    for name, step in STEPS.items():
        if not (work / "old" / name).is_dir():
            run_step(name, step, old, work, data)
        if not (work / "inputs").is_dir():
            make_inputs(work / "old" / "sample", data / "images", work / "inputs")
        if fnmatch.fnmatchcase(name, only) and not step.only_old:
            run_step(name, step, new, work, data)
            good &= compare(name, work)
    return good


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, metavar="OLD")
    parser.add_argument("new", type=Path, metavar="NEW")
    parser.add_argument("--data", type=Path, required=True, metavar="BCCD")
    parser.add_argument("--python_old", type=Path, help="default: OLD/.venv/bin/python")
    parser.add_argument("--python_new", type=Path, help="default: NEW/.venv/bin/python")
    parser.add_argument("--work", type=Path, help="folder for all files, kept; default: a temporary one")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="steps to run in NEW; default: all")
    return parser.parse_args()


def make_side(name: str, tree: Path, python: Path | None) -> Side:
    tree = tree.resolve()
    # Not resolved: a link to the interpreter is what makes the virtual environment.
    side = Side(name=name, tree=tree, python=(python or tree / ".venv" / "bin" / "python").absolute())
    side.check()
    return side


def main() -> int:
    flags = parse_arguments()
    old = make_side("old", flags.old, flags.python_old)
    new = make_side("new", flags.new, flags.python_new)
    with tempfile.TemporaryDirectory() as folder:
        good = run(old, new, flags.data.resolve(), (flags.work or Path(folder)).resolve(), flags.only)
    for title, entries in (("not compared", VARIES), ("allowed to differ", ALLOWED)):
        print(f"\n{title}:", *(f"  {name:26}  {reason}" for name, reason in entries.items()), sep="\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
