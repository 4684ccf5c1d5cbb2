"""A clock to set and events to put into an outbox."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.daemon.outbox import Outbox, Outgoing, Priority


@dataclass
class Hands:
    """A clock that stands until it is moved, s."""

    now_s: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


def open_outbox(folder: Path, *, boot_id: str = "boot-1", clock: Hands | None = None, **options: Any) -> Outbox:
    """Open the outbox of a folder with a standing clock."""
    return Outbox(folder / "outbox.db", boot_id=boot_id, clock=clock or Hands(), **options)


def event(
    seq: int,
    *,
    series: str = "alert",
    priority: Priority = Priority.ALERT,
    boot_id: str = "boot-1",
    payload: bytes = b"{}",
    retain: bool = False,
) -> Outgoing:
    """Make the event of a series and number; the same numbers give the same id."""
    return Outgoing(f"{boot_id}-{series}-{seq}", series, seq, priority, f"edge/gw/{series}", payload, retain)
