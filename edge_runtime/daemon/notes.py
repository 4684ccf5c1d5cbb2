"""What the network threads tell the main loop."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.daemon.intake import Notice
from edge_runtime.errors import BrokerError
from edge_runtime.messages import Reply
from edge_runtime.mqtt.interface import Incoming, Outcome


@dataclass(frozen=True, slots=True)
class OrderToken:
    """Sends the answer to a command and releases its acknowledgement, once what it changed is on disk."""

    order: Incoming
    reply: Reply


@dataclass(frozen=True, slots=True)
class Connected:
    """The link stands."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The link is gone."""

    error: BrokerError | None


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a message of ours: the broker has it, refuses it, or the link broke before it said so."""

    ticket: int
    outcome: Outcome
    text: str


Note = Notice | Connected | Disconnected | Published
