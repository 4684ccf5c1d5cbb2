"""Which received messages may be acknowledged: MQTT wants acknowledgements in the order of receipt."""

from __future__ import annotations

import threading
from collections import deque

from edge_runtime.mqtt.interface import AckToken


class AckLedger:
    """The QoS 1 messages of one connection that are not yet acknowledged. Safe to use from several threads.

    Parameters
    ----------
    generation : int
        Number of the connection; tokens of other connections are passed over.

    Examples
    --------
    >>> ledger = AckLedger(generation=1)
    >>> first, second = ledger.receive(mid=7), ledger.receive(mid=8)
    >>> ledger.settle(second)
    >>> ledger.take_due()
    []
    >>> ledger.settle(first)
    >>> ledger.take_due()
    [7, 8]
    """

    def __init__(self, generation: int) -> None:
        self._generation = generation
        self._lock = threading.Lock()
        self._waiting: deque[int] = deque()
        self._first = 0
        self._settled: set[int] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def receive(self, mid: int) -> AckToken:
        """Enter a message.

        Parameters
        ----------
        mid : int
            The packet's identifier.

        Returns
        -------
        token : AckToken
            For :meth:`settle`.
        """
        with self._lock:
            self._waiting.append(mid)
            return self._generation, self._first + len(self._waiting) - 1

    def settle(self, token: AckToken) -> None:
        """Mark a message as done with; twice is once, and tokens of other connections do nothing.

        Parameters
        ----------
        token : AckToken
            As :meth:`receive` gave it.
        """
        generation, place = token
        with self._lock:
            if generation == self._generation and self._first <= place < self._first + len(self._waiting):
                self._settled.add(place)

    def take_due(self) -> list[int]:
        """Take the identifiers that may be acknowledged now.

        Returns
        -------
        mids : list of int
            The longest run of settled messages from the oldest on; they leave the ledger.
        """
        due: list[int] = []
        with self._lock:
            while self._first in self._settled:
                self._settled.remove(self._first)
                due.append(self._waiting.popleft())
                self._first += 1
        return due
