"""A machine with clocks to set and a disk, and one run of the daemon's time on it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.complaints import Complaints
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.lasting import LASTING, LastingClock
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.outbox import Outbox, Outgoing, Priority
from edge_runtime.daemon.restamping import Span
from edge_runtime.daemon.timekeeping import HELD, TimeKeeper, Wall

YEAR_2026 = 1_770_000_000.0
START = 30.0


@dataclass
class Machine:
    """A machine that is never switched off, unless by ``reboot``: its clocks and its disk."""

    folder: Path
    wall_s: float = START
    up_s: float = START
    kernel: str = "k1"

    def live(self, seconds: float) -> None:
        self.wall_s += seconds
        self.up_s += seconds

    def set_clock(self, now_s: float = YEAR_2026) -> None:
        self.wall_s = now_s

    def reboot(self) -> None:
        self.wall_s, self.up_s, self.kernel = START, START, f"{self.kernel}+"


@dataclass
class Run:
    """One run of the daemon on a machine."""

    machine: Machine
    boot_id: str = "run1"
    hold_s: float = 60.0
    incidents: list[str] = field(default_factory=list)
    shifts: list[float] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    n_told: int = 0

    def __post_init__(self) -> None:
        machine = self.machine
        real = Clock(lambda: machine.wall_s, lambda: machine.up_s, lambda: machine.up_s)
        self.wall = Wall(real)
        self.lasting = LastingClock(real, machine.kernel, quality=lambda _wall: "unsynchronized")
        self.outbox = Outbox(machine.folder / "outbox.sqlite", boot_id=self.boot_id, clock=self.lasting.now)
        self.lasting.resume(self.outbox.load_state(LASTING).get(LASTING))
        self.journal: Journal[object] = Journal(self.outbox, lambda _: None, checkpoint_s=0.2, max_tokens=8)
        self.metrics = Metrics()
        self.keeper = TimeKeeper(
            real,
            self.wall,
            self.lasting,
            outbox=self.outbox,
            journal=self.journal,
            hold_s=self.hold_s,
            remember=self.incidents.append,
            metrics=self.metrics,
            complaints=Complaints(lambda: machine.up_s),
        )
        self.keeper.resume(self.outbox.load_state(HELD).get(HELD))

    def turn(self, seconds: float = 0.25) -> bool:
        """Let time pass and turn the loop."""
        self.machine.live(seconds)
        was_set = self.keeper.tick(self._shift)
        self.journal.flush(self.machine.up_s, force=True)
        return was_set

    def _shift(self, offset_s: float, span: Span) -> None:
        self.shifts.append(offset_s)
        self.spans.append(span)

    def raise_alarm(self) -> str:
        """Tell an alarm now; gives its event id."""
        self.n_told += 1
        event_id = f"{self.boot_id}-{self.n_told}"
        now_ms = round(self.wall() * 1000)
        quality = "unset" if now_ms < 1_735_689_600_000 else "unsynchronized"
        payload = json.dumps({"event_id": event_id, "timestamp_ms": now_ms, "latency_ms": 3, "clock": quality})
        event = Outgoing(event_id, "alert", self.n_told, Priority.ALERT, "alert/event", payload.encode())
        self.journal.add_event(event)
        self.journal.flush(self.machine.up_s, force=True)
        return event_id

    def sent(self) -> list[dict[str, Any]]:
        """Everything that may be sent."""
        return [json.loads(event.payload) for event in self.outbox.unsent(1000)]

    def end(self) -> None:
        self.outbox.close()


def again(run: Run, boot_id: str = "run2") -> Run:
    """Kill the daemon and start it anew."""
    run.end()
    return Run(run.machine, boot_id)
