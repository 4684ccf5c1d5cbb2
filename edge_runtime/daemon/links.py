"""A worker as the supervisor sees it: its channel, its orders, what it was told to build and what it holds."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from edge_runtime.daemon import protocol

_log = logging.getLogger(__name__)

#: Of a packet in either direction.
MESSAGE_BYTES = 1 << 20
_MESSAGES_PER_READ = 256
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


class WorkerLink:
    """One forked worker, from the request for it to its end.

    Parameters
    ----------
    channel : socket
        Our end of it, non-blocking.
    orders_fd : int
        The memory file that the worker reads its orders from.
    load : Load
        Those orders.
    now : float, s
        Monotonic.

    Attributes
    ----------
    pid : int or None
        As the launcher told it.
    ready : bool
        Whether it has built its pipelines.
    in_flight : deque of int
        Ids of the inputs that it has, in order.
    """

    def __init__(self, channel: socket.socket, orders_fd: int, load: protocol.Load, now: float) -> None:
        self._channel: socket.socket | None = channel
        self._orders_fd = orders_fd
        self._pipelines = frozenset(plan.name for plan in load.pipelines)
        self._since = self._looked_at = now
        self.pid: int | None = None
        self.ready = False
        self.in_flight: deque[int] = deque()

    @property
    def ended(self) -> bool:
        """Whether it was told to end."""
        return self._channel is None

    def fileno(self) -> int:
        """Descriptor that becomes readable when it said something, or ended."""
        assert self._channel is not None
        return self._channel.fileno()

    def name(self, pid: int) -> None:
        """Take its process id; one that was ended before it had one is killed now."""
        self.pid = pid
        if self.ended:
            self.end()

    def submit(self, task: protocol.Task, now: float) -> None:
        """Hand an input over."""
        if not self.in_flight:
            self._since = now
        self.in_flight.append(task.id)
        if self._channel is not None:
            with suppress(OSError):  # a dead worker is noticed when it is read, and the input is still in flight
                self._channel.send(protocol.encode(task))

    def resume(self, states: Mapping[str, bytes]) -> None:
        """Let it go on from these window states, before its next input.

        Raises
        ------
        OSError
            If it is gone, or the host lacks memory.
        """
        assert self._channel is not None
        data = protocol.encode(protocol.Resume(dict(states)))
        os.ftruncate(self._orders_fd, 0)
        written = 0
        while written < len(data):
            written += os.pwrite(self._orders_fd, data[written:], written)
        self._channel.send(protocol.encode(protocol.Look()))

    def read(self, now: float) -> tuple[list[protocol.FromWorker], bool]:
        """Take its answers until there is none left; one that floods waits for the next call.

        Returns
        -------
        messages : list of FromWorker
            In their order.
        sound : bool
            False when it is gone, or speaks nonsense or out of turn.
        """
        messages: list[protocol.FromWorker] = []
        for _ in range(_MESSAGES_PER_READ):
            try:
                data = b"" if self._channel is None else self._channel.recv(MESSAGE_BYTES)
            except BlockingIOError:
                return messages, True
            except ConnectionResetError:  # it left tasks unread; what it said before comes after this error
                continue
            except OSError:
                data = b""
            if not data:
                return messages, False
            try:
                message = protocol.decode_from_worker(data, self._pipelines)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                _log.warning("stage=processing the worker spoke nonsense: %s", error)
                return messages, False
            if not self._take(message, now):
                return messages, False
            messages.append(message)
        return messages, True

    def _take(self, message: protocol.FromWorker, now: float) -> bool:
        """Keep the account of inputs in flight; False when it spoke out of turn: it was taken over or is broken."""
        if isinstance(message, protocol.Done) != self.ready:
            return False
        if isinstance(message, protocol.Ready):
            self.ready = True
            os.ftruncate(self._orders_fd, 0)  # the bundles in it are read
        elif isinstance(message, protocol.Done):
            if not self.in_flight or self.in_flight[0] != message.id:
                return False
            self.in_flight.popleft()
            self._since = now
        return True

    def fault(self, now: float, limits: WorkerLimits) -> str:
        """Say ``start_failed``, ``hung`` or ``grew`` of one that says nothing or takes too much; else nothing."""
        if self.in_flight:
            self._since += self._stalled_s(now, limits)
        self._looked_at = now
        waited = now - self._since
        if not self.ready and waited > limits.start_s:
            return "start_failed"
        if self.ready and self.in_flight and waited > limits.hang_s:
            return "hung"
        return "grew" if self._resident_bytes() > limits.memory_bytes else ""

    def _stalled_s(self, now: float, limits: WorkerLimits) -> float:
        """Time since the last look for which this process stood still itself, as the worker may have done."""
        usual = min(_LOOK_EVERY_S, limits.hang_s / 2)
        return max(0.0, now - max(self._looked_at, self._since) - usual)

    def _resident_bytes(self) -> int:
        """Resident memory, 0 when it is gone."""
        if self.pid is None:
            return 0
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as file:  # noqa: PTH123 - called often
                return int(file.read().split()[1]) * _PAGE_BYTES
        except (OSError, IndexError):
            return 0

    def end(self) -> None:
        """Kill it; what it holds is lost with it."""
        if self._channel is not None:
            self._channel.close()
            os.close(self._orders_fd)
            self._channel = None
        if self.pid is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGKILL)
            self.pid = None
