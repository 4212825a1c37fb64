"""Label maps: all variants of labels.pbtxt in use, and invalid maps."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.errors import ContractError, LabelError
from retinanet_odm.labels.label_map import MAX_CLASSES, LabelMap, extend_labels, format_label_map, parse_label_map

_NAME = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("item { id: 1 name: 'x' }", {1: "x"}, id="single quotes, as in TF-OD's own files"),
        pytest.param('item {\n\tid: 1\n\tname: "x"\n}', {1: "x"}, id="double quotes and tabs"),
        pytest.param('item{id:1,name:"x"},item{id:2;name:"y"};', {1: "x", 2: "y"}, id="commas, semicolons, no blanks"),
        pytest.param('# all\nitem { # one\n id: 1 name: "#x" }', {1: "#x"}, id="comments, but not inside a string"),
        pytest.param(
            'item { name: "x" display_name: "X y" id: 3 }', {3: "x"}, id="any order, further fields, ids with gaps"
        ),
        pytest.param('item: { id: 1 name: "x" }', {1: "x"}, id="a colon before the brace is legal text format"),
        pytest.param(r'item { id: 1 name: "O\'Neil \"a\" \\ b" }', {1: 'O\'Neil "a" \\ b'}, id="escaped quotes"),
        pytest.param(
            r'item { id: 1 name: "gr\303\266\303\237er" }', {1: "größer"}, id="octal, as protobuf prints UTF-8"
        ),
        pytest.param(r'item { id: 1 name: "\xc3\xb6" }', {1: "ö"}, id="hexadecimal bytes"),
        pytest.param("item { id: 1 name: 'Peniagone sp. A' }", {1: "Peniagone sp. A"}, id="blanks and full stops"),
        pytest.param("item { id: 1 name: x }", {1: "x"}, id="a bare word"),
        pytest.param("\ufeffitem { id: 1 name: 'x' }", {1: "x"}, id="a byte order mark, as Windows writes"),
        pytest.param("item { id: 10000 name: 'x' }", {10000: "x"}, id="the largest id"),
    ],
)
def test_parse(text: str, expected: dict[int, str]) -> None:
    assert parse_label_map(text).name_by_id == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "at least one label", id="an empty file"),
        pytest.param("item { id: 1 name: 'x' } item { id: 1 name: 'y' }", "id 1", id="TF-OD silently keeps the first"),
        pytest.param("item { id: 1 name: 'x' } item { id: 2 name: 'x' }", "'x'", id="TF-OD silently keeps the last"),
        pytest.param("item { id: 0 name: 'background' }", "background", id="0 is background"),
        pytest.param("item { id: -1 name: 'x' }", "1 or more", id="negative id"),
        pytest.param("item { id: 1 name: '  ' }", "blank", id="blank name"),
        pytest.param("item { id: 1.5 name: 'x' }", "an integer", id="fraction"),
        pytest.param("item { id: 10001 name: 'x' }", "'x' must be 10,000 or less", id="it sizes the model"),
        pytest.param("item { id: 2147483648 name: 'x' }", "found 2147483648", id="a hash in place of an id"),
        pytest.param(f"item {{ id: {'9' * 5000} name: 'x' }}", "up to 10,000", id="more digits than Python reads"),
        pytest.param("item { id: 1 }", "'id' and 'name'", id="no name"),
        pytest.param("item { id: 1 name: 'x'", "'}'", id="cut short"),
        pytest.param("item {", "'}'", id="cut shorter"),
        pytest.param("item", "expected 'item {'", id="cut shortest"),
        pytest.param("item :", "expected 'item {'", id="a colon and nothing"),
        pytest.param("item : x {", "expected 'item {'", id="a colon and something else"),
        pytest.param("items { id: 1 name: 'x' }", "items", id="misspelt"),
        pytest.param("item { id: 1\nname: 'x }", "line 2", id="open quote: the line is named"),
        pytest.param("{'x': 1}", "expected 'item {'", id="JSON by mistake"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        parse_label_map(text)


@given(st.dictionaries(st.integers(1, MAX_CLASSES), _NAME, min_size=1, max_size=8))
def test_format_and_parse_are_inverse(names: dict[int, str]) -> None:
    if len(set(names.values())) == len(names):
        labels = LabelMap(tuple(sorted(names.items())))
        assert parse_label_map(format_label_map(labels)) == labels
        assert LabelMap.from_json(labels.to_json()) == labels


@given(st.text())
def test_any_text_is_a_map_or_a_contract_error(text: str) -> None:
    with contextlib.suppress(ContractError):
        parse_label_map("item {" + text)


def test_names_are_numbered_alphabetically_whatever_their_order() -> None:
    assert LabelMap.from_names(["b", "a", "b"]) == LabelMap.from_names(["a", "b"])
    assert LabelMap.from_names(["b", "a"]).name_by_id == {1: "a", 2: "b"}


_NAMES = st.sets(_NAME, min_size=1, max_size=8)


@given(_NAMES, _NAMES)
def test_extending_keeps_every_id_and_adding_in_any_order_is_the_same(first: set[str], second: set[str]) -> None:
    before = extend_labels(None, first)
    after = extend_labels(before, second)
    assert before == LabelMap.from_names(first)
    assert before.name_by_id.items() <= after.name_by_id.items()
    assert set(after.name_by_id.values()) == first | second
    assert after == extend_labels(before, sorted(second, reverse=True)) == extend_labels(after, second)


def test_new_names_follow_the_largest_id_and_fill_no_gap() -> None:
    """The id of a removed class is not reused: older models use it."""
    extended = extend_labels(LabelMap(((7, "Peniagone sp. A"), (2, "y"))), ["b", "PENIAGONE_SP_A", "a", "y"])
    assert extended.name_by_id == {7: "Peniagone sp. A", 2: "y", 8: "PENIAGONE_SP_A", 9: "a", 10: "b"}


@pytest.mark.parametrize("names", [[], [" "]], ids=["none", "blank"])
def test_a_label_map_of_nothing_is_refused(names: list[str]) -> None:
    with pytest.raises(ContractError):
        extend_labels(None, names)


def test_num_classes_is_the_largest_id_because_heads_subtract_one() -> None:
    assert LabelMap(((7, "x"), (2, "y"))).num_classes == 7


def test_an_unknown_label_names_the_known_ones() -> None:
    labels = LabelMap.from_names(["urchin", "star"])
    assert labels.id_of("urchin") == 2
    with pytest.raises(LabelError, match=r"'Urchin'.*star, urchin"):
        labels.id_of("Urchin")


@pytest.mark.parametrize("value", [["x"], {"a": "x"}, None, {"0": "x"}, {}], ids=repr)
def test_json_that_is_no_map_is_refused(value: object) -> None:
    with pytest.raises(ContractError):
        LabelMap.from_json(value)  # type: ignore[arg-type]
