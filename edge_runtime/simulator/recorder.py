"""Writes what a broker delivers into a recording: bounded memory, nothing acknowledged that is not with the system."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_runtime.errors import BrokerError
from edge_runtime.mqtt.interface import AckToken, BrokerSession, Incoming, SessionCallbacks, Subscription
from edge_runtime.simulator.recording import Header, Message, RecordingWriter

_CONNECT_S = 15.0
_GLANCE_S = 0.1
_BATCH = 256
#: Messages and bytes between network and file; beyond either, nothing is read from the broker.
_WAITING = 4096
_WAITING_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was recorded.

    Attributes
    ----------
    n_messages, n_bytes : int
        In the file.
    n_dropped : int
        Messages that the session did not deliver, such as too long ones.
    full : bool
        Whether it ended because the file may grow no further.
    """

    n_messages: int
    n_bytes: int
    n_dropped: int
    full: bool


class Link(BrokerSession, Protocol):
    """A session that can be waited for."""

    def wait_connected(self, timeout_s: float) -> None:
        """Wait for the link; raises a BrokerError when there is none by then."""
        ...


#: Makes a session with these callbacks.
Connect = Callable[[SessionCallbacks], Link]


class Recorder:
    """Between a session and a file.

    Parameters
    ----------
    connect : callable
        Makes the session; it is started and stopped here.
    filters : sequence of str
        What is recorded, at QoS 1 where the publisher allows.
    """

    def __init__(self, connect: Connect, filters: Sequence[str]) -> None:
        self._filters = tuple(filters)
        self._waiting: queue.SimpleQueue[tuple[float, Incoming]] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._held = False
        self._lock = threading.Lock()
        self._n_dropped = 0
        self._refused: list[BrokerError] = []
        callbacks = SessionCallbacks(
            on_message=self._take,
            on_dropped=self._drop,
            on_refused=lambda _topic_filter, error: self._refused.append(error),
        )
        self._session = connect(callbacks)

    def record(
        self,
        path: Path,
        *,
        own: str,
        duration_s: float | None,
        max_bytes: int,
        stop: threading.Event,
        on_start: Callable[[], None],
    ) -> Recorded:
        """Record until the time is over, the file is full, or ``stop``.

        Parameters
        ----------
        path : Path
            A new file.
        own : str
            Topics below this are the gateway's own.
        duration_s : float or None, s
            How long; None for until ``stop``.
        max_bytes : int
            How large the file may grow.
        stop : threading.Event
            Ends it.
        on_start : callable
            Told when the broker is there.

        Returns
        -------
        recorded : Recorded
            What is in the file.

        Raises
        ------
        HostEnvironmentError
            If the file exists or the disk refuses.
        BrokerError
            If the broker is not there, or refuses a subscription.
        """
        self._session.subscribe([Subscription(each, 1) for each in self._filters])
        header = Header(time.time_ns() // 1_000_000, self._filters, own)
        began = time.monotonic()
        full = False
        with RecordingWriter(path, header, max_bytes=max_bytes) as writer:
            try:
                self._session.start()
                self._session.wait_connected(_CONNECT_S)
                on_start()
                while not (full or stop.is_set() or self._refused):
                    if duration_s is not None and time.monotonic() - began >= duration_s:
                        break
                    full = not self._write(writer, began)
            finally:
                self._session.stop()
        if self._refused:
            raise self._refused[0]
        return Recorded(writer.n_messages, writer.n_bytes, self._n_dropped, full)

    def _write(self, writer: RecordingWriter, began: float) -> bool:
        """Write what waits, and acknowledge it; False when the file is full."""
        tokens: list[AckToken | None] = []
        for message, arrived in self._next():
            if not writer.write(_recorded(message, max(0.0, arrived - began))):
                return False
            tokens.append(message.token)
        writer.flush()
        for token in tokens:
            self._session.acknowledge(token)
        return True

    def _next(self) -> Iterator[tuple[Incoming, float]]:
        """Give the next messages, a bounded number, and when they came; waits a moment for the first."""
        for place in range(_BATCH):
            try:
                arrived, message = self._waiting.get(timeout=0.0 if place else _GLANCE_S)
            except queue.Empty:
                self._session.resume()  # all is written: whatever held reading up is over
                return
            self._release(len(message.payload))
            yield message, arrived

    def _take(self, message: Incoming) -> None:
        """Queue a message; called from the network thread."""
        with self._lock:
            self._waiting_bytes += len(message.payload)
            full = self._waiting_bytes > _WAITING_BYTES or self._waiting.qsize() >= _WAITING
            hold, self._held = full and not self._held, full or self._held
        self._waiting.put((time.monotonic(), message))
        if hold:
            self._session.pause()

    def _release(self, n_bytes: int) -> None:
        """Give room back, and read on once half of it is free."""
        with self._lock:
            self._waiting_bytes -= n_bytes
            free = self._waiting_bytes < _WAITING_BYTES // 2 and self._waiting.qsize() < _WAITING // 2
            resume = self._held and free
            self._held = self._held and not free
        if resume:
            self._session.resume()

    def _drop(self, _topic: str, _reason: str) -> None:
        self._n_dropped += 1


def _recorded(message: Incoming, offset_s: float) -> Message:
    """Write a message as a record."""
    return Message(
        round(offset_s * 1e6),
        message.topic,
        message.payload,
        message.qos,
        message.retain,
        message.user_properties,
    )
