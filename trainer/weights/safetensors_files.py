"""Reads the tensors of a file in the format safetensors. Begin with `read_safetensors`.

The format (huggingface.co/docs/safetensors): the length of the header as uint64, the header in JSON (of each tensor its
type, shape, and the range of its bytes), and the bytes. All numbers are little-endian.
"""

import json
import math
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from retinanet_odm.errors import ContractError
from trainer.tf_errors import plain_message

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "BF16": "<u2"}
_MAX_HEADER = 100_000_000  # bytes, the limit of the format
# What damaged or hostile bytes raise; RecursionError: JSON that is too deeply nested.
_ERRORS = (struct.error, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


def is_safetensors(head: bytes) -> bool:
    """Return whether a file may be one of safetensors, by its first bytes (9 or more)."""
    return len(head) > 8 and head[8:9] == b"{" and struct.unpack_from("<Q", head)[0] <= _MAX_HEADER


def read_safetensors(data: bytes, *, source: str) -> dict[str, npt.NDArray[Any]]:
    """Return the tensors by name; bfloat16, which NumPy does not have, as float32.

    Args:
      data: Content of the file.
      source: Name of the file, for messages.

    Raises:
      ContractError: It is no such file, or is damaged.
    """
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        content = memoryview(data)[8 + length :]  # without a copy of it for each tensor
        return {name: _read(content, **entry) for name, entry in header.items()}
    except _ERRORS as error:
        raise ContractError(
            f"{source}: cannot be read as safetensors: {plain_message(error) or type(error).__name__}"
        ) from error


def _read(content: memoryview, *, dtype: str, shape: list[int], data_offsets: list[int]) -> npt.NDArray[Any]:
    begin, end = data_offsets
    if not 0 <= begin <= end <= len(content):
        raise ValueError(f"a tensor lies in bytes {begin} to {end} of {len(content)}")
    numbers = np.frombuffer(content[begin:end], _TYPES[dtype])
    if math.prod(shape) != numbers.size:
        raise ValueError(f"a tensor of shape {shape} has {numbers.size} numbers")
    if dtype == "BF16":  # the upper half of a float32
        numbers = (numbers.astype("<u4") << 16).view("<f4")
    return numbers.reshape(shape).copy()
