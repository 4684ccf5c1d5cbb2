"""Tables of sensor values to a set of labelled windows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import Normalisation, WindowPreprocessing
from edge_runtime.compress.data.content import digest_of, file_digest
from edge_runtime.compress.data.keys import WindowKeys
from edge_runtime.compress.data.labelling import label_index, plain, settle_labels
from edge_runtime.compress.data.reading import Reading
from edge_runtime.compress.data.spool import Spool
from edge_runtime.compress.data.tables import Block, Columns, header_lines, read_blocks
from edge_runtime.compress.data.windows import WindowCutter
from edge_runtime.compress.dataset import Dataset
from edge_runtime.errors import CalibrationError
from edge_runtime.timeseries.cleaning import CleaningCounts

_MAX_GROUPS: Final = 100_000
_MAX_WINDOWS: Final = 50_000_000
#: Columns of what is remembered of a row besides its values; slices follow.
_ROW, _TIME, _LABEL, _TARGET, _SLICES = range(5)


def declared_windows(keys: WindowKeys, preprocessing: WindowPreprocessing | None) -> WindowPreprocessing:
    """Give the window declaration: the recipe's preprocessing, else what ``[data.window]`` says.

    Parameters
    ----------
    keys : WindowKeys
        ``[data.window]``.
    preprocessing : WindowPreprocessing or None
        ``[preprocessing]``, where it is one of windows.

    Returns
    -------
    steps : WindowPreprocessing
        Without normalisation when it comes from ``keys``.

    Raises
    ------
    CalibrationError
        If neither says length and channels.
    """
    if preprocessing is not None:
        return preprocessing
    if keys.length is None or not keys.channels:
        raise CalibrationError("a table needs length and channels in [data.window], or a window in [preprocessing]")
    n_channels = len(keys.channels)
    return WindowPreprocessing(
        channels=keys.channels,
        length=keys.length,
        hop=keys.hop or keys.length,
        rate_hz=keys.rate_hz or 0.0,
        normalisation=Normalisation(method="none", centre=((0.0,) * n_channels,), scale=((1.0,) * n_channels,)),
        max_gap_s=keys.max_gap_s,
        max_hold=keys.max_hold,
    )


def load_tables(paths: Sequence[Path], reading: Reading) -> Dataset:
    """Cut tables into windows.

    Parameters
    ----------
    paths : sequence of Path
        CSV or Parquet; no window spans two of them.
    reading : Reading
        With ``window``.

    Returns
    -------
    data : Dataset
        Windows in the order in which they were complete.

    Raises
    ------
    CalibrationError
        Naming file and row, if a table is unusable; or if no window comes out.
    """
    keys = reading.window
    assert keys is not None
    steps = declared_windows(keys, reading.windows)
    if reading.needs_y and keys.label is None and keys.target is None and keys.rule != "remaining":
        raise CalibrationError(f"{paths[0]}: [data.window] names neither a label nor a target column")
    columns = Columns(
        tuple(keys.columns.get(channel.name, channel.name) for channel in steps.channels),
        keys.time,
        keys.target,
        tuple(name for name in (keys.label, keys.group, *keys.slices.values()) if name is not None),
    )
    labels = _labels(paths, keys, reading)
    with Spool((steps.length, len(steps.channels)), np.float32, what=str(paths[0])) as spool:
        gathering = _Gathering(keys, steps, labels, spool, many=len(paths) > 1)
        for path in paths:
            gathering.begin(path)
            for block in read_blocks(path, keys, columns):
                gathering.take(block)
        return gathering.finish(paths, reading)


def _labels(paths: Sequence[Path], keys: WindowKeys, reading: Reading) -> tuple[str, ...]:
    """Settle the classes before the first window needs one."""
    if keys.label is None or reading.labels:
        return reading.labels
    words: set[str] = set()
    for path in paths:
        for block in read_blocks(path, keys, Columns((), words=(keys.label,))):
            words.update(map(plain, block.words[keys.label]))
            if len(words) > 1000:  # noqa: PLR2004 - no classifier has more
                raise CalibrationError(
                    f'{path}: column "{keys.label}" holds over 1000 different labels; is it a target?'
                )
    return settle_labels(sorted(words), ())


@dataclass(slots=True)
class _Stream:
    """One group's rows: its cutter, and what must be remembered of the rows that a window may still hold."""

    cutter: WindowCutter
    index: int
    count: int = 0
    base: int = 0
    facts: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))


class _Gathering:
    """Windows with their labels, file after file."""

    def __init__(
        self, keys: WindowKeys, steps: WindowPreprocessing, labels: tuple[str, ...], spool: Spool, *, many: bool
    ) -> None:
        self._keys, self._steps, self._labels, self._spool, self._many = keys, steps, labels, spool, many
        self._counts = CleaningCounts()
        self._streams: dict[str, _Stream] = {}
        self._groups: list[str] = []
        self._sizes: list[int] = []
        self._words: list[dict[str, int]] = [{} for _ in keys.slices]
        self._known: dict[str, int] = {}
        self._found: list[tuple[float, ...]] = []
        self._names: list[str] = []
        self._path = Path()

    def begin(self, path: Path) -> None:
        """Begin a file: no window goes on from the last one."""
        self._path = path
        self._streams.clear()

    def take(self, block: Block) -> None:
        """Hand rows to the streams of their groups."""
        facts = self._facts(block)
        if self._keys.group is None:
            self._push("", block.values, block.times, facts)
            return
        words = np.array(block.words[self._keys.group])
        distinct, codes = np.unique(words, return_inverse=True)
        for code, word in enumerate(distinct.tolist()):
            rows = np.flatnonzero(codes == code)
            times = None if block.times is None else block.times[rows]
            self._push(word, np.ascontiguousarray(block.values[rows]), times, facts[rows])

    def _facts(self, block: Block) -> npt.NDArray[np.float64]:
        """Give what is remembered of each row."""
        keys = self._keys
        facts = np.full((len(block), _SLICES + len(keys.slices)), np.nan)
        offset = block.first + 1 + header_lines(self._path, keys)
        facts[:, _ROW] = np.arange(offset, offset + len(block))
        if block.times is not None:
            facts[:, _TIME] = block.times
        if keys.label is not None:
            facts[:, _LABEL] = [self._label(word, offset + index) for index, word in enumerate(block.words[keys.label])]
        if block.target is not None:
            facts[:, _TARGET] = block.target
        for index, column in enumerate(keys.slices.values()):
            known = self._words[index]
            facts[:, _SLICES + index] = [known.setdefault(word, len(known)) for word in block.words[column]]
        return facts

    def _label(self, word: str, row: int) -> int:
        if word not in self._known:
            self._known[word] = label_index(word, self._labels, f"{self._path}: row {row}")
        return self._known[word]

    def _push(
        self,
        group: str,
        values: npt.NDArray[np.float32],
        times: npt.NDArray[np.float64] | None,
        facts: npt.NDArray[np.float64],
    ) -> None:
        stream = self._streams.get(group)
        if stream is None:
            stream = self._open(group, facts.shape[1])
        rows = np.arange(stream.count, stream.count + len(values), dtype=np.float64)
        stream.facts = np.concatenate([stream.facts, facts])
        stream.count += len(values)
        self._sizes[stream.index] = stream.count
        oldest = stream.count
        for window, held in stream.cutter.push(values, times, rows):
            self._spool.append(window[None])
            self._note(stream, held.astype(np.intp))
        held_rows = stream.cutter.held_rows()
        oldest = int(held_rows[0]) if len(held_rows) else stream.count
        stream.facts = stream.facts[oldest - stream.base :]
        stream.base = oldest

    def _open(self, group: str, width: int) -> _Stream:
        if len(self._groups) >= _MAX_GROUPS:
            raise CalibrationError(f"{self._path}: more than {_MAX_GROUPS} groups; is {self._keys.group!r} a group?")
        stem = self._path.name.partition(".")[0]
        name = f"{stem}/{group}" if self._many and group else group or stem
        stream = _Stream(WindowCutter(self._steps, self._counts), len(self._groups), facts=np.empty((0, width)))
        self._groups.append(name)
        self._sizes.append(0)
        self._streams[group] = stream
        return stream

    def _note(self, stream: _Stream, rows: npt.NDArray[np.intp]) -> None:
        """Remember where a window came from and what is to be said about it."""
        if len(self._found) >= _MAX_WINDOWS:
            raise CalibrationError(f"{self._path}: more than {_MAX_WINDOWS} windows; choose a longer hop")
        facts = stream.facts[rows - stream.base]
        last = facts[-1]
        label = math.nan if self._keys.label is None else _rule(facts[:, _LABEL], self._keys.rule)
        target = math.nan if self._keys.target is None else _rule(facts[:, _TARGET], self._keys.rule)
        self._found.append((stream.index, float(rows[-1]), last[_TIME], label, target, *last[_SLICES:]))
        self._names.append(f"{self._path.name}: rows {facts[0, _ROW]:.0f}-{last[_ROW]:.0f}")

    def finish(self, paths: Sequence[Path], reading: Reading) -> Dataset:
        """Give the set."""
        keys, steps = self._keys, self._steps
        counts = {name: count for name, count in asdict(self._counts).items() if count}
        if not self._found:
            told = ", ".join(f"{name} {count}" for name, count in counts.items()) or "no rows"
            raise CalibrationError(
                f"{paths[0]}: not one window of {steps.length} usable rows in a row ({told});"
                " a shorter length, max_hold, or wider low and high give some"
            )
        found = np.array(self._found)
        codes = found[:, 0].astype(np.intp)
        grouped = keys.group is not None or self._many
        slices = {
            name: np.array(list(self._words[index]))[found[:, 5 + index].astype(np.intp)]
            for index, name in enumerate(keys.slices)
        }
        y, labels = self._truth(found, codes, reading)
        declaration = msgspec.json.encode([steps, keys], order="deterministic").decode()
        return Dataset(
            self._spool.finish(),
            y,
            np.array(self._groups)[codes] if grouped else None,
            slices,
            digest_of([*map(file_digest, paths), declaration]),
            labels,
            self._names,
            found[:, 2] if keys.time is not None else None,
            math.ceil(steps.length / steps.hop) - 1,
            counts=counts,
        )

    def _truth(
        self, found: npt.NDArray[np.float64], codes: npt.NDArray[np.intp], reading: Reading
    ) -> tuple[npt.NDArray[Any] | None, tuple[str, ...]]:
        """Give labels or targets."""
        keys = self._keys
        if keys.rule == "remaining":
            left = np.array(self._sizes, np.float64)[codes] - 1 - found[:, 1]
            return left if keys.at_most is None else np.minimum(left, keys.at_most), ()
        if keys.target is not None:
            return found[:, 4], ()
        if keys.label is not None:
            return found[:, 3].astype(np.intp), self._labels
        return None, reading.labels


def _rule(values: npt.NDArray[np.float64], rule: str) -> float:
    """Give the window's label or target from those of its rows."""
    if rule == "first":
        return float(values[0])
    if rule == "mean":
        return float(values.mean())
    if rule == "any":
        return float(values.max())
    if rule == "majority":
        distinct, counts = np.unique(values, return_counts=True)
        return float(distinct[counts.argmax()])
    return float(values[-1])


def table_paths(found: Iterable[Path]) -> list[Path]:
    """Order the tables of a folder by name: run 10 comes after run 9."""
    return sorted(found, key=lambda path: [(not part.isdigit(), part.zfill(20)) for part in _parts(path.as_posix())])


def _parts(name: str) -> list[str]:
    parts, current = [], ""
    for sign in name:
        if current and sign.isdigit() != current[-1].isdigit():
            parts.append(current)
            current = ""
        current += sign
    return [*parts, current]
