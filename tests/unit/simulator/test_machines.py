"""Machines: wear, regimes and faults as the documentation says."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.simulator.machines import CHANNELS, FAILING_WEAR, LEVELS, MODES, RATE_HZ, Machine, run_to_failure


def test_the_same_seed_gives_the_same_life_in_any_steps() -> None:
    whole = Machine(5).advance(400).values
    steps = Machine(5)
    parts = np.concatenate([steps.advance(n).values for n in (7, 93, 150, 1, 149)])
    assert np.array_equal(whole, parts)


def test_wear_rises_to_one_at_the_end_of_a_life() -> None:
    life = run_to_failure(3, life_s=30.0)
    assert np.all(np.diff(life.wear) >= 0)
    assert life.wear[-1] == pytest.approx(1.0, abs=0.01)
    assert life.remaining_s[-1] == pytest.approx(1 / RATE_HZ)


def test_a_healthy_machine_never_fails() -> None:
    machine = Machine(4, fails=False)
    block = machine.advance(2000)
    assert not block.failing.any()
    assert not block.wear.any()
    assert not machine.failed


def test_an_alarm_is_right_from_the_stated_wear_on() -> None:
    machine = Machine(6, life_s=40.0)
    block = machine.advance(800)
    first = int(np.argmax(block.failing))
    assert block.wear[first] >= FAILING_WEAR > block.wear[first - 1]
    assert first / RATE_HZ == pytest.approx(machine.failing_from_s, abs=2 / RATE_HZ)


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_moves_its_sensor_within_a_regime(mode: str) -> None:
    shown = {"bearing": 0, "overheating": 1, "leak": 3, "winding": 2}[mode]
    machine = Machine(7, life_s=60.0, mode=mode)  # type: ignore[arg-type] # parametrized by text
    block = machine.advance(1200)
    relative = block.values / LEVELS[block.regime]
    settled = block.regime == 1
    early, late = settled & (block.wear < 0.1), settled & (block.wear > 0.7)
    change = np.abs(np.median(relative[late], axis=0) / np.median(relative[early], axis=0) - 1)
    assert change[shown] > 0.08


def test_regimes_move_every_sensor_more_than_wear_does() -> None:
    block = Machine(8, fails=False).advance(4000)
    for channel in range(len(CHANNELS)):
        idle = np.median(block.values[block.regime == 0, channel])
        full = np.median(block.values[block.regime == 2, channel])
        assert full / idle > 1.4


@pytest.mark.parametrize("wrong", [{"life_s": 0.0}, {"rate_hz": -1.0}, {"difficulty": 1.5}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Machine(1, **wrong)  # type: ignore[arg-type] # floats all
