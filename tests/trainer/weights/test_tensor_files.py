"""Files of tensors that are not PyTorch's: safetensors, and pickles of NumPy arrays, well formed or hostile."""

import codecs
import json
import pickle
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retinanet_odm.errors import ContractError
from tests.trainer.weights.torch_bytes import Storage, tensor, write_older, write_zip
from trainer.weights.numpy_pickles import is_numpy_pickle, read_arrays
from trainer.weights.safetensors_files import is_safetensors, read_safetensors
from trainer.weights.tensor_files import is_tensor_file, read_tensor_file

NUMBERS = np.arange(6, dtype=np.float32).reshape(2, 3)
ARRAYS = {
    "rows": NUMBERS,
    "columns": np.asfortranarray(NUMBERS),
    "half": NUMBERS.astype(np.float16),
    "double, big-endian": NUMBERS.astype(">f8"),
    "integer": NUMBERS.astype(np.int64),
    "one": np.array(5.0, np.float32),
}


@pytest.mark.parametrize("protocol", range(2, 5))
@pytest.mark.parametrize("wrapped", [True, False])
def test_arrays_come_back_from_any_protocol(protocol: int, wrapped: bool) -> None:
    """As pickle itself reads them; Detectron2's files have protocols 2 to 4."""
    data = pickle.dumps({"model": ARRAYS, "__author__": "x"} if wrapped else ARRAYS, protocol)
    found = read_arrays(data, source="w.pkl")
    assert is_numpy_pickle(data[:64]) and is_tensor_file(data[:64])
    assert found.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
        assert found[name].dtype == value.dtype.newbyteorder("="), name


class Command:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit",))


class Encoding:
    """Encodes a container as if it were text when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (codecs.encode, ([], "latin1"))


HOSTILE = [
    ("a command", {"model": {"w": NUMBERS}, "x": Command()}, "it refers to builtins.exec"),
    ("another class", {"w": NUMBERS, "x": Counter()}, "it refers to collections.Counter"),
    ("objects for numbers", {"w": np.array([{}], object)}, "found an array of something else"),
    ("text", {"w": "text"}, "expected a state dict"),
    ("bytes of no text", {"w": Encoding()}, "it would encode something else than text"),
    ("text for numbers", {"w": np.array(["text"])}, "found an array of 'U4'"),
]


@pytest.mark.parametrize(("why", "value", "message"), HOSTILE, ids=[row[0] for row in HOSTILE])
def test_nothing_but_numbers_is_rebuilt(why: str, value: Any, message: str) -> None:
    with pytest.raises(ContractError) as caught:
        read_arrays(pickle.dumps(value, 4), source="w.pkl")
    assert message in str(caught.value) and str(caught.value).startswith("w.pkl: cannot be read"), why


def safetensors(header: dict[str, Any], data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_types_of_safetensors() -> None:
    kinds = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "I64": "<i8", "I32": "<i4"}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, kind in kinds.items():
        content = NUMBERS.astype(kind).tobytes()
        header[name] = entry(name, [2, 3], len(data), len(data) + len(content))
        data += content
    # bfloat16 is the upper half of a float32, little-endian.
    half = b"".join(value.tobytes()[2:] for value in NUMBERS.ravel())
    header["BF16"] = entry("BF16", [2, 3], len(data), len(data) + len(half))
    content = safetensors(header, data + half)
    found = read_safetensors(content, source="w")
    assert is_safetensors(content[:64]) and not is_numpy_pickle(content[:64])
    assert found.keys() == {*kinds, "BF16"}
    assert all(value.tolist() == NUMBERS.tolist() for value in found.values())


GOOD = safetensors({"w": entry("F32", [2, 3], 0, 24)}, NUMBERS.tobytes())
DAMAGED = [
    ("cut in the numbers", GOOD[:-4], "a tensor lies in bytes 0 to 24 of 20"),
    ("cut in the header", GOOD[:30], "cannot be read as safetensors"),
    ("another shape", safetensors({"w": entry("F32", [2, 2], 0, 24)}, NUMBERS.tobytes()), "has 6 numbers"),
    ("an unknown type", safetensors({"w": entry("F8", [1], 0, 1)}, b"0"), "cannot be read as safetensors: 'F8'"),
    ("before the numbers", safetensors({"w": entry("F32", [1], -4, 0)}, b"0000"), "lies in bytes -4 to 0"),
    ("no entry", safetensors({"w": 1}, b""), "cannot be read as safetensors"),
    ("an entry of two lines", safetensors({"w": {"a\nb": 1}}, b""), "unexpected keyword argument 'a b'"),
    ("nested too deeply", struct.pack("<Q", 10**6) + b'{"w":' + b"[" * 10**6, "maximum recursion depth exceeded"),
    ("a size that no array has", safetensors({"w": entry("F32", [0, 2**70], 0, 0)}, b""), "cannot be read as"),
]


@pytest.mark.parametrize(("why", "data", "message"), DAMAGED, ids=[row[0] for row in DAMAGED])
def test_damaged_files(why: str, data: bytes, message: str) -> None:
    with pytest.raises(ContractError) as caught:
        read_safetensors(data, source="w.safetensors")
    assert message in str(caught.value) and "\n" not in str(caught.value), why


def test_the_kind_is_found_by_the_first_bytes(tmp_path: Path) -> None:
    storage = Storage("0", NUMBERS.ravel())
    state = {"w": tensor(storage, (2, 3), (3, 1))}
    rows = [
        ("a file of PyTorch", write_zip(state, [storage])),
        ("a file of PyTorch", write_zip({"model": state, "iteration": 7}, [storage])),  # of Detectron2
        ("a file of PyTorch", write_older(state, [storage])),
        ("a file of safetensors", GOOD),
        ("a pickle of NumPy arrays", pickle.dumps({"w": NUMBERS}, 4)),
    ]
    for kind, data in rows:
        (tmp_path / "weights").write_bytes(data)
        found = read_tensor_file(str(tmp_path / "weights"))
        assert found.kind == kind
        np.testing.assert_array_equal(found.tensors["w"], NUMBERS)
    (tmp_path / "weights").write_bytes(pickle.dumps({"two\nlines": NUMBERS}, 4))
    with pytest.raises(ContractError, match=r"expected tensors with printable names, found 'two\\nlines'"):
        read_tensor_file(str(tmp_path / "weights"))
    assert not is_tensor_file(b"\x89HDF\r\n\x1a\n" + bytes(56)) and not is_tensor_file(b"")
