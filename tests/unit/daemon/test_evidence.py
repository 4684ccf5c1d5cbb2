"""Evidence of alarms: what is kept, what the alert says about it, and what later events say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.config import AlertRule, Pipeline
from edge_runtime.daemon import protocol
from edge_runtime.daemon.alarm_desk import Addresses
from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.desk import Desk
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.outbox import Outbox, Priority
from edge_runtime.daemon.telling import Gateway, ModelFacts, Occasion
from edge_runtime.findings import Finding
from edge_runtime.messages import Alert, EventIds, decode
from edge_runtime.mqtt.codec import FramePayload, SensorBlock
from edge_runtime.mqtt.evidence import read_window
from edge_runtime.mqtt.image_header import ImageHeader
from tests.unit.daemon.outboxes import Hands, open_outbox

MODEL = ModelFacts("surface-defect", "1.0.0", "a" * 64, "int8", "litert 2.3 x86-64")
BAD = Finding("vision.defect", "crack", 0.9, 0.6, 0.4, abnormal=True, clearable=False)
GOOD = replace(BAD, score=0.1, abnormal=False, clearable=True)
JPEG = b"\xff\xd8 the picture as it came"


class Office:
    """A desk on a real outbox, with one pipeline on a camera and one on a machine."""

    def __init__(self, outbox: Outbox, wall: Hands, **changes: Any) -> None:
        self.outbox, self.wall = outbox, wall
        self.metrics = Metrics()
        self.journal: Journal[object] = Journal(outbox, lambda _: None, checkpoint_s=0.2, max_tokens=8)
        rules = (AlertRule(clear_after=1),)
        self.desk = Desk(
            [
                Pipeline(id="surface", kind="inspection", bundle="b", cameras=("cam1",), rules=rules, **changes),
                Pipeline(id="life", kind="monitor", bundle="b", sensors=("press1",), rules=rules, **changes),
            ],
            self.journal,
            Gateway("boot-1", "c" * 64),
            Addresses("alert/event", lambda key: f"alert/state/{key}", "part/verdict"),
            event_ids=EventIds(lambda: round(wall.now_s * 1000)),
            clock=Clock(wall, lambda: wall.now_s - 1e9),
            metrics=self.metrics,
            stored=outbox.load_state(""),
        )

    def look(self, *findings: Finding, encoded: bytes = JPEG, form: Any = "jpeg") -> None:
        """Give what a model saw in a picture."""
        header = ImageHeader(form, 640, 480, 3)
        now = self.wall.now_s
        self._take("surface", "cam1", FramePayload("cam1", encoded, header, now, now, from_source=True), findings)

    def listen(self, *findings: Finding, windows: tuple[protocol.Window, ...] = ()) -> None:
        """Give what a model saw in a block of samples."""
        now = self.wall.now_s
        block = SensorBlock(
            "press1", ("a", "b"), np.zeros((4, 2), np.float32), np.zeros(4), 16.0, now, from_source=True
        )
        self._take("life", "press1", block, findings, windows=windows)

    def _take(self, pipeline: str, source: str, payload: Any, findings: tuple[Finding, ...], **fields: Any) -> None:
        self.wall.now_s += 1.0
        occasion = Occasion(
            pipeline, source, source == "cam1", MODEL, self.wall.now_s, self.wall.now_s, 0.01, payload=payload
        )
        self.desk.take(protocol.Outcome(pipeline, findings, **fields), occasion)
        self.journal.flush(0.0, force=True)

    @property
    def alerts(self) -> list[Alert]:
        return [decode(each.payload, Alert) for each in self.outbox.unsent(1000) if each.topic == "alert/event"]

    @property
    def evidence(self) -> dict[str, bytes]:
        return {each.topic: each.payload for each in self.outbox.unsent(1000) if each.topic.startswith("evidence/")}

    def missing(self, pipeline: str) -> float:
        labels = {"pipeline": pipeline, "reason": "too_large"}
        return self.metrics.registry.get_sample_value("edge_evidence_missing_total", labels) or 0.0


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[tuple[Outbox, Hands]]:
    wall = Hands()
    opened = open_outbox(tmp_path, clock=wall)
    yield opened, wall
    opened.close()


@pytest.fixture
def office(outbox: tuple[Outbox, Hands]) -> Office:
    return Office(*outbox)


def window(first: int = 0, value: float = 1.0, held: bytes = b"") -> protocol.Window:
    samples = np.full((4, 2), value, "<f4").tobytes()
    return protocol.Window(first, 1, (("a", "mm/s"), ("b", "")), 16.0, np.arange(4.0).tobytes(), samples, held)


def test_the_picture_that_raised_an_alarm_is_kept_byte_for_byte(office: Office) -> None:
    office.look(BAD)
    (alert,) = office.alerts
    topic = f"evidence/{alert.alert_id}/snapshot.jpg"
    assert office.evidence == {topic: JPEG}
    assert (alert.snapshot_topic, alert.evidence_topic) == (topic, topic)
    assert alert.evidence_sha256 == hashlib.sha256(JPEG).hexdigest()


def test_a_png_is_kept_as_one(office: Office) -> None:
    office.look(BAD, form="png", encoded=b"\x89PNG")
    assert office.evidence == {f"evidence/{office.alerts[0].alert_id}/snapshot.png": b"\x89PNG"}


def test_the_window_that_raised_an_alarm_is_kept(office: Office) -> None:
    office.listen(GOOD, BAD, windows=(window(1, 7.0, b"\x80"),))
    (alert,) = office.alerts
    ((topic, encoded),) = office.evidence.items()
    kept = read_window(encoded)
    assert topic == alert.evidence_topic == f"evidence/{alert.alert_id}/window.cbor"
    assert (alert.snapshot_topic, alert.evidence_sha256) == (None, hashlib.sha256(encoded).hexdigest())
    assert (kept.pipeline, kept.source, kept.samples, kept.held) == ("life", "press1", window(1, 7.0).samples, b"\x80")


def test_the_window_kept_is_the_one_whose_finding_raised_the_alarm(outbox: tuple[Outbox, Hands]) -> None:
    office = Office(*outbox)
    office.desk._pipelines["life"] = Pipeline(id="life", kind="monitor", bundle="b", rules=(AlertRule(n=2, m=3),))
    office.listen(BAD, GOOD, BAD, BAD, windows=(window(0, 1.0), window(2, 2.0), window(3, 3.0)))
    (encoded,) = office.evidence.values()
    assert read_window(encoded).samples == window(2, 2.0).samples


def test_evidence_leaves_after_alerts_and_verdicts(office: Office) -> None:
    office.look(BAD)
    topics = [each.topic.split("/")[0] for each in office.outbox.unsent(10)]
    assert topics == ["alert", "alert", "evidence"]
    assert Priority.EVIDENCE > Priority.VERDICT > Priority.ALERT


def test_an_input_that_raises_two_alarms_is_evidence_of_both(office: Office) -> None:
    office.look(BAD, replace(BAD, label="stain"))
    assert len(office.evidence) == 2


@pytest.mark.parametrize("step", ["updated", "cleared", "acked"])
def test_later_events_of_an_alarm_name_the_evidence_of_the_first(office: Office, step: str) -> None:
    office.look(BAD)
    office.wall.now_s += 60.0
    if step == "acked":
        office.desk.acknowledge(office.alerts[0].alert_id)
        office.journal.flush(0.0, force=True)
    else:
        office.look(BAD if step == "updated" else GOOD, encoded=b"another picture")
    raised, later = office.alerts
    assert later.event_type == step
    assert (later.snapshot_topic, later.evidence_sha256) == (raised.snapshot_topic, raised.evidence_sha256)
    assert len(office.evidence) == 1


def test_later_events_name_the_evidence_after_a_restart(office: Office) -> None:
    office.look(BAD)
    after = Office(office.outbox, office.wall)
    after.look(GOOD)
    raised, cleared = after.alerts
    assert (cleared.event_type, cleared.evidence_topic) == ("cleared", raised.evidence_topic)


def test_a_new_occurrence_has_its_own_evidence(office: Office) -> None:
    for findings in (BAD, GOOD, BAD):
        office.look(findings)
    first, _, second = office.alerts
    assert first.evidence_topic != second.evidence_topic
    assert len(office.evidence) == 2


def test_too_large_a_picture_is_not_kept_and_the_alert_says_so(outbox: tuple[Outbox, Hands]) -> None:
    office = Office(*outbox, max_evidence_bytes=1024)
    office.look(BAD, encoded=bytes(1025))
    (alert,) = office.alerts
    assert (alert.evidence_topic, alert.evidence_missing, office.evidence) == (None, "too_large", {})
    assert alert.evidence_sha256 == hashlib.sha256(bytes(1025)).hexdigest()
    assert office.missing("surface") == 1


def test_a_picture_of_exactly_the_largest_size_is_kept(outbox: tuple[Outbox, Hands]) -> None:
    office = Office(*outbox, max_evidence_bytes=1024)
    office.look(BAD, encoded=bytes(1024))
    assert len(office.evidence) == 1


def test_a_window_that_was_not_handed_over_is_missing_and_the_alert_says_so(office: Office) -> None:
    office.listen(BAD)
    assert (office.alerts[0].evidence_missing, office.missing("life")) == ("too_large", 1)


def test_without_evidence_wanted_the_alert_still_names_the_input_by_its_digest(outbox: tuple[Outbox, Hands]) -> None:
    office = Office(*outbox, evidence="none")
    office.look(BAD)
    (alert,) = office.alerts
    assert (alert.evidence_topic, alert.evidence_missing, office.evidence) == (None, None, {})
    assert alert.evidence_sha256 == hashlib.sha256(JPEG).hexdigest()


def test_an_alert_about_a_picture_names_its_size(office: Office) -> None:
    office.look(BAD)
    assert (office.alerts[0].frame_w, office.alerts[0].frame_h) == (640, 480)
