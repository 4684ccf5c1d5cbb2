"""Sends timed messages at their time, or as fast as the broker takes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from edge_runtime.simulator.line import TimedMessage
from edge_runtime.simulator.publisher import Publisher


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent.

    Attributes
    ----------
    messages : int
        How many.
    late_s : float
        How far the slowest message was behind its time.
    """

    messages: int
    late_s: float


def run_messages(
    messages: Iterable[TimedMessage], publisher: Publisher, *, speed: float, stop: threading.Event
) -> Sent:
    """Publish messages in order.

    Parameters
    ----------
    messages : iterable of TimedMessage
        Times ascending.
    publisher : Publisher
        Where they go.
    speed : float
        1 for real time, more for faster, 0 for as fast as possible. Times inside the messages stay as they are.
    stop : threading.Event
        Ends it early.

    Returns
    -------
    sent : Sent
        How many, and how late.

    Raises
    ------
    BrokerConnectionError
        If the broker stays away.
    """
    began = time.monotonic()
    count, late = 0, 0.0
    for message in messages:
        if speed > 0:
            wait = began + message.at_s / speed - time.monotonic()
            late = max(late, -wait)
            if wait > 0 and stop.wait(wait):
                break
        if stop.is_set():
            break
        publisher.publish(
            message.topic, message.payload, qos=message.qos, metadata=message.metadata, properties=message.properties
        )
        count += 1
    return Sent(count, late)
