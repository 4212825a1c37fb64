"""Problems: one vocabulary that knows every reason there is, and a file that is always in the same order."""

import ast
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.dataset.leakage import DuplicateGroup, Duplicates, Leakage, NearDuplicate, SplitLeakage
from retinanet_odm.dataset.problem_codes import CATALOGUE, INFO, SEVERITIES
from retinanet_odm.dataset.problems import (
    OBJECT_PROBLEM,
    Problem,
    format_problems,
    from_anchor_coverage,
    from_label_problem,
    from_leakage,
    from_split_shares,
    from_splits,
    from_statistics,
    make_problem,
    parse_problems,
    worst_severity,
)
from retinanet_odm.dataset.statistics import BoxStatistics, ClassStatistics
from retinanet_odm.labels.checks import ERROR, WARNING, check_labels
from retinanet_odm.labels.label_map import LabelMap

_ROOT = Path(__file__).parents[3]
_REASON = re.compile(r"[a-z]+(_[a-z0-9]+)+")
# Callables whose arguments hold a reason, and functions that return one. A RecordError is of a record that this
# project itself wrote: a fault of the program, and nothing that a user's files can cause.
_MAKERS = re.compile(
    r"(?!RecordError)\w*Error|UnreadableObject|Remark|LabelProblem|Problem|_?reject(_\w+)?|Reject|make_problem"
)
_CHOOSERS = re.compile(r"(_box)?_fault|_reason")


def _reasons(source: str, constants: dict[str, str]) -> Iterator[str]:
    """Every reason that a module makes errors, rejects and problems with."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _MAKERS.fullmatch(_name(node.func)):
            values: list[ast.expr] = [*node.args, *(word.value for word in node.keywords if word.arg != "severity")]
        elif isinstance(node, ast.FunctionDef) and _CHOOSERS.fullmatch(node.name):
            values = [item.value for item in ast.walk(node) if isinstance(item, ast.Return) and item.value]
        else:
            continue
        for value in values:
            yield from (text for text in _texts(value, constants) if _REASON.fullmatch(text))


def _name(callee: ast.expr) -> str:
    return callee.attr if isinstance(callee, ast.Attribute) else callee.id if isinstance(callee, ast.Name) else ""


def _texts(value: ast.expr, constants: dict[str, str]) -> Iterator[str]:
    """Yields the possible values of an argument: a string, a constant, or one of two by a condition."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, (ast.Name, ast.Attribute)) and _name(value) in constants:
        yield constants[_name(value)]
    elif isinstance(value, ast.IfExp):
        yield from _texts(value.body, constants)
        yield from _texts(value.orelse, constants)


def _constants(source: str) -> dict[str, str]:
    """Texts by the name of the module's constant."""
    return {
        target.id: node.value.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _sources() -> list[str]:
    """What `prepare` is made of; it reads no tar archives, only `score` does."""
    return [
        path.read_text(encoding="utf-8")
        for package in ("retinanet_odm", "beam_jobs")
        for path in sorted((_ROOT / package).rglob("*.py"))
        if path.name != "tar_files.py"
    ]


def test_every_reason_in_the_sources_is_in_the_catalogue() -> None:
    sources = _sources()
    constants = {name: text for source in sources for name, text in _constants(source).items()}
    found = {reason for source in sources for reason in _reasons(source, constants)}
    assert found >= {"zero_size_box", "annotation_without_image", "no_split_group", "rare_label", "file_not_readable"}
    assert sorted(found - CATALOGUE.keys()) == []


@pytest.mark.parametrize(
    "line",
    [
        pytest.param('raise AnnotationError("a_reason", f"{x}: text", 3)', id="an error"),
        pytest.param('raise errors.ImageError(reason="a_reason", detail="text")', id="by name"),
        pytest.param('raise files.FileError("a_reason" if x else "b_reason", "text")', id="a condition"),
        pytest.param('yield UnreadableObject(reason="a_reason", detail=text)', id="an object"),
        pytest.param('yield reject_image(image, "a_reason", text)', id="a helper"),
        pytest.param("yield Reject(kind=IMAGE, reason=A_CONSTANT)", id="a constant"),
        pytest.param('def _fault(box):\n    return "a_reason" if box else ""', id="a function that chooses"),
    ],
)
def test_the_probe_sees_reasons(line: str) -> None:
    """A test that finds nothing must be able to find something."""
    assert "a_reason" in _reasons(line, {"A_CONSTANT": "a_reason"})


def test_the_probe_skips_other_words() -> None:
    assert list(_reasons('raise UsageError("--labels: text")\nx.get("a_key")\nRecordError("a_reason", "")', {})) == []


def test_every_code_is_explained_in_the_documentation() -> None:
    explained = set(re.findall(r"`(\w+)`", (_ROOT / "docs" / "dataset.md").read_text(encoding="utf-8")))
    assert sorted(CATALOGUE.keys() - explained) == []


def test_every_entry_has_a_suggestion() -> None:
    for code, (severity, suggestion) in CATALOGUE.items():
        assert severity in SEVERITIES, code
        assert len(suggestion) > 10 and not suggestion.endswith("."), code


@pytest.mark.parametrize(
    ("code", "kind", "severity"),
    [
        pytest.param("image_empty", "image", ERROR, id="an image rejected"),
        pytest.param("zero_size_box", OBJECT_PROBLEM, WARNING, id="an object dropped"),
        pytest.param("number_not_readable", "image", ERROR, id="an object that rejects its image"),
        pytest.param("number_not_readable", OBJECT_PROBLEM, WARNING, id="the same, where its image stays"),
        pytest.param("annotation_without_image", "annotation", WARNING, id="an annotation left over"),
        pytest.param("xml_not_well_formed", "annotation", ERROR, id="a file that cannot be read"),
        pytest.param("boxes_clipped", "", INFO, id="for information"),
        pytest.param("no_objects", "image", INFO, id="rejected because a flag requests it"),
    ],
)
def test_severity(code: str, kind: str, severity: str) -> None:
    assert make_problem(code, "detail", kind=kind).severity == severity


def test_a_code_outside_the_catalogue_is_a_programming_error() -> None:
    with pytest.raises(KeyError):
        make_problem("no_such_code", "detail")


_TEXT = st.text(max_size=4) | st.sampled_from(["a\u2028b", "é", "line\nbreak", "\udce9"])
_PROBLEMS = st.lists(
    st.builds(
        make_problem,
        st.sampled_from(sorted(CATALOGUE)),
        _TEXT,
        kind=st.sampled_from(["", "image", OBJECT_PROBLEM]),
        file=_TEXT,
        line=st.none() | st.integers(1, 9),
        image=_TEXT,
        label=_TEXT,
        value=_TEXT,
    )
)


@given(_PROBLEMS, st.randoms())
def test_the_file_can_be_read_back_and_does_not_depend_on_the_order_of_arrival(
    problems: list[Problem], shuffler: random.Random
) -> None:
    text = format_problems(problems)
    read = parse_problems(text)
    assert len(read) == len(problems) and set(read) == set(problems)
    shuffled = list(problems)
    shuffler.shuffle(shuffled)
    assert format_problems(shuffled) == text
    assert worst_severity(problems) == (read[0].severity if read else None), "the worst comes first"


def test_what_the_label_checks_find() -> None:
    seen = {"PENIAGONE_SP_A": 1, "Peniagone sp. A": 40}
    (problem,) = map(from_label_problem, check_labels(seen, LabelMap.from_names(["Peniagone sp. A"])))
    assert (problem.code, problem.severity) == ("unknown_label", ERROR)
    assert (problem.object, problem.value) == ("PENIAGONE_SP_A", "1 box")
    assert "PENIAGONE_SP_A,Peniagone sp. A" in problem.suggestion


@pytest.mark.parametrize(
    ("reached", "detail", "suggestion"),
    [
        pytest.param({320: 18, 512: 20}, None, None, id="90 % is enough"),
        pytest.param(
            {320: 17, 512: 17, 640: 18},
            "'crab': only 85.0% of its 20 training boxes have an anchor: objects too small for the network at"
            " --image_size=320; enough from --image_size=640 on",
            "train with --image_size=640",
            id="a larger canvas will do",
        ),
        pytest.param(
            {320: 1, 1024: 17},
            "'crab': only 5.0% of its 20 training boxes have an anchor: these anchors do not fit them at"
            " --image_size=320, nor at a size up to 1024",
            "train with --anchors=auto",
            id="none is large enough",
        ),
    ],
)
def test_low_anchor_recall(reached: dict[int, int], detail: str | None, suggestion: str | None) -> None:
    found = list(from_anchor_coverage(_boxes_with_anchors(crab=reached)))
    assert [problem.code for problem in found] == (["low_anchor_recall"] if detail else [])
    assert all((problem.detail, problem.suggestion) == (detail, suggestion) for problem in found)


@pytest.mark.parametrize(
    ("eel", "suggestion"),
    [
        pytest.param({320: 2, 896: 20}, "train with --image_size=896", id="the larger of two sizes"),
        pytest.param({320: 2}, "train with --anchors=auto", id="one that no size helps"),
    ],
)
def test_one_flag_for_all_classes(eel: dict[int, int], suggestion: str) -> None:
    found = list(from_anchor_coverage(_boxes_with_anchors(crab={320: 2, 512: 20}, eel=eel)))
    assert [problem.suggestion for problem in found] == [suggestion] * 2


def _boxes_with_anchors(**reached: dict[int, int]) -> BoxStatistics:
    """20 boxes of each class, of which some have an anchor, by the size of the canvas."""
    counts = {name: ClassStatistics(sides=Counter({5: 20}), reached=Counter(row)) for name, row in reached.items()}
    return BoxStatistics(classes=counts)


_SHARES = [
    ("as asked", {"train": 64, "val": 8, "test": 8}, []),
    ("a fifth less is chance", {"train": 65, "val": 8, "test": 7}, []),
    ("5 and 6 of 80", {"train": 69, "val": 5, "test": 6}, ["val", "test"]),
    ("more than asked", {"train": 60, "val": 12, "test": 8}, ["val"]),
    ("an empty split", {"train": 20}, ["val", "test"]),
    ("too few images to expect one", {"train": 4}, []),
]


@pytest.mark.parametrize(("why", "examples", "expected"), _SHARES, ids=[row[0] for row in _SHARES])
def test_shares_of_splits(why: str, examples: dict[str, int], expected: list[str]) -> None:
    found = list(from_split_shares(examples, {"train": 0.8, "val": 0.1, "test": 0.1}))
    assert [problem.object for problem in found] == expected, why
    assert {problem.code for problem in found} <= {"split_share_differs"}


def test_a_share_is_told_in_images() -> None:
    (problem,) = from_split_shares({"train": 75, "val": 5}, {"train": 0.9, "val": 0.1})
    assert problem.detail == "split 'val' has 5 of 80 images, where 10% are 8"


def test_a_share_of_few_boxes_is_not_reported() -> None:
    counts = ClassStatistics()
    counts.sides[2] = 9
    assert list(from_anchor_coverage(BoxStatistics(classes={"crab": counts}))) == []


def test_the_share_of_images_without_objects() -> None:
    (problem,) = from_statistics(BoxStatistics(boxes_per_image=Counter({0: 1, 3: 7})))
    assert (problem.code, problem.severity, problem.value) == ("images_without_objects", INFO, "12.5%")
    assert "1 of 8 images" in problem.detail
    assert list(from_statistics(BoxStatistics(boxes_per_image=Counter({3: 7})))) == []


def test_images_with_too_many_boxes() -> None:
    (problem,) = from_statistics(BoxStatistics(crowded=((101, "a.jpg"),)))
    assert (problem.code, problem.image, problem.value) == ("too_many_boxes", "a.jpg", "101")


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        pytest.param({"train": {"a": 1}, "val": {"a": 1}}, [], id="all there"),
        pytest.param({"train": {"a": 1, "b": 1}, "val": {"a": 1}}, [("b", "val")], id="not judged"),
        pytest.param({"train": {"a": 1}, "val": {"a": 1, "b": 2}}, [("b", "train")], id="not learned"),
        pytest.param(
            {"train": {"a": 1}, "val": {"a": 1}, "test": {"b": 1}}, [("a", "test"), ("b", "train")], id="both"
        ),
        pytest.param({"train": {"a": 1}, "val": {}}, [], id="an empty split judges nothing"),
        pytest.param({"one": {"a": 1}, "two": {"b": 1}}, [], id="no split is named train"),
    ],
)
def test_split_without_class(boxes: dict[str, dict[str, int]], expected: list[tuple[str, str]]) -> None:
    assert [(problem.object, problem.value) for problem in from_splits(boxes)] == expected


_NONE = Duplicates(groups=0, images=0, examples=())


def test_leakage() -> None:
    across = DuplicateGroup(images=3, members=(("train", "a.jpg"), ("val", "b.jpg")))
    within = DuplicateGroup(images=2, members=(("train", "c.jpg"), ("train", "d.jpg")))
    twin = NearDuplicate(name="e.jpg", train_name="f.jpg", distance=2)
    leakage = Leakage(
        images=30,
        hashed=30,
        within=Duplicates(groups=1, images=2, examples=(within,)),
        across=Duplicates(groups=1, images=3, examples=(across,)),
        held_out=(
            SplitLeakage(split="test", images=5, exact=0, near=0, examples=()),
            SplitLeakage(split="val", images=5, exact=1, near=4, examples=(twin,)),
        ),
        reach=4,
    )
    found = [(problem.code, problem.severity, problem.image, problem.value) for problem in from_leakage(leakage)]
    assert found == [
        ("exact_duplicate_across_splits", ERROR, "a.jpg", "3"),
        ("duplicate_within_split", WARNING, "c.jpg", "2"),
        ("near_duplicate_across_splits", WARNING, "", "4"),
    ]
    details = [problem.detail for problem in from_leakage(leakage)]
    assert details[0] == "3 equal files: a.jpg (train), b.jpg (val) and 1 more"
    assert details[1] == "2 equal files: c.jpg (train), d.jpg (train)"
    assert "4 of the 5 images of split 'val'" in details[2] and "e.jpg and f.jpg" in details[2]


def test_nothing_leaks() -> None:
    held_out = (SplitLeakage(split="val", images=5, exact=0, near=0, examples=()),)
    leakage = Leakage(images=9, hashed=9, within=_NONE, across=_NONE, held_out=held_out, reach=4)
    assert list(from_leakage(leakage)) == []
