"""A table of picture files: ``file``, ``label``, and optional ``group`` and ``slice_<name>``."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from edge_runtime.compress.data.content import MAX_FILES, digest_of, file_digest, require_size
from edge_runtime.compress.data.labelling import encode
from edge_runtime.compress.data.pictures import load_pictures
from edge_runtime.compress.data.reading import Reading
from edge_runtime.compress.dataset import Dataset
from edge_runtime.errors import CalibrationError

_MAX_BYTES: Final = 256 << 20


def load_listing(path: Path, reading: Reading) -> Dataset:
    """Read the pictures that a CSV or TSV file lists.

    Parameters
    ----------
    path : Path
        Its first row names the columns. Files are relative to its folder; without a ``label`` column the name of a
        picture's folder is its label.
    reading : Reading
        With the preprocessing of pictures.

    Returns
    -------
    data : Dataset
        In the file's order.

    Raises
    ------
    CalibrationError
        Naming file and row, if a column or a value is missing, a label is unknown or a picture unusable.
    """
    rows = _rows(path)
    files = [path.parent / row["file"] for row in rows]
    places = [f"{path}: row {index}" for index in range(2, len(rows) + 2)]
    twice: dict[Path, str] = {}
    for file, place in zip(files, places, strict=True):
        if not file.is_file():
            raise CalibrationError(f"{place}: {file} is not there")
        if file in twice:
            raise CalibrationError(f"{place}: {file} is listed before, in {twice[file].rpartition(': ')[2]}")
        twice[file] = place
    words = _labels(rows, files, path, reading)
    y, labels = (None, reading.labels) if words is None else encode(words, places, reading)
    x, _ = load_pictures(files, reading, what=str(path))
    groups = np.array([row["group"] for row in rows]) if "group" in rows[0] else None
    slices = {
        name.removeprefix("slice_"): np.array([row[name] for row in rows])
        for name in rows[0]
        if name.startswith("slice_")
    }
    digest = digest_of([file_digest(path), *map(file_digest, files)])
    return Dataset(x, y, groups, slices, digest, labels, [row["file"] for row in rows])


def _labels(rows: Sequence[dict[str, str]], files: Sequence[Path], path: Path, reading: Reading) -> list[str] | None:
    """Give the words of the labels: a column's, else those of the folders."""
    if "label" in rows[0]:
        return [row["label"] for row in rows]
    if all(file.parent != path.parent for file in files) and reading.task != "regression":
        return [file.parent.name for file in files]
    if reading.needs_y:
        raise CalibrationError(f'{path}: no column "label", and the pictures do not lie in folders of classes')
    return None


def _rows(path: Path) -> list[dict[str, str]]:
    """Read every row, complete."""
    try:
        require_size(path, _MAX_BYTES)
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=header.count)
            return list(_checked(csv.reader(file, delimiter=delimiter), path))
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CalibrationError(f"{path}: not a CSV file in UTF-8: {error}") from error


def _checked(reader: Iterator[list[str]], path: Path) -> Iterator[dict[str, str]]:
    header = [name.strip() for name in next(reader, [])]
    if "file" not in header:
        raise CalibrationError(
            f'{path}: no column "file" ({", ".join(header)[:200]}); a listing of pictures has file,label[,group];'
            " a table of sensor values needs a window declaration, [data.window]"
        )
    count = 0
    for row in reader:
        if not row:
            continue
        count += 1
        if len(row) != len(header):
            raise CalibrationError(f"{path}: row {count + 1} has {len(row)} values for {len(header)} columns")
        values = {name: value.strip() for name, value in zip(header, row, strict=True)}
        empty = [name for name in ("file", "label", "group") if values.get(name) == ""]
        if empty:
            raise CalibrationError(f'{path}: row {count + 1}: column "{empty[0]}" is empty')
        if count > MAX_FILES:
            raise CalibrationError(f"{path}: more than {MAX_FILES} rows")
        yield values
    if not count:
        raise CalibrationError(f"{path}: no rows")
