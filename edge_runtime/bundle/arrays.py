"""Arrays in a file: ``.npz`` that is reproducible to write and safe to read (stored, no pickle, sizes checked first).

``numpy.load`` opens what this module writes; this module reads only what it writes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.archive import ArchiveLimits, pack, unpack
from edge_runtime.errors import BundleFormatError

Array = npt.NDArray[Any]

#: The only element types in a bundle, as NumPy writes them in the header.
DESCRIPTIONS = {
    "|i1": "int8",
    "|u1": "uint8",
    "<i2": "int16",
    "<i4": "int32",
    "<i8": "int64",
    "<f4": "float32",
    "|b1": "bool",
}
_BY_DTYPE = {dtype: description for description, dtype in DESCRIPTIONS.items()}
_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    r"\{'descr': '([<|][a-z][0-9])', 'fortran_order': False, 'shape': \(((?:[0-9]{1,9}, ?)*(?:[0-9]{1,9})?)\), \} *\n"
)
_MAX_HEADER_BYTES = 1024
_MAX_DIMENSIONS = 8
_ALIGNMENT = 64


def pack_arrays(arrays: Mapping[str, Array]) -> bytes:
    """Write arrays as ``.npz``.

    Parameters
    ----------
    arrays : mapping of str to array
        int8, uint8, int16, int32, int64, float32 or bool; any shape of at most 8 axes; names as in an archive.

    Returns
    -------
    data : bytes
        The same bytes for equal arrays; readable by ``numpy.load(..., allow_pickle=False)``.

    Raises
    ------
    ValueError
        If a dtype or name is not allowed.

    Examples
    --------
    >>> data = pack_arrays({"x": np.arange(3, dtype=np.int8)})
    >>> unpack_arrays(data, ArchiveLimits())["x"]
    array([0, 1, 2], dtype=int8)
    """
    return pack({f"{name}.npy": _encode(name, array) for name, array in arrays.items()})


def unpack_arrays(data: bytes, limits: ArchiveLimits) -> dict[str, Array]:
    """Read what ``pack_arrays`` wrote.

    Parameters
    ----------
    data : bytes
        The file.
    limits : ArchiveLimits
        Checked, as each array's declared size is, before anything is decoded.

    Returns
    -------
    arrays : dict of str to array
        Read-only views, C order.

    Raises
    ------
    BundleFormatError
        If the archive or an array's header is any other than ``pack_arrays`` writes.
    """
    archive = unpack(data, limits)
    archive.require_checksums()
    return {name.removesuffix(".npy"): _decode(name, content) for name, content in archive.members.items()}


def _encode(name: str, array: Array) -> bytes:
    """Write one array in NumPy's format 1.0."""
    description = _BY_DTYPE.get(array.dtype.name)
    if description is None or array.ndim > _MAX_DIMENSIONS:
        raise ValueError(f'array "{name}": dtype {array.dtype} with {array.ndim} axes cannot be stored')
    little = np.ascontiguousarray(array, dtype=np.dtype(description)).reshape(array.shape)
    return _header(description, array.shape) + little.tobytes()


def _header(description: str, shape: tuple[int, ...]) -> bytes:
    """Give the header of NumPy's format 1.0, padded to the alignment."""
    text = f"{{'descr': '{description}', 'fortran_order': False, 'shape': {shape}, }}"
    length = len(_MAGIC) + 2 + len(text) + 1
    text += " " * (-length % _ALIGNMENT) + "\n"
    return _MAGIC + len(text).to_bytes(2, "little") + text.encode("ascii")


def _decode(name: str, content: bytes) -> Array:
    """Read one array after comparing its declared with its real size."""
    start = len(_MAGIC) + 2
    length = int.from_bytes(content[len(_MAGIC) : start], "little")
    if not name.endswith(".npy") or content[: len(_MAGIC)] != _MAGIC or length > _MAX_HEADER_BYTES:
        raise BundleFormatError(f'"{name}" is not an array in NumPy format 1.0')
    match = _HEADER.fullmatch(content[start : start + length].decode("ascii", errors="replace"))
    if match is None or match[1] not in DESCRIPTIONS:
        raise BundleFormatError(f'array "{name}": its header is not one that a bundle may hold')
    shape = tuple(int(part) for part in match[2].split(",") if part.strip())
    dtype = np.dtype(match[1])
    body = start + length
    if len(shape) > _MAX_DIMENSIONS or content[:body] != _header(match[1], shape):
        raise BundleFormatError(f'array "{name}": its header is not written as a bundle writes it')
    if math.prod(shape) * dtype.itemsize != len(content) - body:
        raise BundleFormatError(f'array "{name}": {shape} of {dtype} does not take {len(content) - body} bytes')
    if dtype.name == "bool" and not set(content[body:]) <= {0, 1}:
        raise BundleFormatError(f'array "{name}": a boolean that is neither 0 nor 1')
    return np.frombuffer(content, dtype=dtype, offset=body).reshape(shape)
