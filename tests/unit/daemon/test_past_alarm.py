"""Alarms of the past and their inputs, found in an outbox or in files."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from edge_runtime.daemon.outbox import Outbox, Outgoing, Priority
from edge_runtime.daemon.past_alarm import from_files, from_outbox
from edge_runtime.errors import HostEnvironmentError, UsageError
from edge_runtime.messages import Alert, EventIds, encode
from tests.unit.daemon.outboxes import open_outbox
from tests.unit.messages.payloads import EXAMPLES

IDS = EventIds(lambda: 1_700_000_000_000)
EVIDENCE = b"\xff\xd8 a picture"
ALERT_ID = "01hf7yat000000000000000000"
TOPIC = f"edge/gw1/evidence/{ALERT_ID}/snapshot.jpg"


def alert(**changes: Any) -> Alert:
    example = EXAMPLES["alert"]
    assert isinstance(example, Alert)
    fields: dict[str, Any] = {
        "alert_id": ALERT_ID,
        "event_id": IDS.next(),
        "evidence_topic": TOPIC,
        "evidence_sha256": hashlib.sha256(EVIDENCE).hexdigest(),
        "evidence_missing": None,
    }
    return replace(example, **{**fields, **changes})


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """An outbox that its daemon has open."""
    opened = open_outbox(tmp_path)
    yield opened
    opened.close()


def commit(outbox: Outbox, *alerts: Alert, evidence: bytes | None = EVIDENCE) -> None:
    """Store alerts, and evidence on its topic."""
    events = [
        Outgoing(each.event_id, "alert", number, Priority.ALERT, "edge/gw1/alert/event", encode(each))
        for number, each in enumerate(alerts, start=outbox.last_seq("alert") + 1)
    ]
    if evidence is not None:
        events.append(Outgoing(IDS.next(), "", 0, Priority.EVIDENCE, TOPIC, evidence))
    outbox.commit(events, {})


def path_of(folder: Path) -> Path:
    return folder / "outbox.db"


def test_an_alarm_is_found_with_its_evidence_while_the_daemon_has_the_outbox_open(
    tmp_path: Path, outbox: Outbox
) -> None:
    commit(outbox, alert(event_type="raised"))
    found = from_outbox(path_of(tmp_path), ALERT_ID.upper())
    assert (found.alert.alert_id, found.evidence) == (ALERT_ID, EVIDENCE)


def test_an_alarm_is_found_after_the_daemon_has_left_and_nothing_is_written(tmp_path: Path) -> None:
    opened = open_outbox(tmp_path)
    commit(opened, alert(event_type="raised"))
    opened.close()
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    from_outbox(path_of(tmp_path), ALERT_ID)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


def test_of_an_alarms_events_the_one_that_raised_it_is_taken(tmp_path: Path, outbox: Outbox) -> None:
    commit(outbox, alert(event_type="raised", score=0.9), alert(event_type="updated", score=0.8))
    assert from_outbox(path_of(tmp_path), ALERT_ID).alert.score == 0.9


def test_an_alarm_that_is_not_there_is_named(tmp_path: Path, outbox: Outbox) -> None:
    commit(outbox, alert(event_type="raised", text=ALERT_ID))
    with pytest.raises(HostEnvironmentError, match="no alert 01zz is kept"):
        from_outbox(path_of(tmp_path), "01ZZ")


def test_an_alarm_whose_first_event_is_gone_cannot_be_replayed(tmp_path: Path, outbox: Outbox) -> None:
    commit(outbox, alert(event_type="updated"))
    with pytest.raises(HostEnvironmentError, match=r'only later events .* not the event "raised"'):
        from_outbox(path_of(tmp_path), ALERT_ID)


def test_evidence_that_is_gone_is_asked_for(tmp_path: Path, outbox: Outbox) -> None:
    commit(outbox, alert(event_type="raised"), evidence=None)
    with pytest.raises(HostEnvironmentError, match=r"not kept any more.*--evidence-file"):
        from_outbox(path_of(tmp_path), ALERT_ID)


def test_evidence_with_another_digest_is_refused(tmp_path: Path, outbox: Outbox) -> None:
    commit(outbox, alert(event_type="raised"), evidence=b"another picture")
    with pytest.raises(HostEnvironmentError, match="has the digest"):
        from_outbox(path_of(tmp_path), ALERT_ID)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"evidence_missing": "too_large"}, "too_large"),
        ({"evidence_missing": None}, 'evidence = "none"'),
        ({"kind": "system"}, "about the gateway itself"),
    ],
)
def test_an_alarm_without_evidence_says_why(
    tmp_path: Path, outbox: Outbox, changes: dict[str, Any], words: str
) -> None:
    commit(outbox, alert(event_type="raised", **{"evidence_topic": None, **changes}), evidence=None)
    with pytest.raises(UsageError, match=words):
        from_outbox(path_of(tmp_path), ALERT_ID)


def test_a_gateway_without_an_outbox_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostEnvironmentError, match="there is no outbox"):
        from_outbox(tmp_path / "outbox.sqlite", ALERT_ID)


@pytest.mark.parametrize("content", [b"", b"no database at all", bytes(8192)])
def test_a_file_that_is_no_outbox_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "outbox.sqlite").write_bytes(content)
    with pytest.raises(HostEnvironmentError, match="the outbox cannot be read"):
        from_outbox(tmp_path / "outbox.sqlite", ALERT_ID)


def test_an_event_of_a_later_release_is_passed_over(tmp_path: Path, outbox: Outbox) -> None:
    commit(outbox, alert(event_type="raised"))
    with closing(sqlite3.connect(path_of(tmp_path))) as database, database:
        (payload,) = database.execute("SELECT payload FROM event WHERE series = 'alert'").fetchone()
        later = payload.replace(b"edge.alert/1", b"edge.alert/2")
        database.execute("UPDATE event SET payload = ? WHERE series = 'alert'", (later,))
    with pytest.raises(HostEnvironmentError, match="no alert"):
        from_outbox(path_of(tmp_path), ALERT_ID)


def files(folder: Path, told: Alert, evidence: bytes = EVIDENCE) -> tuple[Path, Path]:
    paths = folder / "alert.json", folder / "snapshot.jpg"
    paths[0].write_bytes(encode(told))
    paths[1].write_bytes(evidence)
    return paths


def test_files_of_a_consumer_are_as_good(tmp_path: Path) -> None:
    told = alert(event_type="raised")
    assert from_files(*files(tmp_path, told)).alert == told


def test_a_copy_of_the_picture_serves_where_none_was_published(tmp_path: Path) -> None:
    told = alert(event_type="raised", evidence_topic=None, snapshot_topic=None)
    assert from_files(*files(tmp_path, told)).evidence == EVIDENCE


def test_a_later_event_is_refused_because_its_score_is_of_another_input(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='event "cleared", whose score is of a later input'):
        from_files(*files(tmp_path, alert(event_type="cleared")))


def test_another_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has the digest"):
        from_files(*files(tmp_path, alert(event_type="raised"), b"another"))


def test_a_file_that_is_no_alert_is_refused(tmp_path: Path) -> None:
    paths = files(tmp_path, alert(event_type="raised"))
    paths[0].write_text("{}")
    with pytest.raises(UsageError, match="no alert event"):
        from_files(*paths)
