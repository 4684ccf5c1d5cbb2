"""Looks through the outbox's file a little at a time while the daemon runs: SQLite sees damage only where it reads.

What is looked at is on the disk, not in SQLite's cache: the headers of file and log, whether each page can be one, and
whether each frame of the log belongs to it. A page of garbage is found; a wrong byte in a text is not.

The file stays open between two looks: POSIX drops all locks of a process on a file when it closes any descriptor of it,
and without SQLite's locks another program that looks at the outbox would take its log away.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_MAGIC: Final = b"SQLite format 3\x00"
_LOG_MAGICS: Final = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_TREE: Final = {0x02: 12, 0x05: 12, 0x0A: 8, 0x0D: 8}
_WAL_HEADER, _FRAME_HEADER = 32, 24
_LEAST_PAGE, _LARGEST_PAGE, _MOST_PAGES = 512, 65_536, 2**32
_LOOKED_AT = 16 << 20


class Scrubber:
    """Goes round and round through file and log.

    Parameters
    ----------
    path : Path
        The database file, which this process has open and nobody else writes.
    n_pages : int
        How many pages of the file one step looks at; of the log it looks at the first 16 MiB, which is usually all.
    """

    def __init__(self, path: Path, *, n_pages: int = 512) -> None:
        self._path = path
        self._n_pages = n_pages
        self._next = 0
        self._descriptor = -1

    def close(self) -> None:
        """Let go of the file; only after the database has been closed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _held(self) -> int:
        """Give a descriptor of the file that has the name now."""
        if self._descriptor < 0 or not os.path.samestat(os.fstat(self._descriptor), self._path.stat()):
            self.close()
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return self._descriptor

    def step(self) -> str:
        """Look at the next pages.

        Returns
        -------
        reason : str
            What cannot be; empty when nothing was found.

        Raises
        ------
        OSError
            If the disk cannot be read.
        """
        file = self._held()
        header = os.pread(file, 28, 0)
        page_bytes = int.from_bytes(header[16:18], "big")
        page_bytes = _LARGEST_PAGE if page_bytes == 1 else page_bytes
        if not header.startswith(_MAGIC) or page_bytes < _LEAST_PAGE or page_bytes & (page_bytes - 1):
            return "the file's header was destroyed"
        n_all = os.fstat(file).st_size // page_bytes
        reason, n_logged = self._look_at_log(page_bytes, n_all)
        if reason:
            return reason
        begin = self._next if self._next < n_all else 0
        data = os.pread(file, self._n_pages * page_bytes, begin * page_bytes)
        self._next = begin + len(data) // page_bytes
        for start in range(0, len(data) - page_bytes + 1, page_bytes):
            number = begin + start // page_bytes + 1
            if not _can_be(data, start + (100 if number == 1 else 0), page_bytes, max(n_all, n_logged)):
                return f"page {number} is none"
        return ""

    def _look_at_log(self, page_bytes: int, n_pages: int) -> tuple[str, int]:
        """Look at every frame; gives what is wrong, and the number of pages that the database has with the log."""
        try:
            with self._path.with_name(f"{self._path.name}-wal").open("rb") as file:
                data = file.read(_LOOKED_AT)
        except FileNotFoundError:  # of a file that is open, ``OutboxFile`` has noticed that before
            return "", n_pages
        if len(data) < _WAL_HEADER + _FRAME_HEADER:
            return "", n_pages
        if data[:4] not in _LOG_MAGICS:
            return "the log's header was destroyed", n_pages
        salts = data[16:24]
        frames = range(_WAL_HEADER, len(data) - _FRAME_HEADER - page_bytes + 1, _FRAME_HEADER + page_bytes)
        sizes = [int.from_bytes(data[at + 4 : at + 8], "big") for at in frames if data[at + 8 : at + 16] == salts]
        n_pages = max(n_pages, *sizes) if sizes else n_pages
        if len(data) == _LOOKED_AT:  # further frames tell how many pages there are
            n_pages = _MOST_PAGES
        ended = False
        for number, at in enumerate(frames, 1):
            if data[at + 8 : at + 16] != salts:
                ended = True  # frames of an earlier round may follow, none of this one
                continue
            body = at + _FRAME_HEADER + (100 if data[at : at + 4] == b"\x00\x00\x00\x01" else 0)
            if ended or not _can_be(data, body, page_bytes, n_pages):
                return f"the log is destroyed at or before frame {number}", n_pages
        return "", n_pages


def _can_be(data: bytes, at: int, page_bytes: int, n_pages: int) -> bool:
    """Whether a page can be one: a page of a tree with a header that fits, or one that begins with another's number."""
    header = _TREE.get(data[at])
    if header is None:
        return int.from_bytes(data[at : at + 4], "big") <= n_pages
    n_cells = int.from_bytes(data[at + 3 : at + 5], "big")
    return header + 2 * n_cells <= page_bytes and int.from_bytes(data[at + 5 : at + 7], "big") <= page_bytes
