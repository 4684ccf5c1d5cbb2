"""What every session with a broker must do: the real one and the double in memory alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from edge_runtime.errors import BrokerError
from edge_runtime.mqtt.interface import (
    BrokerSession,
    Incoming,
    Outcome,
    Outgoing,
    SessionCallbacks,
    Subscription,
)


class World(Protocol):
    """A broker and the means to make sessions with it."""

    def session(
        self, client_id: str, callbacks: SessionCallbacks, will: Outgoing | None, **settings: Any
    ) -> BrokerSession:
        """Make a session that is not yet started."""
        ...

    def await_true(self, condition: Callable[[], object]) -> None:
        """Wait until something has happened, where things take time."""
        ...

    def settle(self) -> None:
        """Give what must not happen the time to happen."""
        ...

    def stop_broker(self) -> None:
        """Stop the broker in good order."""
        ...

    def start_broker(self, *sessions: BrokerSession) -> None:
        """Start it again, and wait for the sessions."""
        ...


class Member:
    """A session with what it was told."""

    def __init__(self, world: World, client_id: str, will: Outgoing | None, **settings: Any) -> None:
        self.messages: list[Incoming] = []
        self.connections: list[bool] = []
        self.losses: list[BrokerError | None] = []
        self.outcomes: dict[int, Outcome] = {}
        callbacks = SessionCallbacks(
            on_message=self.messages.append,
            on_connected=self.connections.append,
            on_disconnected=self.losses.append,
            on_published=lambda token, outcome, _: self.outcomes.update({token: outcome}),
        )
        self.world = world
        self.session = world.session(client_id, callbacks, will, **settings)

    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]

    def subscribe(self, *filters: str, qos: int = 1) -> None:
        """Subscribe, and return when the broker has it: it answers on a topic of the member's own."""
        probe = f"probe/{id(self)}"
        self.session.subscribe([Subscription(item, qos) for item in filters] + [Subscription(probe, 0)])
        self.world.await_true(lambda: self.session.publish(Outgoing(probe, b"")) and self.messages)
        self.session.publish(Outgoing(probe, b"last"))
        self.world.await_true(lambda: any(message.payload == b"last" for message in self.messages))
        self.messages[:] = [message for message in self.messages if message.topic != probe]

    def send(self, topic: str, payload: bytes, qos: int = 1, **options: Any) -> int:
        token = self.session.publish(Outgoing(topic, payload, qos, **options))
        assert token is not None
        return token

    def acknowledge(self, count: int) -> None:
        for message in self.messages[:count]:
            self.session.acknowledge(message.token)


class SessionContract:
    """Tests that a subclass inherits with a ``world`` fixture."""

    @contextmanager
    def member(self, world: World, client_id: str, will: Outgoing | None = None, **settings: Any) -> Iterator[Member]:
        made = Member(world, client_id, will, **settings)
        made.session.start()
        world.await_true(lambda: made.session.connected)
        try:
            yield made
        finally:
            made.session.stop(flush_s=0.5)

    def test_message_comes_to_a_matching_filter_with_its_qos(self, world: World) -> None:
        with self.member(world, "a") as receiver, self.member(world, "b") as sender:
            receiver.subscribe("t/+")
            sender.send("other", b"not this")
            sender.send("t/1", b"one", 1)
            sender.send("t/2", b"zero", 0)
            world.await_true(lambda: len(receiver.messages) == 2)
            got = [(message.topic, message.payload, message.qos) for message in receiver.messages]
            assert got == [("t/1", b"one", 1), ("t/2", b"zero", 0)]
            assert [message.token is None for message in receiver.messages] == [False, True]

    def test_subscription_s_qos_bounds_the_message_s(self, world: World) -> None:
        with self.member(world, "a") as receiver:
            receiver.subscribe("t", qos=0)
            receiver.send("t", b"x", 1)
            world.await_true(lambda: receiver.messages)
            assert receiver.messages[0].qos == 0

    def test_publish_at_qos_1_is_confirmed(self, world: World) -> None:
        with self.member(world, "a") as sender:
            token = sender.send("t", b"x", 1)
            world.await_true(lambda: sender.outcomes)
            assert sender.outcomes == {token: "done"}

    def test_retained_message_comes_later_and_an_empty_one_removes_it(self, world: World) -> None:
        with self.member(world, "a") as sender:
            sender.send("state", b"kept", 1, retain=True)
            world.await_true(lambda: sender.outcomes)
            with self.member(world, "b") as receiver:
                receiver.subscribe("state")
                assert [(message.payload, message.retain) for message in receiver.messages] == [(b"kept", True)]
            sender.outcomes.clear()
            sender.send("state", b"", 1, retain=True)
            world.await_true(lambda: sender.outcomes)
            with self.member(world, "c") as late:
                late.subscribe("state")
                assert late.messages == []

    def test_kept_session_is_told_and_its_messages_come_again(self, world: World) -> None:
        with self.member(world, "a") as first:
            first.subscribe("t")
            for index in range(3):
                first.send("t", bytes([index]))
            world.await_true(lambda: len(first.messages) == 3)
            first.acknowledge(1)
            world.settle()
        with self.member(world, "a") as second:
            world.await_true(lambda: len(second.messages) == 2)
            assert second.connections == [True]
            assert [(message.payload, message.dup) for message in second.messages] == [(b"\1", True), (b"\2", True)]

    def test_acknowledgements_take_effect_in_the_order_of_receipt(self, world: World) -> None:
        with self.member(world, "a") as first:
            first.subscribe("t")
            for index in range(3):
                first.send("t", bytes([index]))
            world.await_true(lambda: len(first.messages) == 3)
            first.session.acknowledge(first.messages[2].token)
            first.session.acknowledge(first.messages[1].token)
            world.settle()
        with self.member(world, "a") as second:
            world.await_true(lambda: len(second.messages) == 3)
            assert second.payloads() == [b"\0", b"\1", b"\2"]

    def test_clean_session_keeps_nothing(self, world: World) -> None:
        with self.member(world, "a", session_expiry_s=0) as first:
            first.subscribe("t")
        with self.member(world, "b") as sender:
            sender.send("t", b"gone")
            world.await_true(lambda: sender.outcomes)
        with self.member(world, "a", session_expiry_s=0) as second:
            second.subscribe("t")
            assert (second.messages, second.connections) == ([], [False])

    def test_broker_holds_back_at_the_receive_maximum(self, world: World) -> None:
        with self.member(world, "a", receive_maximum=3) as receiver, self.member(world, "b") as sender:
            receiver.subscribe("t")
            for index in range(10):
                sender.send("t", bytes([index]))
            world.await_true(lambda: len(receiver.messages) == 3)
            world.settle()
            assert len(receiver.messages) == 3
            receiver.acknowledge(3)
            world.await_true(lambda: len(receiver.messages) >= 6)
            assert receiver.payloads()[:6] == [bytes([index]) for index in range(6)]

    def test_paused_session_gets_its_messages_at_resume(self, world: World) -> None:
        with self.member(world, "a") as receiver, self.member(world, "b") as sender:
            receiver.subscribe("t")
            receiver.session.pause()
            sender.send("t", b"x")
            world.settle()
            held = list(receiver.messages)
            receiver.session.resume()
            world.await_true(lambda: receiver.messages)
            assert (held, receiver.payloads()) == ([], [b"x"])

    def test_broker_that_goes_and_comes_is_noticed_and_found(self, world: World) -> None:
        with self.member(world, "a") as member:
            member.subscribe("t")
            world.stop_broker()
            world.await_true(lambda: not member.session.connected)
            refused = member.session.publish(Outgoing("t", b"x", 1))
            world.start_broker(member.session)
            world.await_true(lambda: member.session.connected)
            member.send("t", b"later")
            world.await_true(lambda: b"later" in member.payloads())
            assert (refused, member.payloads()) == (None, [b"later"])
            assert isinstance(member.losses[0], BrokerError)

    def test_session_that_stops_leaves_no_will(self, world: World) -> None:
        with self.member(world, "watcher") as watcher:
            watcher.subscribe("gone")
            with self.member(world, "a", will=Outgoing("gone", b"offline", 1)) as leaving:
                assert leaving.session.connected
            world.settle()
            assert watcher.messages == []
