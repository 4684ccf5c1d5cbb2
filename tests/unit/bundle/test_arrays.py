"""Arrays are written reproducibly and read without trust in their headers."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from edge_runtime.bundle.archive import ArchiveLimits, pack
from edge_runtime.bundle.arrays import pack_arrays, unpack_arrays
from edge_runtime.errors import BundleFormatError

LIMITS = ArchiveLimits(archive_bytes=1 << 16, member_bytes=1 << 16, n_members=8)
DTYPES = ("int8", "uint8", "int16", "int32", "int64", "float32", "bool")


def npy(array: np.ndarray[Any, Any], **arguments: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **arguments)
    return buffer.getvalue()


def with_header(text: str, body: bytes) -> bytes:
    header = text.encode() + b" " * (-(10 + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (1, 2, 3)])
def test_arrays_come_back(dtype: str, shape: tuple[int, ...]) -> None:
    array = (np.arange(np.prod(shape, dtype=int)) % 2).astype(dtype).reshape(shape)
    found = unpack_arrays(pack_arrays({"x": array}), LIMITS)["x"]
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_numpy_reads_what_is_written() -> None:
    arrays = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "y": np.array(True)}
    with np.load(io.BytesIO(pack_arrays(arrays)), allow_pickle=False) as loaded:
        assert {name: loaded[name].tolist() for name in loaded} == {"x": [[0, 1, 2], [3, 4, 5]], "y": True}


@pytest.mark.parametrize("array", [np.arange(6).reshape(2, 3).T, np.arange(10, dtype=">i4")[::2]])
def test_memory_order_and_byte_order_do_not_reach_the_file(array: np.ndarray[Any, Any]) -> None:
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    assert pack_arrays({"x": array}) == pack_arrays({"x": plain})


@pytest.mark.parametrize("dtype", ["float64", "complex64", "object", "U3", "float16", "uint32"])
def test_other_dtype_is_not_written(dtype: str) -> None:
    with pytest.raises(ValueError, match="cannot be stored"):
        pack_arrays({"x": np.zeros(2, dtype)})


def test_read_arrays_cannot_be_written_to() -> None:
    array = unpack_arrays(pack_arrays({"x": np.zeros(2, np.int8)}), LIMITS)["x"]
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_pickle_is_refused() -> None:
    with pytest.raises(BundleFormatError, match="header"):
        unpack_arrays(pack({"x.npy": npy(np.array([{}], object), allow_pickle=True)}), LIMITS)


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '|i1', 'fortran_order': True, 'shape': (3,), }",
        "{'descr': '>i2', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '|O8', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '|i1', 'fortran_order': False, 'shape': (3), }",
        "{'descr': '|i1', 'fortran_order': False, 'shape': (-3,), }",
        "{'descr': '|i1', 'fortran_order': False, 'shape': (03,), }",
        "{'descr': '|i1', 'fortran_order': False, 'shape': (3, ), }",
        "{'descr': '|i1', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': [('a', '|i1')], 'fortran_order': False, 'shape': (3,), }",
        "__import__('os').abort()",
        "{'descr': '|i1', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,3), }",
    ],
)
def test_header_that_is_not_ours_is_refused(text: str) -> None:
    with pytest.raises(BundleFormatError, match="header"):
        unpack_arrays(pack({"x.npy": with_header(text, b"abc")}), LIMITS)


@pytest.mark.parametrize("shape", ["(999999999, 999999999)", "(2,)", "(4,)", "(0,)", "()"])
def test_declared_size_is_compared_before_anything_is_allocated(shape: str) -> None:
    text = f"{{'descr': '|i1', 'fortran_order': False, 'shape': {shape}, }}"
    with pytest.raises(BundleFormatError, match="does not take 3 bytes"):
        unpack_arrays(pack({"x.npy": with_header(text, b"abc")}), LIMITS)


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY", b"\x93NUMPY\x02\x00" + bytes(100), b"\x93NUMPY\x01\x00\xff\xff"]
)
def test_what_is_no_array_is_refused(content: bytes) -> None:
    with pytest.raises(BundleFormatError):
        unpack_arrays(pack({"x.npy": content}), LIMITS)


def test_member_without_the_suffix_is_refused() -> None:
    with pytest.raises(BundleFormatError, match="not an array"):
        unpack_arrays(pack({"x": npy(np.zeros(1, np.int8))}), LIMITS)


def test_boolean_that_is_neither_0_nor_1_is_refused() -> None:
    content = npy(np.zeros(1, np.bool_))[:-1] + b"\x02"
    with pytest.raises(BundleFormatError, match="neither 0 nor 1"):
        unpack_arrays(pack({"x.npy": content}), LIMITS)
