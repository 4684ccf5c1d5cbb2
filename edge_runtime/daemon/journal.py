"""Everything that one turn of the main loop makes durable, in one transaction, and what is acknowledged after it.

An input is acknowledged to the broker only when the events and the state that it caused are on disk.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Generic, TypeVar

from edge_runtime.daemon.outbox import Outbox, Outgoing
from edge_runtime.errors import HostEnvironmentError

_log = logging.getLogger(__name__)

Token = TypeVar("Token")

_RETRY_S = 1.0
_SLOW_S = 0.25
_REMEMBER_SLOW_S = 5.0


class Journal(Generic[Token]):
    """Collects until a commit is due, then commits and releases acknowledgements.

    Parameters
    ----------
    outbox : Outbox
        Where it goes.
    acknowledge : callable
        Releases an input's acknowledgement.
    checkpoint_s : float
        State without events is committed this long after the first of it.
    max_tokens : int
        Or as soon as so many inputs wait for their acknowledgement.
    clock : callable
        Monotonic, s; times the commits.

    Attributes
    ----------
    fault : str
        Why the disk refuses; empty when it does not.
    holding : bool
        Whether events are committed and held back, until their times are known.
    """

    def __init__(
        self,
        outbox: Outbox,
        acknowledge: Callable[[Token], None],
        *,
        checkpoint_s: float,
        max_tokens: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._slow_at = float("-inf")
        self._outbox = outbox
        self._acknowledge = acknowledge
        self._checkpoint_s = checkpoint_s
        self._max_tokens = max_tokens
        self._events: list[Outgoing] = []
        self._state: dict[str, bytes | None] = {}
        self._tokens: list[Token] = []
        self._since: float | None = None
        self._retry_at = 0.0
        self._sequence: dict[str, int] = {}
        self._committed: dict[str, int] = {}
        self.fault: str = ""
        self.holding = False

    def next_seq(self, series: str) -> int:
        """Give the next number of a series of events, from 1."""
        self._sequence[series] = self._sequence.get(series, 0) + 1
        return self._sequence[series]

    def last_seq(self, series: str) -> int:
        """Give the highest number of a series so far."""
        return self._sequence.get(series, 0)

    def committed(self) -> dict[str, int]:
        """Give the highest number of each series that is on disk."""
        return dict(self._committed)

    def add_event(self, event: Outgoing) -> None:
        """Commit this event with the next batch, at once."""
        self._events.append(replace(event, held=True) if self.holding else event)

    def set_state(self, key: str, value: bytes | None, *, now: float) -> None:
        """Commit this state with the next batch; None deletes it."""
        self._state[key] = value
        self._since = now if self._since is None else self._since

    def finish(self, token: Token | None, *, now: float) -> None:
        """Acknowledge an input after the next batch."""
        if token is not None:
            self._tokens.append(token)
            self._since = now if self._since is None else self._since

    def due_in(self, now: float) -> float | None:
        """Seconds until a commit is due; None when there is nothing to commit."""
        if not (self._events or self._state or self._tokens):
            return None
        wait = 0.0 if self._events or len(self._tokens) >= self._max_tokens else self._checkpoint_s
        return max(0.0, (self._since if self._since is not None else now) + wait - now, self._retry_at - now)

    def is_slow(self, now: float) -> bool:
        """Whether a commit within the last five seconds took more than a quarter of a second."""
        return now - self._slow_at < _REMEMBER_SLOW_S

    def flush(self, now: float, *, force: bool = False) -> bool:
        """Commit if it is due.

        Parameters
        ----------
        now : float, s
            Monotonic.
        force : bool
            Commit whatever there is.

        Returns
        -------
        committed : bool
            False when nothing was due, or when the disk refused; the batch is kept and tried again.
        """
        due = self.due_in(now)
        if due is None or (due > 0 and not force):
            return False
        began = self._clock()
        try:
            self._outbox.commit(self._events, self._state)
        except HostEnvironmentError as error:
            if not self.fault:
                _log.error("stage=sending %s; inputs wait", error)
            self.fault = str(error)
            self._retry_at = now + _RETRY_S
            return False
        if (ended := self._clock()) - began > _SLOW_S:
            self._slow_at = ended
        self.fault = ""
        self._committed |= {event.series: event.seq for event in self._events if event.series}
        tokens, self._tokens = self._tokens, []
        self._events, self._state, self._since = [], {}, None
        for token in tokens:
            self._acknowledge(token)
        return True
