"""Orders, from their bytes to their answer."""

from __future__ import annotations

import pytest

from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.commands import Orders
from edge_runtime.messages import Command

ACK = b'{"issuer":"ann","id":"c1","alert_id":"01hf7yat000000000000000000"}'


@pytest.mark.parametrize("bug", [ValueError("v"), KeyError("k"), RecursionError("r"), MemoryError()], ids=repr)
def test_an_order_that_trips_over_a_fault_of_ours_is_answered(bug: Exception) -> None:
    def stumble(_command: Command) -> str:
        raise bug

    reply = Orders({"alert/ack": stumble}, Clock(lambda: 1.0, lambda: 1.0)).take("alert/ack", ACK)
    assert (reply.id, reply.ok, reply.reason) == ("c1", False, "internal")
