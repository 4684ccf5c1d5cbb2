"""Which pipelines the next worker is to build: not those that took workers down, nor, for a while, those too slow.

Pure: the caller gives times and learns what to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

Model = TypeVar("Model")

_TRIES = 2
_REST_S, _LONGEST_REST_S = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class _Resting(Generic[Model]):
    model: Model
    until: float


class Roster(Generic[Model]):
    """The pipelines that run or are tried.

    Parameters
    ----------
    models : mapping of str to Model
        By pipeline, in the order in which they are built.
    """

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = dict(models)
        self._failures: dict[str, int] = {}
        self._resting: dict[str, _Resting[Model]] = {}

    @property
    def models(self) -> Mapping[str, Model]:
        """What the next worker builds."""
        return self._models

    def replace(self, name: str, model: Model) -> None:
        """Build a pipeline from this from now on; one that is left out stays so."""
        if name in self._models:
            self._models[name] = model

    def settle(self, models: Mapping[str, Model]) -> None:
        """Build these from now on: a worker has built all of them."""
        self._models = dict(models)
        for name in models:
            self._failures.pop(name, None)
            self._resting.pop(name, None)

    def drop(self, name: str) -> None:
        """Leave a pipeline out until somebody settles on it again."""
        self._models.pop(name, None)
        self._resting.pop(name, None)

    def praise(self, name: str) -> None:
        """Note that a pipeline was built."""
        self._failures.pop(name, None)

    def blame(self, name: str, reason: str, *, now: float) -> str:
        """Count a worker that was lost while it built a pipeline; the second time it is left out.

        Parameters
        ----------
        name : str
            The pipeline.
        reason : str
            As ``keeper.Lost`` gives it. After ``start_failed`` the pipeline is tried again, later and later: a slow
            boot is no fault of its model, and a model that never loads must not stop the others.
        now : float, s
            Monotonic.

        Returns
        -------
        words : str
            Why it is left out; empty when it is tried again at once.
        """
        self._failures[name] = failures = self._failures.get(name, 0) + 1
        model = self._models.get(name)
        if failures < _TRIES or model is None:
            return ""
        del self._models[name]
        words = f"its model took the worker down twice while it was loaded ({reason})"
        if reason != "start_failed":
            return words
        rest_s = min(_LONGEST_REST_S, _REST_S * 2.0 ** min(failures - _TRIES, 16))
        self._resting[name] = _Resting(model, now + rest_s)
        return f"{words}; it is tried again in {rest_s:g} s"

    def recall(self, now: float) -> str:
        """Take back a pipeline that has rested.

        Parameters
        ----------
        now : float, s
            Monotonic.

        Returns
        -------
        name : str
            The one that the next worker builds again; empty when none has rested.
        """
        for name, resting in self._resting.items():
            if now >= resting.until:
                self._models[name] = self._resting.pop(name).model
                return name
        return ""
