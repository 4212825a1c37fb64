"""Both forms of a PyTorch file: views of storages, and what a hostile pickle would do."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.errors import ContractError
from tests.trainer.weights.torch_bytes import (
    HEADER,
    ORDERED,
    REBUILD,
    Call,
    Change,
    Name,
    Storage,
    tensor,
    write_older,
    write_zip,
)
from trainer.weights.torch_files import is_torch_file, read_tensors

Writer = Callable[[Any, list[Storage]], bytes]
WRITERS = [pytest.param(write_older, id="pickles"), pytest.param(write_zip, id="zip")]
NUMBERS = np.arange(24, dtype=np.float32)
STORAGE = Storage("7", NUMBERS)

VIEWS = [
    ("contiguous", (2, 3, 4), (12, 4, 1), 0, NUMBERS.reshape(2, 3, 4)),
    ("channels last, as the weights of EfficientNet-Lite are", (2, 3, 4), (12, 1, 3), 0, None),
    ("transposed", (4, 6), (1, 4), 0, NUMBERS.reshape(6, 4).T),
    ("a part, from the middle on", (2, 2), (4, 1), 9, np.array([[9, 10], [13, 14]])),
    ("one number", (), (), 5, np.array(5)),
    ("no number", (0, 3), (3, 1), 0, np.zeros((0, 3))),
    ("one number repeated, within the storage's size", (2, 3), (0, 0), 4, np.full((2, 3), 4)),
]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(("why", "shape", "strides", "offset", "expected"), VIEWS, ids=[row[0] for row in VIEWS])
def test_a_tensor_is_a_view_of_its_storage(
    write: Writer, why: str, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, expected: Any
) -> None:
    if expected is None:
        expected = NUMBERS.reshape(2, 4, 3).transpose(0, 2, 1)
    data = write({"w": tensor(STORAGE, shape, strides, offset)}, [STORAGE])
    found = read_tensors(data, source="f")["w"]
    assert found.dtype == np.float32 and found.flags["C_CONTIGUOUS"] and found.flags["WRITEABLE"], why
    np.testing.assert_array_equal(found, expected, err_msg=why)
    assert is_torch_file(data[:64])


@given(st.permutations(range(4)), st.lists(st.integers(1, 4), min_size=4, max_size=4), st.integers(0, 3))
def test_any_order_of_axes_comes_back(axes: list[int], shape: list[int], offset: int) -> None:
    """The oracle is NumPy's own transposition, whose strides are what is written."""
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    view = array.transpose(axes)
    storage = Storage("1", np.concatenate([np.zeros(offset, np.float32), array.ravel()]))
    strides = tuple(stride // 4 for stride in view.strides)
    found = read_tensors(write_zip({"w": tensor(storage, view.shape, strides, offset)}, [storage]), source="f")
    np.testing.assert_array_equal(found["w"], view)


@pytest.mark.parametrize("write", WRITERS)
def test_types_and_shared_storages(write: Writer) -> None:
    kinds = {"FloatStorage": "<f4", "HalfStorage": "<f2", "DoubleStorage": "<f8", "LongStorage": "<i8"}
    storages = [Storage(kind, np.arange(3).astype(dtype), kind) for kind, dtype in kinds.items()]
    state = {storage.key: tensor(storage, (3,), (1,)) for storage in storages}
    # With the versions of the layers, which PyTorch stores in an attribute of its dictionary.
    value = Change(Call(ORDERED, ([*state.items()],)), {"_metadata": {"": {"version": 1}}})
    for content in (value, {**state, "again": tensor(storages[0], (1,), (1,), 2)}):
        found = read_tensors(write(content, storages), source="f")
        assert {name: found[name].dtype.str for name in kinds} == kinds
        assert all(found[name].tolist() == [0, 1, 2] for name in kinds)
    assert found["again"].tolist() == [2]


WEIGHTS = tensor(STORAGE, (24,), (1,))
GOOD = write_zip({"w": WEIGHTS}, [STORAGE])
HOSTILE = [
    ("a command", Call(Name("os", "system"), ("touch trace",)), "it refers to os.system"),
    ("a command, as Python names it", Call(Name("posix", "system"), ("touch trace",)), "it refers to posix.system"),
    ("code among tensors", {"w": WEIGHTS, "x": Call(Name("builtins", "eval"), ("1",))}, "refers to builtins.eval"),
    ("a function of PyTorch that loads more", Call(Name("torch", "load"), ("trace",)), "it refers to torch.load"),
    ("another function beside the allowed one", Call(Name("torch._utils", "_import_dotted_name")), "_import_dotted"),
    ("an attribute of what is allowed", Name("collections", "OrderedDict.fromkeys"), "OrderedDict.fromkeys"),
    ("a function of this program", Call(Name("trainer.weights.torch_files", "read_tensors")), "read_tensors"),
    ("the function itself, changed", {"w": Change(REBUILD, {"x": 1})}, "it would change a function"),
    ("the class itself, changed", {"w": Change(ORDERED, {"x": 1})}, "it would change a function"),
    ("a type of numbers, changed", {"w": Change(Name("torch", "FloatStorage"), {"x": 1})}, "no attribute '__dict__'"),
    ("a tensor, changed", {"w": Change(WEIGHTS, {"shape": 1})}, "no attribute '__dict__'"),
    ("a storage for a tensor", {"w": STORAGE}, "expected a state dict"),
    ("a list", [WEIGHTS], "expected a state dict"),
    ("a number as the name", {1: WEIGHTS}, "expected a state dict"),
    (
        "a type of numbers that NumPy lacks",
        {"w": Name("torch", "BFloat16Storage")},
        "it refers to torch.BFloat16Storage",
    ),
]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(("why", "value", "message"), HOSTILE, ids=[row[0] for row in HOSTILE])
def test_nothing_but_tensors_is_rebuilt(
    write: Writer, why: str, value: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ContractError) as caught:
        read_tensors(write(value, [STORAGE]), source="weights.pth")
    assert message in str(caught.value) and str(caught.value).startswith("weights.pth: "), why
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir()), why
    np.testing.assert_array_equal(read_tensors(GOOD, source="f")["w"], NUMBERS, "the next file is read as before")


DAMAGED = [
    ("no file of PyTorch", b"\x89HDF\r\n\x1a\n" + bytes(99), "does not begin as one"),
    ("nothing", b"", "does not begin as one"),
    ("cut in the numbers", write_older({"w": WEIGHTS}, [STORAGE])[:-4], "buffer is smaller"),
    ("cut in a pickle", write_older({"w": WEIGHTS}, [STORAGE])[:90], "Ran out of input"),
    ("a zip archive of other files", write_zip({}, [])[:-30], "not a zip file"),
    ("a version that is not known", write_older({}, [], (HEADER[0], 1002, HEADER[2])), "does not begin as one"),
    ("big-endian numbers", write_older({}, [], (*HEADER[:2], {"little_endian": False})), "little-endian"),
    ("big-endian numbers in a zip archive", write_zip({}, [], order=b"big"), "little-endian"),
    ("compressed, as no torch.save does", write_zip({}, [], compression=zipfile.ZIP_DEFLATED), "without compression"),
    ("a storage that is not there", write_zip({"w": tensor(STORAGE, (1,), (1,))}, []), "weights/data/7"),
    (
        "a storage of another length",
        write_older({"w": tensor(Storage("7", NUMBERS, length=9), (1,), (1,))}, [STORAGE]),
        "a storage of 9 numbers has 24",
    ),
    ("a tensor beyond its storage", write_zip({"w": tensor(STORAGE, (25,), (1,))}, [STORAGE]), "exceeds its storage"),
    ("an offset beyond it", write_zip({"w": tensor(STORAGE, (2,), (1,), 23)}, [STORAGE]), "exceeds its storage"),
    ("a number before it", write_zip({"w": tensor(STORAGE, (2,), (-1,), 1)}, [STORAGE]), "strides (-1,)"),
    ("a terabyte of one number", write_zip({"w": tensor(STORAGE, (1 << 40,), (0,))}, [STORAGE]), "exceeds its storage"),
    ("strides of another rank", write_zip({"w": tensor(STORAGE, (2, 2), (1,))}, [STORAGE]), "shape (2, 2)"),
]


@pytest.mark.parametrize(("why", "data", "message"), DAMAGED, ids=[row[0] for row in DAMAGED])
def test_damaged_files(why: str, data: bytes, message: str) -> None:
    with pytest.raises(ContractError) as caught:
        read_tensors(data, source="weights.pth")
    assert message in str(caught.value), why
