"""Files per walk: which files of a checkout have functions that a run of prepare, train or score calls.

A walk is a run of prepare (Pascal VOC), train (to a checkpoint) or score (a folder) in one process on a small synthetic
data set. It counts the files of which at least one function was called, but for calls while a module is imported: the
bodies of modules and classes, decorators, registrations. Comprehensions do not count. benchmarks/structure.py prints
the walks.

Core files are those that a reader opens to understand what happens to the image: all but the ones of NOT_CORE.
"""

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Set
from fnmatch import fnmatch
from pathlib import Path

TRAINER = "--preset=tiny --image_size=128 --num_epochs=1 --dataset={work}/dataset --model_dir={work}/model"
# Name of the walk ("" for a command that only makes input for the next ones), and the command.
WALKS = (
    ("", "scripts/make_sample.py {work}/sample --images=24 --archive_images=0"),
    (
        "prepare",
        "beam_jobs prepare --images {work}/sample/images/* --annotations {work}/sample/annotations/*.xml"
        " --output {work}/dataset",
    ),
    ("train", f"trainer --mode=train {TRAINER}"),
    ("", f"-m trainer --mode=export {TRAINER}"),
    ("score", "inference score --images {work}/sample/images --model {work}/model/export --output {work}/scored"),
)
# Command line, reports and error text; from the second line on, by their names in checkouts older than these rooms.
NOT_CORE = (
    *("retinanet_odm/cli/*", "retinanet_odm/dataflow/*", "retinanet_odm/reports/*", "*errors.py"),
    *("beamio/cloud_*.py", "beamio/estimate.py", "beamio/launch.py", "detection/lean.py", "beam_jobs/progress.py"),
    *(
        "inference/progress.py",
        "detection/pages.py",
        "detection/report.py",
        "detection/sections.py",
        "detection/charts.py",
    ),
)
# Module bodies of this checkout are on the stack while it is imported. The one named __main__ is the program itself.
# TensorFlow's autograph compiles functions from generated files; their globals are still those of the module.
TRACER = """
import inspect, json, os, runpy, sys, threading
out, module, *arguments = sys.argv[1:]
root = os.getcwd() + os.sep
comprehensions = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}
seen = set()
def importing(frame):
    while frame:
        if frame.f_code.co_name == "<module>" and frame.f_code.co_filename.startswith(root):
            if frame.f_globals["__name__"] != "__main__":
                return True
        frame = frame.f_back
    return False
def profile(frame, event, _):
    code = frame.f_code
    if event == "call" and code.co_flags & inspect.CO_OPTIMIZED and code.co_name not in comprehensions:
        generated = "__autograph_generated_file" in code.co_filename
        path = frame.f_globals.get("__file__") if generated else code.co_filename
        if path and path not in seen and path.startswith(root) and not importing(frame.f_back):
            seen.add(path)
sys.argv = [module, *arguments]
threading.setprofile(profile)
sys.setprofile(profile)
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    sys.setprofile(None)
    with open(out, "w") as file:
        json.dump(sorted(seen), file)
"""


def run(python: Path, checkout: Path, *words: str) -> None:
    """Run a command in a checkout; exits if it fails."""
    done = subprocess.run(
        [str(python), *words],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"failed: {shlex.join(words)[:500]}\n{done.stderr[-3000:]}")


def walk(python: Path, checkout: Path, product: Set[str]) -> Iterator[tuple[str, list[str]]]:
    """Run the walks and yield the name of each and its files, of those of the product."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "seen.json"
        for name, command in WALKS:
            words = [word.format(work=folder) for word in shlex.split(command)]
            run(python, checkout, *(["-c", TRACER, str(out)] if name else []), *words)
            if name:
                seen = (Path(path) for path in json.loads(out.read_text()))
                files = {path.relative_to(checkout).as_posix() for path in seen if checkout in path.parents}
                yield name, sorted(files & product)


def core(files: Iterable[str]) -> list[str]:
    """Return the files that are not of the command line, of reports or of error text."""
    return [path for path in files if not any(fnmatch(path, pattern) for pattern in NOT_CORE)]
