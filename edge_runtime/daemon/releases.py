"""New models on their way into use: ordered, installed, tried beside the one in use, promoted, and back when they fail.

One trial at a time; other models wait, installed, until it is over. Every step is kept in the outbox's state table, and
compared with the store at the start: a process killed at any point goes on where it was, or begins the step anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from msgspec.structs import replace

from edge_runtime.bundle.store import BundleStore
from edge_runtime.config import Config, Pipeline
from edge_runtime.daemon.arrivals import Arrivals
from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.intake import Item
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.models import PipelineModel, load_model
from edge_runtime.daemon.probations import Probations, sources_of
from edge_runtime.daemon.protocol import Done
from edge_runtime.daemon.release_book import Course, Release, ReleaseBook
from edge_runtime.daemon.release_retries import Retries
from edge_runtime.daemon.rollout import Trial
from edge_runtime.daemon.side_by_side import Lane, NoLane, Settle, SideBySide
from edge_runtime.daemon.trial_lane import TrialLane
from edge_runtime.errors import EdgeRuntimeError, HostEnvironmentError, StoreBusyError
from edge_runtime.messages import Command, ModelPromote, ModelRollback

_log = logging.getLogger(__name__)

_WEIGH_EVERY_S = 0.5
#: A trial that compared nothing for so long makes room for that of another model.
_STARVED_S = 60.0
#: How long until an alarm that stands is looked at again.
_REMIND_S = 10.0
#: Issuer of the orders that the gateway gives itself.
_OURSELVES = "gateway"
#: Courses in which inputs of both models are compared.
_BEFORE: tuple[Course, ...] = ("", "shadow", "canary")
#: Courses in which another model is to run; they need no trial to be over.
_SWITCHING: tuple[Course, ...] = ("going_back", "promoting")

#: Tells when a swap has ended: nothing when the new models run, else why everything stays as it was.
Ended = Callable[[str], None]


class Running(Protocol):
    """What is needed of the :class:`~edge_runtime.daemon.dispatch.Dispatcher`."""

    def swap(self, models: Mapping[str, PipelineModel], *, ended: Ended | None = None) -> None:
        """Have pipelines run other models, without a gap."""
        ...

    @property
    def worker_bytes(self) -> int:
        """Resident memory of the worker in use; 0 where there is none."""
        ...


@dataclass(slots=True)
class _Underway:
    """The one trial of the moment.

    ``ground`` is what it stands on: a reload that changes it ends the trial. At ``fed_at`` (monotonic, s), ``n_fed``
    inputs had been compared.
    """

    model: str
    trial: Trial
    side: SideBySide
    ground: tuple[object, ...]
    weighed_at: float = 0.0
    fed_at: float = 0.0
    n_fed: int = 0


class Releases:
    """All new models of the gateway.

    Parameters
    ----------
    config : Config
        Pipelines, sources, limits.
    store : BundleStore
        The gateway's bundles.
    trusted : tuple of bytes
        Public keys, PEM.
    book : ReleaseBook
        What is remembered.
    new_id : callable
        Gives the id of an order of our own.
    running : Running
        What runs.
    settle : callable
        Gives an input to the desk.
    arrivals : Arrivals
        Installs what is ordered.
    clock : Clock
        Both clocks.
    metrics : Metrics
        Counts what comes of inputs that two models are given.
    flush : callable
        Makes durable what the book keeps.
    record : callable
        Takes an order that the gateway gave itself, and why, for the audit trail.
    make_lane : callable
        Makes a lane for models; another one in tests.
    """

    def __init__(  # noqa: PLR0913 - the place where the parts of a rollout meet
        self,
        config: Config,
        store: BundleStore,
        trusted: tuple[bytes, ...],
        *,
        book: ReleaseBook,
        new_id: Callable[[], str],
        running: Running,
        settle: Settle,
        arrivals: Arrivals,
        clock: Clock,
        metrics: Metrics,
        flush: Callable[[], object],
        record: Callable[[Command, str], None],
        make_lane: Callable[[Mapping[str, PipelineModel]], Lane] | None = None,
    ) -> None:
        self._config = config
        self._store = store
        self._trusted = trusted
        self._book = book
        self._new_id = new_id
        self._running = running
        self._settle = settle
        self._arrivals = arrivals
        self._clock = clock
        self._metrics = metrics
        self._flush = flush
        self._record = record
        self._make_lane = make_lane or self._trial_lane
        self._underway: _Underway | None = None
        self._swapping: set[str] = set()
        self._unswitched: set[str] = set()
        self._tried: dict[str, int] = {}
        self._arrived: set[str] = set()
        self._retries = Retries(clock.monotonic)
        self._probations = Probations(book, self._pipelines_of)
        self._remind_at = 0.0

    # What happens -----------------------------------------------------------------------------------------------

    def take(self, item: Item, done: Done) -> None:
        """Take an input that the worker in use has finished, on its way to the desk."""
        if self._underway is None:
            self._settle(item, done, {})
        else:
            self._underway.side.take(item, done)

    def poll(self) -> None:
        """Do what is due."""
        now = self._clock.monotonic()
        self._arrivals.poll()
        for name in list(self._unswitched):
            self._promoted(name, "")
        for release, reason in self._probations.failures():
            self.go_back(release, reason, automatic=True)
        self._switch_due()
        self._begin_due()
        if self._underway is not None:
            self._follow(self._underway, now)
        if now >= self._remind_at:
            self._remind_at = now + _REMIND_S
            self._book.remind()

    def due_in(self, now: float) -> float | None:
        """Seconds until an input has waited long enough for a new model's word; None where none waits."""
        return None if self._underway is None else self._underway.side.due_in(now)

    def filenos(self) -> list[int]:
        """Descriptors that become readable when ``poll`` has something to do."""
        lane = [] if self._underway is None else self._underway.side.filenos()
        return [*self._arrivals.filenos(), *lane]

    @property
    def pids(self) -> tuple[int, ...]:
        """Processes beside the worker in use."""
        return () if self._underway is None else self._underway.side.pids

    def pipeline_changed(self, pipeline: str, status: str, reason: str) -> None:
        """Note that a pipeline does not run: after a promotion that is the new model's doing."""
        self._probations.pipeline_changed(pipeline, status, reason)

    def worker_lost(self, reason: str, item: Item | None = None) -> None:
        """Note that the worker in use was lost, on an input: during a probation that may be the new model's doing."""
        self._probations.worker_lost(reason, item)

    def reconfigure(self, config: Config, trusted: tuple[bytes, ...]) -> None:
        """Take over other pipelines and keys; a trial goes on where nothing changes for it, and else begins again."""
        if self._underway is not None:
            self._underway.side.let_go()
            if trusted != self._trusted or self._ground(self._underway.model, config) != self._underway.ground:
                self._end_trial()
        self._config, self._trusted = config, trusted
        self._arrived.clear()
        self._retries.clear()

    def close(self) -> None:
        """Let every input go and end all processes; what is under way goes on at the next start."""
        self._end_trial()
        self._arrivals.close()

    # Orders -----------------------------------------------------------------------------------------------------

    def order(self, release: Release) -> None:
        """Begin to install a release; the trial of an earlier one of its name is over."""
        self._drop_earlier(release.model)
        self._book.change_state(replace(release, state="fetching"))
        self._arrivals.begin_due()

    def has_room(self, model: str) -> bool:
        """Whether another model can be remembered; one that nobody needs any more makes room."""
        return self._book.make_room(model, {each.bundle for each in self._config.pipelines})

    @property
    def book(self) -> ReleaseBook:
        """What is remembered."""
        return self._book

    def blocks_promotion(self, model: str) -> str:
        """Name another model whose promotion or probation is not over; empty where there is none.

        With two new models in one worker nobody could tell which of them a lost worker is to be blamed on.
        """
        return next(iter(self._others(model, "promoting", "probation")), "")

    def _others(self, model: str, *courses: Course) -> list[str]:
        """Give other models that are so far, and that a pipeline runs."""
        others = [each for each in self._book if each.model != model and each.course in courses]
        return [each.model for each in others if each.state == "ready" and self._pipelines_of(each.model)]

    def promote(self, release: Release, reason: str) -> None:
        """Let a release that is ready decide everything, and put it on probation.

        Raises
        ------
        EdgeRuntimeError
            If it cannot be read from the store, or the store cannot be written.
        """
        name = release.model
        models = self._load(name, release.release)
        p95_ms = 0.0
        if self._underway is not None and self._underway.model == name:
            p95_ms = self._underway.trial.reference_p95_ms
        active = self._store.active(name)
        release = replace(self._with_origin(release), p95_ms=p95_ms or release.p95_ms, reason=reason)
        if not models:
            self._activate(name, release.release)
            self._book.change_course(release, "promoted", f"{reason}; no pipeline runs it", share=1.0)
            return
        if active is not None and active.sha256 == release.sha256:
            self._begin_probation(release)
            return
        with suppress(StoreBusyError):  # which passes
            self._store.require_writable()
        if self._underway is not None and self._underway.model == name:
            self._end_trial()
        release = replace(release, before_bytes=release.before_bytes or self._running.worker_bytes)
        self._book.change_course(release, "promoting", reason, share=release.share)
        self._swapping.add(name)
        self._running.swap(models, ended=partial(self._promoted, name))

    def go_back(self, release: Release, reason: str, *, automatic: bool) -> None:
        """Go back from a release to the one before it; one that never decided everything only ends its trial."""
        self._drop_earlier(release.model)
        if automatic:
            order = ModelRollback(
                issuer=_OURSELVES, id=self._new_id(), model=release.model, release=release.from_release
            )
            self._record(order, f"{release.sha256[:12]}: {reason}")
        rolled_back = tuple(each for each in release.rolled_back if each != release.sha256)
        if release.from_release is None or release.from_release < release.release:
            rolled_back += (release.sha256,)  # a person who goes to a newer one does not condemn the older
        release = replace(release, automatic=automatic, rolled_back=rolled_back)
        if release.course in _BEFORE or release.course in {"waiting", "promoting"}:
            self._book.change_course(release, "rolled_back", reason)
            return
        if release.from_release is None:
            self._book.change_course(release, "rolled_back", f"{reason}; there is no release before it to go back to")
            return
        self._book.change_course(release, "going_back", reason, share=1.0)
        self._flush()
        self._swap_back(release)

    # Trials -----------------------------------------------------------------------------------------------------

    def _switch_due(self) -> None:
        """Go on with ways back and promotions that failed, or that a kill cut short; no trial holds them up."""
        for release in self._book:
            waits = release.course == "promoting" and (self._swapping or self._others(release.model, "probation"))
            if release.course in _SWITCHING and not waits and self._may_take_up(release):
                self._attempt(release, partial(self._go_on, release))

    def _begin_due(self) -> None:
        """Begin the next trial."""
        if self._underway is not None or self._swapping:
            return
        for release in sorted(self._book, key=lambda each: self._tried.get(each.model, 0)):
            if release.course in _SWITCHING or not self._may_take_up(release):
                continue
            if self._attempt(release, partial(self._go_on, release)):
                return

    def _may_take_up(self, release: Release) -> bool:
        """Whether a release has its pause behind it."""
        return release.state == "ready" and release.model not in self._swapping and self._retries.due(release.model)

    def _go_on(self, release: Release) -> bool:
        """Begin or take up what a release that is ready needs; False when that is nothing."""
        if release.course in _BEFORE and self._pipelines_of(release.model):
            self._begin_shadow(self._with_origin(release))
        elif release.course == "promoting" or self._may_promote_itself(release):
            self._promote_again(release)
        elif release.course == "probation":
            self._begin_probation(release)
        elif release.course == "going_back":
            self._swap_back(release)
        else:
            return False
        return True

    def _may_promote_itself(self, release: Release) -> bool:
        """Whether a release that passed its trial goes on without a person."""
        auto = release.course == "waiting" and self._config.rollout.auto_promote
        return auto and not self.blocks_promotion(release.model)

    def _promote_again(self, release: Release) -> None:
        """Promote by ourselves, or go on with a promotion that a kill cut short."""
        if release.course == "promoting":
            self.promote(release, release.reason)
            return
        self.promote(release, "it passed its trial")
        order = ModelPromote(issuer=_OURSELVES, id=self._new_id(), model=release.model, sha256=release.sha256)
        self._record(order, "it passed its trial")

    def _with_origin(self, release: Release) -> Release:
        """Note which release is in use, as the one to go back to."""
        active = self._store.active(release.model)
        if active is None or active.sha256 == release.sha256:
            return release
        return replace(release, from_sha256=active.sha256, from_release=active.release)

    def _begin_shadow(self, release: Release) -> None:
        """Try a release beside the one in use, from the first stage."""
        active = self._store.active(release.model)
        if active is None:
            self._book.change_course(release, "waiting", "nothing is in use to compare it with")
            return
        if active.sha256 == release.sha256:
            self._begin_probation(release)  # killed between the switch and its record, or activated by hand
            return
        models = self._load(release.model, release.release)
        may_decide = all(model.pipeline.kind == "inspection" for model in models.values())
        trial = Trial(self._config.rollout, may_decide=may_decide)
        self._try(release.model, trial, self._make_lane(models), models, lane_is_new=True)
        self._book.change_course(replace(release, told="shadow"), "shadow", "")

    def _begin_probation(self, release: Release) -> None:
        """Watch a release that decides everything, with the one before beside it where there is one."""
        trial = Trial(self._config.rollout, may_decide=False, stage="probation", reference_p95_ms=release.p95_ms)
        models: dict[str, PipelineModel] = {}
        pipelines = self._pipelines_of(release.model)
        lane: Lane = NoLane(sources_of(pipelines), frozenset(each.id for each in pipelines))
        if release.from_release is not None:
            try:
                models = self._load(release.model, release.from_release)
                lane = self._make_lane(models)
            except (OSError, EdgeRuntimeError) as error:
                _log.warning("stage=processing probation without the release before: %s", error)
        self._try(release.model, trial, lane, models, lane_is_new=False)
        if release.course != "probation":
            self._book.change_course(replace(release, n_lost=0), "probation", release.reason, share=1.0)
        self._probations.begin(release.model)

    def _try(
        self, name: str, trial: Trial, lane: Lane, models: Mapping[str, PipelineModel], *, lane_is_new: bool
    ) -> None:
        """Set two models side by side; the trial of another name begins anew later."""
        self._end_trial()
        side = SideBySide(
            lane,
            trial,
            settle=self._settle,
            clock=self._clock.monotonic,
            wait_s=self._config.rollout.canary_wait_ms / 1000,
            lane_is_new=lane_is_new,
            facts={pipeline: model.facts for pipeline, model in models.items()},
            count=lambda result: self._metrics.trial_inputs.labels(name, result).inc(),
        )
        self._retries.forget(name)
        self._tried[name] = max(self._tried.values(), default=0) + 1
        ground = self._ground(name, self._config)
        self._underway = _Underway(name, trial, side, ground, fed_at=self._clock.monotonic())

    def _attempt(self, release: Release, step: Callable[[], bool]) -> bool:
        """Take a step; a bundle that is refused goes back, a host that lacks something is asked again later."""
        try:
            taken = step()
        except (OSError, HostEnvironmentError) as error:
            _log.warning("stage=processing the rollout of %s waits: %s", release.model, error)
            self._retries.later(release.model)
        except EdgeRuntimeError as error:
            self.go_back(release, f"refused: {error}", automatic=True)
        else:
            return taken
        return False

    def _follow(self, underway: _Underway, now: float) -> None:
        """Compare, weigh, and act on what the trial says."""
        trial = underway.trial
        before = self._book.find(underway.model)
        underway.side.poll()
        before_bytes = 0 if before is None else before.before_bytes
        if trial.stage == "probation" and before_bytes and now - underway.weighed_at > _WEIGH_EVERY_S:
            underway.weighed_at = now
            trial.weigh(self._running.worker_bytes - before_bytes)
        if before is not None and trial.stage != before.course:
            self._act(underway, before)
        elif self._is_starved(underway, now) and any(self._waits(each) for each in self._book):
            self._end_trial()

    def _is_starved(self, underway: _Underway, now: float) -> bool:
        """Whether nothing was compared for long: its sources may rest for weeks."""
        if underway.trial.n_compared != underway.n_fed:
            underway.n_fed, underway.fed_at = underway.trial.n_compared, now
        return now - underway.fed_at > _STARVED_S

    def _waits(self, release: Release) -> bool:
        """Whether a release could be tried now if there were room."""
        is_other = self._underway is None or release.model != self._underway.model
        can_begin = release.course in {*_BEFORE, "probation"} and bool(self._pipelines_of(release.model))
        return is_other and release.state == "ready" and can_begin

    def _act(self, underway: _Underway, release: Release) -> None:
        """Keep and tell a new stage, and do what it asks for."""
        trial = underway.trial
        if trial.stage == "canary":
            self._book.change_course(replace(release, told="canary"), "canary", "", share=trial.share)
        elif trial.stage == "waiting":
            p95_ms = trial.reference_p95_ms
            self._end_trial()
            self._book.change_course(
                replace(release, p95_ms=p95_ms), "waiting", "it passed and waits for model/promote"
            )
        elif trial.stage == "promoted":
            figures = f"{trial.n_compared} inputs, {trial.n_disagreed} judged otherwise, p95 {trial.p95_ms:.1f} ms"
            self._end_trial()
            self._book.change_course(release, "promoted", f"it passed its probation: {figures}", share=1.0)
        elif trial.stage == "rolled_back":
            self.go_back(release, trial.reason, automatic=True)

    def _drop_earlier(self, model: str) -> None:
        """End the installation and the trial of a name."""
        self._arrivals.drop(model)
        if self._underway is not None and self._underway.model == model:
            self._end_trial()

    def _end_trial(self) -> None:
        """End what runs beside; every input that waits goes as the model in use has judged it."""
        if self._underway is not None:
            underway, self._underway = self._underway, None
            underway.side.close()

    # Switching --------------------------------------------------------------------------------------------------

    def _promoted(self, name: str, refusal: str) -> None:
        """Take the end of the swap to a new model."""
        self._swapping.discard(name)
        self._unswitched.discard(name)
        release = self._book.find(name)
        if release is None or release.course != "promoting":
            return
        if refusal:
            self.go_back(release, f"swap: {refusal}", automatic=True)
            return
        try:
            self._activate(name, release.release)
        except StoreBusyError:  # it runs already; the store's switch is made as soon as another program lets it
            self._swapping.add(name)
            self._unswitched.add(name)
            return
        except EdgeRuntimeError as error:
            self.go_back(replace(release, course="probation"), f"store: {error}", automatic=True)
            return
        self._begin_probation(release)

    def _swap_back(self, release: Release) -> None:
        """Run the release before, then activate it: a disk that refuses must not keep a bad model running."""
        name = release.model
        if name in self._arrived:
            self._settle_back(release)
            return
        try:
            if release.from_release is None:
                raise HostEnvironmentError("the release before is not known")
            models = self._load(name, release.from_release)
        except EdgeRuntimeError as error:
            self._fail_back(name, str(error))
            return
        if not models:
            self._settle_back(release)
            return
        self._swapping.add(name)
        self._running.swap(models, ended=partial(self._went_back, name))

    def _went_back(self, name: str, refusal: str) -> None:
        """Take the end of the swap to the release before."""
        self._swapping.discard(name)
        release = self._book.find(name)
        if release is None or release.course != "going_back":
            return
        if refusal:
            self._fail_back(name, refusal)
            return
        self._arrived.add(name)
        self._settle_back(release)

    def _settle_back(self, release: Release) -> None:
        """Have the store agree with what runs again."""
        name = release.model
        assert release.from_release is not None
        try:
            self._activate(name, release.from_release)
        except EdgeRuntimeError as error:
            self._fail_back(name, str(error))
            return
        self._arrived.discard(name)
        self._retries.forget(name)
        _log.warning(
            "event=model_rolled_back model=%s release=%s reason=%r", name, release.from_release, release.reason
        )
        self._book.change_course(release, "rolled_back", release.reason)

    def _fail_back(self, name: str, reason: str) -> None:
        """Try the way back again later."""
        _log.error("event=roll_back_failed model=%s reason=%r", name, reason)
        self._retries.later(name)

    def _activate(self, name: str, release: int) -> None:
        """Activate a release, unless it is active already: nothing is written then."""
        active = self._store.active(name)
        if active is None or active.release != release:
            self._store.activate(name, release)

    # What there is ----------------------------------------------------------------------------------------------

    def _pipelines_of(self, model: str) -> list[Pipeline]:
        return [each for each in self._config.pipelines if each.bundle == model]

    def _ground(self, model: str, config: Config) -> tuple[object, ...]:
        """Give all that the trial of a model depends on."""
        pipelines = [each for each in config.pipelines if each.bundle == model]
        names = sources_of(pipelines)
        cameras = [each for each in config.cameras if each.id in names]
        sensors = [each for each in config.sensors if each.id in names]
        try:
            active = self._store.active(model)
        except HostEnvironmentError:
            active = None
        return pipelines, cameras, sensors, config.rollout, config.worker, active

    def _load(self, model: str, release: int) -> dict[str, PipelineModel]:
        """Read a release for every pipeline that runs its name."""
        pipelines: Iterable[Pipeline] = self._pipelines_of(model)
        return {each.id: load_model(self._config, each, self._store, release=release) for each in pipelines}

    def _trial_lane(self, models: Mapping[str, PipelineModel]) -> Lane:
        return TrialLane(self._config, models, self._trusted, clock=self._clock.monotonic)
