"""Label aliases: the file, errors with their line, and the effect on an annotation."""

import pytest

from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation, apply_aliases
from retinanet_odm.errors import ContractError
from retinanet_odm.labels.aliases import parse_aliases
from retinanet_odm.labels.label_map import LabelMap

_MAP = LabelMap.from_names(["Peniagone sp. A", "urchin"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("alias,name\nx,urchin\n", {"x": "urchin"}, id="one"),
        pytest.param("alias,name\n", {}, id="none yet"),
        pytest.param("# why\nalias,name\n# more\nx,urchin\n", {"x": "urchin"}, id="comments"),
        pytest.param('alias,name\n"#x",urchin\n', {"#x": "urchin"}, id="in quotes it is no comment"),
        pytest.param("alias,name\nx, urchin \n", {"x": "urchin"}, id="blanks about the name"),
        pytest.param("alias,name\nurchin ,urchin\n", {"urchin ": "urchin"}, id="a blank may be all that is wrong"),
        pytest.param("alias,name\nx,y\ny,urchin\n", {"x": "urchin", "y": "urchin"}, id="an alias of an alias"),
        pytest.param(
            "alias,name\nPeniagone sp. A,urchin\n", {"Peniagone sp. A": "urchin"}, id="two classes become one"
        ),
    ],
)
def test_parse(text: str, expected: dict[str, str]) -> None:
    assert parse_aliases(text, _MAP, source="aliases.csv") == expected


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param("x,urchin\nx,urchin", "line 3: alias 'x' is also in line 2", id="twice"),
        pytest.param("urchin,urchin", "line 2: .*cycle: urchin → urchin", id="of itself"),
        pytest.param("a,b\nb,c\nc,a", "line 2: .*cycle: a → b → c → a", id="a cycle"),
        pytest.param(
            "x,urchin\ny,starfish", "line 3: name 'starfish' .*it has: Peniagone sp. A, urchin", id="no such name"
        ),
        pytest.param("y,PENIAGONE_SP_A", "line 2: .*did you mean 'Peniagone sp. A'", id="misspelt itself"),
        pytest.param(",urchin", "line 2: expected alias,name", id="no alias"),
        pytest.param("x, ", "line 2: expected alias,name", id="no name"),
        pytest.param("x", "line 2: expected 2 cells", id="no comma"),
    ],
)
def test_refused(rows: str, message: str) -> None:
    with pytest.raises(ContractError, match=f"aliases.csv: {message}"):
        parse_aliases(f"alias,name\n{rows}\n", _MAP, source="aliases.csv")


def test_without_a_label_map_any_name_will_do() -> None:
    assert parse_aliases("alias,name\nx,starfish\n", None, source="aliases.csv") == {"x": "starfish"}


def test_apply_changes_labels_and_nothing_else() -> None:
    boxes = [ObjectAnnotation(label=label, box=(0, 0, 1, 2), occluded=True) for label in ("PENIAGONE_SP_A", "urchin")]
    before = ImageAnnotation(filename="a.jpg", width=3, height=4, objects=tuple(boxes), source="a.xml")
    after = apply_aliases(before, {"PENIAGONE_SP_A": "Peniagone sp. A"})
    assert [item.label for item in after.objects] == ["Peniagone sp. A", "urchin"]
    assert apply_aliases(after, {"Peniagone sp. A": "PENIAGONE_SP_A"}) == before
