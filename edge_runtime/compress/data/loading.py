"""A path to a set of samples, whatever its format."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from edge_runtime.compress.data import tables
from edge_runtime.compress.data.coco import load_coco
from edge_runtime.compress.data.content import list_files
from edge_runtime.compress.data.folders import load_class_folders, load_mask_folders
from edge_runtime.compress.data.listing import load_listing
from edge_runtime.compress.data.npz import load_npz
from edge_runtime.compress.data.reading import Reading
from edge_runtime.compress.data.sensors import load_tables, table_paths
from edge_runtime.compress.dataset import Dataset
from edge_runtime.errors import CalibrationError

FORMATS: Final = (
    "an .npz file, a folder with one folder of pictures per class, a .csv or .tsv listing of pictures, a COCO .json,"
    " a folder with images/ and masks/, or with [data.window] a .csv or .parquet table or a folder of them"
)
_LISTINGS: Final = (".csv", ".tsv")
#: A text file in a folder is more often a note than a table.
_TABLES: Final = tuple(suffix for suffix in tables.SUFFIXES if not suffix.startswith(".txt"))


def load_dataset(path: Path, reading: Reading) -> Dataset:
    """Read calibration, evaluation or training data.

    Parameters
    ----------
    path : Path
        See ``FORMATS``.
    reading : Reading
        What the samples are for.

    Returns
    -------
    data : Dataset
        Not empty, finite, in an order that depends on nothing but the content.

    Raises
    ------
    CalibrationError
        With file, row and what to do, if the data are missing, too large, damaged or of no known format.
    """
    if not path.exists():
        raise CalibrationError(f"{path}: cannot be read: it is not there")
    data = _load_folder(path, reading) if path.is_dir() else _load_file(path, reading)
    if reading.needs_y and data.y is None:
        raise CalibrationError(f"{path}: these data describe boxes or masks, not one label or target per sample")
    return data


def _load_folder(path: Path, reading: Reading) -> Dataset:
    if reading.window is not None:
        found = table_paths(list_files(path, _TABLES, reading.files))
        if not found:
            raise CalibrationError(f"{path}: no tables ({', '.join(_TABLES)}) that match {reading.files!r}")
        return load_tables(found, reading)
    if (path / "images").is_dir() and (path / "masks").is_dir():
        return load_mask_folders(path, reading)
    return load_class_folders(path, reading)


def _load_file(path: Path, reading: Reading) -> Dataset:
    name = path.name.lower()
    if name.endswith(".npz"):
        return load_npz(path, reading)
    if name.endswith(".json"):
        return load_coco(path, reading)
    if name.endswith(tables.SUFFIXES) and reading.window is not None:
        return load_tables([path], reading)
    if name.endswith(_LISTINGS):
        return load_listing(path, reading)
    raise CalibrationError(f"{path}: unknown format; {FORMATS} are read")
