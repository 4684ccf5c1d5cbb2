"""When alarms come faster than an operator can read them: more than so many in a window of time, after ISA-18.2.

Pure: the caller gives the time.
"""

from __future__ import annotations

from collections import deque
from typing import Annotated

import msgspec
from msgspec import Meta

#: The largest number of alarms that a flood may be made to begin at.
MAX_FLOOD_N = 10_000


class FloodState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A flood as it is checkpointed; ``recent`` holds the times (s) of the newest raised alarms, oldest first."""

    recent: Annotated[tuple[float, ...], Meta(max_length=MAX_FLOOD_N + 1)] = ()
    active: bool = False
    n_raised: int = 0
    n_quiet: int = 0


class Flood:
    """Counts raised alarms and says whether there are too many of them.

    A flood begins with the alarm that makes more than ``n`` within ``window_s``, and ends when no more than half of
    ``n`` lie within it: a rate about the limit does not begin and end one flood after the other.

    Parameters
    ----------
    n : int
        Alarms that one operator can take within the window; 0: there is never a flood.
    window_s : float
        Length of the window.
    state : FloodState, optional
        A checkpoint to go on from.

    Attributes
    ----------
    active : bool
        Whether there is a flood.
    revision : int
        Grows whenever the checkpoint changes.
    n_raised, n_quiet : int
        Alarms of the present or last flood, with those that began it, and how many of them were not annunciated.
    """

    def __init__(self, n: int, window_s: float, state: FloodState | None = None) -> None:
        self._n = n
        self._window_s = window_s
        before = state or FloodState()
        self._recent = deque(before.recent, maxlen=n + 1)
        self.active = before.active
        self.n_raised = before.n_raised
        self.n_quiet = before.n_quiet
        self.revision = 0

    @property
    def state(self) -> FloodState:
        """What is to be checkpointed."""
        return FloodState(tuple(self._recent), self.active, self.n_raised, self.n_quiet)

    def count(self, now_s: float, *, may_be_quiet: bool) -> bool:
        """Count a raised alarm.

        Parameters
        ----------
        now_s : float, s
            Never goes back.
        may_be_quiet : bool
            Whether the alarm need not be annunciated by itself in a flood.

        Returns
        -------
        quiet : bool
            Whether it is not to be annunciated by itself.
        """
        if not self._n:
            return False
        self._recent.append(now_s)
        self.revision += 1
        if not self.active and len(self._recent) > self._n and self._recent[0] + self._window_s > now_s:
            self.active, self.n_raised, self.n_quiet = True, self._n, 0
        if not self.active:
            return False
        self.n_raised += 1
        self.n_quiet += may_be_quiet
        return may_be_quiet

    def due(self) -> float | None:
        """When the flood ends if no alarm is raised any more, s; None when there is none."""
        if not self.active:
            return None
        if not self._n:
            return -float("inf")
        keeps = self._n // 2 + 1
        return self._recent[-keeps] + self._window_s if len(self._recent) >= keeps else -float("inf")

    def tick(self, now_s: float) -> bool:
        """End the flood if it is time; True when it ended now."""
        due = self.due()
        if due is None or now_s < due:
            return False
        self.active = False
        self.revision += 1
        return True
