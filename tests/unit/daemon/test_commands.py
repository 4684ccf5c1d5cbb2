"""Orders, from their bytes to their answer."""

from __future__ import annotations

import pytest

from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.commands import OrderQueue, Orders
from edge_runtime.messages import MAX_COMMAND_BYTES, Command
from edge_runtime.mqtt.interface import Incoming

ACK = b'{"issuer":"ann","id":"c1","alert_id":"01hf7yat000000000000000000"}'


@pytest.mark.parametrize("bug", [ValueError("v"), KeyError("k"), RecursionError("r"), MemoryError()], ids=repr)
def test_an_order_that_trips_over_a_fault_of_ours_is_answered(bug: Exception) -> None:
    def stumble(_command: Command) -> str:
        raise bug

    reply = Orders({"alert/ack": stumble}, Clock(lambda: 1.0, lambda: 1.0)).take("alert/ack", ACK)
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
    reply = Orders({}, Clock(lambda: 1.0, lambda: 1.0)).take("alert/ack", kept.payload)
    assert reply.reason == "too_large"
