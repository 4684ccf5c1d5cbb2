"""The broker in memory behaves as a real one."""

from __future__ import annotations

from edge_runtime.config import BrokerSettings
from edge_runtime.errors import BrokerError
from edge_runtime.mqtt.interface import BrokerSession, Incoming, Outcome, Outgoing, SessionCallbacks, Subscription
from edge_runtime.mqtt.memory import MemoryBroker, MemorySession


def joined(broker: MemoryBroker, client_id: str, *filters: str, qos: int = 1, **settings: int) -> MemorySession:
    subscriptions = [Subscription(item, qos) for item in filters]
    session = MemorySession(
        broker,
        BrokerSettings(client_id=client_id, receive_maximum=settings.get("receive_maximum", 64)),
        subscriptions=subscriptions,
    )
    session.start()
    return session


def payloads(session: MemorySession) -> list[bytes]:
    return [message.payload for message in session.received]


def test_session_has_the_interface_of_the_real_one() -> None:
    session: BrokerSession = MemorySession(MemoryBroker(), BrokerSettings(client_id="a"))
    assert not session.connected


def test_message_goes_to_those_whose_filter_matches() -> None:
    broker = MemoryBroker()
    first, second = joined(broker, "a", "t/+"), joined(broker, "b", "other/#")
    joined(broker, "c").publish(Outgoing("t/1", b"x", 1))
    assert (payloads(first), payloads(second)) == ([b"x"], [])


def test_retained_message_comes_to_later_subscribers_until_it_is_emptied() -> None:
    broker = MemoryBroker()
    broker.publish(Outgoing("t", b"kept", 1, retain=True))
    early = joined(broker, "a", "t")
    broker.publish(Outgoing("t", b"", 1, retain=True))
    late = joined(broker, "b", "t")
    assert [(message.payload, message.retain) for message in early.received] == [(b"kept", True), (b"", False)]
    assert payloads(late) == []


def test_unacknowledged_messages_come_again_marked_dup() -> None:
    broker = MemoryBroker()
    session = joined(broker, "a", "t")
    for index in range(3):
        broker.publish(Outgoing("t", bytes([index]), 1))
    session.acknowledge(session.received[0].token)
    session.lose_link()
    session.received.clear()
    session.reconnect()
    assert [(message.payload, message.dup) for message in session.received] == [(b"\1", True), (b"\2", True)]


def test_token_of_an_earlier_connection_does_nothing() -> None:
    broker = MemoryBroker()
    session = joined(broker, "a", "t")
    broker.publish(Outgoing("t", b"x", 1))
    old = session.received[0].token
    session.lose_link()
    session.reconnect()
    session.acknowledge(old)
    session.lose_link()
    session.reconnect()
    assert payloads(session) == [b"x"] * 3


def test_broker_keeps_qos_1_while_its_owner_is_away_and_drops_qos_0() -> None:
    broker = MemoryBroker()
    session = joined(broker, "a", "t")
    session.stop()
    broker.publish(Outgoing("t", b"kept", 1))
    broker.publish(Outgoing("t", b"gone", 0))
    session.reconnect()
    assert payloads(session) == [b"kept"]


def test_clean_session_keeps_nothing() -> None:
    broker = MemoryBroker()
    session = MemorySession(
        broker, BrokerSettings(client_id="a", session_expiry_s=0), subscriptions=[Subscription("t", 1)]
    )
    session.start()
    session.stop()
    broker.publish(Outgoing("t", b"gone", 1))
    session.reconnect()
    assert payloads(session) == []


def test_receive_maximum_holds_messages_back() -> None:
    broker = MemoryBroker()
    session = joined(broker, "a", "t", receive_maximum=2)
    for index in range(5):
        broker.publish(Outgoing("t", bytes([index]), 1))
    held = len(session.received)
    session.acknowledge(session.received[0].token)
    assert (held, len(session.received)) == (2, 3)


def test_paused_session_gets_its_messages_at_resume() -> None:
    broker = MemoryBroker()
    session = joined(broker, "a", "t")
    session.pause()
    broker.publish(Outgoing("t", b"x", 0))
    held = len(session.received)
    session.resume()
    assert (held, payloads(session)) == (0, [b"x"])


def test_publish_is_refused_while_the_broker_is_down() -> None:
    broker = MemoryBroker()
    session = joined(broker, "a")
    broker.go_down()
    assert session.publish(Outgoing("t", b"x", 1)) is None
    losses: list[BrokerError | None] = []
    late = MemorySession(broker, BrokerSettings(client_id="b"), SessionCallbacks(on_disconnected=losses.append))
    late.start()
    broker.come_up()
    late.reconnect()
    assert (len(losses), late.connected) == (1, True)


def test_publish_at_qos_1_is_confirmed() -> None:
    outcomes: list[tuple[int, Outcome]] = []
    session = MemorySession(
        MemoryBroker(),
        BrokerSettings(client_id="a"),
        SessionCallbacks(on_published=lambda token, outcome, _: outcomes.append((token, outcome))),
    )
    session.start()
    assert session.publish(Outgoing("t", b"x", 1)) == 1
    assert session.publish(Outgoing("t", b"x", 0)) == 2
    assert outcomes == [(1, "done")]


def test_will_is_published_when_the_link_is_lost_and_not_at_a_stop() -> None:
    broker = MemoryBroker()
    watcher = joined(broker, "watcher", "gone/#")
    for name in ("lost", "stopped"):
        session = MemorySession(broker, BrokerSettings(client_id=name), will=Outgoing(f"gone/{name}", b"", 1))
        session.start()
        if name == "lost":
            session.lose_link()
        else:
            session.stop()
    assert [message.topic for message in watcher.received] == ["gone/lost"]


def test_filter_that_is_no_longer_wanted_is_let_go() -> None:
    broker = MemoryBroker()
    session = joined(broker, "a", "old")
    session.subscribe([Subscription("new", 1)])
    broker.publish(Outgoing("old", b"x", 1))
    broker.publish(Outgoing("new", b"y", 1))
    assert payloads(session) == [b"y"]


def test_messages_published_and_acknowledged_inside_a_callback_keep_their_order() -> None:
    broker = MemoryBroker()
    seen: list[bytes] = []

    def take(message: Incoming) -> None:
        seen.append(message.payload)
        session.acknowledge(message.token)
        if len(seen) < 2000:
            session.publish(Outgoing("t", str(len(seen)).encode(), 1))

    session = MemorySession(
        broker, BrokerSettings(client_id="a"), SessionCallbacks(on_message=take), subscriptions=[Subscription("t", 1)]
    )
    session.start()
    broker.publish(Outgoing("t", b"0", 1))
    assert seen == [str(index).encode() for index in range(2000)]
