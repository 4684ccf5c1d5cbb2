"""When a step that failed is tried again: each model has its own pause, longer each time; the cause may last hours."""

from __future__ import annotations

from collections.abc import Callable

_RETRY_S, _LONGEST_RETRY_S = 1.0, 10.0


class Retries:
    """Pauses of models, by name.

    Parameters
    ----------
    clock : callable
        Monotonic, s.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pauses: dict[str, tuple[int, float]] = {}

    def due(self, model: str) -> bool:
        """Whether nothing failed, or its pause is over."""
        return self._clock() >= self._pauses.get(model, (0, 0.0))[1]

    def later(self, model: str) -> None:
        """Leave it for a while."""
        n_failed, _ = self._pauses.get(model, (0, 0.0))
        pause_s = min(_LONGEST_RETRY_S, _RETRY_S * 2.0 ** min(n_failed, 8))
        self._pauses[model] = (n_failed + 1, self._clock() + pause_s)

    def forget(self, model: str) -> None:
        """Note that it went well."""
        self._pauses.pop(model, None)

    def clear(self) -> None:
        """Try everything again at once."""
        self._pauses.clear()
