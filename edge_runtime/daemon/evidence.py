"""The input that raised an alarm, as it is kept and published beside the alert: ``evidence/<alert_id>/...``.

A picture goes as it was received, byte for byte; a window as the model was shown it. See ``docs/formats/evidence.md``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from edge_runtime.config import Pipeline
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.outbox import Outgoing, Priority
from edge_runtime.daemon.protocol import Outcome
from edge_runtime.daemon.telling import Occasion
from edge_runtime.messages import Alert
from edge_runtime.mqtt.codec import FramePayload
from edge_runtime.mqtt.evidence import WindowEvidence, write_window

Name = Literal["snapshot.jpg", "snapshot.png", "window.cbor"]
#: Gives the topic of a name below an alert's evidence.
Address = Callable[[str, Name], str]

_SNAPSHOTS: dict[str, Name] = {"jpeg": "snapshot.jpg", "png": "snapshot.png"}


@dataclass(frozen=True, slots=True)
class Input:
    """What raised an alarm."""

    name: Name
    data: bytes


def input_of(outcome: Outcome, place: int, occasion: Occasion) -> Input | None:
    """Find the input behind a finding.

    Parameters
    ----------
    outcome : Outcome
        With its windows.
    place : int
        Of the finding in the outcome.
    occasion : Occasion
        With its payload.

    Returns
    -------
    input : Input or None
        None for a window that was too large to be handed over, and where there is no input.
    """
    if isinstance(occasion.payload, FramePayload):
        return Input(_SNAPSHOTS[occasion.payload.header.format], bytes(occasion.payload.payload))
    for window in outcome.windows:
        if window.first <= place < window.first + window.count:
            kept = WindowEvidence(
                occasion.pipeline,
                occasion.source,
                window.channels,
                window.rate_hz,
                window.times,
                window.samples,
                window.held,
            )
            return Input("window.cbor", write_window(kept))
    return None


class EvidenceClerk:
    """Adds to alerts what they were raised by.

    Parameters
    ----------
    pipelines : iterable of Pipeline
        Whether evidence is wanted, and how large it may be.
    address : callable
        Topics.
    new_id : callable
        Gives ULIDs.
    metrics : Metrics
        Counts what is kept and what is not.
    max_payload_bytes : int
        The longest message that the broker's session takes.
    """

    def __init__(
        self,
        pipelines: Iterable[Pipeline],
        address: Address,
        *,
        new_id: Callable[[], str],
        metrics: Metrics,
        max_payload_bytes: int,
    ) -> None:
        self._max_payload_bytes = max_payload_bytes
        self.reconfigure(pipelines)
        self._address = address
        self._new_id = new_id
        self._metrics = metrics

    def reconfigure(self, pipelines: Iterable[Pipeline]) -> None:
        """Take over what these pipelines want."""
        self._limits = {
            each.id: min(each.max_evidence_bytes, self._max_payload_bytes) if each.evidence == "raised" else 0
            for each in pipelines
        }

    def attach(self, alert: Alert, found: Input | None) -> tuple[Alert, Outgoing | None]:
        """Name the input in an alert that was just raised.

        Parameters
        ----------
        alert : Alert
            Told from a finding.
        found : Input or None
            What ``input_of`` found.

        Returns
        -------
        alert : Alert
            With the input's digest, and its topic or the reason why it has none.
        event : Outgoing or None
            The evidence, to be committed with the alert.
        """
        limit = self._limits.get(alert.pipeline, 0)
        digest = None if found is None else hashlib.sha256(found.data).hexdigest()
        if not limit:
            return replace(alert, evidence_sha256=digest), None
        if found is None or len(found.data) > limit:
            self._metrics.evidence_missing.labels(alert.pipeline, "too_large").inc()
            return replace(alert, evidence_sha256=digest, evidence_missing="too_large"), None
        self._metrics.evidence_bytes.labels(alert.pipeline).inc(len(found.data))
        topic = self._address(alert.alert_id, found.name)
        named = replace(
            alert,
            evidence_sha256=digest,
            evidence_topic=topic,
            snapshot_topic=None if found.name == "window.cbor" else topic,
        )
        return named, Outgoing(self._new_id(), "", 0, Priority.EVIDENCE, topic, found.data)


def inherit(alert: Alert, last: Alert | None) -> Alert:
    """Let a later event of an occurrence name the evidence that its first one named."""
    if last is None or last.alert_id != alert.alert_id:
        return alert
    return replace(
        alert,
        snapshot_topic=last.snapshot_topic,
        evidence_topic=last.evidence_topic,
        evidence_sha256=last.evidence_sha256,
        evidence_missing=last.evidence_missing,
    )
