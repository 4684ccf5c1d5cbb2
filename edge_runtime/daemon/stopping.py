"""Pipelines that a person stops and starts; a stopped one stays so over restarts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from edge_runtime.config import Config, Pipeline
from edge_runtime.daemon.commands import Obey, Promise
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.lineup import Lineup
from edge_runtime.daemon.models import PipelineModel
from edge_runtime.errors import PayloadFormatError
from edge_runtime.messages import Command, PipeStart, PipeStop

#: Key prefix in the outbox's state table; the pipeline follows.
STOPPED_PIPELINE = "pipe/"


def restore_stopped(
    stored: Mapping[str, bytes], pipelines: Iterable[Pipeline], journal: Journal[object], *, now: float
) -> set[str]:
    """Read which pipelines were stopped, and forget those that are gone: one of the same name is another one.

    Parameters
    ----------
    stored : mapping of str to bytes
        What an earlier run kept, by key.
    pipelines : iterable of Pipeline
        Those that are configured.
    journal : Journal
        Forgets.
    now : float, s
        Monotonic.
    """
    known = {pipeline.id for pipeline in pipelines}
    names = {key.removeprefix(STOPPED_PIPELINE) for key in stored}
    for name in names - known:
        journal.set_state(STOPPED_PIPELINE + name, None, now=now)
    return names & known


class Switchboard:
    """Obeys ``pipe/stop`` and ``pipe/start``.

    Parameters
    ----------
    lineup : Lineup
        What runs.
    journal : Journal
        Keeps which pipelines are stopped.
    config : callable
        Gives the configuration in force.
    load : callable
        Reads a pipeline's active bundle; raises when it is refused.
    now : callable
        Monotonic, s.
    """

    def __init__(
        self,
        lineup: Lineup,
        journal: Journal[object],
        config: Callable[[], Config],
        load: Callable[[Config, Pipeline], PipelineModel],
        *,
        now: Callable[[], float],
    ) -> None:
        self._lineup = lineup
        self._journal = journal
        self._config = config
        self._load = load
        self._now = now

    def orders(self) -> dict[str, Obey]:
        """Give what is obeyed, by name."""
        return {"pipe/start": self._obey_start, "pipe/stop": self._obey_stop}

    def _obey_stop(self, command: Command) -> str:
        assert isinstance(command, PipeStop)
        name = self._require_known(command.pipeline).id
        if name in self._lineup.stopped:
            return f"{name} is stopped already"
        self._journal.set_state(STOPPED_PIPELINE + name, b"stopped", now=self._now())
        self._lineup.stop(name)
        return f"stopped {name}; its alarms stand as they are, and what comes for it is acknowledged and not looked at"

    def _obey_start(self, command: Command) -> Promise:
        assert isinstance(command, PipeStart)
        pipeline = self._require_known(command.pipeline)
        name, promise = pipeline.id, Promise()
        if self._lineup.runs(name):
            promise.keep(f"{name} runs already")
            return promise
        models = [self._load(self._config(), pipeline)]

        def read() -> PipelineModel:
            models.append(self._load(self._config(), self._require_known(name)))
            return models[-1]

        self._journal.set_state(STOPPED_PIPELINE + name, None, now=self._now())

        def end(reason: str) -> None:
            if reason:
                promise.keep(f"{name} does not run: {reason}", reason="swap_failed")
            else:
                promise.keep(f"started {name} with {models[-1].facts.name} {models[-1].facts.version}")

        self._lineup.start(name, models[-1], end, read)
        return promise

    def _require_known(self, name: str) -> Pipeline:
        """Refuse a pipeline that is not configured."""
        known = {pipeline.id: pipeline for pipeline in self._config().pipelines}
        if name not in known:
            text = f"no pipeline {name}; there are {', '.join(known) or 'none'}"
            raise PayloadFormatError(text, reason="unknown_pipeline")
        return known[name]
