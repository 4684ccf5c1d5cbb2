"""Faults in the log: once when they begin, then at most every ten seconds, with how many were left out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

_log = logging.getLogger("edge_runtime.daemon")

_EVERY_S = 10.0
_KINDS = 4096


class Complaints:
    """Rate-limited log lines; thread-safe.

    Parameters
    ----------
    clock : callable
        Monotonic, s.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._told: dict[tuple[str, str, str], tuple[float, int]] = {}

    def say(self, stage: str, stream: str, reason: str, detail: str) -> None:
        """Log a fault unless the same one was logged just now.

        Parameters
        ----------
        stage : {"receiving", "processing", "sending"}
            Where it happened.
        stream : str
            The source or pipeline.
        reason : str
            The stable word that is counted.
        detail : str
            For a person.
        """
        key = (stage, stream, reason)
        now = self._clock()
        with self._lock:
            at, left_out = self._told.get(key, (float("-inf"), 0))
            if now - at < _EVERY_S:
                self._told[key] = (at, left_out + 1)
                return
            if len(self._told) >= _KINDS:
                self._told.clear()
            self._told[key] = (now, 0)
        more = f" and_before={left_out}" if left_out else ""
        _log.warning("stage=%s stream=%s reason=%s%s %s", stage, stream, reason, more, detail)
