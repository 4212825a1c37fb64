"""Writes files of PyTorch, well formed or hostile, without PyTorch: pickles are put together opcode by opcode."""

import io
import struct
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # torch/serialization.py: MAGIC_NUMBER, PROTOCOL_VERSION
HEADER = (MAGIC, PROTOCOL, {"little_endian": True})


@dataclass(frozen=True)
class Storage:
    """Numbers that tensors are views of."""

    key: str
    numbers: np.ndarray
    kind: str = "FloatStorage"
    length: int = -1  # as the pickle states it, if that is wrong


@dataclass(frozen=True)
class Name:
    """A function or class by its name: module, then name."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """A call of a function."""

    function: Any
    args: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Change:
    """A value that is changed by a state, as ``__setstate__`` does."""

    value: Any
    state: Any


REBUILD = Name("torch._utils", "_rebuild_tensor_v2")
ORDERED = Name("collections", "OrderedDict")


def tensor(storage: Storage, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> Call:
    return Call(REBUILD, (storage, offset, shape, strides, False, Call(ORDERED)))


def opcodes(value: Any, *, older: bool) -> bytes:
    """Return the opcodes of a pickle of protocol 2 that put a value on the stack."""

    def each(values: Any) -> bytes:
        return b"".join(opcodes(item, older=older) for item in values)

    if isinstance(value, Storage):
        length = len(value.numbers) if value.length < 0 else value.length
        pid = ("storage", Name("torch", value.kind), value.key, "cpu", length, *([None] if older else []))
        return each([pid]) + b"Q"  # BINPERSID
    if isinstance(value, Name):
        return f"c{value.module}\n{value.name}\n".encode()  # GLOBAL
    if isinstance(value, Call):
        return each([value.function, value.args]) + b"R"  # REDUCE
    if isinstance(value, Change):
        return each([value.value, value.state]) + b"b"  # BUILD
    if isinstance(value, dict):
        return b"}(" + each(item for pair in value.items() for item in pair) + b"u"  # SETITEMS
    if isinstance(value, list | tuple):
        return (b"](" + each(value) + b"e") if isinstance(value, list) else b"(" + each(value) + b"t"
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()  # BINUNICODE
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)  # LONG1


def pickled(value: Any, *, older: bool) -> bytes:
    return b"\x80\x02" + opcodes(value, older=older) + b"."


def write_older(value: Any, storages: list[Storage], header: tuple[Any, ...] = HEADER) -> bytes:
    """Return a file as torch.save wrote it until PyTorch 1.5."""
    pickles = [pickled(part, older=True) for part in (*header, value, [storage.key for storage in storages])]
    numbers = [struct.pack("<q", len(storage.numbers)) + storage.numbers.tobytes() for storage in storages]
    return b"".join((*pickles, *numbers))


def write_zip(
    value: Any, storages: list[Storage], *, order: bytes = b"little", compression: int = zipfile.ZIP_STORED
) -> bytes:
    """Return a file as torch.save writes it since PyTorch 1.6."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("weights/data.pkl", pickled(value, older=False))
        archive.writestr("weights/byteorder", order)
        for storage in storages:
            archive.writestr(f"weights/data/{storage.key}", storage.numbers.tobytes())
    return buffer.getvalue()
