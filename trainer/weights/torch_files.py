"""Reads the tensors of a PyTorch file (.pth, .pt) without PyTorch. Begin with `read_tensors`.

Such a file is a pickle, which may name any function to be called. Here it may name only those that rebuild tensors
(`_Unpickler`), so that no file can run other code. Both forms of torch.save are read: a zip archive (since
PyTorch 1.6), and pickles in a row, followed by the numbers (before).

A tensor is a view of a storage: offset, shape and strides, which need not be those of a contiguous array.
"""

import io
import math
import pickle
import struct
import zipfile
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from retinanet_odm.errors import ContractError
from trainer.tf_errors import plain_message
from trainer.weights.restricted_pickles import PICKLE_ERRORS, RestrictedUnpickler, find_tensors

_ZIP = b"PK\x03\x04"
_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of the older form, and the version in the second
_PROTOCOL = 1001
_FIRST_PICKLE = b"\x80\x02\x8a\x0a" + _MAGIC.to_bytes(10, "little")
# Without bfloat16, which NumPy does not have.
_STORAGES: dict[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "DoubleStorage": np.dtype("<f8"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype[Any]
    length: int  # in numbers


class _View(NamedTuple):
    """A tensor whose storage is not read yet; offset and strides count numbers, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_tensors(data: bytes, *, source: str) -> dict[str, npt.NDArray[Any]]:
    """Return the tensors of a state dict by name, as contiguous arrays; also of one under the name ``model``.

    Args:
      data: Content of the file.
      source: Name of the file, for messages.

    Raises:
      ContractError: It is no such file, is damaged, or would call a function other than those that rebuild tensors.
    """
    try:
        views, numbers = _read_zip(data) if data.startswith(_ZIP) else _read_pickles(data)
        return {name: _copy_view(view, numbers[view.storage.key]) for name, view in find_tensors(views, _View).items()}
    except (*PICKLE_ERRORS, struct.error, zipfile.BadZipFile) as error:
        raise ContractError(
            f"{source}: cannot be read as a PyTorch file: {plain_message(error) or type(error).__name__}"
        ) from error


def is_torch_file(head: bytes) -> bool:
    """Return whether a file may be one of PyTorch, by its first bytes (64 or more)."""
    return head.startswith((_ZIP, _FIRST_PICKLE))


def _rebuild_view(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _View:
    return _View(storage, offset, shape, strides)


class _Unpickler(RestrictedUnpickler):
    CALLS: ClassVar = {("torch._utils", "_rebuild_tensor_v2"): _rebuild_view}
    # Strings, because a file could change a dtype of NumPy for the whole process.
    NAMES: ClassVar = {("torch", name) for name in _STORAGES}

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, _Storage] = {}

    def persistent_load(self, pid: Any) -> _Storage:
        # The older form has a sixth value: None, or that the storage is a part of another, as PyTorch wrote until 0.4.
        kind, type_name, key, _, length, *part = pid
        if kind != "storage" or any(value is not None for value in part):
            raise pickle.UnpicklingError(f"expected a whole storage, found {kind}")
        return self.storages.setdefault(str(key), _Storage(str(key), _STORAGES[type_name], int(length)))


def _read_zip(data: bytes) -> tuple[Any, dict[str, npt.NDArray[Any]]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        folder = archive.namelist()[0].partition("/")[0]  # all members are in one, named as the file was
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("expected members without compression")
        order = f"{folder}/byteorder"  # since PyTorch 2.1
        if order in archive.namelist() and archive.read(order) != b"little":
            raise ValueError("expected little-endian numbers")
        unpickler = _Unpickler(io.BytesIO(archive.read(f"{folder}/data.pkl")))
        views = unpickler.load()
        numbers = {
            key: np.frombuffer(archive.read(f"{folder}/data/{key}"), storage.dtype, storage.length)
            for key, storage in unpickler.storages.items()
        }
    return views, numbers


def _read_pickles(data: bytes) -> tuple[Any, dict[str, npt.NDArray[Any]]]:
    file = io.BytesIO(data)
    if not is_torch_file(data[:64]) or (_Unpickler(file).load(), _Unpickler(file).load()) != (_MAGIC, _PROTOCOL):
        raise ValueError("it does not begin as one")
    if _Unpickler(file).load()["little_endian"] is not True:
        raise ValueError("expected little-endian numbers")
    unpickler = _Unpickler(file)
    views = unpickler.load()
    keys = _Unpickler(file).load()  # of the storages, in the order in which their numbers follow
    position = file.tell()
    numbers = {}
    for key in keys:
        if key not in unpickler.storages:
            raise ValueError(f"storage {key} belongs to no tensor")
        storage = unpickler.storages[key]
        (count,) = struct.unpack_from("<q", data, position)
        if count != storage.length:
            raise ValueError(f"a storage of {storage.length} numbers has {count}")
        numbers[key] = np.frombuffer(data, storage.dtype, count, position + 8)
        position += 8 + count * storage.dtype.itemsize
    return views, numbers


def _copy_view(view: _View, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Copy a view of a storage, whose last number must lie in it; also limits the size of what is copied."""
    if len(view.shape) != len(view.strides) or min((view.offset, *view.shape, *view.strides)) < 0:
        raise ValueError(f"a tensor has shape {view.shape}, strides {view.strides} and offset {view.offset}")
    size = math.prod(view.shape)
    last = view.offset + sum((length - 1) * stride for length, stride in zip(view.shape, view.strides, strict=True))
    if size and (last >= len(numbers) or size > len(numbers)):
        raise ValueError(f"a tensor of shape {view.shape} exceeds its storage of {len(numbers)} numbers")
    if not size:
        return np.zeros(view.shape, numbers.dtype)
    strides = [stride * numbers.itemsize for stride in view.strides]
    return np.lib.stride_tricks.as_strided(numbers[view.offset :], view.shape, strides, writeable=False).copy()
