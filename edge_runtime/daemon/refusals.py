"""Events that the broker does not take: when each is offered again, and which of them make the broker hang up.

A broker says that it refuses an event, or it ends the link: at MQTT 3.1.1 it can do nothing else, and mosquitto 2.0.11
does so after it has refused. One event that ends every link would hold up all others for ever. So an event that was on
its way when three links in a row broke is a suspect and goes alone; if the link breaks again, that one is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

_PAUSE_S = 1.0
#: A broker that was out of quota takes events again within this; one that never will is asked no more often.
_LONGEST_PAUSE_S = 8.0
_KEPT = 1000
_SUSPECT_AFTER = 3


@dataclass(frozen=True, slots=True)
class _Refusal:
    """When a refused event is offered again (monotonic, s), and how often it was."""

    retry_at: float
    tries: int


class Refusals:
    """Remembers by the outbox's number of an event.

    Parameters
    ----------
    clock : callable
        Monotonic, s.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._refused: dict[int, _Refusal] = {}
        self._losses: dict[int, int] = {}
        self._alone: int | None = None
        self.pause_until = 0.0

    def __len__(self) -> int:
        return len(self._refused)

    def refuse(self, stored: int) -> None:
        """Note that the broker does not take an event: it is offered again later and later, at last every 8 s."""
        self._settle(stored)
        tries = self._refused[stored].tries + 1 if stored in self._refused else 1
        wait = min(_LONGEST_PAUSE_S, _PAUSE_S * 2 ** min(tries, 10))
        self._refused[stored] = _Refusal(self._clock() + wait, tries)
        if len(self._refused) > _KEPT:  # the broker refuses everything: then all wait
            self.pause_until = self._clock() + _LONGEST_PAUSE_S
            self._refused.clear()

    def lose(self, stored: int) -> None:
        """Note that the link broke while an event was on its way."""
        if stored == self._alone:
            self.refuse(stored)
            self._losses[stored] = _SUSPECT_AFTER  # and it goes alone the next time, too
            return
        if len(self._losses) > _KEPT:
            self._losses.clear()
        self._losses[stored] = self._losses.get(stored, 0) + 1

    def take(self, stored: int) -> None:
        """Note that the broker has an event; when it was refused before, the others are offered again at once."""
        self._settle(stored)
        if self._refused.pop(stored, None) is not None:
            now = self._clock()
            self._refused = {each: _Refusal(now, refusal.tries) for each, refusal in self._refused.items()}

    def drop(self, stored: Iterable[int]) -> None:
        """Forget events that wait no longer."""
        for each in stored:
            self._refused.pop(each, None)
            self._settle(each)

    def numbers(self) -> list[int]:
        """Events that are refused."""
        return list(self._refused)

    def waiting(self, now: float) -> list[int]:
        """Events that are not to be offered now."""
        return [stored for stored, refusal in self._refused.items() if refusal.retry_at > now]

    def is_suspect(self, stored: int) -> bool:
        """Whether an event may be what ends the links, so that it must go alone."""
        return self._losses.get(stored, 0) >= _SUSPECT_AFTER

    @property
    def is_trying(self) -> bool:
        """Whether a suspect is on its way."""
        return self._alone is not None

    def send_alone(self, stored: int) -> None:
        """Note that a suspect is on its way, and nothing else."""
        self._alone = stored

    def end_trial(self) -> None:
        """Note that the link is gone, with what was on its way."""
        self._alone = None

    def _settle(self, stored: int) -> None:
        self._losses.pop(stored, None)
        if stored == self._alone:
            self._alone = None
