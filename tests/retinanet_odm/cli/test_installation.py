"""Checks of the machine and of the installed packages."""

import contextlib

import pytest

from retinanet_odm.cli import installation
from retinanet_odm.errors import UsageError

REQUIRES = [
    "numpy>=2",
    "apache-beam[gcp]==2.77.0",
    'keras<3.16,>=3.15; extra == "trainer"',
    'tensorflow-cpu==2.21.0; extra == "cpu"',
    'tensorflow[and-cuda]==2.21.0; extra == "gpu"',
    'pytest; extra == "dev"',
    'retinanet-odm[trainer]; extra == "cpu"',
]
INSTALLED = {"apache-beam": "2.77.0", "numpy": "2.4.6", "keras": "3.15.1", "tensorflow-cpu": "2.21.0"}

VERSIONS = [
    ("as pinned", {}, []),
    ("an older Keras", {"keras": "3.14.0"}, ["FAIL  keras: 3.14.0: pip install 'keras<3.16,>=3.15'"]),
    ("no Keras", {"keras": None}, ["FAIL  keras: not installed: pip install 'keras<3.16,>=3.15'"]),
    (
        "the TensorFlow of the TPU's pin in another package",
        {"tensorflow-cpu": "2.20.0"},
        ["FAIL  tensorflow-cpu: 2.20.0: pip install 'tensorflow-cpu==2.21.0'"],
    ),
    ("a release candidate in the range", {"keras": "3.15.2rc1"}, []),
]


@pytest.mark.parametrize(("why", "changed", "expected"), VERSIONS, ids=[row[0] for row in VERSIONS])
def test_versions(why: str, changed: dict[str, str | None], expected: list[str]) -> None:
    installed = {name: version for name, version in {**INSTALLED, **changed}.items() if version}
    checks = installation.check_versions(REQUIRES, installed)
    assert [check.line() for check in checks if not check.passed] == expected, why
    assert [check.name for check in checks] == ["numpy", "apache-beam", "keras", "tensorflow-cpu"], "all, and no other"


TPU = ["tensorflow-tpu==2.20.0", "libtpu==0.0.21"]
LIBTPUS = [
    ("the one that is pinned", {"tensorflow-tpu": "2.20.0", "libtpu": "0.0.21"}, []),
    ("a newer one: importing TensorFlow would abort", {"tensorflow-tpu": "2.20.0", "libtpu": "0.0.52"}, ["libtpu"]),
    ("without the TPU's TensorFlow it is that of [tpu-check]", {"tensorflow-cpu": "2.21.0", "libtpu": "0.0.52"}, []),
]


@pytest.mark.parametrize(("why", "installed", "failed"), LIBTPUS, ids=[row[0] for row in LIBTPUS])
def test_libtpu_goes_with_the_tensorflow_of_the_tpu(why: str, installed: dict[str, str], failed: list[str]) -> None:
    assert [check.name for check in installation.check_versions(TPU, installed) if not check.passed] == failed, why


TENSORFLOWS = [
    ("one is right", ["keras", "tensorflow-tpu"], True),
    ("two own one folder", ["tensorflow", "tensorflow-tpu"], False),
    ("the CPU's package beside another", ["tensorflow", "tensorflow-cpu"], False),
    ("none trains nothing", ["keras"], False),
]


@pytest.mark.parametrize(("why", "installed", "passed"), TENSORFLOWS, ids=[row[0] for row in TENSORFLOWS])
def test_one_tensorflow(why: str, installed: list[str], passed: bool) -> None:
    assert installation.check_single_tensorflow(installed).passed == passed, why


CHECKS = [
    ("a Python of the range", installation.check_python("3.11.7", ">=3.11,<3.14"), True),
    ("a Python too new", installation.check_python("3.14.0", ">=3.11,<3.14"), False),
    ("room", installation.check_disk(installation.MIN_FREE_BYTES), True),
    ("a byte too few", installation.check_disk(installation.MIN_FREE_BYTES - 1), False),
    ("memory", installation.check_memory(installation.MIN_MEMORY), True),
    ("a byte of memory too few", installation.check_memory(installation.MIN_MEMORY - 1), False),
    ("a system without sysconf", installation.check_memory(None), True),
]


@pytest.mark.parametrize(("why", "check", "passed"), CHECKS, ids=[row[0] for row in CHECKS])
def test_small_checks(why: str, check: installation.Check, passed: bool) -> None:
    assert check.passed == passed, why
    assert check.line().startswith("pass  " if passed else "FAIL  ") and "\n" not in check.line()


def test_the_status_says_whether_a_check_failed(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = installation.Check(name="a", found="1"), installation.Check(name="b", found="2", fix="3")
    assert installation.print_checks([good, good]) == 0
    assert installation.print_checks([bad, good, bad]) == 1
    assert capsys.readouterr().out.splitlines()[2:4] == ["FAIL  b: 2: 3", "pass  a: 1"], "all of them are made"


EXTRAS = [
    ({"numpy": "a", "PIL": "b"}, ""),
    ({"numpy": "a", "no_such_module": "b"}, "x: needs no_such_module, which is not installed: pip install '.[b]'"),
    (
        {"no_such_module": "b", "nor_this": "c", "nor_that": "b"},
        "x: needs no_such_module and nor_this and nor_that, which are not installed: pip install '.[b,c]'",
    ),
]


@pytest.mark.parametrize(("extras", "message"), EXTRAS)
def test_extras(extras: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) if message else contextlib.nullcontext() as caught:
        installation.check_extras("x", **extras)
    assert not message or str(caught.value) == message
