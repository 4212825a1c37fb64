"""Calling a model on many items, so that one that cannot be scored fails alone, and short memory is lived with."""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


class CallError(Exception):
    """The model gave an error in place of an answer."""


class MemoryShortError(CallError):
    """A call needs more memory than there is."""


class Halving:
    """Calls of at most ``most`` items; a call that fails is made again in two halves, down to the guilty item.

    Attributes:
      most: the most items in one call. It shrinks when memory runs short, and stays so.
    """

    def __init__(self, most: int) -> None:
        self.most = most

    def run(self, call: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> list[R | CallError]:
        """The answer for each item, in order, or the error of a call with that item alone.

        Args:
          call: answers each item, in order, or raises CallError for all of them.
          items: any number.
        """
        answers: list[R | CallError] = []
        while len(answers) < len(items):  # the step may shrink on the way
            answers += self._ask(call, items[len(answers) : len(answers) + self.most])
        return answers

    def _ask(self, call: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> list[R | CallError]:
        try:
            return list(call(items))
        except CallError as error:
            if len(items) == 1:
                return [error]
            half = (len(items) + 1) // 2
            answers = [*self._ask(call, items[:half]), *self._ask(call, items[half:])]
            # An item that does not fit even alone says nothing about how many others fit together.
            if isinstance(error, MemoryShortError) and not any(isinstance(a, MemoryShortError) for a in answers):
                self.most = min(self.most, half)
            return answers
