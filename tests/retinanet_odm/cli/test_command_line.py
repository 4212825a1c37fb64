"""The messages about words of a command line that no flag takes."""

import pytest

from retinanet_odm.cli.command_line import CommandLine
from retinanet_odm.cli.program import Parser
from retinanet_odm.errors import UsageError

OTHERS = {"--lr": "--learning_rate"}
REFUSED = [
    ("score --below a.zip", "--below", "--below is no flag of score, but of convert and view", "of other commands"),
    ("score --below=a.zip", "--below=a.zip", "--below is no flag of score, but of convert and view", "with its value"),
    ("score --outptu x", "--outptu", "unknown flag --outptu; did you mean --output?", "misspelt"),
    ("score --lr=1", "--lr=1", "unknown flag --lr; did you mean --learning_rate?", "the name in other programs"),
    ("score --xyzzy", "--xyzzy", "unknown flag --xyzzy", "like none"),
    ("score -o x", "-o", "unknown flag -o: flags start with two dashes", "one dash"),
    ("score --output my out", "out", "to no flag; a value with spaces needs quotes: 'my out'", "a path in two words"),
    ("score --output=my out", "out", "value with spaces needs quotes: --output='my out'", "the same, with ="),
    ("convert my out", "out", "value with spaces needs quotes: 'my out'", "a path without a flag"),
    ("score --output my score", "score", "value with spaces needs quotes: 'my score'", "a word like the command"),
    ("out", "out", "unexpected argument 'out': it belongs to no flag", "the first word"),
    ("score --add out", "out", "unexpected argument 'out': it belongs to no flag", "after a flag without a value"),
]


@pytest.mark.parametrize(("line", "word", "message", "reason"), REFUSED, ids=[row[3] for row in REFUSED])
def test_refused(line, word, message, reason):
    parser = Parser(prog="p")
    commands = parser.add_subparsers(dest="command")
    score = commands.add_parser("score")
    score.add_argument("--output")
    score.add_argument("--add", action="store_true")
    for name in ("convert", "view"):
        commands.add_parser(name).add_argument("--below")
    flags = parser.parse_args(["score"])
    known = parser.command_line(line.split(), flags)
    assert set(known.flags) == {"--help", "--output", "--add"}
    with pytest.raises(UsageError) as caught:
        CommandLine(
            words=known.words, command="score", flags=known.flags, elsewhere=known.elsewhere, other_names=OTHERS
        ).refuse(word)
    assert str(caught.value).endswith(message), reason
