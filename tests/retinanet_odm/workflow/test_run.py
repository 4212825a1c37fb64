"""A run with programs that only write their last file: order, resumption, errors of a step, and the page."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from retinanet_odm.errors import UsageError
from retinanet_odm.workflow.plan import RunOptions
from retinanet_odm.workflow.run import run_workflow
from tests.retinanet_odm.reports.pages import make_manifest, parse_page
from tests.retinanet_odm.workflow.projects import METRICS, SUMMARY, split

ALL = ["check", "prepare", "train_and_eval", "eval", "score"]


class Programs:
    """Stands for the three programs: writes the file that marks a step as complete, and keeps the calls."""

    def __init__(self, **sizes: int) -> None:
        self.calls: list[Sequence[str]] = []
        self.statuses: dict[str, int] = {}
        self.sizes = sizes or {"train": 8, "val": 1, "test": 1}

    def __call__(self, words: Sequence[str]) -> int:
        self.calls.append(words)
        name = self.names[-1]
        status = self.statuses.get(name, 0)
        if status in (0, 1):
            for path, text in self._files(words, name):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
        return status

    @property
    def names(self) -> list[str]:
        """The command or the mode of each call."""
        return [next(w.removeprefix("--mode=") for w in words[2:] if "=" in w or w[0] != "-") for words in self.calls]

    def forget(self) -> None:
        self.calls.clear()
        self.statuses.clear()

    def _files(self, words: Sequence[str], name: str) -> list[tuple[Path, str]]:
        given = dict(word.split("=", 1) for word in words if word.startswith("--") and "=" in word)
        output = Path(words[words.index("--output") + 1] if "--output" in words else given["--model_dir"])
        metrics = json.dumps({**METRICS, "split": given.get("--eval_split", "val")})
        manifest = make_manifest(
            splits={key: split(count) for key, count in self.sizes.items()}, images_in=10, rejected=0
        )
        model = [(output / "export" / "model.json", "{}")]
        return {
            "check": [(output / "check.html", "")],
            "prepare": [(output / "dataset.json", manifest.to_json())],
            "train": [(output / "checkpoints" / "1", "")],
            "train_and_eval": [(output / "eval.json", metrics), (output / "eval.html", ""), *model],
            "export": model,
            "eval": [(output / "eval-test.json", metrics), (output / "eval-test.html", "")],
            "score": [(output / "summary.json", json.dumps(SUMMARY)), (output / "report.html", "")],
        }[name]  # fmt: skip


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunOptions:
    for name in ("images/a.jpg", "annotations/a.xml", "new/b.jpg"):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return RunOptions(images=("images/*",), annotations=("annotations/*",), archive=("new",), output="out")


def _run(options: RunOptions, programs: Programs) -> int:
    return run_workflow(options, "retinanet-odm run …", programs)


def test_all_steps_run_once_and_the_page_is_last(options: RunOptions) -> None:
    programs = Programs()
    assert _run(options, programs) == 0
    assert programs.names == ALL
    tree = parse_page(Path("out/index.html").read_text(encoding="utf-8"))
    assert [link for link in tree.xpath("//a/@href") if not Path("out", link).is_file()] == []
    assert {"dataset/check.html", "model/eval-test.html", "scored/report.html"} <= set(tree.xpath("//a/@href"))


def test_a_complete_run_repeats_nothing(options: RunOptions, caplog: pytest.LogCaptureFixture) -> None:
    programs = Programs()
    _run(options, programs)
    programs.forget()
    with caplog.at_level(logging.INFO):
        assert _run(options, programs) == 0
    assert programs.calls == []
    assert [line for line in caplog.text.splitlines() if "complete (0 s)" in line] != []


@pytest.mark.parametrize("failing", ALL)
@pytest.mark.parametrize("status", [2, 130])
def test_a_step_that_fails_ends_the_run_with_its_status(options: RunOptions, failing: str, status: int) -> None:
    """The same command continues with that step."""
    programs = Programs()
    programs.statuses[failing] = status
    assert _run(options, programs) == status
    assert programs.names == ALL[: ALL.index(failing) + 1]
    assert not Path("out/index.html").exists()
    programs.forget()
    assert _run(options, programs) == 0
    assert programs.names == ALL[ALL.index(failing) :]


CHANGES = [
    ("images/b.jpg", ["check", "prepare"], "an image more; the data set remains as it is"),
    ("annotations/a.xml", ["check", "prepare"], "another annotation"),
    ("new/c.jpg", ["score"], "new images to score"),
    ("out/model/export/model.json", ["eval", "score"], "a model that was trained by hand"),
]


@pytest.mark.parametrize(("changed", "again", "reason"), CHANGES)
def test_what_has_changed_is_done_again(options: RunOptions, changed: str, again: list[str], reason: str) -> None:
    programs = Programs()
    _run(options, programs)
    Path(changed).write_text("changed", encoding="utf-8")
    programs.forget()
    assert _run(options, programs) == 0
    assert programs.names == again, reason


def test_a_result_that_was_removed_is_made_again(options: RunOptions) -> None:
    programs = Programs()
    _run(options, programs)
    Path("out/scored/summary.json").unlink()
    programs.forget()
    assert _run(options, programs) == 0 and programs.names == ["score"]


def test_a_training_does_not_go_on_with_another_data_set(options: RunOptions) -> None:
    programs = Programs()
    _run(options, programs)
    Path("images/b.jpg").touch()
    programs.sizes = {"train": 9, "val": 1}
    with pytest.raises(UsageError, match="the data set has changed since the training in out/model began"):
        _run(options, programs)


def test_flags_that_come_after_the_training_change_no_weights(
    options: RunOptions, caplog: pytest.LogCaptureFixture
) -> None:
    programs = Programs()
    _run(options, programs)
    assert "is complete, and is not repeated" not in caplog.text
    _run(RunOptions(**{**vars(options), "train_flags": ("--learning_rate=0.5",)}), programs)
    assert "the training in out/model is complete, and is not repeated with other flags" in caplog.text


def test_errors_of_the_check_are_for_the_user_to_decide(options: RunOptions) -> None:
    programs = Programs()
    programs.statuses["check"] = 1
    with pytest.raises(UsageError, match=r"see out/dataset/check.html: correct them, or .* --accept_errors") as raised:
        _run(options, programs)
    assert raised.value.status == 1 and programs.names == ["check"]
    accepting = RunOptions(**{**vars(options), "accept_errors": True})
    assert _run(accepting, programs) == 0


def test_a_check_that_failed_found_no_errors(options: RunOptions) -> None:
    """The page of an earlier check is not that of one that could not be carried out."""
    programs = Programs()
    _run(options, programs)
    Path("annotations/b.xml").write_bytes(b"x")

    def failing(words: Sequence[str]) -> int:
        assert "check" in words
        return 1

    assert run_workflow(options, "retinanet-odm run", failing) == 1


SILENT = [
    (-9, "prepare: ended by signal 9, perhaps because memory was full"),
    (3, None),
]


@pytest.mark.parametrize(("status", "message"), SILENT)
def test_a_program_that_could_not_say_why_it_ended(options: RunOptions, status: int, message: str | None) -> None:
    programs = Programs()
    programs.statuses["prepare"] = status
    if message is None:
        assert _run(options, programs) == status, "its own line is the last"
        return
    with pytest.raises(UsageError, match=message):
        _run(options, programs)


SMALL: list[tuple[Mapping[str, int], list[str], str]] = [
    ({"train": 9, "val": 1}, ["train_and_eval"], "no independent test"),
    ({"train": 10, "val": 0, "test": 0}, ["train", "export"], "neither its weights nor its thresholds"),
]


@pytest.mark.parametrize(("sizes", "modes", "sentence"), SMALL)
def test_small_data_sets_are_told_what_they_lack(
    options: RunOptions, sizes: Mapping[str, int], modes: list[str], sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    programs = Programs(**sizes)
    with caplog.at_level(logging.INFO):
        assert _run(options, programs) == 0
    assert programs.names == ["check", "prepare", *modes, "score"]
    assert sentence in caplog.text and sentence in Path("out/index.html").read_text(encoding="utf-8")


FOREIGN = [
    ("out/notes.txt", "", "holds files that are not of a run, such as notes.txt"),
    ("out/a/index.html", "", "such as a/index.html"),
    ("out/run.json", "[]", "expected a JSON object"),
    ("out/run.json", '{"schema_version": 1, "steps": {"check": {"by": 1}}}', "not the record of a run"),
    ("out/run.json", '{"schema_version": 9}', "schema version 1 expected, found 9; choose another --output"),
]


@pytest.mark.parametrize(("name", "text", "message"), FOREIGN)
def test_a_folder_of_somebody_else_stays_as_it_is(options: RunOptions, name: str, text: str, message: str) -> None:
    path, programs = Path(name), Programs()
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        _run(options, programs)
    assert programs.calls == [] and path.read_text(encoding="utf-8") == text
    assert [found.name for found in Path("out").rglob("*") if found.is_file()] == [path.name]


def test_an_archive_that_is_not_there_is_named_before_the_first_step(options: RunOptions) -> None:
    programs = Programs()
    with pytest.raises(UsageError, match=r"--archive: .* found none that matches nw\.zip"):
        _run(RunOptions(**{**vars(options), "archive": ("nw.zip",)}), programs)
    assert programs.calls == [] and not Path("out").exists()
