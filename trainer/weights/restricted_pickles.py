"""Pickles that call nothing but given functions; see `torch_files` and `numpy_pickles`, which read such files.

A pickle may name any function to be called. `RestrictedUnpickler` answers names with stand-ins, and refuses all others.
"""

import pickle
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

# What unpickling raises for damaged or hostile bytes.
PICKLE_ERRORS = (
    *(pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, KeyError, TypeError, ValueError),
    *(OverflowError, MemoryError, RuntimeError),  # RuntimeError: too deeply nested, or an encrypted zip archive
)
_WEIGHTS = "model"  # where Detectron2 and others store the weights, beside the state of their training


class AllowedCall:
    """A function that a file may call. A new object for each file, which the file cannot change."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> Any:
        """Call the function."""
        return self._call(*args)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it would change a function")


class StateDict(dict[Any, Any]):
    """Stands in for OrderedDict, without its attributes: PyTorch stores the versions of the layers in one."""

    def __setstate__(self, state: object) -> None:
        pass


class RestrictedUnpickler(pickle.Unpickler):
    """Rebuilds stand-ins of tensors, and nothing else.

    Attributes:
      CALLS: What a file may call, by the (module, name) that it writes.
      NAMES: (module, name) of what is only an argument: a string stands in for it.
    """

    CALLS: ClassVar[Mapping[tuple[str, str], Callable[..., Any]]] = {}
    NAMES: ClassVar[Collection[tuple[str, str]]] = ()

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a function or class; raise UnpicklingError if no tensor needs it."""
        if (module, name) == ("collections", "OrderedDict"):
            return AllowedCall(StateDict)
        if (module, name) in self.NAMES:
            return name
        if (module, name) in self.CALLS:
            return AllowedCall(self.CALLS[module, name])
        raise pickle.UnpicklingError(f"it refers to {module}.{name}, which is not needed for tensors of numbers")


def find_tensors(content: Any, kind: type) -> dict[str, Any]:
    """Return the tensors of a kind by name in what was unpickled: all of it, or its entry ``model``.

    Raises:
      ValueError: There is something else.
    """
    found = content.get(_WEIGHTS) if isinstance(content, dict) and isinstance(content.get(_WEIGHTS), dict) else content
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(value, kind) for name, value in found.items()
    ):
        raise ValueError("expected a state dict, tensors by name")
    return found
