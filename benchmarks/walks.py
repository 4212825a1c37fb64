"""Files per walk: which files of a checkout have functions that a run of prepare, train or score calls.

A walk is a run of prepare (Pascal VOC), train (to a checkpoint) or score (a folder) in one process on a small made-up
data set. It counts the files of which at least one function was called, if only as a decorator at import. Module and
class bodies and comprehensions, which also run at import, do not count. benchmarks/structure.py prints the walks.
"""

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Set
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
# TensorFlow's autograph compiles functions from generated files; their globals are still those of the module.
TRACER = """
import inspect, json, runpy, sys, threading
out, module, *arguments = sys.argv[1:]
comprehensions = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}
seen = set()
def profile(frame, event, _):
    code = frame.f_code
    if event == "call" and code.co_flags & inspect.CO_OPTIMIZED and code.co_name not in comprehensions:
        generated = "__autograph_generated_file" in code.co_filename
        seen.add(frame.f_globals.get("__file__") if generated else code.co_filename)
sys.argv = [module, *arguments]
threading.setprofile(profile)
sys.setprofile(profile)
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    sys.setprofile(None)
    with open(out, "w") as file:
        json.dump(sorted(filter(None, list(seen))), file)
"""


def run(python: Path, checkout: Path, *words: str) -> None:
    """Runs a command in a checkout; exits if it fails."""
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
    """Runs the walks and yields the name of each and its files, of those of the product."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "seen.json"
        for name, command in WALKS:
            words = [word.format(work=folder) for word in shlex.split(command)]
            run(python, checkout, *(["-c", TRACER, str(out)] if name else []), *words)
            if name:
                seen = (Path(path) for path in json.loads(out.read_text()))
                files = {path.relative_to(checkout).as_posix() for path in seen if checkout in path.parents}
                yield name, sorted(files & product)
