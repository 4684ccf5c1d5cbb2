"""What the session is made of, without a network: ledger, back-off, queue, password, TLS files."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from edge_runtime.config import Tls
from edge_runtime.errors import BrokerAuthorizationError, BrokerConnectionError
from edge_runtime.mqtt import outgoing
from edge_runtime.mqtt.backoff import Backoff
from edge_runtime.mqtt.interface import Outgoing, require_publishable
from edge_runtime.mqtt.ledger import AckLedger
from edge_runtime.mqtt.outgoing import OutgoingQueue
from edge_runtime.mqtt.transport import make_tls_context, read_password


def test_messages_are_acknowledged_in_the_order_of_receipt() -> None:
    ledger = AckLedger(1)
    tokens = [ledger.receive(mid) for mid in (5, 6, 7)]
    ledger.settle(tokens[2])
    ledger.settle(tokens[0])
    assert ledger.take_due() == [5]
    ledger.settle(tokens[1])
    assert (ledger.take_due(), len(ledger)) == ([6, 7], 0)


def test_message_settled_twice_is_acknowledged_once() -> None:
    ledger = AckLedger(1)
    token = ledger.receive(5)
    ledger.settle(token)
    assert ledger.take_due() == [5]
    ledger.settle(token)
    assert ledger.take_due() == []


def test_token_of_another_connection_does_nothing() -> None:
    old, new = AckLedger(1), AckLedger(2)
    token = old.receive(5)
    new.receive(5)
    new.settle(token)
    assert new.take_due() == []


def test_token_from_nowhere_does_nothing() -> None:
    ledger = AckLedger(1)
    for token in ((1, 0), (1, -1), (1, 99)):
        ledger.settle(token)
    ledger.receive(5)
    assert ledger.take_due() == []


def test_waits_double_up_to_the_longest_and_are_jittered() -> None:
    backoff = Backoff(1.0, 5.0, random.Random(0))
    waits = [backoff.next_s() for _ in range(6)]
    for wait, step in zip(waits, (1, 2, 4, 5, 5, 5), strict=True):
        assert step / 2 <= wait <= step
    assert waits[4] != waits[5]


def test_waits_begin_anew_after_a_connection() -> None:
    backoff = Backoff(1.0, 60.0, random.Random(0))
    for _ in range(5):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() <= 1.0


def test_queue_takes_nothing_while_the_link_is_down() -> None:
    assert OutgoingQueue(4).put(Outgoing("a", b"")) is None


def test_queue_takes_no_more_qos_1_than_may_be_open() -> None:
    queue = OutgoingQueue(2)
    queue.accept(accepting=True)
    first, second = (queue.put(Outgoing("a", b"", 1)) for _ in range(2))
    assert queue.put(Outgoing("a", b"", 1)) is None
    assert queue.put(Outgoing("a", b"", 0)) is not None
    assert first is not None
    assert queue.close(first)
    assert (queue.put(Outgoing("a", b"", 1)), second) == (4, 2)


def test_queue_is_bounded_in_messages_and_in_bytes() -> None:
    many, large = OutgoingQueue(1), OutgoingQueue(1)
    for queue in (many, large):
        queue.accept(accepting=True)
    taken = sum(many.put(Outgoing("a", b"")) is not None for _ in range(outgoing.MAX_QUEUED_MESSAGES + 5))
    block = bytes(outgoing.MAX_QUEUED_BYTES // 4)
    heavy = sum(large.put(Outgoing("a", block)) is not None for _ in range(10))
    assert (taken, heavy) == (outgoing.MAX_QUEUED_MESSAGES, 4)


def test_queue_gives_messages_in_order_and_forgets_their_bytes() -> None:
    queue = OutgoingQueue(10)
    queue.accept(accepting=True)
    for index in range(3):
        queue.put(Outgoing("a", bytes([index])))
    items = [queue.take() for _ in range(4)]
    assert [item and item[1].payload for item in items] == [b"\0", b"\1", b"\2", None]


def test_lost_link_leaves_the_open_messages_to_their_sender() -> None:
    queue = OutgoingQueue(10)
    queue.accept(accepting=True)
    tokens = [queue.put(Outgoing("a", b"", 1)) for _ in range(3)]
    queue.take()
    assert queue.clear() == tokens
    assert queue.take() is None


def test_acknowledgement_of_an_unknown_message_is_told_apart() -> None:
    assert not OutgoingQueue(1).close(99)


def test_empty_queue_is_flushed_at_once() -> None:
    assert OutgoingQueue(1).wait_empty(0.0)


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0"])
def test_topic_that_cannot_be_published_on_is_refused(topic: str) -> None:
    with pytest.raises(ValueError, match="cannot publish on"):
        require_publishable(Outgoing(topic, b""), 10)


def test_password_is_the_first_line(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("pässword \r\nsecond\n")
    assert read_password(str(tmp_path / "pw")) == "pässword "


def test_no_password_file_is_no_password() -> None:
    assert read_password(None) is None


@pytest.mark.parametrize("content", [b"", b"\nsecond\n", b"\xff\xfe\n"])
def test_password_file_without_password_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pw").write_bytes(content)
    with pytest.raises(BrokerAuthorizationError, match="password file"):
        read_password(str(tmp_path / "pw"))


def test_tls_checks_the_broker_unless_told_not_to() -> None:
    checked, insecure = make_tls_context(Tls()), make_tls_context(Tls(insecure=True))
    assert checked is not None
    assert insecure is not None
    assert (checked.check_hostname, insecure.check_hostname) == (True, False)


def test_no_tls_table_is_plain_tcp() -> None:
    assert make_tls_context(None) is None


def test_certificate_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("no certificate")
    with pytest.raises(BrokerConnectionError, match=r"\[broker\.tls\] cannot be used"):
        make_tls_context(Tls(cert_file=str(tmp_path / "c.pem"), key_file=str(tmp_path / "c.pem")))
