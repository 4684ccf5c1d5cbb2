"""How long to wait before the broker is tried again."""

from __future__ import annotations

import random


class Backoff:
    """Waits that double up to a limit, each drawn from its upper half so that a plant does not return all at once.

    Parameters
    ----------
    first_s : float
        Longest first wait.
    longest_s : float
        Longest wait.
    rng : random.Random
        Source of the jitter.
    """

    def __init__(self, first_s: float, longest_s: float, rng: random.Random) -> None:
        self._first_s = first_s
        self._longest_s = max(longest_s, first_s)
        self._rng = rng
        self._next_s = first_s

    def reset(self) -> None:
        """Begin again with the first wait: a connection stood."""
        self._next_s = self._first_s

    def next_s(self) -> float:
        """Give the next wait.

        Returns
        -------
        wait_s : float
            Within half and whole of the present step.
        """
        step = self._next_s
        self._next_s = min(self._longest_s, step * 2)
        return self._rng.uniform(step / 2, step)
