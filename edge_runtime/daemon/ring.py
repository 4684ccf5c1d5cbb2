"""Shared memory between supervisor and worker: payload bytes cross without a copy through a pipe.

The supervisor owns the slots: it fills one, names it in a message, and takes it back when the worker has answered or
died. The memory is sealed: whoever inherits it can map it for reading only, so that a worker that was taken over can
neither disturb inputs that are to be tried again nor cut the memory from under the supervisor.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from contextlib import suppress

from edge_runtime.errors import PayloadSizeError

_F_SEAL_FUTURE_WRITE = 0x10  # linux/fcntl.h; the standard library lacks it


class Ring:
    """The supervisor's side: an anonymous memory file with slots of equal size.

    Memory is only taken for the pages that payloads touch.

    Parameters
    ----------
    n_slots : int
        Number of inputs that may be with the worker at a time, 1 or more.
    slot_bytes : int
        The largest payload.
    """

    def __init__(self, n_slots: int, slot_bytes: int) -> None:
        self.slot_bytes = -(-slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self.n_slots = n_slots
        self.fd = os.memfd_create("edge-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.fd, self.slot_bytes * n_slots)
            self._map = mmap.mmap(self.fd, self.slot_bytes * n_slots)
        except OSError:
            os.close(self.fd)
            raise
        with suppress(OSError):  # Linux before 5.1 cannot keep the one mapping that is there
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _F_SEAL_FUTURE_WRITE)
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        self._free = list(range(n_slots - 1, -1, -1))

    @property
    def has_room(self) -> bool:
        """Whether a slot is free."""
        return bool(self._free)

    def fill(self, payload: bytes | bytearray | memoryview) -> int:
        """Copy a payload into a free slot.

        Parameters
        ----------
        payload : bytes-like, C-contiguous
            At most ``slot_bytes`` long.

        Returns
        -------
        slot : int
            To be given back with ``release``.

        Raises
        ------
        PayloadSizeError
            If the payload is larger than a slot.
        IndexError
            If no slot is free.
        """
        view = memoryview(payload).cast("B")
        if len(view) > self.slot_bytes:
            raise PayloadSizeError(f"a payload of {len(view)} bytes exceeds the ring's slot of {self.slot_bytes} bytes")
        slot = self._free.pop()
        start = slot * self.slot_bytes
        self._map[start : start + len(view)] = view
        return slot

    def release(self, slot: int) -> None:
        """Take a slot back."""
        self._free.append(slot)

    def close(self) -> None:
        """Give the memory back."""
        self._map.close()
        os.close(self.fd)


class RingView:
    """The worker's side: the same memory, read-only.

    Parameters
    ----------
    fd : int
        The inherited file descriptor.
    n_slots, slot_bytes : int
        As the supervisor's ring has them.
    """

    def __init__(self, fd: int, n_slots: int, slot_bytes: int) -> None:
        self.slot_bytes = slot_bytes
        self._map = mmap.mmap(fd, n_slots * slot_bytes, mmap.MAP_SHARED, mmap.PROT_READ)
        self._view = memoryview(self._map)

    def read(self, slot: int, n_bytes: int) -> memoryview:
        """Give the first ``n_bytes`` of a slot, valid until the worker answers for it."""
        start = slot * self.slot_bytes
        return self._view[start : start + n_bytes]
