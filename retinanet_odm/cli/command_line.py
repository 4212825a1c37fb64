"""Explains the words of a command line that no flag takes. Begin with `CommandLine.refuse`."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from retinanet_odm.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """The words of a command line, and the flags of its program.

    Attributes:
      words: As they were typed.
      command: The command of the program, for messages.
      flags: The flags of the command, with their dashes.
      elsewhere: The commands that have a flag which this one lacks, by flag.
      other_names: Flags by what other programs call them.
    """

    words: Sequence[str] = ()
    command: str = ""
    flags: Sequence[str] = ()
    elsewhere: Mapping[str, Sequence[str]] = field(default_factory=dict)
    other_names: Mapping[str, str] = field(default_factory=dict)

    def refuse(self, word: str) -> NoReturn:
        """Raise UsageError for a word that no flag takes."""
        raise UsageError(self.explain_flag(word.partition("=")[0]) if word.startswith("-") else self.explain_word(word))

    def explain_flag(self, flag: str, more: Iterable[str] = ()) -> str:
        """Return the message about a flag that the command does not have.

        Args:
          flag: With its dashes, without a value.
          more: Flags that the command also accepts.

        Example:
          >>> CommandLine(command="score", elsewhere={"--below": ["convert"]}).explain_flag("--below")
          '--below is no flag of score, but of convert'
        """
        if not flag.startswith("--"):
            return f"unknown flag {flag}: flags start with two dashes"
        if owners := self.elsewhere.get(flag):
            return f"{flag} is no flag of {self.command}, but of {' and '.join(owners)}"
        close = self.other_names.get(flag) or next(
            iter(difflib.get_close_matches(flag, [*self.flags, *more], n=1)), None
        )
        return f"unknown flag {flag}{f'; did you mean {close}?' if close else ''}"

    def explain_word(self, word: str) -> str:
        """Return the message about a word that belongs to no flag.

        Example:
          >>> CommandLine(words=["--output", "my", "out"]).explain_word("out")
          "unexpected argument 'out': it belongs to no flag; a value with spaces needs quotes: 'my out'"
        """
        words = list(self.words)
        before = words[words.index(word, 1) - 1] if word in words[1:] else ""
        flag, sign, value = before.partition("=") if before.startswith("-") else ("", "", before)
        hint = f"; a value with spaces needs quotes: {flag}{sign}'{value} {word}'" if value else ""
        return f"unexpected argument {word!r}: it belongs to no flag{hint}"
