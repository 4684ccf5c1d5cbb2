"""Memory of processes, from the kernel."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def proportional_bytes(pids: Iterable[int]) -> int:
    """Sum the memory of processes, pages that several share counted once (PSS).

    Parameters
    ----------
    pids : iterable of int
        Processes; those that are gone count nothing.

    Returns
    -------
    size : int
        Bytes. Where the kernel does not tell PSS, resident memory is taken.
    """
    return sum(_one(pid) for pid in pids)


def _one(pid: int) -> int:
    folder = Path("/proc") / str(pid)
    for name, key in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            text = (folder / name).read_text()
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    return 0


def resident_bytes(pid: int) -> int:
    """Give the resident memory of a process; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return 0
