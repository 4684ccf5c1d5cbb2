"""CSV and Parquet tables, read block by block with only the columns that are needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.compress.data.content import require_size
from edge_runtime.compress.data.keys import WindowKeys
from edge_runtime.errors import CalibrationError

CSV_SUFFIXES: Final = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
SUFFIXES: Final = (*CSV_SUFFIXES, ".parquet")

_BLOCK_BYTES: Final = 1 << 20
_BLOCK_ROWS: Final = 1 << 15
_MAX_COLUMNS: Final = 10_000
_SECONDS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0}
_FORMATS: Final = ("%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S")
_MISSING: Final = ["", "NaN", "nan", "NAN", "NA", "N/A", "null", "NULL", "None", "#N/A"]


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a table are what; names as they stand in its header.

    Attributes
    ----------
    channels : tuple of str
        Numbers, in the model's order.
    time, target : str or None
        Column of times, column of numbers to predict.
    words : tuple of str
        Columns of text: labels, groups, slices.
    """

    channels: tuple[str, ...]
    time: str | None = None
    target: str | None = None
    words: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every column once, in a fixed order."""
        extra = [name for name in (self.time, self.target) if name is not None]
        return tuple(dict.fromkeys([*self.channels, *extra, *self.words]))


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of a table that follow each other.

    Attributes
    ----------
    first : int
        Index of the first row in the file, from 0, without the header.
    values : float32, shape (n, n_channels)
        Missing ones are NaN.
    times : float64, shape (n,), s, or None
    target : float64, shape (n,), or None
    words : dict of str to list of str
        By column.
    """

    first: int
    values: npt.NDArray[np.float32]
    times: npt.NDArray[np.float64] | None = None
    target: npt.NDArray[np.float64] | None = None
    words: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)


def read_blocks(path: Path, keys: WindowKeys, columns: Columns) -> Iterator[Block]:
    """Read a table.

    Parameters
    ----------
    path : Path
        CSV, TSV or text, perhaps with ``.gz``, or Parquet.
    keys : WindowKeys
        Delimiter, decimal sign, encoding, header and the unit of times.
    columns : Columns
        Which are needed; the others are not read.

    Yields
    ------
    block : Block
        A few ten thousand rows.

    Raises
    ------
    CalibrationError
        If the file cannot be read, has no such column, or a value is no number; with file and row.
    """
    pa = _arrow(path)
    try:
        require_size(path)
        first = 0
        for batch in _batches(path, keys, columns):
            if batch.num_rows:
                yield _block(batch, first, path, keys, columns)
            first += batch.num_rows
    except (pa.ArrowException, UnicodeDecodeError, LookupError) as error:
        raise CalibrationError(f"{path}: {_first_line(error)}") from error
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be read: {error.strerror or _first_line(error)}") from error


def header_lines(path: Path, keys: WindowKeys) -> int:
    """Say in which line of a file its first row stands, less one."""
    return 0 if keys.header or path.suffix == ".parquet" else 1


def _arrow(path: Path) -> Any:  # noqa: ANN401 - an untyped package
    try:
        import pyarrow as pa  # noqa: PLC0415 - of the compress extra, and only tables need it
    except ImportError as error:
        raise CalibrationError(f"{path}: tables need pyarrow: pip install edge-runtime[compress]") from error
    return pa


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:500]


def _batches(path: Path, keys: WindowKeys, columns: Columns) -> Iterator[Any]:
    """Give record batches with exactly the needed columns."""
    if path.suffix == ".parquet":
        from pyarrow import parquet  # noqa: PLC0415 - of the compress extra, and only tables need it

        with parquet.ParquetFile(path) as file:
            _require_columns(path, file.schema_arrow.names, columns)
            yield from file.iter_batches(_BLOCK_ROWS, columns=list(columns.names), use_threads=False)
        return
    from pyarrow import csv  # noqa: PLC0415 - of the compress extra, and only tables need it

    read = csv.ReadOptions(
        use_threads=False,
        block_size=_BLOCK_BYTES,
        encoding=keys.encoding,
        column_names=list(keys.header) or None,
    )
    parse = csv.ParseOptions(delimiter=keys.delimiter)
    with csv.open_csv(path, read, parse) as probe:
        schema = probe.schema
    _require_columns(path, schema.names, columns)
    convert = csv.ConvertOptions(
        include_columns=list(columns.names),
        column_types=_types(schema, columns),
        decimal_point=keys.decimal,
        null_values=_MISSING,
        strings_can_be_null=True,
        timestamp_parsers=[csv.ISO8601, *_FORMATS],
    )
    with csv.open_csv(path, read, parse, convert) as reader:
        yield from reader


def _types(schema: Any, columns: Columns) -> dict[str, Any]:  # noqa: ANN401 - an untyped package
    """Fix the type of every column, so that a later block cannot be of another."""
    import pyarrow as pa  # noqa: PLC0415 - of the compress extra, and only tables need it

    types = dict.fromkeys(columns.words, pa.string())
    if columns.time is not None:
        number = pa.types.is_integer(schema.field(columns.time).type) or pa.types.is_floating(
            schema.field(columns.time).type
        )
        types[columns.time] = pa.float64() if number else pa.timestamp("ns")
    types.update(dict.fromkeys([*columns.channels, *([columns.target] if columns.target else [])], pa.float64()))
    return types


def _require_columns(path: Path, names: list[str], columns: Columns) -> None:
    if len(names) > _MAX_COLUMNS:
        raise CalibrationError(f"{path}: {len(names)} columns, at most {_MAX_COLUMNS} are read")
    missing = [name for name in columns.names if name not in names]
    if missing:
        raise CalibrationError(
            f"{path}: no column {', '.join(map(repr, missing))}; the file has {', '.join(names)[:500]}"
            " (check delimiter, header and columns of [data.window])"
        )
    twice = sorted({name for name in columns.names if names.count(name) > 1})
    if twice:
        raise CalibrationError(f"{path}: two columns are called {twice[0]!r}")


def _block(batch: Any, first: int, path: Path, keys: WindowKeys, columns: Columns) -> Block:  # noqa: ANN401 - untyped
    rows = _Rows(batch, first, path, header_lines(path, keys))
    values = np.empty((batch.num_rows, len(columns.channels)), np.float32)
    for index, name in enumerate(columns.channels):
        values[:, index] = rows.numbers(name)
    times = None if columns.time is None else rows.times(columns.time, _SECONDS[keys.time_unit])
    target = None
    if columns.target is not None:
        target = rows.numbers(columns.target)
        rows.require(np.isfinite(target), columns.target, "is missing or no number")
    return Block(first, values, times, target, {name: rows.words(name) for name in columns.words})


@dataclass(frozen=True, slots=True)
class _Rows:
    """Columns of one batch, with the place of every row for errors."""

    batch: Any
    first: int
    path: Path
    header: int

    def numbers(self, name: str) -> npt.NDArray[np.float64]:
        import pyarrow as pa  # noqa: PLC0415 - of the compress extra, and only tables need it

        column = self.batch.column(name)
        kind = column.type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
            raise CalibrationError(f'{self.path}: column "{name}" holds {kind}, not numbers')
        return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)

    def times(self, name: str, unit_s: float) -> npt.NDArray[np.float64]:
        import pyarrow as pa  # noqa: PLC0415 - of the compress extra, and only tables need it

        column = self.batch.column(name)
        if pa.types.is_timestamp(column.type):
            self.require(column.is_valid().to_numpy(zero_copy_only=False), name, "is missing")
            codes = column.cast(pa.timestamp("ns")).cast(pa.int64()).to_numpy(zero_copy_only=False)
            return np.asarray(codes, np.float64) / 1e9
        found = self.numbers(name) * unit_s
        self.require(np.isfinite(found), name, "is missing")
        return found

    def words(self, name: str) -> list[str]:
        import pyarrow as pa  # noqa: PLC0415 - of the compress extra, and only tables need it

        column = self.batch.column(name)
        self.require(column.is_valid().to_numpy(zero_copy_only=False), name, "is missing")
        return [str(word) for word in column.cast(pa.string()).to_pylist()]

    def require(self, fine: npt.NDArray[np.bool_], name: str, problem: str) -> None:
        if not fine.all():
            row = self.first + int((~fine).argmax()) + 1 + self.header
            raise CalibrationError(f'{self.path}: row {row}: column "{name}" {problem}')
