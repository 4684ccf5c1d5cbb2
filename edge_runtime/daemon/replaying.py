"""``edge-runtime replay ALERT_ID``: the input that raised an alarm through the release that judged it, once more."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_runtime.bundle.manifest import ImagePreprocessing
from edge_runtime.bundle.reader import Bundle
from edge_runtime.bundle.store import BundleStore
from edge_runtime.config import Config, Pipeline, config_sha256
from edge_runtime.daemon import protocol
from edge_runtime.daemon.models import plan_of, trusted_pems
from edge_runtime.daemon.past_alarm import PastAlarm
from edge_runtime.daemon.rerun import Rerun, run_once
from edge_runtime.errors import BundleError, MessageError, UsageError
from edge_runtime.findings import Finding
from edge_runtime.messages import Alert
from edge_runtime.mqtt.evidence import read_window

#: Exit code when the score is another one.
DIFFERENT: Final = 3
_FIGURES: Final = ("score", "value", "value_low", "value_high")
_SOURCE: Final = "replay"


@dataclass(frozen=True, slots=True)
class Replayed:
    """An alarm then and its input now.

    Attributes
    ----------
    alert_id, model, model_version, model_sha256 : str
        What was replayed, and by which release.
    same : bool
        Whether every figure is equal to the bit.
    then, now : dict of str to float or None
        ``score``, ``value``, ``value_low``, ``value_high``; empty when the input gives no finding of that label now.
    reason : str
        Why there is no finding; empty when there is one.
    engine_then, engine_now : str
        What ran the model.
    threshold_then, threshold_now : float or None
        Where a finding is abnormal.
    same_config : bool
        Whether the configuration is the one that was in force.
    """

    alert_id: str
    model: str
    model_version: str
    model_sha256: str
    same: bool
    then: dict[str, float | None]
    now: dict[str, float | None]
    reason: str
    engine_then: str
    engine_now: str
    threshold_then: float
    threshold_now: float | None
    same_config: bool

    @property
    def exit_code(self) -> int:
        """0, or 3 when a figure differs."""
        return 0 if self.same else DIFFERENT

    def as_json(self) -> dict[str, Any]:
        """Give all of it."""
        return asdict(self)

    def as_text(self) -> str:
        """Write it for a person."""
        lines = [f"alert    {self.alert_id}", f"model    {self.model} {self.model_version} {self.model_sha256[:16]}"]
        if self.engine_now == self.engine_then:
            lines.append(f"engine   {self.engine_now}")
        else:
            lines.append(f"engine   {self.engine_now}, then {self.engine_then}")
        for name, old in self.then.items():
            if old is not None or self.now.get(name) is not None:
                lines.append(f"{name:<9}{old!r} then, {self.now.get(name)!r} now")
        if self.threshold_now is not None and self.threshold_now != self.threshold_then:
            lines.append(f"limit    {self.threshold_then!r} then, {self.threshold_now!r} now")
        if not self.same_config:
            lines.append("config   not the one that was in force (config_sha256 differs)")
        if self.reason:
            lines.append(f"no finding of that label: {self.reason}")
        lines.append("same" if self.same else "different")
        return "\n".join(lines)


def replay_alarm(config: Config, past: PastAlarm) -> Replayed:
    """Give an alarm's input to the release that raised it, in a worker of its own.

    Parameters
    ----------
    config : Config
        Thresholds, limits, and where bundles and trusted keys are.
    past : PastAlarm
        The alarm and its input.

    Returns
    -------
    replayed : Replayed
        Both scores.

    Raises
    ------
    UsageError
        If the alert names no model, or its evidence is no window.
    BundleError
        If that release is not in the store, or is refused.
    InferenceError
        If it does not run here.
    """
    alert = past.alert
    store = BundleStore(Path(config.bundles.store))
    bundle = load_release(store, alert)
    takes_pictures = isinstance(bundle.manifest.preprocessing, ImagePreprocessing)
    pipeline = next((each for each in config.pipelines if each.id == alert.pipeline), None) or Pipeline(
        id=alert.pipeline, kind="inspection" if takes_pictures else "monitor", bundle=bundle.manifest.name
    )
    plan = plan_of(pipeline, bundle, (_source(bundle),), store)
    payload, handing = _task(past, pipeline.id, takes_pictures=takes_pictures)
    formats = [form.format for form in bundle.manifest.models]
    rerun = run_once(plan, trusted_pems(store), payload, handing, model_formats=list(formats), limits=config.worker)
    return _compared(alert, rerun, same_config=config_sha256(config) == alert.config_sha256)


def load_release(store: BundleStore, alert: Alert) -> Bundle:
    """Read the very bundle that an alert names.

    Raises
    ------
    UsageError
        If it names none.
    BundleError
        If the store lacks it, or it is refused.
    HostEnvironmentError
        If the disk refuses.
    """
    if alert.model is None or alert.model_sha256 is None:
        raise UsageError(f"alert {alert.alert_id} names no model: nothing to replay")
    for each in store.list():
        if each.name == alert.model and each.stored.sha256 == alert.model_sha256 and each.present:
            return store.load(each.name, release=each.stored.release)
    raise BundleError(
        f'"{alert.model}" {alert.model_version} ({alert.model_sha256[:16]}...) is not in {store.root}; give its file'
        ' again with "edge-runtime bundle install FILE" (to another store, named in a copy of the configuration, if the'
        " daemon is to keep its release)"
    )


def _source(bundle: Bundle) -> protocol.SourcePlan:
    """Describe a source that fits the model."""
    wanted = bundle.manifest.preprocessing
    if isinstance(wanted, ImagePreprocessing):
        return protocol.SourcePlan(_SOURCE)
    channels = tuple((channel.name, channel.unit) for channel in wanted.channels)
    return protocol.SourcePlan(_SOURCE, channels, wanted.rate_hz)


def _task(past: PastAlarm, pipeline: str, *, takes_pictures: bool) -> tuple[bytes, Any]:
    """Give the bytes for the worker, and how they are handed over."""
    if takes_pictures:
        captured_at = (past.alert.source_ms or past.alert.timestamp_ms) / 1e3

        def hand_picture(number: int, slot: int) -> protocol.Task:
            return protocol.FrameTask(number, _SOURCE, slot, len(past.evidence), captured_at, past.alert.part)

        return past.evidence, hand_picture
    try:
        window = read_window(past.evidence)
    except MessageError as error:
        raise UsageError(f"the evidence of alert {past.alert.alert_id}: {error}") from error
    samples = np.frombuffer(window.samples, "<f4").astype(np.float32).tobytes()

    def hand_window(number: int, slot: int) -> protocol.Task:
        return protocol.WindowTask(number, pipeline, slot, len(samples), window.rows, len(window.channels))

    return samples, hand_window


def _compared(alert: Alert, rerun: Rerun, *, same_config: bool) -> Replayed:
    """Hold what came now to what came then."""
    found = next((each for each in rerun.outcome.findings if each.label == alert.label), None)
    then, now = _figures(alert), {} if found is None else _figures(found)
    reason = "" if found is not None else f"{rerun.outcome.reason} {rerun.outcome.detail}".strip() or "other labels"
    return Replayed(
        alert_id=alert.alert_id,
        model=alert.model or "",
        model_version=alert.model_version or "",
        model_sha256=alert.model_sha256 or "",
        same=then == now,
        then=then,
        now=now,
        reason=reason,
        engine_then=alert.engine or "",
        engine_now=rerun.engine,
        threshold_then=alert.threshold,
        threshold_now=None if found is None else found.threshold,
        same_config=same_config,
    )


def _figures(told: Alert | Finding) -> dict[str, float | None]:
    return {name: getattr(told, name) for name in _FIGURES}
