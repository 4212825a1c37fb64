"""Small CSV files: as Excel and users write them, and unusual names."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.csv_tables import format_row, format_table, parse_table
from retinanet_odm.errors import ContractError

# File names are bytes, on Linux any but NUL and /; those that are no UTF-8 become lone surrogates.
_BYTES = st.binary() | st.lists(st.sampled_from([b"\xe9", b"\r", b"\n", b'"', b",", b"#", b"a"])).map(b"".join)
_CELL = _BYTES.filter(bool).map(lambda name: name.decode("utf-8", "surrogateescape"))


@given(st.lists(st.tuples(_CELL, _CELL)))
def test_format_and_parse_are_inverse(cells: list[tuple[str, str]]) -> None:
    text = format_table(("a", "b"), cells)
    assert [row.cells for row in parse_table(text, ("a", "b"), source="t.csv")] == cells


@given(st.lists(_CELL.filter(lambda cell: "\r" not in cell), min_size=2))
def test_rows_are_those_of_the_csv_module(cells: list[str]) -> None:
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerow(cells)
    assert format_row(cells) + "\n" == sink.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a,b\n1,2\n", [(2, ("1", "2"))], id="plain"),
        pytest.param("\ufeffa,b\r\n1,2\r\n", [(2, ("1", "2"))], id="Excel: byte order mark, CRLF"),
        pytest.param("a,b\n1,2", [(2, ("1", "2"))], id="no line feed at the end"),
        pytest.param("b,note,a\n2,x,1\n", [(2, ("1", "2"))], id="other order, further column"),
        pytest.param("a, b\n\n1,2\n\n3,4\n", [(3, ("1", "2")), (5, ("3", "4"))], id="blank lines count as lines"),
        pytest.param('a,b\n"x\ny",2\n3,4\n', [(3, ("x\ny", "2")), (4, ("3", "4"))], id="a line break in a cell"),
        pytest.param("a,b\n#1, 2\n", [(2, ("#1", " 2"))], id="no comments: a file name may start with #"),
        pytest.param("a,b\n", [], id="no rows"),
    ],
)
def test_parse(text: str, expected: list[tuple[int, tuple[str, ...]]]) -> None:
    assert [(row.line, row.cells) for row in parse_table(text, ("a", "b"), source="t.csv")] == expected


def test_an_optional_column_may_be_missing_and_comes_last() -> None:
    rows = [row.cells for row in parse_table("c,a\n3,1\n", ("a",), source="t.csv", optional=("b", "c"))]
    assert rows == [("1", "", "3")]


def test_comments_are_skipped_where_they_are_allowed_even_with_an_open_quote() -> None:
    text = '# made by "hand\na,b\n#,"\n1,2\n'
    assert [(row.line, row.cells) for row in parse_table(text, ("a", "b"), source="t.csv", comments=True)] == [
        (4, ("1", "2"))
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "t.csv: line 1: expected the header a,b; found ''", id="nothing"),
        pytest.param("1,2\n", "line 1: expected the header", id="no header"),
        pytest.param("a;b\n1;2\n", "found 'a;b'", id="Excel in a country of decimal commas"),
        pytest.param("a,b\n1,2\n\n3\n", "line 4: expected 2 cells .a,b., found 1", id="too few"),
        pytest.param("a,b\n1,2,3\n", "line 2: expected 2 cells .a,b., found 3", id="an unquoted comma in a name"),
        pytest.param('a,b\n1,"2\n', "line 2: not CSV", id="an open quote"),
        pytest.param('a,b\n1,"2"x\n', "line 2: not CSV", id="text after a quote"),
        pytest.param(f"a,b\n1,{'x' * 200_000}\n", "line 2: not CSV: field larger", id="not a table at all"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        list(parse_table(text, ("a", "b"), source="t.csv"))
