"""What a consumer of the gateway sees during the demo, beside what is really so."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field

import msgspec
import numpy as np

from edge_runtime.errors import MessageError
from edge_runtime.messages import Alert, Health, PartVerdict, PipeStatus, decode
from edge_runtime.mqtt.interface import Incoming
from edge_runtime.mqtt.metadata import read_envelope
from edge_runtime.simulator.baselines import BrightnessRule, ThreeSigmaRule
from edge_runtime.simulator.machines import CHANNELS, RATE_HZ
from edge_runtime.simulator.truth import AssetTruth, PartTruth

_SHOWN = 12


@dataclass(slots=True)
class Tally:
    """Collects messages; its methods are called from the session's thread and read from the main one.

    Attributes
    ----------
    root : str
        First levels of the gateway's topics.
    brightness : BrightnessRule
        The trivial rule on frames.
    """

    root: str
    brightness: BrightnessRule
    verdicts: dict[str, str] = field(default_factory=dict)
    truths: dict[str, str] = field(default_factory=dict)
    lives: list[AssetTruth] = field(default_factory=list)
    raised: dict[str, list[int]] = field(default_factory=dict)
    bright: dict[str, str] = field(default_factory=dict)
    sigma: dict[str, list[int]] = field(default_factory=dict)
    event_ids: set[str] = field(default_factory=set)
    latency_ms: list[float] = field(default_factory=list)
    frames: int = 0
    values: int = 0
    duplicates: int = 0
    pss_mb: float = 0.0
    running: set[str] = field(default_factory=set)
    first_alert_at: float | None = None
    last_source_ms: int = 0
    news: deque[str] = field(default_factory=lambda: deque(maxlen=_SHOWN))
    changed: threading.Event = field(default_factory=threading.Event)
    _rules: dict[str, ThreeSigmaRule] = field(default_factory=dict)

    def take(self, message: Incoming) -> None:
        """Sort one message by its topic."""
        topic = message.topic
        try:
            if topic.startswith("plant/"):
                self._take_plant(topic.split("/"), message.payload)
            elif topic.startswith(f"{self.root}/"):
                self._take_gateway(topic.removeprefix(f"{self.root}/"), message.payload)
        except (MessageError, msgspec.MsgspecError) as error:
            self.news.append(f"unreadable message on {topic}: {error}")
        self.changed.set()

    def _take_plant(self, levels: list[str], payload: bytes) -> None:
        if levels[1] == "truth" and levels[2] == "part":
            truth = msgspec.json.decode(payload, type=PartTruth)
            self.truths[truth.part] = truth.verdict
        elif levels[1] == "truth":
            self.lives.append(msgspec.json.decode(payload, type=AssetTruth))
        elif levels[1] == "cam":
            metadata, jpeg = read_envelope(payload)
            self.frames += 1
            if metadata.part is not None:
                self.bright[metadata.part] = self.brightness.verdict(bytes(jpeg))
        elif levels[1] == "sensor":
            metadata, raw = read_envelope(payload)
            block = np.frombuffer(raw, "<f4").reshape(-1, len(CHANNELS))
            self.values += block.size
            self.last_source_ms = max(self.last_source_ms, (metadata.ts_ms or 0) + round(len(block) / RATE_HZ * 1000))
            if self._rules.setdefault(levels[2], ThreeSigmaRule()).push(block):
                self.sigma.setdefault(levels[2], []).append(metadata.ts_ms or 0)

    def _take_gateway(self, topic: str, payload: bytes) -> None:
        if topic == "part/verdict":
            self._take_verdict(decode(payload, PartVerdict))
        elif topic == "alert/event":
            self._take_alert(decode(payload, Alert))
        elif topic == "health":
            self.pss_mb = max(self.pss_mb, decode(payload, Health).rss_mb)
        elif topic.startswith("pipe/") and topic.endswith("/status"):
            status = decode(payload, PipeStatus)
            (self.running.add if status.status == "running" else self.running.discard)(status.pipeline)

    def _is_new(self, event_id: str, source_ms: int | None) -> bool:
        if event_id in self.event_ids:
            self.duplicates += 1
            return False
        self.event_ids.add(event_id)
        return source_ms is not None

    def _take_verdict(self, verdict: PartVerdict) -> None:
        if self._is_new(verdict.event_id, verdict.source_ms):
            self.latency_ms.append(time.time() * 1000 - (verdict.source_ms or 0))
        self.verdicts[verdict.part] = verdict.verdict
        if verdict.verdict != "ok":
            self.news.append(f"part {verdict.part:<12} {verdict.verdict:<6} {', '.join(verdict.reasons)}")

    def _take_alert(self, alert: Alert) -> None:
        self._is_new(alert.event_id, None)
        if self.first_alert_at is None:
            self.first_alert_at = time.monotonic()
        if alert.asset is not None and alert.event_type == "raised":
            self.raised.setdefault(alert.asset, []).append(alert.source_ms or alert.timestamp_ms)
        if alert.event_type in {"raised", "cleared"}:
            self.news.append(f"{alert.severity:<8} {alert.event_type:<8} {alert.text}")
