"""A new configuration in the running daemon: all of it that can be had without a restart, or nothing.

What came under the old configuration is judged under the old one: sources that leave or change are not read while what
waits of them is worked off, and a changed worker is built beside the present one before anything changes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from edge_runtime.bundle.store import BundleStore
from edge_runtime.config import Config, config_sha256, load_config
from edge_runtime.daemon.commands import Obey, Promise
from edge_runtime.daemon.desk import Desk
from edge_runtime.daemon.differences import Difference, compare
from edge_runtime.daemon.dispatch import Dispatcher
from edge_runtime.daemon.front import Front
from edge_runtime.daemon.inlet import Inlet
from edge_runtime.daemon.intake import Intake
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.lifecycle import StatusBoard
from edge_runtime.daemon.lineup import Lineup, Swap
from edge_runtime.daemon.models import PipelineModel, load_model, load_models, trusted_pems
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.daemon.references import References
from edge_runtime.daemon.releases import Releases
from edge_runtime.daemon.reporter import Reporter
from edge_runtime.daemon.retained import RETAINED, empty_gone
from edge_runtime.daemon.sender import Sender
from edge_runtime.daemon.stopping import STOPPED_PIPELINE
from edge_runtime.daemon.telling import Gateway
from edge_runtime.errors import BundleError, ConfigError, EdgeRuntimeError, MessageError
from edge_runtime.messages import Command, EventIds

_log = logging.getLogger(__name__)

_REFUSED = "reload_refused:"


@dataclass(frozen=True, slots=True)
class Affected:
    """The parts of the daemon that a configuration says something to."""

    intake: Intake
    inlet: Inlet
    desk: Desk
    dispatcher: Dispatcher
    journal: Journal[object]
    outbox: Outbox
    sender: Sender
    front: Front
    status: StatusBoard
    reporter: Reporter
    releases: Releases
    references: References
    event_ids: EventIds


class Reloader:
    """Reads the configuration file again and takes over what it says.

    Parameters
    ----------
    path : Path or None
        The file; None for a daemon whose configuration came from elsewhere.
    config : Config
        The one in force.
    gateway : Gateway
        What every message says about this run.
    store : BundleStore
        The gateway's bundles.
    affected : Affected
        What is told.
    now : callable
        Monotonic, s.
    on_incident : callable
        Told what a person should see in health.
    on_mended : callable
        Told the beginning of such words when a reload has succeeded.

    Attributes
    ----------
    config : Config
        The one in force.
    """

    def __init__(
        self,
        path: Path | None,
        config: Config,
        gateway: Gateway,
        store: BundleStore,
        affected: Affected,
        *,
        now: Callable[[], float],
        on_incident: Callable[[str], None],
        on_mended: Callable[[str], None],
    ) -> None:
        self.config = config
        self._path = path
        self._gateway = gateway
        self._store = store
        self._affected = affected
        self._now = now
        self._on_incident = on_incident
        self._on_mended = on_mended
        self._busy = False

    @property
    def busy(self) -> bool:
        """Whether what runs is changing already, by a reload or by another order."""
        return self._busy or self._affected.dispatcher.lineup.changing

    def obeying(self) -> Obey:
        """Make the obedience to ``config/reload``."""

        def obey(_command: Command) -> Promise:
            return self.reload()

        return obey

    def reload(self) -> Promise:
        """Begin a reload.

        Returns
        -------
        promise : Promise
            Of what became of it: ``change_running``, ``no_file``, ``invalid_config``, ``bundle_refused`` or
            ``swap_failed`` when nothing has changed.
        """
        promise = Promise()
        promise.then(self._log_end)
        try:
            self._begin(promise)
        except MessageError as error:
            self._refuse(promise, error.reason, str(error))
        except ConfigError as error:
            self._refuse(promise, "invalid_config", str(error))
        except BundleError as error:
            self._refuse(promise, "bundle_refused", str(error))
        except EdgeRuntimeError as error:
            self._refuse(promise, "failed", str(error))
        return promise

    def _log_end(self, text: str, reason: str) -> None:
        if not reason:
            self._on_mended(_REFUSED)
        level = logging.WARNING if reason else logging.INFO
        _log.log(level, "event=config_reload ok=%s reason=%s text=%r", not reason, reason, text)

    def _refuse(self, promise: Promise, reason: str, text: str) -> None:
        """Say why nothing has changed."""
        self._on_incident(f"{_REFUSED}{reason}")
        promise.keep(f"nothing has changed: {text}", reason=reason)

    def _begin(self, promise: Promise) -> None:
        """Read and compare, then change at once or when the worker for it is there."""
        if self.busy:
            raise MessageError("another change is under way; give the order again after it", reason="change_running")
        if self._path is None:
            raise MessageError("this daemon was not started from a file", reason="no_file")
        difference = compare(self.config, load_config(self._path))
        trusted = trusted_pems(self._store)
        lineup = self._affected.dispatcher.lineup
        loaded, refused = load_models(difference.config, self._store)
        models = {name: _with_known_answers(model, lineup.models.get(name)) for name, model in loaded.items()}
        self._require_bundles(difference, refused)
        changed = {name: model for name, model in models.items() if _needs_worker(name, model, lineup)}
        same = {name: model for name, model in models.items() if name not in changed}
        text = _describe(difference, changed, lineup)
        if not (changed or difference.gone & lineup.models.keys()):
            self._apply(difference, same, trusted)
            promise.keep(text)
            return

        def end(reason: str) -> None:
            self._busy = False
            if reason:
                self._affected.inlet.go_on()
                self._refuse(promise, "swap_failed", reason)
            else:
                self._apply(difference, same, trusted)
                promise.keep(text)

        self._busy = True
        lineup.swap(Swap(changed, difference.gone, trusted, lambda: self._may_switch(difference), end))

    def _require_bundles(self, difference: Difference, refused: dict[str, str]) -> None:
        """Refuse a reload that would stop what runs, or begin with what cannot run; what failed before may go on so.

        Raises
        ------
        MessageError
            Naming every bundle.
        """
        before = {pipeline.id: pipeline for pipeline in self.config.pipelines}
        lineup = self._affected.dispatcher.lineup
        after = {pipeline.id: pipeline for pipeline in difference.config.pipelines}
        faults = [
            f"{name}: {reason}"
            for name, reason in refused.items()
            if before.get(name) != after[name] or name in lineup.models
        ]
        if faults:
            raise MessageError("; ".join(faults), reason="bundle_refused")

    def _may_switch(self, difference: Difference) -> bool:
        """Whether all that came of leaving sources is judged; they are read no more from the first time on."""
        if not difference.leaving:
            return True
        self._affected.intake.keep_waiting(difference.leaving)
        return not self._affected.dispatcher.holds(difference.leaving)

    def _apply(self, difference: Difference, same: dict[str, PipelineModel], trusted: tuple[bytes, ...]) -> None:
        """Let every part take over the new configuration."""
        old, new = self.config, difference.config
        affected, now = self._affected, self._now()
        self._gateway = replace(self._gateway, config_sha256=config_sha256(new))
        self.config = new
        affected.releases.reconfigure(new, trusted)  # which judges what it held back, under the old rules
        affected.dispatcher.lineup.amend(same)
        affected.dispatcher.lineup.rewrite(self._as_configured)
        affected.desk.reconfigure(new.pipelines, new.alarms, self._gateway)
        affected.references.retire(new.pipelines)
        left = affected.inlet.reconfigure(new)
        affected.dispatcher.reconfigure(new, affected.intake.mailboxes)
        for item in left:
            affected.dispatcher.give_up(item, "source_gone")
        affected.outbox.rebound(
            max_bytes=new.outbox.max_bytes,
            retention_s=new.outbox.retention_s,
            evidence_max_bytes=new.outbox.evidence_max_bytes,
            evidence_max_age_s=new.outbox.evidence_max_age_s,
        )
        affected.sender.set_rate(new.outbox.drain_per_s)
        for name in difference.gone:
            affected.status.forget(name)
            affected.dispatcher.lineup.stopped.discard(name)
            affected.journal.set_state(STOPPED_PIPELINE + name, None, now=now)
        stored = {RETAINED + topic: b"1" for topic in affected.front.kept_topics(old.pipelines)}
        kept = affected.front.kept_topics(new.pipelines)
        empty_gone(stored, kept, affected.journal, affected.event_ids, now=now)
        affected.reporter.reconfigure(new, self._gateway)

    def _as_configured(self, name: str, model: PipelineModel) -> PipelineModel | None:
        """Give a model that was to run under the old configuration as the new one wants it; None where it is gone."""
        pipeline = next((each for each in self.config.pipelines if each.id == name), None)
        if pipeline is None:
            return None
        try:
            return load_model(self.config, pipeline, self._store, release=model.bundle.manifest.release)
        except EdgeRuntimeError:
            return model


def _with_known_answers(model: PipelineModel, old: PipelineModel | None) -> PipelineModel:
    """Keep what binds a bundle in this run, also where it could not be recorded."""
    if old is None or old.bundle.digest != model.bundle.digest:
        return model
    return replace(model, plan=msgspec.structs.replace(model.plan, recorded=old.plan.recorded))


def _needs_worker(name: str, model: PipelineModel, lineup: Lineup) -> bool:
    """Whether only another worker can run a pipeline so; one that failed is not tried again as it was."""
    old = lineup.models.get(name)
    return old is None or old.plan != model.plan


def _describe(difference: Difference, changed: dict[str, PipelineModel], lineup: Lineup) -> str:
    """Say what changes and what does not, for a person."""
    bundles = []
    for name, model in changed.items():
        old = lineup.models.get(name)
        if old is not None and old.facts.sha256 != model.facts.sha256:
            bundles.append(f"{name} runs {model.facts.name} {model.facts.version} (was {old.facts.version})")
        elif old is None:
            bundles.append(f"{name} is built")
    live = [*difference.live, *bundles]
    texts = [f"changed: {', '.join(live)}" if live else "nothing else differs" if difference.restart else ""]
    if difference.restart:
        texts.append(f"as before until a restart: {', '.join(difference.restart)}")
    return "; ".join(text for text in texts if text) or "nothing differs"
