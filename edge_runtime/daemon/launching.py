"""The launcher as the supervisor sees it: the process that workers are forked from."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from edge_runtime import __version__, kernels
from edge_runtime.daemon import protocol
from edge_runtime.daemon.links import MESSAGE_BYTES, WorkerLink
from edge_runtime.daemon.ring import Ring


class Process(Protocol):
    """What is needed of a started process."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    def kill(self) -> None:
        """End it."""
        ...

    def wait(self) -> int:
        """Wait for its end."""
        ...


class Launcher:
    """One running launcher.

    Parameters
    ----------
    process : Process
        It.
    control : socket
        Our end of the socket that it is asked on, non-blocking.
    formats : frozenset of str
        Model formats whose engines it has loaded.
    now : float, s
        Monotonic.

    Attributes
    ----------
    up : bool
        Whether it takes requests.
    since : float
        When it was started.
    """

    def __init__(self, process: Process, control: socket.socket, formats: frozenset[str], now: float) -> None:
        self._process = process
        self._control = control
        self._unnamed: deque[WorkerLink] = deque()
        self.formats = formats
        self.since = now
        self.up = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def fileno(self) -> int:
        """Descriptor that becomes readable when it said something, or ended."""
        return self._control.fileno()

    def fork(self, load: protocol.Load, now: float) -> WorkerLink:
        """Ask for a worker with these orders.

        Raises
        ------
        OSError
            If it is gone, or the host lacks descriptors or memory.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        orders = -1
        try:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MESSAGE_BYTES)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MESSAGE_BYTES)
            orders = os.memfd_create("edge-orders", os.MFD_CLOEXEC)
            with os.fdopen(orders, "wb", closefd=False) as file:
                file.write(protocol.encode(load))
            socket.send_fds(self._control, [b"fork"], [theirs.fileno(), orders])
        except OSError:
            ours.close()
            if orders >= 0:
                os.close(orders)
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        link = WorkerLink(ours, orders, load, now)
        self._unnamed.append(link)
        return link

    def read(self) -> bool:
        """Take its words: it is up, or a worker's process id; False when it is gone."""
        while True:
            try:
                word = self._control.recv(64)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if word == b"up":
                self.up = True
            elif word and self._unnamed:
                self._unnamed.popleft().name(int(word))
            else:
                return False

    def end(self) -> None:
        """Kill it; the kernel kills its workers."""
        self._control.close()
        self._process.kill()
        self._process.wait()


def start_launcher(
    ring: Ring, formats: Sequence[str], *, memory_bytes: int, cache_dir: Path | None, now: float
) -> Launcher:
    """Start the process that workers are forked from.

    Parameters
    ----------
    ring : Ring
        Where payloads are.
    formats : sequence of str
        Model formats whose engines it loads.
    memory_bytes : int
        Bound on each worker's private memory.
    cache_dir : Path or None
        Where compiled kernels are kept when the package's own folder cannot be written.
    now : float, s
        Monotonic.

    Raises
    ------
    OSError
        If the host lacks memory, processes or descriptors.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    numbers = (theirs.fileno(), ring.fd, ring.n_slots, ring.slot_bytes, memory_bytes)
    command = [sys.executable, "-m", "edge_runtime.daemon.launcher", *map(str, numbers), ",".join(formats)]
    try:
        process = subprocess.Popen(  # noqa: S603 - our own module, our own arguments
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), ring.fd),
            env=_environment(cache_dir),
        )
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    ours.setblocking(False)
    return Launcher(process, ours, frozenset(formats), now)


def _environment(cache_dir: Path | None) -> dict[str, str]:
    """Keep libraries from starting threads, and tell Numba where to keep compiled kernels, before their import."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    if cache_dir is not None and not os.access(Path(kernels.__file__).parent, os.W_OK):
        environment.setdefault("NUMBA_CACHE_DIR", str(cache_dir / __version__))
    return environment
