"""NPZ files: read member by member, within limits and without pickle."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.compress.data.content import file_digest, require_size
from edge_runtime.compress.data.reading import Reading
from edge_runtime.compress.data.spool import Spool, chunks
from edge_runtime.compress.dataset import Dataset
from edge_runtime.errors import CalibrationError

Array = npt.NDArray[Any]

_BLOCK_BYTES: Final = 1 << 20
_MAX_MEMBERS: Final = 64
_BAD: Final = (ValueError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError, TypeError, NotImplementedError)


def load_npz(path: Path, reading: Reading) -> Dataset:
    """Read an NPZ file.

    Parameters
    ----------
    path : Path
        With ``x``, and ``y`` where labels are needed; optional ``group`` and ``slice_<name>``.
    reading : Reading
        What is needed.

    Returns
    -------
    data : Dataset
        Finite.

    Raises
    ------
    CalibrationError
        If the file is missing, unreadable, too large or empty, holds objects, NaN or infinity, or its arrays differ in
        length.
    """
    try:
        require_size(path)
        digest = file_digest(path)
        arrays = _read_members(path)
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be read: {error.strerror or error}") from error
    except _BAD as error:
        raise CalibrationError(f"{path}: not an NPZ file of plain arrays: {error}") from error
    if "x" not in arrays or arrays["x"].ndim == 0 or not len(arrays["x"]):
        raise CalibrationError(f'{path}: no samples; an NPZ file with an array "x" (n, ...) is needed')
    if reading.needs_y and "y" not in arrays:
        raise CalibrationError(f'{path}: no array "y"; labels or targets are needed to prove what is lost')
    for name, array in arrays.items():
        _require(path, name, array, len(arrays["x"]))
    slices = {name.removeprefix("slice_"): array for name, array in arrays.items() if name.startswith("slice_")}
    return Dataset(arrays["x"], arrays.get("y"), arrays.get("group"), slices, digest, reading.labels)


def _require(path: Path, name: str, array: Array, n_samples: int) -> None:
    """Hold one array to the number of samples, and to numbers that are numbers."""
    if len(array.shape) == 0 or len(array) != n_samples:
        raise CalibrationError(f'{path}: "{name}" has shape {array.shape}, "x" has {n_samples} samples')
    if array.dtype.kind != "f":
        return
    bad, first = 0, -1
    for start, block in chunks(array):
        rows = ~np.isfinite(block.reshape(len(block), -1)).all(axis=1)
        if rows.any() and first < 0:
            first = start + int(rows.argmax())
        bad += int(rows.sum())
    if bad:
        raise CalibrationError(
            f'{path}: "{name}" holds NaN or infinity in {bad} samples, the first is {first}; remove or repair them'
        )


def _read_members(path: Path) -> dict[str, Array]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        if len(names) > _MAX_MEMBERS:
            raise ValueError(f"{len(names)} arrays, at most {_MAX_MEMBERS}")
        arrays = {}
        for name in names:
            with archive.open(name) as member:
                arrays[name.removesuffix(".npy")] = _read_array(member, f"{path}: {name}")
        return arrays


def _read_array(member: IO[bytes], what: str) -> Array:
    """Read one array block by block."""
    version = np.lib.format.read_magic(member)
    read: Callable[[IO[bytes]], tuple[tuple[int, ...], bool, np.dtype[Any]]] = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read(member)
    if dtype.hasobject:
        raise ValueError("an array holds Python objects")
    if not shape or fortran or dtype.itemsize == 0:
        # Rare layouts are small arrays in practice; the file's own limit bounds them.
        data = member.read()
        return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    row = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
    if row == 0:
        return np.empty(shape, dtype)
    step = max(1, _BLOCK_BYTES // row)
    with Spool(shape[1:], dtype, what=what) as spool:
        for start in range(0, shape[0], step):
            count = min(step, shape[0] - start)
            spool.append(np.frombuffer(_exactly(member, count * row), dtype).reshape(count, *shape[1:]))
        return spool.finish()


def _exactly(member: IO[bytes], size: int) -> bytes:
    data = member.read(size)
    if len(data) != size:
        raise EOFError("an array is cut off")
    return data
