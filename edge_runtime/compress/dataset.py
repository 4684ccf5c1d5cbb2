"""Calibration and evaluation data: NPZ files, read within limits and without pickle."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import CalibrationError

MAX_FILE_BYTES = 4 << 30
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples with what is known about them.

    Attributes
    ----------
    x : array, shape (n, ...)
        uint8 pictures (n, height, width[, 3]), or windows (n, length, channels), or what the model takes.
    y : array, shape (n, ...) or None
        Class index or target value.
    groups : array or None
        Samples of one group must not be parted.
    slices : mapping of str to array
        By name: camera, lot, shift.
    digest : str
        SHA-256 of the file.
    """

    x: Array
    y: Array | None
    groups: Array | None = None
    slices: Mapping[str, Array] = field(default_factory=dict)
    digest: str = ""

    def __len__(self) -> int:
        return len(self.x)


def load_dataset(path: Path, *, needs_y: bool) -> Dataset:
    """Read an NPZ file.

    Parameters
    ----------
    path : Path
        With ``x``, and ``y`` where ``needs_y``.
    needs_y : bool
        Whether samples must be labelled.

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
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise CalibrationError(f"{path}: {size} bytes, at most {MAX_FILE_BYTES} are read; split the file")
        digest = _digest(path)
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise CalibrationError(f"{path}: not an NPZ file of plain arrays: {error}") from error
    if "x" not in arrays or arrays["x"].ndim == 0 or not len(arrays["x"]):
        raise CalibrationError(f'{path}: no samples; an NPZ file with an array "x" (n, ...) is needed')
    if needs_y and "y" not in arrays:
        raise CalibrationError(f'{path}: no array "y"; labels or targets are needed to prove what is lost')
    for name, array in arrays.items():
        if len(array.shape) == 0 or len(array) != len(arrays["x"]):
            raise CalibrationError(f'{path}: "{name}" has shape {array.shape}, "x" has {len(arrays["x"])} samples')
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = int((~np.isfinite(array.reshape(len(array), -1))).any(axis=1).sum())
            raise CalibrationError(f'{path}: "{name}" holds NaN or infinity in {bad} samples; remove or repair them')
    slices = {name.removeprefix("slice_"): array for name, array in arrays.items() if name.startswith("slice_")}
    return Dataset(arrays["x"], arrays.get("y"), arrays.get("group"), slices, digest)


def spread(n: int, count: int) -> npt.NDArray[np.intp]:
    """Choose ``count`` of ``n`` samples at even distances; all when there are fewer.

    Parameters
    ----------
    n, count : int
        Both positive.

    Returns
    -------
    indices : intp, shape (min(n, count),)
        Ascending.

    Examples
    --------
    >>> spread(10, 4)
    array([0, 3, 6, 9])
    """
    return np.unique(np.linspace(0, n - 1, min(n, count)).round().astype(np.intp))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
