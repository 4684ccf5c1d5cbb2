"""Blame during a probation: which lost workers and failed pipelines are the doing of the model that was promoted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from edge_runtime.config import Pipeline
from edge_runtime.daemon.intake import Item
from edge_runtime.daemon.release_book import Release, ReleaseBook
from edge_runtime.daemon.rollout import LOSSES_IN_PROBATION

_WORDS = {"grew": "memory"}

#: Gives the pipelines that run a model.
PipelinesOf = Callable[[str], Iterable[Pipeline]]


class Probations:
    """What happened to each model on probation, whether or not another one runs beside it just now.

    Parameters
    ----------
    book : ReleaseBook
        Keeps how many inputs the worker was lost on.
    pipelines_of : callable
        Gives the pipelines that run a model.
    """

    def __init__(self, book: ReleaseBook, pipelines_of: PipelinesOf) -> None:
        self._book = book
        self._pipelines_of = pipelines_of
        self._failed: dict[str, str] = {}
        self._blamed: dict[str, set[int]] = {}
        self._verdicts: dict[str, str] = {}

    def begin(self, model: str) -> None:
        """Begin to watch, or go on; a pipeline that does not run already counts at once."""
        self._blamed.setdefault(model, set())
        for pipeline in self._pipelines_of(model):
            if pipeline.id in self._failed:
                self._verdicts[model] = f"failed: {self._failed[pipeline.id]}"

    def pipeline_changed(self, pipeline: str, status: str, reason: str) -> None:
        """Note a pipeline's status: one that does not run is the doing of its new model."""
        if status != "failed":
            self._failed.pop(pipeline, None)
            return
        self._failed[pipeline] = reason
        for release in self._on_probation():
            if pipeline in {each.id for each in self._pipelines_of(release.model)}:
                self._verdicts[release.model] = f"failed: {reason}"

    def worker_lost(self, reason: str, item: Item | None) -> None:
        """Count a lost worker against the models that look at the input which it had, each input once.

        One that grew was not lost on an input, and counts against every model on probation.
        """
        for release in self._on_probation():
            if item is None:
                counts = reason == "grew"
            else:
                blamed = self._blamed.setdefault(release.model, set())
                counts = item.id not in blamed and item.source in sources_of(self._pipelines_of(release.model))
                blamed.add(item.id)
            if not counts:
                continue
            counted = replace(release, n_lost=release.n_lost + 1)
            self._book.keep(counted)
            if counted.n_lost >= LOSSES_IN_PROBATION:
                word = _WORDS.get(reason, reason)
                self._verdicts[release.model] = f"{word}: its process was lost ({word})"

    def failures(self) -> Iterator[tuple[Release, str]]:
        """Give what has failed its probation since the last call, and why."""
        verdicts, self._verdicts = self._verdicts, {}
        for release in self._on_probation():
            if release.model in verdicts:
                self._blamed.pop(release.model, None)
                yield release, verdicts[release.model]

    def _on_probation(self) -> list[Release]:
        return [each for each in self._book if each.state == "ready" and each.course == "probation"]


def sources_of(pipelines: Iterable[Pipeline]) -> frozenset[str]:
    """Give the sources that pipelines look at."""
    return frozenset(source for each in pipelines for source in (*each.cameras, *each.sensors))
