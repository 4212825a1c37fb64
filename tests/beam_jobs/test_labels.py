"""Label maps from annotation files: a user's entries are kept, and a variant spelling does not become a class."""

import json
import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_jobs.flags import make_prepare_parser
from beam_jobs.labels import append_items, make_label_file, new_names
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.voc import format_voc
from retinanet_odm.errors import UsageError
from retinanet_odm.labels.label_map import LabelMap, extend_labels, format_label_map, parse_label_map
from retinanet_odm.labels.spelling import normalise_label

_OLD = """\
# Checked by Danelle, 12 May\r
item { name: 'Peniagone sp. A' id: 7 display_name: "Pig of the \\"deep\\"" }
item {
\tid: 2, name: "never \\303\\251crit"   # an id was taken out before this one
} # the end"""


@pytest.fixture(autouse=True)
def _show_progress(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="beam_jobs")


class Case:
    """A folder with annotation files and a label map."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.annotations = root / "annotations"
        self.annotations.mkdir()
        self.old = root / "old.pbtxt"
        self.new = root / "new.pbtxt"

    def annotate(self, labels: Sequence[str], name: str = "a") -> None:
        objects = tuple(ObjectAnnotation(label=label, box=(0, 0, 5, 5)) for label in labels)
        annotation = ImageAnnotation(filename=name, width=9, height=9, objects=objects, source=name)
        (self.annotations / f"{name}.xml").write_bytes(format_voc(annotation))

    def run(self, *flags: str) -> int:
        """As the program does, from the flags."""
        given = make_prepare_parser().parse_args(
            ["labels", f"--annotations={self.annotations}/*", f"--output={self.new}", *flags]
        )
        return make_label_file(
            annotations=given.annotations, output=given.output, labels=given.labels, label_aliases=given.label_aliases
        )

    def names(self) -> dict[int, str]:
        return parse_label_map(self.new.read_text(encoding="utf-8")).name_by_id


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_a_map_of_all_names(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    case.annotate(["urchin"] * 12 + ["Étoile de mer"] * 10)
    case.annotate(["crab", "urchin"], "b")
    assert case.run() == 0
    assert case.names() == {1: "crab", 2: "urchin", 3: "Étoile de mer"}
    assert "3 classes: 0 known, 3 new" in caplog.messages
    assert "     2  urchin: new, boxes: 13" in caplog.messages
    assert any("'crab' has fewer than 10 boxes" in message for message in caplog.messages)


_AWKWARD = ['say "ah"', "it's", "back\\slash", "two\nlines", "Étoile", "日本", "a\ttab", "#no comment", "a\u2028b"]


def test_awkward_names_survive(case: Case) -> None:
    categories = [{"id": number, "name": name} for number, name in enumerate(_AWKWARD)]
    boxes = [
        {"id": number, "image_id": 1, "category_id": number, "bbox": [1, 1, 2, 2]} for number in range(len(_AWKWARD))
    ]
    images = [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}]
    content = {"images": images, "categories": categories, "annotations": boxes}
    (case.annotations / "all.json").write_text(json.dumps(content), encoding="utf-8")
    assert case.run() == 0
    assert sorted(case.names().values()) == sorted(_AWKWARD)


@pytest.mark.parametrize("in_place", [pytest.param(True, id="the same file"), pytest.param(False, id="a new file")])
def test_an_old_map_keeps_every_byte(case: Case, caplog: pytest.LogCaptureFixture, in_place: bool) -> None:
    old = _OLD.encode()
    case.old.write_bytes(old)
    if in_place:
        case.new = case.old
    case.annotate(["urchin", "Peniagone sp. A", "crab"])
    assert case.run(f"--labels={case.old}") == 0
    written = case.new.read_bytes()
    assert written.startswith(old)
    assert case.names() == {7: "Peniagone sp. A", 2: "never écrit", 8: "crab", 9: "urchin"}
    assert "     7  Peniagone sp. A: known, boxes: 1" in caplog.messages
    assert any("'never écrit' is in the label map, but no box has it" in message for message in caplog.messages)
    assert case.old.read_bytes() == (written if in_place else old)


def test_the_same_file_by_another_path(case: Case) -> None:
    case.old.write_text(_OLD, encoding="utf-8")
    case.new = case.root / "annotations" / ".." / "old.pbtxt"
    case.annotate(["crab"])
    assert case.run(f"--labels={case.old}") == 0
    assert "crab" in case.names().values()


def test_nothing_new_leaves_the_file_unchanged(case: Case) -> None:
    case.old.write_text(_OLD, encoding="utf-8", newline="")
    case.annotate(["Peniagone sp. A"])
    before = case.old.stat()
    case.new = case.old
    assert case.run(f"--labels={case.old}") == 0
    assert (case.old.stat().st_ino, case.old.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_another_spelling_of_a_known_name_is_not_added(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    case.old.write_text(_OLD, encoding="utf-8")
    case.annotate(["PENIAGONE_SP_A"] * 3 + ["Peniagone sp. B"])
    assert case.run(f"--labels={case.old}") == 0
    assert list(case.names().values()) == ["Peniagone sp. A", "never écrit", "Peniagone sp. B"]
    assert any(
        message.endswith("add to --label_aliases the line PENIAGONE_SP_A,Peniagone sp. A")
        for message in caplog.messages
    )


def test_of_new_spellings_the_most_frequent_is_added(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    case.annotate(["sea_urchin"] + ["Sea urchin"] * 2 + ["SEA-URCHIN"])
    assert case.run() == 0
    assert case.names() == {1: "Sea urchin"}
    for spelling in ("sea_urchin", "SEA-URCHIN"):
        assert any(f"the line {spelling},Sea urchin" in message for message in caplog.messages)


def test_aliases_count_under_their_name(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    case.annotate(["sea_urchin"] * 4 + ["Sea urchin", "pig"])
    aliases = case.root / "aliases.csv"
    aliases.write_text("alias,name\nsea_urchin,Sea urchin\npig,Peniagone\n", encoding="utf-8")
    assert case.run(f"--label_aliases={aliases}") == 0
    assert case.names() == {1: "Peniagone", 2: "Sea urchin"}
    assert "     2  Sea urchin: new, boxes: 5" in caplog.messages


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("b.xml", b"<annotation><object>", "not well-formed", id="broken"),
        pytest.param("b.txt", b"crab 1 2 3 4", "expected one of", id="of another kind"),
        pytest.param(
            "b.xml",
            b'<annotations><image name="a.jpg" width="9" height="9"/><image name="b.jpg" wid',
            "1 images before that",
            id="cut off after an image",
        ),
        pytest.param(
            "b.xml",
            b'<annotations><image name="a" width="9" height="9"><box label="x" xtl="?" ytl="0" xbr="1" ybr="1"/>'
            b"</image></annotations>",
            "expected a number",
            id="complete but for one object",
        ),
    ],
)
def test_a_file_that_cannot_be_read_completely_is_reported_and_the_rest_is_written(
    case: Case, caplog: pytest.LogCaptureFixture, name: str, content: bytes, words: str
) -> None:
    case.annotate(["crab"])
    (case.annotations / name).write_bytes(content)
    assert case.run() == 1
    assert case.names() == {1: "crab"}
    assert "1 file not read completely, labels may be missing:" in caplog.messages
    assert any(words in message for message in caplog.messages)


def test_only_the_first_files_are_reported(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    case.annotate(["crab"])
    for number in range(7):
        (case.annotations / f"bad{number}.xml").write_bytes(b"<")
    assert case.run() == 1
    assert "7 files not read completely, labels may be missing:" in caplog.messages
    assert "  and 2 more" in caplog.messages


def test_annotations_in_a_zip_file(case: Case) -> None:
    case.annotate(["crab"])
    with zipfile.ZipFile(case.annotations / "export.zip", "w") as archive:
        archive.write(case.annotations / "a.xml", "Annotations/b.xml")
        archive.writestr("ImageSets/Main/default.txt", "b")
    (case.annotations / "a.xml").unlink()
    assert case.run() == 0
    assert case.names() == {1: "crab"}


def test_a_file_that_a_folder_and_a_pattern_name_is_counted_once(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    case.annotate(["crab"])
    patterns = [str(case.annotations), f"{case.annotations}/a.*"]
    assert make_label_file(annotations=patterns, output=str(case.new)) == 0
    assert "     1  crab: new, boxes: 1" in caplog.messages


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        pytest.param(["--annotations={root}/none/*"], "--annotations: expected at least one file", id="no file"),
        pytest.param(["--output={root}/taken"], "exists already", id="the output is taken"),
        pytest.param(["--output={root}/annotations"], "exists already", id="the output is a folder"),
        pytest.param(["--output={root}/taken/new.pbtxt"], "a file has that name", id="below a file"),
        pytest.param(["--output="], "expected a file", id="no name"),
        pytest.param(["--labels={root}/none"], "--labels", id="no such label map"),
        pytest.param(["--labels={root}/taken"], "--labels", id="no label map"),
        pytest.param(["--label_aliases={root}/taken"], "expected the header alias,name", id="no aliases"),
        pytest.param(["--label_aliases={root}/none"], "--label_aliases", id="no such aliases"),
        pytest.param(["--splits=train=1"], "unrecognized", id="a flag of another command"),
    ],
)
def test_bad_requests(case: Case, flags: list[str], message: str) -> None:
    case.annotate(["crab"])
    (case.root / "taken").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=message) as caught:
        case.run(*(flag.format(root=case.root) for flag in flags))
    assert "\n" not in str(caught.value)
    assert (case.root / "taken").read_text(encoding="utf-8") == "mine"
    assert not case.new.exists()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        pytest.param(False, r"found none$", id="none there"),
        pytest.param(True, "1 not read completely", id="none readable"),
    ],
)
def test_no_label_at_all_is_no_label_map(case: Case, broken: bool, message: str) -> None:
    case.annotate([])
    if broken:
        (case.annotations / "b.xml").write_bytes(b"<")
    with pytest.raises(UsageError, match=message):
        case.run()
    assert not case.new.exists()


_NAME = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6).filter(str.strip)


@given(st.dictionaries(_NAME, st.integers(1, 9)), st.sets(_NAME, min_size=1), st.sampled_from(["", "\n", " # end"]))
def test_what_is_appended_makes_the_extended_map(boxes: dict[str, int], known: set[str], end: str) -> None:
    old = LabelMap.from_names(known)
    added = new_names(boxes, known)
    extended = extend_labels(old, added)
    text = format_label_map(old).rstrip("\n") + end
    written = append_items(text, extended, added)
    assert written.startswith(text)
    assert parse_label_map(written) == extended
    assert {normalise_label(name) for name in boxes} <= {normalise_label(name) for name in (*known, *added)}, (
        "every spelling has a class"
    )
    assert len({normalise_label(name) for name in added}) == len(added)
