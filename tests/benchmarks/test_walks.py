import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.walks import TRACER, core

MODULES = {
    "__main__.py": "from package.main import run\n\nrun()\n",
    "main.py": """
from package.decorators import register

@register
def run():
    from package import lazy
    lazy.work()
""",
    "decorators.py": "def register(function):\n    return function\n",
    "lazy.py": """
from package.values import make

VALUE = make()
WORDS = [word for word in "ab"]

def work():
    VALUE.use()
""",
    "values.py": "class Value:\n    def use(self):\n        pass\n\ndef make():\n    return Value()\n",
}


def test_a_call_counts_unless_a_module_is_being_imported(tmp_path: Path) -> None:
    package, out = tmp_path / "package", tmp_path / "seen.json"
    package.mkdir()
    for name, text in {"__init__.py": "", **MODULES}.items():
        (package / name).write_text(text)
    subprocess.run([sys.executable, "-c", TRACER, str(out), "package"], cwd=tmp_path, check=True)
    assert [Path(path).name for path in json.loads(out.read_text())] == ["lazy.py", "main.py", "values.py"]


@pytest.mark.parametrize(
    ("path", "is_core"),
    [
        pytest.param("beam_jobs/plan.py", True, id="a step"),
        pytest.param("retinanet_odm/cli/program.py", False, id="the command line"),
        pytest.param("retinanet_odm/reports/charts.py", False, id="a report"),
        pytest.param("retinanet_odm/dataflow/job_main.py", False, id="errors of a service"),
        pytest.param("trainer/tf_errors.py", False, id="error text of TensorFlow"),
    ],
)
def test_core_files(path: str, is_core: bool) -> None:
    assert core([path]) == [path] * is_core
