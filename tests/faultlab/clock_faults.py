"""The wall clock jumps, or was never set."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.faultlab.lab import Lab
from tests.faultlab.scene import Scene
from tests.faultlab.table import fault

CLOCK = Scene("clock", clock=True)
JUMPED = ("clock_jumped",)


@fault("the clock jumps an hour ahead and back", "clock", *JUMPED, lasting=JUMPED, scene=CLOCK, needs=("faketime",))
def clock_an_hour_ahead(lab: Lab) -> Iterator[None]:
    lab.set_clock("+3600")
    yield
    lab.set_clock("+0")


@fault("the clock jumps an hour back and ahead", "clock", *JUMPED, lasting=JUMPED, scene=CLOCK, needs=("faketime",))
def clock_an_hour_back(lab: Lab) -> Iterator[None]:
    lab.set_clock("-3600")
    yield
    lab.set_clock("+0")


@fault(
    "the daemon starts in 1970; later the clock is set",
    "clock",
    "clock_unset",
    lasting=JUMPED,
    scene=CLOCK,
    needs=("faketime",),
    restarts=True,
    quick=True,
)
def clock_starts_in_1970(lab: Lab) -> Iterator[None]:
    lab.daemon.stop()
    lab.set_clock(f"-{round(time.time()) - 1000}")
    lab.daemon.start(ready=False)
    yield
    lab.set_clock("+0")
