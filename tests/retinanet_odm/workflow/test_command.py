"""The command line of a run. tests/test_guides.py runs the real programs by it, as docs/local.md has it."""

import pytest

from beam_jobs import output_folder
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.predictions.finished_rows import SUMMARY_FILE
from retinanet_odm.workflow.command import main, make_run_options, make_run_parser
from retinanet_odm.workflow.plan import RunOptions, plan_data, plan_model

_NEEDED = ["--images", "i/*", "--annotations", "a/*", "--output"]

FLAGS = [
    pytest.param(["out/"], {"output": "out"}, id="a slash at the end"),
    pytest.param(["out", "--archive", "a", "b"], {"archive": ("a", "b")}, id="several archives"),
    pytest.param(
        ["out", "--train_flags=--image_size=64 --anchors=auto", "--prepare_flags=--splits='train=1, val=0'"],
        {"train_flags": ("--image_size=64", "--anchors=auto"), "prepare_flags": ("--splits=train=1, val=0",)},
        id="words as in a shell",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("words", "changes"), FLAGS)
def test_flags(words: list[str], changes: dict[str, object]) -> None:
    plain = {"images": ("i/*",), "annotations": ("a/*",), "output": "out"}
    options = make_run_options(make_run_parser().parse_args([*_NEEDED, *words]))
    assert options == RunOptions(**{**plain, **changes})  # type: ignore[arg-type]


REFUSED = [
    pytest.param(["out", "--train_flags=--init_from='m"], "--train_flags: No closing quotation, in", id="a quote"),
    pytest.param(["out", "--labels="], "--labels: expected a value, found an empty one", id="an unset variable"),
    pytest.param(["out", "--epochs=3"], "unknown flag --epochs; did you mean --num_epochs?", id="of another program"),
    pytest.param(["my", "out"], "a value with spaces needs quotes: 'my out'", id="two words"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_a_bad_command_line_ends_with_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*_NEEDED, *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line


def test_the_files_that_end_a_step_are_those_of_the_programs() -> None:
    """The library does not import the programs, so that it has the names of their files once more."""
    options = RunOptions(images=("i",), annotations=("a",), archive=("b",), output="o")
    marks = {step.name: step.mark for step in (*plan_data(options), *plan_model(options, {"val": 1}))}
    assert marks == {
        "check": f"o/dataset/{output_folder.CHECK_PAGE}",
        "prepare": f"o/dataset/{DatasetManifest.FILE}",
        "train": f"o/model/export/{ModelManifest.FILE}",
        "score": f"o/scored/{SUMMARY_FILE}",
    }
