"""Files of tensors by name, which other programs write: of PyTorch, safetensors, or pickled NumPy arrays."""

import hashlib
from typing import Any, NamedTuple

import numpy.typing as npt

from retinanet_odm.errors import ContractError, DataError
from retinanet_odm.storage import files
from trainer.weights.numpy_pickles import is_numpy_pickle, read_arrays
from trainer.weights.safetensors_files import is_safetensors, read_safetensors
from trainer.weights.torch_files import is_torch_file, read_tensors

_HEAD_BYTES = 64  # by which the kind of a file is found


class TensorFile(NamedTuple):
    """The content of a file.

    Attributes:
      kind: Of the file, in words.
      tensors: By name.
      digest: Hex SHA-256 of the file.
    """

    kind: str
    tensors: dict[str, npt.NDArray[Any]]
    digest: str


# The order matters: the older form of PyTorch is a row of pickles.
_READERS = (
    ("a file of PyTorch", is_torch_file, read_tensors),
    ("a file of safetensors", is_safetensors, read_safetensors),
    ("a pickle of NumPy arrays", is_numpy_pickle, read_arrays),
)


def is_tensor_file(head: bytes) -> bool:
    """Return whether a file may be one of these, by its first _HEAD_BYTES."""
    return any(fits(head) for _, fits, _ in _READERS)


def read_head(path: str) -> bytes:
    """Return the first _HEAD_BYTES of a file.

    Raises:
      ContractError: It cannot be read.
    """
    try:
        with files.open_binary(path) as file:
            return file.read(_HEAD_BYTES)
    except DataError as error:
        raise ContractError(f"--init_from: {error}") from error


def read_tensor_file(path: str) -> TensorFile:
    """Read a file for which `is_tensor_file` is true. No code in it is executed.

    Raises:
      ContractError: It cannot be read, or a name in it is no printable text.
    """
    try:
        data = files.read_bytes(path)
    except DataError as error:
        raise ContractError(f"--init_from: {error}") from error
    kind, read = next((kind, read) for kind, fits, read in _READERS if fits(data[:_HEAD_BYTES]))
    tensors = read(data, source=f"--init_from: {path}")
    # Messages name tensors, and take one line.
    if others := [name for name in tensors if not name.isprintable()]:
        raise ContractError(f"--init_from: {path}: expected tensors with printable names, found {others[0]!a}")
    return TensorFile(kind, tensors, hashlib.sha256(data).hexdigest())
