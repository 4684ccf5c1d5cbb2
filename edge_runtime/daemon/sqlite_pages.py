"""The pages of an SQLite 3 file, read without SQLite: what is left of a damaged database, row by row.

After the file format of sqlite.org (https://www.sqlite.org/fileformat2.html): table leaf pages, records, overflow
chains, and the write-ahead log with its checksums. Every number comes from a damaged file: none is believed unchecked.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_MAGIC = b"SQLite format 3\x00"
_USUAL_PAGE = 4096
_LEAF = 0x0D
_WAL_HEADER, _FRAME_HEADER, _LOG_MAGIC = 32, 24, 0x377F0682
_MAX_ROW_BYTES = 64 << 20
_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
_REAL = 7
_ZERO, _ONE = 8, 9
_FIRST_TEXT = 12

Value = int | float | bytes | str | None
Row = tuple[int, tuple[Value, ...]]


@dataclass(frozen=True, slots=True)
class Log:
    """What a write-ahead log holds.

    Attributes
    ----------
    page_bytes : int
        Size of its pages.
    pages : dict of int to int
        Where the last committed copy of each page begins, by page number.
    suspect : tuple of (int, int)
        Page number and position of frames behind a damaged one, in their order; empty when nothing is damaged.
    damaged : bool
        Whether transactions that were complete cannot be read: a torn last one is no damage.
    """

    page_bytes: int = 0
    pages: dict[int, int] = field(default_factory=dict)
    suspect: tuple[tuple[int, int], ...] = ()
    damaged: bool = False


def read_log(data: bytes) -> Log:
    """Follow the checksums of a write-ahead log.

    Parameters
    ----------
    data : bytes
        The whole ``-wal`` file; it may be empty.
    """
    if len(data) < _WAL_HEADER + _FRAME_HEADER:
        return Log()
    magic, _, page_bytes, _ = struct.unpack_from(">4I", data)
    order = ">" if magic & 1 else "<"
    sums = _checksum(data[:24], (0, 0), order)
    if magic & ~1 != _LOG_MAGIC or struct.unpack_from(">2I", data, 24) != sums or not _is_page_size(page_bytes):
        salts = data[_WAL_HEADER + 8 : _WAL_HEADER + 16]
        frames = _frames(data, _USUAL_PAGE)
        suspect = [(number, body) for number, _, found, body in frames if found == salts]
        return Log(_USUAL_PAGE, {}, tuple(suspect), damaged=True)
    return _follow(data, page_bytes, sums, order)


def _frames(data: bytes, page_bytes: int) -> Iterator[tuple[int, int, bytes, int]]:
    """Give page number, size after a commit (else 0), salts, and where the page begins, of each frame."""
    for start in range(_WAL_HEADER, len(data) - _FRAME_HEADER - page_bytes + 1, _FRAME_HEADER + page_bytes):
        number, n_pages = struct.unpack_from(">2I", data, start)
        yield number, n_pages, data[start + 8 : start + 16], start + _FRAME_HEADER


def _follow(data: bytes, page_bytes: int, sums: tuple[int, int], order: str) -> Log:
    """Take every frame up to the first that is not sound, and see whether it is the end."""
    salts = data[16:24]
    sound, n_commits_behind = True, 0
    pages: dict[int, int] = {}
    pending: dict[int, int] = {}
    suspect: list[tuple[int, int]] = []
    for number, n_pages, found, body in _frames(data, page_bytes):
        if sound and found == salts:
            sums = _checksum(data[body - _FRAME_HEADER : body - 16], sums, order)
            sums = _checksum(data[body : body + page_bytes], sums, order)
            sound = struct.unpack_from(">2I", data, body - 8) == sums
        else:
            sound = False
        if sound:
            pending[number] = body
            if n_pages:
                pages |= pending
                pending = {}
        elif found == salts:
            suspect.append((number, body))
            n_commits_behind += n_pages > 0
    # A transaction begins only after the one before is synced: two complete ones behind a bad frame were not torn off.
    damaged = n_commits_behind > 1
    return Log(page_bytes, pages, tuple(suspect) if damaged else (), damaged)


def _checksum(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    """Continue the checksum of the log over words of 32 bits."""
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second


def _is_page_size(size: int) -> bool:
    return 512 <= size <= 65_536 and size & (size - 1) == 0  # noqa: PLR2004 - of the format


class DamagedFile:
    """A database file and its log, whatever is left of them.

    Parameters
    ----------
    path : Path
        The database file.
    """

    def __init__(self, path: Path) -> None:
        wal = path.with_name(f"{path.name}-wal")
        self._wal = wal.read_bytes() if wal.exists() else b""
        self._log = read_log(self._wal)
        self._later: dict[int, int] = {}
        self._known: Container[int] = frozenset()
        self._known_columns: Container[int] = ()
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self._file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else None
        header = self._file[:18] if self._file is not None else b""
        size = int.from_bytes(header[16:18], "big") if header.startswith(_MAGIC) else 0
        size = 65_536 if size == 1 else size
        self._page_bytes = size if _is_page_size(size) else self._log.page_bytes or _USUAL_PAGE

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            self._file.close()

    @property
    def log_damaged(self) -> bool:
        """Whether the log holds complete transactions that SQLite passes over."""
        return self._log.damaged

    def rows(self, *, known: Container[int] = frozenset(), n_columns: Container[int] = ()) -> Iterator[Row]:
        """Give the rows of every table leaf that can be read, of all tables: rowid and values.

        The log's committed pages come first. Among the rows are some that were deleted or changed since: a page that
        the database gave up keeps its content.

        Parameters
        ----------
        known : container of int
            Rowids that are passed over in the table of ``n_columns``.
        n_columns : container of int
            How many columns its rows may have.
        """
        self._known, self._known_columns = known, n_columns
        logged = self._log.pages
        for number in (*logged, *(number for number in range(1, self._n_pages + 1) if number not in logged)):
            yield from self._leaf(self._page(number), number)

    def later_rows(self) -> Iterator[Row]:
        """Give the rows of the log's frames behind a damaged one, the newest last."""
        self._later = dict(self._log.suspect)
        self._known = frozenset()
        for number, start in self._log.suspect:
            yield from self._leaf(self._wal[start : start + self._page_bytes], number)
        self._later = {}

    @property
    def _n_pages(self) -> int:
        return 0 if self._file is None else len(self._file) // self._page_bytes

    def _page(self, number: int) -> bytes:
        """Give a page as last committed; empty where there is none."""
        start = self._later.get(number) or self._log.pages.get(number)
        if start is not None:
            return self._wal[start : start + self._page_bytes]
        if self._file is None or not 0 < number <= self._n_pages:
            return b""
        return self._file[(number - 1) * self._page_bytes : number * self._page_bytes]

    def _leaf(self, page: bytes, number: int) -> Iterator[Row]:
        """Give the rows of a page when it is a table leaf."""
        head = 100 if number == 1 else 0
        if len(page) < self._page_bytes or page[head] != _LEAF:
            return
        n_cells = int.from_bytes(page[head + 3 : head + 5], "big")
        if head + 8 + 2 * n_cells > len(page):
            return
        for (start,) in struct.iter_unpack(">H", page[head + 8 : head + 8 + 2 * n_cells]):
            row = self._row(page, start)
            if row is not None:
                yield row

    def _row(self, page: bytes, start: int) -> Row | None:
        """Read one cell with what overflowed; None where it makes no sense."""
        try:
            n_bytes, start = _varint(page, start)
            rowid, start = _varint(page, start)
            if n_bytes > min(_MAX_ROW_BYTES, self._page_bytes * (self._n_pages + 1) + len(self._wal)):
                return None
            record = self._record(page, start, n_bytes)
            kinds, body = _kinds(record)
            if rowid in self._known and len(kinds) in self._known_columns:
                return None
            return rowid, tuple(_values(record, kinds, body))
        except (IndexError, ValueError, struct.error):
            return None

    def _record(self, page: bytes, start: int, n_bytes: int) -> bytes:
        usable = self._page_bytes
        if n_bytes <= usable - 35:
            return page[start : start + n_bytes]
        least = (usable - 12) * 32 // 255 - 23
        local = least + (n_bytes - least) % (usable - 4)
        local = local if local <= usable - 35 else least
        parts = [page[start : start + local]]
        missing = n_bytes - local
        following = int.from_bytes(page[start + local : start + local + 4], "big")
        while missing > 0:
            overflow = self._page(following)
            if not overflow:
                raise ValueError("the chain of a row is broken")
            parts.append(overflow[4 : 4 + missing])
            missing -= len(parts[-1])
            following = int.from_bytes(overflow[:4], "big")
        return b"".join(parts)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of variable length, and where it ends."""
    value = 0
    for k in range(8):
        byte = data[at + k]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004 - the flag of the format
            return value, at + k + 1
    return (value << 8 | data[at + 8]) - (1 << 64 if value >> 55 else 0), at + 9


def _kinds(record: bytes) -> tuple[list[int], int]:
    """Read the types of a record's values, and where the values begin."""
    length, at = _varint(record, 0)
    kinds = []
    while at < length:
        kind = record[at]
        if kind < 0x80:  # noqa: PLR2004 - the flag of the format
            at += 1
        else:
            kind, at = _varint(record, at)
        kinds.append(kind)
    return kinds, length


def _values(record: bytes, kinds: list[int], at: int) -> Iterator[Value]:
    """Decode the values of a record."""
    for kind in kinds:
        if kind >= _FIRST_TEXT:
            size = (kind - _FIRST_TEXT) // 2
        elif kind in (10, 11):
            raise ValueError("a reserved type")
        else:
            size = _SIZES[kind]
        piece = record[at : at + size]
        if len(piece) < size:
            raise ValueError("the record is shorter than its values")
        at += size
        yield _value(kind, piece)


def _value(kind: int, piece: bytes) -> Value:
    if kind >= _FIRST_TEXT:
        return piece.decode() if kind % 2 else piece
    if kind == 0:
        return None
    if kind in (_ZERO, _ONE):
        return kind - _ZERO
    if kind == _REAL:
        return float(struct.unpack(">d", piece)[0])
    return int.from_bytes(piece, "big", signed=True)
