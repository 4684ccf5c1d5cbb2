"""Sources that change while inputs come: each input belongs to one configuration, and none is lost between two."""

from __future__ import annotations

from msgspec.structs import replace

from edge_runtime.config import Camera, Mailbox
from edge_runtime.daemon.intake import Message
from edge_runtime.mqtt.codec import FramePayload
from tests.unit.daemon.dispatchers import picture
from tests.unit.daemon.test_inlet import Gate
from tests.unit.daemon.test_intake import CONFIG, Door, message

SURE, FAST = CONFIG.cameras


def test_what_waits_in_the_mailbox_of_a_source_that_stays_is_kept() -> None:
    door = Door()
    door.take(message("sure", picture()))
    before = door.mailboxes["sure"]
    assert door.reconfigure(replace(CONFIG, cameras=(SURE,)), lambda _message: None) == []
    assert door.mailboxes["sure"] is before
    assert len(before) == 1


def test_what_waits_is_kept_where_only_the_mailbox_changes() -> None:
    door = Door()
    for _ in range(3):
        door.take(message("sure", picture()))
    small = replace(SURE, mailbox=Mailbox(depth=1, overflow="block"))
    door.reconfigure(replace(CONFIG, cameras=(small,)), lambda _message: None)
    assert (len(door.mailboxes["sure"]), len(door.mailboxes["sure"].surplus())) == (3, 2)


def test_inputs_of_a_source_that_is_gone_are_given_back() -> None:
    door = Door()
    door.take(message("sure", picture(), part="p1"))
    (left,) = door.reconfigure(replace(CONFIG, cameras=(FAST,)), lambda _message: None)
    assert (left.source, left.token) == ("sure", (1, 7))
    assert isinstance(left.payload, FramePayload)


def test_a_topic_of_a_source_that_is_gone_is_unknown() -> None:
    door = Door()
    door.reconfigure(replace(CONFIG, cameras=(FAST,)), lambda _message: None)
    assert not door.take(message("sure", picture()))


def test_a_new_source_is_taken() -> None:
    door = Door()
    new = Camera(id="new", topic="in/new", format="jpeg")
    door.reconfigure(replace(CONFIG, cameras=(SURE, new)), lambda _message: None)
    assert door.take(message("new", picture()))
    assert ("in/new", 0) in door.subscriptions()


def test_what_comes_of_a_source_that_is_to_change_waits_unread_and_reading_stops() -> None:
    door = Door()
    door.keep_waiting(["sure"])
    assert door.take(message("sure", picture()))
    assert door.take(message("fast", picture()))
    assert (len(door.mailboxes["sure"]), len(door.mailboxes["fast"]), door.wants_pause()) == (0, 1, True)


def test_what_waited_is_read_as_the_new_configuration_says() -> None:
    door = Door()
    door.keep_waiting(["sure"])
    door.take(message("sure", picture(), part="p1"))
    door.keep_waiting(["sure"])
    door.reconfigure(replace(CONFIG, cameras=(replace(SURE, part="none"), FAST)), lambda _message: None)
    item = door.mailboxes["sure"].take()
    assert item is not None
    assert isinstance(item.payload, FramePayload)
    assert (item.payload.part, door.wants_pause()) == (None, False)


def test_what_waited_of_a_source_that_is_gone_is_refused() -> None:
    door = Door()
    refused: list[Message] = []
    door.keep_waiting(["sure"])
    door.take(message("sure", picture()))
    door.reconfigure(replace(CONFIG, cameras=(FAST,)), refused.append)
    assert [each.token for each in refused] == [(1, 7)]


def test_what_waited_is_read_as_before_when_nothing_changes_after_all() -> None:
    door = Door()
    door.keep_waiting(["sure"])
    door.take(message("sure", picture()))
    door.go_on(lambda _message: None)
    assert (len(door.mailboxes["sure"]), door.wants_pause()) == (1, False)


def test_what_waited_unacknowledged_is_forgotten_with_its_link() -> None:
    door = Door()
    door.keep_waiting(["sure"])
    door.take(message("sure", picture()))
    door.forget()
    door.go_on(lambda _message: None)
    assert len(door.mailboxes["sure"]) == 0


def test_a_refused_message_is_acknowledged_like_one_of_no_source() -> None:
    gate = Gate()
    gate.door.keep_waiting(["sure"])
    gate._receive(message("sure", picture()))
    gate.reconfigure(replace(CONFIG, cameras=(FAST,)))
    (notice,) = [each for each in gate.told if each is not None]
    assert (notice.source, getattr(notice, "token", None)) == ("unknown", (1, 7))


def test_a_subscription_is_renewed_for_the_new_sources() -> None:
    gate = Gate()
    gate.reconfigure(replace(CONFIG, cameras=(FAST,)))
    assert [each.topic_filter for each in gate._session._subscriptions] == ["in/fast"]
