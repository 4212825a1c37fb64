"""Reads pickles of NumPy arrays by name, as Detectron2's model zoo has them (.pkl). Begin with `read_arrays`.

No file can run code, as in `torch_files`: arrays and their types are stand-ins, which are converted afterwards.
"""

import io
import math
import pickle
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from retinanet_odm.errors import ContractError
from trainer.tf_errors import plain_message
from trainer.weights.restricted_pickles import PICKLE_ERRORS, RestrictedUnpickler, find_tensors

# Their codes in dtypes. Others, such as objects, are no weights.
_NUMBERS = ("f2", "f4", "f8", "i4", "i8")
# Of NumPy before 2 and since.
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")


def is_numpy_pickle(head: bytes) -> bool:
    """Return whether a file may be a pickle, by its first bytes; those of PyTorch's older form are pickles, too."""
    return len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5


def read_arrays(data: bytes, *, source: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays by name, of which the entry ``model`` or the whole file is a dictionary.

    Args:
      data: Content of the file.
      source: Name of the file, for messages.

    Raises:
      ContractError: It is no such file, is damaged, or would call a function other than those that rebuild arrays.
    """
    try:
        # As Detectron2 does: pickles of Python 2 have text for bytes.
        arrays = find_tensors(_Unpickler(io.BytesIO(data), encoding="latin1").load(), _Array)
        return {name: array.to_numpy() for name, array in arrays.items()}
    except PICKLE_ERRORS as error:
        raise ContractError(
            f"{source}: cannot be read as NumPy arrays: {plain_message(error) or type(error).__name__}"
        ) from error


class _Type:
    """Stands in for a dtype, which a file could otherwise change for the whole process."""

    __slots__ = ("code", "order")

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    def to_numpy(self) -> np.dtype[Any]:
        if self.code not in _NUMBERS or self.order not in ("<", ">", "="):
            raise ValueError(f"expected numbers, found an array of {self.code!r}")
        return np.dtype(f"{self.order}{self.code}")


class _Array:
    """Stands in for an array: made empty, then given its content as a state."""

    __slots__ = ("_state",)

    def __init__(self, *_: Any) -> None:
        self._state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._state = state

    def to_numpy(self) -> npt.NDArray[Any]:
        _, shape, dtype, is_fortran, content = self._state
        numbers = content.encode("latin1") if isinstance(content, str) else content
        if not isinstance(dtype, _Type) or not isinstance(numbers, bytes):
            raise ValueError("expected numbers, found an array of something else")
        values = np.frombuffer(numbers, dtype.to_numpy())
        if math.prod(shape) != values.size:
            raise ValueError(f"an array of shape {shape} has {values.size} numbers")
        return np.array(values.reshape(shape, order="F" if is_fortran else "C"), values.dtype.newbyteorder("="))


def _encode(text: Any, _: Any) -> bytes:
    # Text only: that of nested containers may be of any length.
    if not isinstance(text, str):
        raise pickle.UnpicklingError("it would encode something else than text")
    return text.encode("latin1")


class _Unpickler(RestrictedUnpickler):
    CALLS: ClassVar = {
        **{(module, "_reconstruct"): _Array for module in _MULTIARRAY},
        ("numpy", "dtype"): _Type,
        ("_codecs", "encode"): _encode,  # how protocol 2 of Python 3 stores bytes
    }
    NAMES: ClassVar = {("numpy", "ndarray")}  # an argument of _reconstruct
