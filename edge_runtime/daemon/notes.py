"""What the network threads tell the main loop."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.daemon.intake import Notice
from edge_runtime.errors import BrokerError
from edge_runtime.mqtt.interface import AckToken


@dataclass(frozen=True, slots=True)
class OrderToken:
    """Releases the acknowledgement of a command."""

    token: AckToken | None


@dataclass(frozen=True, slots=True)
class Connected:
    """The link stands."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The link is gone."""

    error: BrokerError | None


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a message of ours."""

    ticket: int
    done: bool
    text: str


Note = Notice | Connected | Disconnected | Published
