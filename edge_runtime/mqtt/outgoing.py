"""What waits to be sent to the broker, and what was sent and is not yet acknowledged."""

from __future__ import annotations

import threading
from collections import deque

from edge_runtime.mqtt.interface import Outgoing

#: Bytes and messages that may wait for the socket before ``put`` says no.
MAX_QUEUED_BYTES = 33_554_432
MAX_QUEUED_MESSAGES = 4096


class OutgoingQueue:
    """Bounded queue between the callers of ``publish`` and the network thread. Safe to use from several threads.

    Parameters
    ----------
    inflight_maximum : int
        QoS 1 messages that may be queued or unacknowledged together.
    """

    def __init__(self, inflight_maximum: int) -> None:
        self._inflight_maximum = inflight_maximum
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, Outgoing]] = deque()
        self._waiting_bytes = 0
        self._open: set[int] = set()
        self._accepting = False
        self._last_token = 0

    def accept(self, accepting: bool) -> None:
        """Take messages from now on, or no more."""
        with self._changed:
            self._accepting = accepting
            self._changed.notify_all()

    def put(self, message: Outgoing) -> int | None:
        """Queue a message; None when there is no room or no link."""
        with self._changed:
            if not self._accepting or not self._has_room(message.qos):
                return None
            self._last_token += 1
            self._waiting.append((self._last_token, message))
            self._waiting_bytes += len(message.payload)
            if message.qos:
                self._open.add(self._last_token)
            return self._last_token

    def _has_room(self, qos: int) -> bool:
        """Whether another message may wait."""
        if len(self._waiting) >= MAX_QUEUED_MESSAGES or self._waiting_bytes >= MAX_QUEUED_BYTES:
            return False
        return not qos or len(self._open) < self._inflight_maximum

    def take(self) -> tuple[int, Outgoing] | None:
        """Take the next message to send."""
        with self._changed:
            if not self._waiting:
                return None
            token, message = self._waiting.popleft()
            self._waiting_bytes -= len(message.payload)
            self._changed.notify_all()
            return token, message

    def close(self, token: int) -> bool:
        """Forget a QoS 1 message; False when it is not open."""
        with self._changed:
            known = token in self._open
            self._open.discard(token)
            self._changed.notify_all()
            return known

    def clear(self) -> list[int]:
        """Forget everything, and give the QoS 1 messages of which nobody knows what became."""
        with self._changed:
            lost = sorted(self._open)
            self._open.clear()
            self._waiting.clear()
            self._waiting_bytes = 0
            self._changed.notify_all()
            return lost

    def wait_empty(self, timeout_s: float) -> bool:
        """Wait until nothing waits and nothing is open."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._open, timeout_s)

    def wait_room(self, qos: int, timeout_s: float) -> bool:
        """Wait until a message would be taken."""
        with self._changed:
            return self._changed.wait_for(lambda: self._accepting and self._has_room(qos), timeout_s)
