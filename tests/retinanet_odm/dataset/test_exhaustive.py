"""Which classes are exhaustive in which image: what a file says, and what is refused."""

import pytest

from retinanet_odm.dataset.exhaustive import ExhaustiveClasses, parse_exhaustive
from retinanet_odm.dataset.frame_names import DeploymentRule
from retinanet_odm.errors import ContractError
from retinanet_odm.labels.label_map import LabelMap

LABELS = LabelMap(((1, "crab"), (2, "fish"), (5, "sea star")))
HEAD = "image,exhaustive_classes\n"

IMAGES = [
    ("a.jpg,crab;fish", "a.jpg", {5}, "the classes of its row"),
    ("a.jpg, crab ; sea star ", "a.jpg", {2}, "blanks around a name are none of it"),
    ("a.jpg,*", "a.jpg", set(), "all classes"),
    ("a.jpg,", "a.jpg", {1, 2, 5}, "no class"),
    ("a.jpg,crab", "b.jpg", set(), "an image without a row: as without a file"),
    ("a.jpg,crab\n*,fish", "b.jpg", {1, 5}, "the row for all others"),
    ("*,fish\na.jpg,*", "a.jpg", set(), "its own row goes first"),
    ("a.jpg,Krabbe;fish", "a.jpg", {5}, "an alias of a class"),
    ('"a,b.jpg",crab', "a,b.jpg", {2, 5}, "a name with a comma"),
]


def _parse(rows: str, header: str = HEAD, **more: object) -> ExhaustiveClasses:
    return parse_exhaustive(f"{header}{rows}\n", source="e.csv", aliases={"Krabbe": "crab"}, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("rows", "image", "missing", "why"), IMAGES)
def test_classes_of_an_image(rows: str, image: str, missing: set[int], why: str) -> None:
    assert {label_id for label_id, _ in _parse(rows, labels=LABELS).not_exhaustive_in(image, LABELS)} == missing, why


def test_by_deployment() -> None:
    found = _parse("east,crab\n,*\nwest,*", header="deployment,exhaustive_classes\n")
    assert found.not_exhaustive_in("east/100MEDIA/a.jpg", LABELS) == ((2, "fish"), (5, "sea star"))
    assert found.not_exhaustive_in("a.jpg", LABELS) == (), "the deployment without a name"
    named = _parse("7,crab", header="deployment,exhaustive_classes\n", deployments=DeploymentRule(r"dive(\d+)"))
    assert named.not_exhaustive_in("east/dive7_a.jpg", LABELS), "the rule of --deployment"


def test_what_is_named_and_not_there() -> None:
    found = _parse("a.jpg,crab;crap\nb.jpg,fish\n*,*")
    assert found.unknown_classes(LABELS.name_by_id.values()) == ["crap"]
    assert found.unused_rows(["b.jpg", "c.jpg"]) == ["a.jpg"], "the row * needs no image"


BAD = [
    ("", "line 1: expected the header image,exhaustive_classes or deployment,exhaustive_classes", "an empty file"),
    ("image,classes\na.jpg,crab\n", "line 1: expected the header image,exhaustive_classes", "another column"),
    ("image,deployment,exhaustive_classes\na,b,crab\n", "line 1: expected the header", "both"),
    (HEAD, "expected at least one image, found none", "no row"),
    (f"{HEAD}a.jpg,*\na.jpg,crab\n", "line 3: image 'a.jpg' is listed twice", "twice"),
    (f"{HEAD}a.jpg,crap\n", "line 2: class 'crap' is not in the label map; did you mean 'crab'", "a typing error"),
    (f"{HEAD}a.jpg,crab;\n", "line 2: expected names of classes separated by ;", "a name is missing"),
    (f"{HEAD}a.jpg,crab;*\n", "line 2: expected names of classes separated by ;", "all, and one"),
    (f"{HEAD}a.jpg,crab,fish\n", "line 2: expected 2 cells", "commas between classes"),
]


@pytest.mark.parametrize(("text", "message", "why"), BAD)
def test_refused(text: str, message: str, why: str) -> None:
    with pytest.raises(ContractError) as caught:
        parse_exhaustive(text, source="e.csv", labels=LABELS)
    assert f"e.csv: {message}" in str(caught.value), why
