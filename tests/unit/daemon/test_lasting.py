"""Seconds that go on over restarts of the daemon and of the machine."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.lasting import LastingClock, kernel_boot_id, lasting_now
from edge_runtime.messages import ClockQuality

YEAR_2026 = 1_770_000_000.0


@dataclass
class Machine:
    """Clocks to set; ``jump`` moves the wall clock alone."""

    wall_s: float = YEAR_2026
    up_s: float = 100.0
    kernel: str = "k1"
    quality: ClockQuality = "synchronized"

    def clock(self, stored: bytes | None = None) -> LastingClock:
        clock = Clock(lambda: self.wall_s, lambda: self.up_s - 50.0, lambda: self.up_s)
        lasting = LastingClock(clock, self.kernel, quality=lambda _wall: self.quality)
        lasting.resume(stored)
        return lasting

    def live(self, seconds: float) -> None:
        self.wall_s += seconds
        self.up_s += seconds

    def reboot(self, off_s: float) -> None:
        self.wall_s += off_s
        self.up_s, self.kernel = 5.0, self.kernel + "+"


def test_it_begins_as_the_wall_clock() -> None:
    assert Machine().clock().now() == YEAR_2026


def test_before_the_clock_is_set_it_begins_in_a_year_that_no_unset_clock_shows() -> None:
    assert Machine(wall_s=7.0).clock().now() == 1_735_689_600.0


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, -YEAR_2026])
def test_it_does_not_follow_a_jump(jump_s: float) -> None:
    machine = Machine()
    lasting = machine.clock()
    machine.live(10.0)
    machine.wall_s += jump_s
    assert lasting.now() == YEAR_2026 + 10.0


@pytest.mark.parametrize("jump_s", [0.0, 3600.0, -3600.0, -YEAR_2026])
def test_between_two_runs_it_goes_on(jump_s: float) -> None:
    machine = Machine()
    mark = machine.clock().mark()
    machine.live(500.0)
    machine.wall_s += jump_s
    assert machine.clock(mark).now() == YEAR_2026 + 500.0


def test_the_time_that_the_machine_was_off_counts_where_the_clock_is_trusted() -> None:
    machine = Machine()
    mark = machine.clock().mark()
    machine.reboot(off_s=86_400.0)
    assert machine.clock(mark).now() == YEAR_2026 + 86_400.0


@pytest.mark.parametrize("quality", ["unsynchronized", "unset"])
def test_over_a_start_of_the_machine_it_only_goes_on_where_the_clock_is_not_trusted(quality: ClockQuality) -> None:
    machine = Machine()
    mark = machine.clock().mark()
    machine.reboot(off_s=86_400.0)
    machine.quality = quality
    assert machine.clock(mark).now() == YEAR_2026


def test_a_clock_that_was_set_back_between_two_starts_does_not_turn_it_back() -> None:
    machine = Machine()
    mark = machine.clock().mark()
    machine.reboot(off_s=-86_400.0)
    assert machine.clock(mark).now() == YEAR_2026


def test_a_machine_that_cannot_be_told_from_another_is_another() -> None:
    machine = Machine(kernel="", quality="unsynchronized")
    mark = machine.clock().mark()
    machine.live(500.0)
    assert machine.clock(mark).now() == YEAR_2026


@pytest.mark.parametrize("stored", [b"", b"nonsense", b"\xff", b"\x80"])
def test_a_mark_that_cannot_be_read_is_passed_over(stored: bytes) -> None:
    assert Machine().clock(stored).now() == YEAR_2026


def test_the_kernel_names_its_start_the_same_each_time() -> None:
    assert kernel_boot_id() == kernel_boot_id()


def test_another_process_can_tell_it_from_the_mark() -> None:
    clock = LastingClock(Clock(), kernel_boot_id())
    assert lasting_now(clock.mark()) == pytest.approx(clock.now(), abs=5.0)
