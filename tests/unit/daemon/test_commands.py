"""Orders, from their bytes to their answer."""

from __future__ import annotations

import msgspec
import pytest

from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.commands import (
    Obey,
    OrderQueue,
    Orders,
    Promise,
    acknowledging,
    shelving,
    unshelving,
)
from edge_runtime.messages import MAX_COMMAND_BYTES, Command, Reply
from edge_runtime.mqtt.interface import Incoming

ACK = b'{"issuer":"ann","id":"c1","alert_id":"01hf7yat000000000000000000"}'
CLOCK = Clock(lambda: 1.0, lambda: 1.0)


def replies_to(orders: Orders, payload: bytes) -> list[Reply]:
    """Give an order, and what is answered so far."""
    replies: list[Reply] = []
    orders.take("alert/ack", payload, replies.append)
    return replies


@pytest.mark.parametrize("bug", [ValueError("v"), KeyError("k"), RecursionError("r"), MemoryError()], ids=repr)
def test_an_order_that_trips_over_a_fault_of_ours_is_answered(bug: Exception) -> None:
    def stumble(_command: Command) -> str:
        raise bug

    (reply,) = replies_to(Orders({"alert/ack": stumble}, CLOCK), ACK)
    assert (reply.id, reply.ok, reply.reason) == ("c1", False, "internal")


def order(payload: bytes = ACK, *, token: tuple[int, int] | None = None) -> Incoming:
    return Incoming("edge/gw1/cmd/alert/ack", payload, 0 if token is None else 1, token=token)


def test_orders_at_qos_0_do_not_pile_up() -> None:
    queue = OrderQueue()
    taken = sum(queue.put(order()) for _ in range(1000))
    assert taken == 64


def test_an_order_that_the_broker_would_deliver_again_is_never_dropped() -> None:
    queue = OrderQueue()
    assert all(queue.put(order(token=(1, number))) for number in range(100))
    first = queue.take()
    assert first is not None
    assert first.token == (1, 0)


def test_an_order_that_is_too_long_is_not_kept_and_still_answered_as_such() -> None:
    queue = OrderQueue()
    queue.put(order(b"x" * (16 << 20)))
    kept = queue.take()
    assert kept is not None
    assert len(kept.payload) == MAX_COMMAND_BYTES + 1
    (reply,) = replies_to(Orders({}, CLOCK), kept.payload)
    assert reply.reason == "too_large"


def test_an_order_that_takes_a_while_is_answered_when_it_is_done() -> None:
    promise = Promise()
    replies = replies_to(Orders({"alert/ack": lambda _command: promise}, CLOCK), ACK)
    before = list(replies)
    promise.keep("done at last")
    assert (before, [(reply.ok, reply.text) for reply in replies]) == ([], [(True, "done at last")])


def test_an_order_that_takes_a_while_may_fail_in_the_end() -> None:
    promise = Promise()
    replies = replies_to(Orders({"alert/ack": lambda _command: promise}, CLOCK), ACK)
    promise.keep("it did not work", reason="swap_failed")
    assert [(reply.ok, reply.reason) for reply in replies] == [(False, "swap_failed")]


def test_an_order_that_comes_again_before_its_end_is_obeyed_once_and_answered_twice() -> None:
    promises: list[Promise] = []

    def obey(_command: Command) -> Promise:
        promises.append(Promise())
        return promises[-1]

    orders = Orders({"alert/ack": obey}, CLOCK)
    replies = [replies_to(orders, ACK), replies_to(orders, ACK)]
    promises[0].keep("done")
    assert (len(promises), [len(each) for each in replies]) == (1, [1, 1])


def test_a_promise_that_is_kept_at_once_is_answered_at_once() -> None:
    promise = Promise()
    promise.keep("done")
    assert len(replies_to(Orders({"alert/ack": lambda _command: promise}, CLOCK), ACK)) == 1


def answer(name: str, obey: Obey, **fields: object) -> Reply:
    """Give one order and its answer."""
    replies: list[Reply] = []
    payload = msgspec.json.encode({"issuer": "ann", "id": "c1", **fields})
    Orders({name: obey}, CLOCK).take(name, payload, replies.append)
    (reply,) = replies
    return reply


@pytest.mark.parametrize(("known", "reason"), [(True, ""), (False, "unknown_alert")])
def test_an_acknowledgement_says_whether_there_was_something_to_acknowledge(known: bool, reason: str) -> None:
    reply = answer("alert/ack", acknowledging(lambda _id: known), alert_id="a1")
    assert (reply.ok, reply.reason, "a1" in reply.text) == (known, reason, True)


@pytest.mark.parametrize(
    ("refusal", "one_shot", "text"),
    [
        ("", False, "shelved a1 for 90 s"),
        ("", True, "shelved a1 for 90 s, or until it clears"),
        ("unknown_alert", False, "no alarm a1"),
        ("not_active", True, "alarm a1 is not active; one-shot shelving is for one that is"),
    ],
)
def test_shelving_says_for_how_long_or_why_not(refusal: str, one_shot: bool, text: str) -> None:
    asked: list[tuple[str, float, bool]] = []

    def shelve(alert_id: str, *, duration_s: float, one_shot: bool) -> str:
        asked.append((alert_id, duration_s, one_shot))
        return refusal

    reply = answer("alert/shelve", shelving(shelve), alert_id="a1", duration_s=90.0, one_shot=one_shot)
    assert (reply.ok, reply.reason, reply.text) == (not refusal, refusal, text)
    assert asked == [("a1", 90.0, one_shot)]


@pytest.mark.parametrize("duration_s", [0.0, -1.0, 604_801.0, "60", None])
def test_a_shelving_without_a_time_that_may_be_is_refused_before_anything_is_asked(duration_s: object) -> None:
    reply = answer("alert/shelve", shelving(lambda *_, **__: "never asked"), alert_id="a1", duration_s=duration_s)
    assert (reply.ok, reply.reason) == (False, "bad_schema")


@pytest.mark.parametrize(("known", "reason"), [(True, ""), (False, "unknown_alert")])
def test_unshelving_says_whether_there_was_something_to_unshelve(known: bool, reason: str) -> None:
    reply = answer("alert/unshelve", unshelving(lambda _id: known), alert_id="a1")
    assert (reply.ok, reply.reason) == (known, reason)
