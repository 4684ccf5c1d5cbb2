"""The preloaded library that lets a real daemon meet a disk that refuses, is slow, or forgets; and a leak.

The library is compiled where it is used. A page shared with the daemon's processes switches it while they run.
"""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Literal, get_args

Switch = Literal["refuse_errno", "sync_delay_ms", "keep_undo", "leak_pid", "leak_kb"]
_RECORD = struct.Struct("=qqq")


def can_compile() -> bool:
    """Whether there is a C compiler for it."""
    return shutil.which("gcc") is not None


class Meddler:
    """The library and the page that switches it.

    Parameters
    ----------
    folder : Path
        Where both are made.
    under : Path
        The folder whose files are meddled with.
    """

    def __init__(self, folder: Path, under: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.under = under
        self._library = folder / "meddler.so"
        self._control = folder / "control"
        source = Path(__file__).with_name("meddler.c")
        command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(self._library), str(source), "-ldl"]
        subprocess.run(command, check=True)
        self._control.write_bytes(bytes(mmap.PAGESIZE))
        with self._control.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def environment(self) -> dict[str, str]:
        """What a daemon's environment needs."""
        return {
            "LD_PRELOAD": str(self._library),
            "MEDDLER_CONTROL": str(self._control),
            "MEDDLER_UNDER": str(self.under),
        }

    def set(self, switch: Switch, value: int) -> None:
        """Turn a switch."""
        struct.pack_into("=i", self._page, 4 * get_args(Switch).index(switch), value)

    def release(self) -> None:
        """Turn every switch off."""
        for switch in get_args(Switch):
            self.set(switch, 0)

    def forget_unsynced(self) -> int:
        """Take back what was written after each file's last sync, as a power cut does; the daemon is dead.

        Returns
        -------
        count : int
            How many writes were taken back.
        """
        count = 0
        for undo in sorted(self.under.glob("*.undo")):
            path, records = undo.with_suffix(""), _records(undo.read_bytes())
            if path.exists():
                with path.open("r+b") as file:
                    for offset, length, size, data in reversed(records):
                        os.pwrite(file.fileno(), data[:length], offset)
                        os.ftruncate(file.fileno(), size)
                count += len(records)
            undo.unlink()
        return count


def _records(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Read an undo file: offset, length, size of the file before, and the bytes that were there."""
    found, place = [], 0
    while place + _RECORD.size <= len(data):
        offset, length, size = _RECORD.unpack_from(data, place)
        place += _RECORD.size
        found.append((offset, length, size, data[place : place + length]))
        place += length
    return found
