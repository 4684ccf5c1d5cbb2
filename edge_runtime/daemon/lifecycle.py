"""What the gateway says about itself: birth, health, status of pipelines, figures. All retained, none in the outbox."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from edge_runtime import __version__
from edge_runtime.daemon.clock import Clock, clock_quality
from edge_runtime.daemon.memory import proportional_bytes
from edge_runtime.daemon.telling import Gateway, ModelFacts
from edge_runtime.messages import SCHEMA_IDS, Birth, Health, MetricValue, ModelInstalled, PipeStatus

_DISK_LOW_MB = 100.0
_LATE_S = 5.0
_LIBRARIES = ("ai-edge-litert", "onnxruntime", "tflite-runtime", "numpy", "opencv-python-headless", "paho-mqtt")
_REMEMBER_S = 3600.0


def versions() -> dict[str, str]:
    """Versions of the daemon, Python and the libraries that matter, as far as they are installed."""
    found = {"edge-runtime": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def birth(
    gateway_id: str, gateway: Gateway, models: Mapping[str, ModelFacts], pipelines: Iterable[str], now_s: float
) -> Birth:
    """Say what started."""
    return Birth(
        gateway=gateway_id,
        boot_id=gateway.boot_id,
        timestamp_ms=round(now_s * 1000),
        clock=clock_quality(now_s),
        versions=versions(),
        pipelines=tuple(pipelines),
        bundles={facts.name: facts.sha256 for facts in models.values()},
        schemas=SCHEMA_IDS,
        config_sha256=gateway.config_sha256,
    )


def installed(facts: ModelFacts, release: int, now_s: float) -> ModelInstalled:
    """Say which model runs."""
    return ModelInstalled(
        model=facts.name,
        version=facts.version,
        release=release,
        sha256=facts.sha256,
        precision=facts.precision,
        engine=facts.engine,
        installed_ms=round(now_s * 1000),
    )


@dataclass(frozen=True, slots=True)
class Vitals:
    """What health is made of, read at one moment.

    Attributes
    ----------
    connected, worker_ready : bool
        State of the broker's link and of the worker.
    fault : str
        Why the disk refuses; empty when it does not.
    outbox_full : bool
        Whether unsent events fill it.
    disk_slow : bool
        Whether a commit took long a moment ago.
    outbox_depth : int
        Events that the broker lacks.
    oldest_unsent_s : float
        Age of the oldest of them.
    failed : tuple of str
        Pipelines that do not run.
    pids : tuple of int
        All processes of the gateway.
    last_alert_seq, last_verdict_seq : int
        Highest numbers given.
    n_refused : int
        Events that the broker does not take.
    troubles : tuple of str
        Why inputs or commands do not come.
    """

    connected: bool
    worker_ready: bool
    fault: str
    outbox_full: bool
    outbox_depth: int
    oldest_unsent_s: float
    failed: tuple[str, ...]
    pids: tuple[int, ...]
    last_alert_seq: int
    last_verdict_seq: int
    n_refused: int = 0
    disk_slow: bool = False
    troubles: tuple[str, ...] = ()


@dataclass(slots=True)
class HealthReporter:
    """Reads vitals into a health report and remembers incidents for an hour.

    Attributes
    ----------
    boot_id : str
        The present run.
    state_dir : Path
        Whose disk is watched.
    clock : Clock
        Both clocks.
    """

    boot_id: str
    state_dir: Path
    clock: Clock
    _started: float = field(init=False)
    _incidents: dict[str, float] = field(default_factory=dict)
    _lasting: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._started = self.clock.monotonic()

    @property
    def incidents(self) -> tuple[str, ...]:
        """Incidents that are remembered."""
        return tuple(self._incidents)

    def remember(self, reason: str) -> None:
        """Keep an incident in the reasons for an hour, so that a person sees it."""
        self._incidents[reason] = self.clock.monotonic()
        while len(self._incidents) > 64:  # noqa: PLR2004
            del self._incidents[next(iter(self._incidents))]

    def forget(self, beginning: str) -> None:
        """End the incidents that begin so: what they asked for has been done."""
        for reason in [each for each in self._incidents if each.startswith(beginning)]:
            del self._incidents[reason]

    def hold(self, reason: str) -> None:
        """Keep a reason until the daemon starts again."""
        self._lasting[reason] = None

    def release(self, reason: str) -> None:
        """End a reason that was held."""
        self._lasting.pop(reason, None)

    def report(self, vitals: Vitals) -> Health:
        """Write the report."""
        now = self.clock.monotonic()
        wall = self.clock.wall()
        try:
            disk_free_mb = shutil.disk_usage(self.state_dir).free / 1e6
        except OSError:
            disk_free_mb = 0.0
        reasons = [
            reason
            for reason, holds in (
                ("broker_disconnected", not vitals.connected),
                ("worker_restarting", not vitals.worker_ready),
                ("outbox_stuck", bool(vitals.fault)),
                ("outbox_full", vitals.outbox_full),
                ("events_late", vitals.connected and vitals.oldest_unsent_s > _LATE_S),
                ("disk_slow", vitals.disk_slow),
                ("disk_low", disk_free_mb < _DISK_LOW_MB),
                ("events_refused", vitals.n_refused > 0),
            )
            if holds
        ]
        reasons += [f"pipeline_failed:{name}" for name in vitals.failed]
        reasons += vitals.troubles
        self._incidents = {reason: at for reason, at in self._incidents.items() if now - at < _REMEMBER_S}
        reasons += [*self._incidents, *self._lasting]
        return Health(
            ok=not reasons,
            reasons=tuple(reasons),
            outbox_depth=vitals.outbox_depth,
            oldest_unsent_s=round(vitals.oldest_unsent_s, 3),
            rss_mb=round(proportional_bytes((os.getpid(), *vitals.pids)) / 1e6, 1),
            disk_free_mb=round(disk_free_mb, 1),
            clock=clock_quality(wall),
            boot_id=self.boot_id,
            uptime_s=round(now - self._started, 3),
            last_alert_seq=vitals.last_alert_seq,
            last_verdict_seq=vitals.last_verdict_seq,
            timestamp_ms=round(wall * 1000),
        )


class StatusBoard:
    """The retained status of every pipeline; publishes when one changes and again after a reconnection.

    Parameters
    ----------
    publish : callable
        Takes the pipeline and its status.
    clock : Clock
        Both clocks.
    """

    def __init__(self, publish: Callable[[str, PipeStatus], None], clock: Clock) -> None:
        self._publish = publish
        self._clock = clock
        self._statuses: dict[str, PipeStatus] = {}

    def set(self, pipeline: str, status: str, reason: str = "", facts: ModelFacts | None = None) -> None:
        """Change a pipeline's status; nothing is published when it is the same."""
        old = self._statuses.get(pipeline)
        digest = None if facts is None else facts.sha256
        if old is not None and (old.status, old.reason, old.model_sha256) == (status, reason[:2048], digest):
            return
        new = msgspec.convert(
            {
                "pipeline": pipeline,
                "status": status,
                "reason": reason[:2048],
                "model": None if facts is None else facts.name,
                "model_version": None if facts is None else facts.version,
                "model_sha256": digest,
                "timestamp_ms": round(self._clock.wall() * 1000),
            },
            PipeStatus,
        )
        self._statuses[pipeline] = new
        self._publish(pipeline, new)

    def forget(self, pipeline: str) -> None:
        """Say nothing more of a pipeline that is gone."""
        self._statuses.pop(pipeline, None)

    def failed(self) -> tuple[str, ...]:
        """Pipelines that do not run, although they should."""
        return tuple(name for name, status in self._statuses.items() if status.status == "failed")

    def publish_all(self) -> None:
        """Publish every status again."""
        for pipeline, status in self._statuses.items():
            changed_ms = round(self._clock.correct(status.timestamp_ms / 1000) * 1000)
            self._publish(pipeline, msgspec.structs.replace(status, timestamp_ms=changed_ms))


def figures(values: Mapping[str, tuple[float, str]], now_s: float) -> dict[str, MetricValue]:
    """Write figures as ``metric/<name>`` messages.

    Parameters
    ----------
    values : mapping of str to (value, unit)
        By name.
    now_s : float, s
        Wall clock, UTC.
    """
    return {
        name: MetricValue(value=value, timestamp_ms=round(now_s * 1000), unit=unit)
        for name, (value, unit) in values.items()
    }
