"""Strict command lines."""

import pytest

from retinanet_odm.cli.parser import Parser, check_not_empty
from retinanet_odm.errors import UsageError

EMPTY = [["--labels="], ["--labels", ""], ["--images", "a", ""], ["--images="]]


@pytest.mark.parametrize("argv", EMPTY)
def test_an_empty_value_is_refused(argv):
    parser = Parser(prog="x")
    parser.add_argument("--labels")
    parser.add_argument("--images", nargs="+", default=())
    check_not_empty(parser.parse_args([]))
    with pytest.raises(UsageError, match=f"{argv[0].rstrip('=')}: expected a value"):
        check_not_empty(parser.parse_args(argv))


def test_parser_never_guesses_an_abbreviation():
    parser = Parser(prog="x")
    parser.add_argument("--images")
    assert parser.parse_known_args(["--imag=a"])[1] == ["--imag=a"]


def test_parser_error_is_a_usage_error():
    parser = Parser(prog="x")
    parser.add_argument("--images", required=True)
    with pytest.raises(UsageError, match=r"x: .*--images"):
        parser.parse_args([])
