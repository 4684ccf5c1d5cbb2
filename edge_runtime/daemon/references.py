"""Comparisons of int8 with its float reference, of every pipeline that has them made, to alarms and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from edge_runtime.config import Pipeline
from edge_runtime.daemon.complaints import Complaints
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.protocol import Compared
from edge_runtime.daemon.quantization_watch import QuantizationWatch

_WORD = "quantization."


class SystemAlarms(Protocol):
    """Where the gateway's own alarms are raised and cleared; ``AlarmDesk`` is one."""

    def set_system(self, word: str, *, active: bool, text: str, score: float = ..., value: float | None = ...) -> None:
        """Raise, keep or clear an alarm."""

    def system_words(self) -> list[str]:
        """Those that are active."""


class References:
    """The watches of all pipelines. A new model or other limits begin a new count.

    Parameters
    ----------
    alarms : SystemAlarms
        Told of each comparison: ``system.quantization.<pipeline>``.
    metrics, complaints : Metrics, Complaints
        Count and log.
    hold : callable
        Keeps a reason in health until the next start.
    """

    def __init__(
        self, alarms: SystemAlarms, metrics: Metrics, complaints: Complaints, hold: Callable[[str], None]
    ) -> None:
        self._alarms = alarms
        self._metrics = metrics
        self._complaints = complaints
        self._hold = hold
        self._watches: dict[str, tuple[Pipeline, str, QuantizationWatch]] = {}

    def retire(self, pipelines: Iterable[Pipeline]) -> None:
        """Clear the alarms of pipelines that are compared no longer."""
        compared = {f"{_WORD}{each.id}" for each in pipelines if each.reference_every}
        for word in self._alarms.system_words():
            if word.startswith(_WORD) and word not in compared:
                text = f"{word.removeprefix(_WORD)}: no longer compared with a float reference"
                self._alarms.set_system(word, active=False, text=text)

    def built(self, pipeline: str, reason: str) -> None:
        """Note why a float reference that is wanted does not look; nothing where it does."""
        if reason:
            self._complaints.say("processing", pipeline, "reference_missing", reason)
            self._hold(f"reference_missing:{pipeline}")

    def take(
        self, pipeline: Pipeline, model_sha256: str, comparisons: Sequence[Sequence[Compared]], *, in_use: bool = True
    ) -> None:
        """Count what both models said of some inputs; a model that is only tried raises and clears nothing."""
        if not in_use:
            return
        for compared in comparisons:
            standing = self._watch(pipeline, model_sha256).take(compared)
            self._metrics.compared.labels(pipeline.id).inc()
            self._metrics.disagreement.labels(pipeline.id).set(standing.share)
            if not standing.known:
                continue
            self._alarms.set_system(
                f"{_WORD}{pipeline.id}",
                active=standing.drifted,
                text=standing.sentence(pipeline.id),
                score=standing.share,
                value=standing.mean_gap,
            )

    def _watch(self, pipeline: Pipeline, model_sha256: str) -> QuantizationWatch:
        known = self._watches.get(pipeline.id)
        if known is None or known[:2] != (pipeline, model_sha256):
            drifted = f"{_WORD}{pipeline.id}" in self._alarms.system_words()
            known = (pipeline, model_sha256, QuantizationWatch(pipeline, drifted=drifted))
            self._watches[pipeline.id] = known
        return known[2]
