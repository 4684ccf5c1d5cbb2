"""Which model each pipeline runs, how that changes without a gap, and what becomes of one that does not come up.

A change is built in a worker beside the present one. Until that worker has built everything and the supervisor agrees,
nothing changes; where it fails, nothing changes either, and the reason is told.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from edge_runtime.daemon import protocol
from edge_runtime.daemon.keeper import Abandoned, Coming, Event, Switched, WorkerKeeper
from edge_runtime.daemon.models import PipelineModel, bind_answers
from edge_runtime.daemon.roster import Roster
from edge_runtime.daemon.telling import ModelFacts
from edge_runtime.errors import EdgeRuntimeError

_log = logging.getLogger(__name__)

#: Told of a pipeline's change: its name, status word, reason.
StatusListener = Callable[[str, str, str], None]
#: Told of a pipeline that is built, before it runs; says why it may not run, or nothing.
BuiltListener = Callable[[PipelineModel, protocol.Built], str]

_WHY = {
    "crashed": "the new worker died",
    "hung": "the new worker hung",
    "grew": "the new worker took more memory than worker.memory_limit_mb",
    "start_failed": "the new worker was not ready within worker.start_timeout_s",
}


def _at_once() -> bool:
    return True


def _nobody(_reason: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Swap:
    """A change of what the worker runs.

    Attributes
    ----------
    models : mapping of str to PipelineModel
        New or changed, by pipeline; the others stay.
    gone : frozenset of str
        Pipelines that exist no longer.
    trusted : tuple of bytes or None
        Public keys from now on, PEM; None for the same.
    may_switch : callable
        Asked again and again once the new worker is ready: whether inputs may go to it now.
    ended : callable
        Told once: nothing when the new worker runs, else why everything stays as it was.
    read : callable or None
        Gives ``models`` anew when the swap's turn comes, since the one before may have brought others into use.
    """

    models: Mapping[str, PipelineModel]
    gone: frozenset[str] = frozenset()
    trusted: tuple[bytes, ...] | None = None
    may_switch: Callable[[], bool] = _at_once
    ended: Callable[[str], None] = _nobody
    read: Callable[[], Mapping[str, PipelineModel]] | None = None


@dataclass(slots=True)
class _Underway:
    """A swap whose worker is being built.

    ``models`` is all that it builds, ``recalled`` the one that has rested, ``told`` the states that it began with.
    """

    swap: Swap
    models: dict[str, PipelineModel]
    recalled: str
    told: dict[str, bytes] = field(default_factory=dict)
    built: dict[str, protocol.Built] = field(default_factory=dict)
    building: str = ""
    ready: bool = False


class Lineup:
    """The pipelines with a bundle, and what the worker has of them.

    Parameters
    ----------
    models : mapping of str to PipelineModel
        By pipeline; those whose bundle was refused are absent.
    trusted : tuple of bytes
        Public keys, PEM.
    states : mapping of str to bytes
        The latest window states, by ``<pipeline>/<source>``; read when a worker begins.
    max_pixels : int
        The largest picture that is decoded.
    stopped : set of str
        Pipelines that a person stopped.
    on_status : callable
        Told of changes.
    """

    def __init__(
        self,
        models: Mapping[str, PipelineModel],
        trusted: tuple[bytes, ...],
        states: Mapping[str, bytes],
        *,
        max_pixels: int,
        stopped: set[str],
        on_status: StatusListener,
    ) -> None:
        self._models = dict(models)
        self._roster = Roster({name: model for name, model in models.items() if name not in stopped})
        self._facts = {name: model.facts for name, model in models.items()}
        self._trusted = trusted
        self._states = states
        self._max_pixels = max_pixels
        self._on_status = on_status
        self._building = ""
        self._waiting: deque[Swap] = deque()
        self._underway: _Underway | None = None
        self.stopped = stopped
        self.on_built: BuiltListener = lambda _model, _built: ""

    @property
    def models(self) -> Mapping[str, PipelineModel]:
        """What each pipeline is to run, whether it does or not."""
        return self._models

    @property
    def facts(self) -> Mapping[str, ModelFacts]:
        """What runs in each pipeline."""
        return self._facts

    @property
    def changing(self) -> bool:
        """Whether a swap waits or is under way."""
        return self._underway is not None or bool(self._waiting)

    def runs(self, pipeline: str) -> bool:
        """Whether the worker has it, or will have it once it is ready; one that has rested is built beside it first."""
        underway = self._underway
        return pipeline in self._roster.models and (underway is None or underway.recalled != pipeline)

    def formats(self) -> list[str]:
        """Model formats in use."""
        return _formats(self._models)

    def orders(self) -> protocol.Load:
        """Write what a new worker must build and where it goes on."""
        return self._load(self._roster.models, self._trusted, dict(self._states))

    def bind(self, digest: str, answers: protocol.Answers) -> None:
        """Hold every later worker of this run to the answers of a bundle.

        Raises
        ------
        BundleCompatibilityError
            If other ones bind it already.
        """
        for models in (self._models, {} if self._underway is None else self._underway.models):
            for name, model in list(models.items()):
                if model.bundle.digest == digest:
                    models[name] = bind_answers(model, answers)
        for name in self._roster.models:
            self._roster.replace(name, self._models[name])

    # Changes ------------------------------------------------------------------------------------------------------

    def swap(self, swap: Swap) -> None:
        """Change what the worker runs, after the changes that were asked for before."""
        self._waiting.append(swap)

    def amend(self, models: Mapping[str, PipelineModel]) -> None:
        """Take over pipelines whose plan is the same, so that no worker needs to know; others changed meanwhile."""
        for name, model in models.items():
            if name in self._models and self._models[name].plan == model.plan:
                self._models[name] = model
                self._roster.replace(name, model)

    def rewrite(self, renew: Callable[[str, PipelineModel], PipelineModel | None]) -> None:
        """Give the models of swaps that wait anew, since they were read for another configuration; None drops one."""
        for place, swap in enumerate(self._waiting):
            models = {name: renew(name, model) for name, model in swap.models.items()}
            self._waiting[place] = replace(
                swap, models={name: each for name, each in models.items() if each is not None}
            )

    def stop(self, pipeline: str) -> None:
        """Run a pipeline no longer; the worker goes on without it."""
        self.stopped.add(pipeline)
        self._roster.drop(pipeline)
        self._on_status(pipeline, "stopped", "")
        self.swap(Swap({}))

    def start(
        self,
        pipeline: str,
        model: PipelineModel,
        ended: Callable[[str], None] = _nobody,
        read: Callable[[], PipelineModel] | None = None,
    ) -> None:
        """Run a pipeline that was stopped or failed.

        ``ended`` is as for a swap; ``read`` gives its model when its turn comes, as a change before may bring another.
        """
        self.stopped.discard(pipeline)
        self._models[pipeline] = model
        self._facts[pipeline] = model.facts
        self._on_status(pipeline, "degraded", "the worker is starting")
        reading = None if read is None else lambda: {pipeline: read()}
        self.swap(Swap({pipeline: model}, ended=ended, read=reading))

    def poll(self, keeper: WorkerKeeper, now: float) -> None:
        """Begin what is due, and let the worker beside take over when it may."""
        underway = self._underway
        if underway is not None:
            if underway.ready and underway.swap.may_switch():
                underway.ready = False
                keeper.switch(lambda: self._changed_since(underway.told))
            return
        recalled = "" if self._waiting else self._roster.recall(now)
        if not self._waiting and not recalled:
            return
        swap = self._waiting.popleft() if self._waiting else Swap({})
        if swap.read is not None:
            try:
                swap = replace(swap, models=swap.read())
            except EdgeRuntimeError as error:
                self._tell_unchanged(swap, str(error))
                return
        gone = swap.gone | self.stopped
        models = {name: each for name, each in {**self._roster.models, **swap.models}.items() if name not in gone}
        self._underway = begun = _Underway(swap, models, recalled)
        keeper.renew(lambda: self._orders_beside(begun), formats=_formats(models))

    def _orders_beside(self, underway: _Underway) -> protocol.Load:
        underway.told = dict(self._states)
        return self._load(underway.models, underway.swap.trusted or self._trusted, underway.told)

    def _load(
        self, models: Mapping[str, PipelineModel], trusted: tuple[bytes, ...], states: dict[str, bytes]
    ) -> protocol.Load:
        return protocol.Load(tuple(model.plan for model in models.values()), trusted, states, self._max_pixels)

    def _changed_since(self, told: Mapping[str, bytes]) -> dict[str, bytes]:
        """Give the window states that are others than a worker was told."""
        return {key: state for key, state in self._states.items() if told.get(key) is not state}

    # What workers say ---------------------------------------------------------------------------------------------

    def take(self, event: Event, keeper: WorkerKeeper, now: float) -> None:
        """Take a word of a worker about its pipelines, or about the worker beside."""
        if isinstance(event, Coming):
            self._take_coming(event.message, keeper, now)
        elif isinstance(event, Abandoned):
            if self._underway is not None:
                why = _WHY.get(event.reason, event.reason)
                building = self._underway.building
                where = f' while it built "{building}"' if building else ""
                self._give_up(f"{why}{where}", building, event.reason, now)
        elif isinstance(event, Switched):
            self._settle()
        elif isinstance(event, protocol.Building):
            self._building = event.pipeline
        elif isinstance(event, protocol.Built):
            self._take_built(event, keeper)
        elif isinstance(event, protocol.Refused):
            self._building = ""
            self._drop(event.pipeline, event.reason)
        elif isinstance(event, protocol.Ready):
            _log.info("event=worker_ready sandbox=%s", ",".join(event.sandbox))

    def lost(self, reason: str, now: float) -> None:
        """Count the present worker's end against the pipeline that it was building."""
        if self._building:
            self._blame(self._building, reason, now)
            self._building = ""

    def _take_built(self, built: protocol.Built, keeper: WorkerKeeper) -> None:
        """Let a pipeline run that is built, or have the worker replaced by one without it."""
        name = built.pipeline
        self._building = ""
        self._roster.praise(name)
        self._facts[name] = self._facts[name].with_engine(built.engine)
        refusal = self.on_built(self._models[name], built)
        if refusal:
            self._drop(name, refusal)
            keeper.restart()
        elif name not in self.stopped:
            self._on_status(name, "running", "")

    def _take_coming(self, message: protocol.FromWorker, keeper: WorkerKeeper, now: float) -> None:
        """Take a word of the worker beside; a refusal ends it."""
        underway = self._underway
        if underway is None:
            return
        if isinstance(message, protocol.Building):
            underway.building = message.pipeline
            return
        underway.building = ""
        if isinstance(message, protocol.Ready):
            underway.ready = True
            return
        assert isinstance(message, (protocol.Built, protocol.Refused))
        name = message.pipeline
        if isinstance(message, protocol.Built):
            underway.built[name] = message
            refusal = self.on_built(underway.models[name], message)
        else:
            refusal = message.reason
        if refusal:
            keeper.abandon()
            self._give_up(f'"{name}" is refused: {refusal}', name, "", now)

    def _settle(self) -> None:
        """Take over what the worker beside built: it is the present one."""
        underway, self._underway = self._underway, None
        if underway is None:
            return
        swap = underway.swap
        self._building = ""
        self._trusted = swap.trusted or self._trusted
        self._models |= {**swap.models, **underway.models}
        self._facts |= {name: model.facts for name, model in swap.models.items()}
        for name in swap.gone:
            self._models.pop(name, None)
            self._facts.pop(name, None)
            self.stopped.discard(name)
        models = {name: self._models[name] for name in underway.models if name not in self.stopped}
        self._roster.settle(models)
        for name, built in underway.built.items():
            self._facts[name] = self._models[name].facts.with_engine(built.engine)
            if name in models:
                self._on_status(name, "running", "")
        _log.info("event=worker_switched pipelines=%s", ",".join(underway.models))
        swap.ended("")

    def _give_up(self, reason: str, culprit: str, word: str, now: float) -> None:
        """Leave everything as it was and tell why; ``word`` is the reason of a worker that was lost, else empty."""
        underway, self._underway = self._underway, None
        assert underway is not None
        _log.error("event=swap_failed pipelines=%s reason=%r", ",".join(underway.swap.models), reason)
        name = underway.recalled
        if name and name == culprit and not word:
            self._drop(name, reason)
        elif name:
            self._blame(name, word if name == culprit else "start_failed", now)
        self._tell_unchanged(underway.swap, reason)

    def _tell_unchanged(self, swap: Swap, reason: str) -> None:
        """Say of each pipeline that was to change how it goes on."""
        for name in swap.models:
            if self.runs(name):
                facts = self._facts[name]
                self._on_status(name, "running", f"goes on with {facts.name} {facts.version}: {reason}")
            elif name in self._models and name not in self.stopped:
                self._on_status(name, "failed", reason)
        swap.ended(reason)

    def _blame(self, name: str, reason: str, now: float) -> None:
        """Count a worker that was lost while it built a pipeline; twice is enough."""
        words = self._roster.blame(name, reason, now=now)
        if words:
            self._fail(name, words)

    def _drop(self, name: str, reason: str) -> None:
        """Go on without a pipeline."""
        self._roster.drop(name)
        self._fail(name, reason)

    def _fail(self, name: str, reason: str) -> None:
        """Say that a pipeline does not run."""
        _log.error("event=pipeline_failed pipeline=%s reason=%r", name, reason)
        self._on_status(name, "failed", reason)


def _formats(models: Mapping[str, PipelineModel]) -> list[str]:
    """Model formats of these bundles."""
    return sorted({form.format for model in models.values() for form in model.bundle.manifest.models})
