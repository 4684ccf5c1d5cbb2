"""What `watch` and `top` show."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from edge_runtime.daemon.watching import Picture, event_line
from edge_runtime.errors import MessageError
from edge_runtime.messages import Health, PartVerdict, PipeStatus, encode
from edge_runtime.mqtt.topics import Topics
from tests.unit.messages.payloads import EXAMPLES

TOPICS = Topics("edge", "gw")
ULID = "01HF7YAT000000000000000000"


def verdict(word: str, reasons: tuple[str, ...] = ()) -> bytes:
    return encode(
        PartVerdict(
            event_id=ULID,
            seq=1,
            boot_id="b",
            part="p-1",
            verdict=word,  # type: ignore[arg-type] # one of the three words
            reasons=reasons,
            pipeline="surface",
            timestamp_ms=0,
            clock="unset",
        )
    )


def test_a_bad_part_is_one_line_with_its_reasons() -> None:
    line = event_line(TOPICS.part_verdict(), verdict("ng", ("scratch",)), TOPICS)
    assert line is not None
    assert "p-1: scratch" in line


def test_a_good_part_is_not_shown() -> None:
    assert event_line(TOPICS.part_verdict(), verdict("ok"), TOPICS) is None


def test_a_payload_that_is_something_else_is_refused() -> None:
    with pytest.raises(MessageError):
        event_line(TOPICS.alert_event(), b"{}", TOPICS)


def test_a_picture_is_put_together_from_retained_messages() -> None:
    picture = Picture(TOPICS)
    picture.take(TOPICS.availability(), b"online")
    status = PipeStatus(pipeline="surface", status="failed", reason="no bundle", timestamp_ms=0)
    picture.take(TOPICS.pipe_status("surface"), encode(status))
    health = Health(
        ok=False,
        reasons=("outbox_full",),
        outbox_depth=3,
        oldest_unsent_s=1.0,
        rss_mb=200.0,
        disk_free_mb=1.0,
        clock="synchronized",
        boot_id="b",
        uptime_s=5.0,
        last_alert_seq=1,
        last_verdict_seq=2,
        timestamp_ms=0,
    )
    picture.take(TOPICS.health(), encode(health))
    text = picture.as_text()
    assert "edge/gw: online" in text
    assert "outbox_full" in text
    assert "surface   failed, no model no bundle" in text


@pytest.mark.parametrize(("field", "mark"), [("shelved", "SHELVED"), ("flooded", "FLOODED")])
def test_an_alert_that_is_not_to_be_annunciated_is_marked(field: str, mark: str) -> None:
    line = event_line(TOPICS.alert_event(), encode(replace(EXAMPLES["alert"], **{field: True})), TOPICS)
    plain = event_line(TOPICS.alert_event(), encode(EXAMPLES["alert"]), TOPICS)
    assert line == f"{plain}  {mark}"


def test_shelved_alarms_are_counted_where_there_are_some() -> None:
    picture = Picture(TOPICS)
    picture.take(TOPICS.alert_summary(), encode(replace(EXAMPLES["alert-summary"], shelved=2)))
    assert "1 active, 1 unacknowledged, worst high, 2 shelved" in picture.as_text()
