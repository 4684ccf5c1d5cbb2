"""Keeps one worker alive: starts it, hands it inputs, notices when it dies, hangs or grows, and replaces it."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_runtime import __version__, kernels
from edge_runtime.daemon import protocol
from edge_runtime.daemon.ring import Ring

_log = logging.getLogger(__name__)

_MESSAGE_BYTES = 1 << 20
_MESSAGES_PER_POLL = 256
#: Workers that may fail to come up before the launcher itself is replaced and the pauses begin.
_QUICK_TRIES = 2
#: The main loop looks at least so often; what it is late by is a stall of the machine, not a hang of the worker.
_LOOK_EVERY_S = 0.5
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """When a worker counts as lost.

    Attributes
    ----------
    start_s : float
        From the launcher's start to ``Ready``.
    hang_s : float
        On one input, less the time for which the whole machine stood still.
    memory_bytes : int
        Resident memory.
    in_flight : int
        Inputs with the worker at a time.
    """

    start_s: float = 30.0
    hang_s: float = 1.5
    memory_bytes: int = 1 << 30
    in_flight: int = 2


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker was lost.

    Attributes
    ----------
    reason : str
        ``crashed``, ``hung``, ``grew`` or ``start_failed``.
    in_hand : int or None
        Id of the input it was working on.
    waiting : tuple of int
        Ids of the inputs behind that one, in order.
    """

    reason: str
    in_hand: int | None
    waiting: tuple[int, ...]


Event = protocol.FromWorker | Lost


class WorkerKeeper:
    """The supervisor's side of the worker.

    Parameters
    ----------
    ring : Ring
        Where payloads are.
    orders : callable
        Gives the ``Load`` for a new worker: pipelines and the latest states.
    formats : sequence of str
        Model formats in use, for the launcher's imports.
    limits : WorkerLimits
        When it is replaced.
    clock : callable
        Monotonic, s.
    cache_dir : Path, optional
        Where compiled kernels are kept when the package's own folder cannot be written. What lies there is executed, so
        only the daemon's user may write it.
    """

    def __init__(
        self,
        ring: Ring,
        orders: Callable[[], protocol.Load],
        *,
        formats: Sequence[str],
        limits: WorkerLimits,
        clock: Callable[[], float],
        cache_dir: Path | None = None,
    ) -> None:
        self._ring = ring
        self._orders = orders
        self._formats = ",".join(formats)
        self._limits = limits
        self._clock = clock
        self._cache_dir = cache_dir
        self._launcher: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._channel: socket.socket | None = None
        self._pid: int | None = None
        self._in_flight: deque[int] = deque()
        self._pipelines: frozenset[str] = frozenset()
        self._since = 0.0
        self._looked_at = 0.0
        self._ready = False
        self._failures = 0
        self._not_before = 0.0
        self._vacant = False
        self._renewing = False
        self.n_replaced = 0

    @property
    def ready(self) -> bool:
        """Whether the worker has built its pipelines."""
        return self._ready

    @property
    def vacant(self) -> bool:
        """Whether the next ``poll`` asks for a worker: its orders may depend on what the last one said."""
        return self._vacant

    @property
    def has_room(self) -> bool:
        """Whether it takes another input now."""
        return (
            self._ready and not self._renewing and len(self._in_flight) < self._limits.in_flight and self._ring.has_room
        )

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of launcher and worker, as far as they run."""
        launcher = () if self._launcher is None else (self._launcher.pid,)
        return launcher if self._pid is None else (*launcher, self._pid)

    def filenos(self) -> list[int]:
        """Descriptors that become readable when ``poll`` has something to do."""
        return [end.fileno() for end in (self._control, self._channel) if end is not None]

    def submit(self, task: protocol.Task) -> None:
        """Hand an input over; ``has_room`` must hold."""
        if not self._in_flight:
            self._since = self._clock()
        self._in_flight.append(task.id)
        if self._channel is not None:
            with suppress(OSError):  # a dead worker is noticed by poll, and the input is still in flight
                self._channel.send(protocol.encode(task))

    def poll(self) -> list[Event]:
        """Do what is due and give everything the worker said since the last call."""
        events: list[Event] = []
        now = self._clock()
        if self._launcher is None:
            if now >= self._not_before:
                self._try_to_launch(events, now)
            return events
        if self._vacant:
            self._fork(events, now)
        self._read_control(events, now)
        self._read_channel(events, now)
        self._watch(events, now)
        if self._renewing and self._ready and not self._in_flight:
            self._ready = False
            self._kill_worker()
            self._vacant, self._since = True, now
        return events

    def renew(self) -> None:
        """Let another worker take over, with new orders, as soon as this one has answered what it holds."""
        self._renewing = True

    def _try_to_launch(self, events: list[Event], now: float) -> None:
        """Start the launcher; where the host lacks memory, processes or descriptors, again after a pause."""
        try:
            self._launch(now)
        except OSError as error:
            _log.warning("stage=processing the worker cannot be started: %s", error)
            self._lose("start_failed", events, now, with_launcher=True)

    def _launch(self, now: float) -> None:
        """Start the process that workers are forked from; OSError when the host cannot."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        numbers = (theirs.fileno(), self._ring.fd, self._ring.n_slots, self._ring.slot_bytes, self._limits.memory_bytes)
        command = [sys.executable, "-m", "edge_runtime.daemon.launcher", *map(str, numbers), self._formats]
        try:
            self._launcher = subprocess.Popen(  # noqa: S603 - our own module, our own arguments
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), self._ring.fd),
                env=self._environment(),
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        self._control = ours
        self._since = now

    def _environment(self) -> dict[str, str]:
        """Keep libraries from starting threads, and tell Numba where to keep compiled kernels, before their import."""
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        if self._cache_dir is not None and not os.access(Path(kernels.__file__).parent, os.W_OK):
            environment.setdefault("NUMBA_CACHE_DIR", str(self._cache_dir / __version__))
        return environment

    def _fork(self, events: list[Event], now: float) -> None:
        """Ask the launcher for a worker; one that is gone, or a lack of descriptors, is a launcher lost."""
        if self._control is None:
            return
        try:
            self._channel = self._request_worker(self._control)
        except OSError as error:
            _log.warning("stage=processing no worker can be asked for: %s", error)
            self._lose("start_failed", events, now, with_launcher=True)
        else:
            self._since = now

    def _request_worker(self, control: socket.socket) -> socket.socket:
        """Send the launcher a channel and the orders for a worker; gives our end of the channel."""
        load = self._orders()
        self._renewing = self._vacant = False
        self._pipelines = frozenset(plan.name for plan in load.pipelines)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _MESSAGE_BYTES)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MESSAGE_BYTES)
            orders = os.memfd_create("edge-orders", os.MFD_CLOEXEC)
            with os.fdopen(orders, "wb") as file:
                file.write(protocol.encode(load))
                file.flush()
                socket.send_fds(control, [b"fork"], [theirs.fileno(), orders])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        return ours

    def _read_control(self, events: list[Event], now: float) -> None:
        """Take the launcher's words: it is up, or a worker's process id, or its end."""
        while self._control is not None:
            try:
                word = self._control.recv(64)
            except BlockingIOError:
                return
            except OSError:
                word = b""
            if not word:
                self._lose("crashed", events, now, with_launcher=True)
            elif word == b"up":
                self._fork(events, now)
            else:
                self._pid = int(word)

    def _read_channel(self, events: list[Event], now: float) -> None:
        """Take the worker's answers until there is none left or it is gone; one that floods waits for the next poll."""
        for _ in range(_MESSAGES_PER_POLL):
            if self._channel is None:
                return
            try:
                data = self._channel.recv(_MESSAGE_BYTES)
            except BlockingIOError:
                return
            except ConnectionResetError:  # it left tasks unread; what it said before comes after this error
                continue
            except OSError:
                data = b""
            if not data:
                self._lose("crashed", events, now)
                return
            try:
                message = protocol.decode_from_worker(data, self._pipelines)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                _log.warning("stage=processing the worker spoke nonsense: %s", error)
                self._lose("crashed", events, now)
                return
            self._take(message, events, now)

    def _take(self, message: protocol.FromWorker, events: list[Event], now: float) -> None:
        """Keep the account of inputs in flight; a worker that speaks out of turn is taken over or broken."""
        if isinstance(message, protocol.Done) != self._ready:
            self._lose("crashed", events, now)
            return
        if isinstance(message, protocol.Ready):
            self._ready = True
            self._failures = 0
        elif isinstance(message, protocol.Done):
            if not self._in_flight or self._in_flight[0] != message.id:
                self._lose("crashed", events, now)
                return
            self._in_flight.popleft()
            self._since = now
        events.append(message)

    def _watch(self, events: list[Event], now: float) -> None:
        """Notice a worker that says nothing or takes too much."""
        if self._in_flight:
            self._since += self._stalled_s(now)
        self._looked_at = now
        waited = now - self._since
        if not self._ready and waited > self._limits.start_s:
            self._lose("start_failed", events, now, with_launcher=True)
        elif self._ready and self._in_flight and waited > self._limits.hang_s:
            self._lose("hung", events, now)
        elif self._pid is not None and self._resident_bytes() > self._limits.memory_bytes:
            self._lose("grew", events, now)

    def _stalled_s(self, now: float) -> float:
        """Time since the last look for which this process stood still itself, as the worker may have done."""
        usual = min(_LOOK_EVERY_S, self._limits.hang_s / 2)
        return max(0.0, now - max(self._looked_at, self._since) - usual)

    def _resident_bytes(self) -> int:
        """Resident memory of the worker, 0 when it is gone."""
        try:
            with open(f"/proc/{self._pid}/statm", "rb") as file:  # noqa: PTH123 - called often
                return int(file.read().split()[1]) * _PAGE_BYTES
        except (OSError, IndexError):
            return 0

    def _lose(self, reason: str, events: list[Event], now: float, *, with_launcher: bool = False) -> None:
        """Kill what is left, report it, and have the next one started (later and later while it does not come up)."""
        if self._channel is not None or with_launcher:
            held = tuple(self._in_flight)
            events.append(Lost(reason, held[0] if held else None, held[1:]))
            self._in_flight.clear()
            self.n_replaced += 1
        if not self._ready:
            self._failures += 1
        self._ready = False
        self._kill_worker()
        if with_launcher or self._failures > _QUICK_TRIES:
            self._end_launcher()
            self._not_before = now + (0.0 if self._failures < _QUICK_TRIES else min(10.0, 0.25 * 2**self._failures))
        else:
            self._vacant, self._since = True, now

    def _kill_worker(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._pid is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self._pid, signal.SIGKILL)
            self._pid = None

    def _end_launcher(self) -> None:
        self._vacant = False
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._launcher is not None:
            self._launcher.kill()
            self._launcher.wait()
            self._launcher = None

    def close(self) -> None:
        """End worker and launcher."""
        self._kill_worker()
        self._end_launcher()

    def wait(self, timeout_s: float) -> bool:
        """Wait until ``poll`` has something to do; False after ``timeout_s``."""
        poller = select.poll()  # select(2) knows no descriptor beyond 1023
        for descriptor in self.filenos():
            poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(timeout_s * 1000))
