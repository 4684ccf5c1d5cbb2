"""Samples whose time is that of their arrival."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.config import Config, Gateway, Sensor, SensorChannel
from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.complaints import Complaints
from edge_runtime.daemon.intake import Intake
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.protocol import Outcome, Window
from edge_runtime.daemon.sample_times import as_told, steadied
from edge_runtime.mqtt.codec import SensorBlock
from edge_runtime.mqtt.interface import Incoming

SENSOR = Sensor(id="m1", topics=("in/m1",), format="json", rate_hz=1.0, channels=(SensorChannel(name="vib"),))


def times_of(walls: list[float], *payloads: bytes) -> list[float]:
    """Times of blocks that arrive a second apart while the wall clock shows these; the last payload comes on and on."""
    now = iter(range(len(walls)))
    shown = iter(walls)
    intake = Intake(
        Config(gateway=Gateway(id="gw"), sensors=(SENSOR,)),
        metrics=Metrics(),
        complaints=Complaints(lambda: 0.0),
        clock=Clock(lambda: next(shown), lambda: 0.0),
        notify=lambda _notice: None,
        lasting=lambda: 5000.0 + next(now),
    )
    times = []
    for number in range(len(walls)):
        intake.take(Incoming("in/m1", payloads[min(number, len(payloads) - 1)], 0))
        item = intake.mailboxes["m1"].take()
        assert item is not None
        assert isinstance(item.payload, SensorBlock)
        times += item.payload.timestamps_s.tolist()
    return times


@pytest.mark.parametrize("walls", [[1e9, 1e9 + 1, 1e9 + 2], [1e9, 1e9 + 3601, 1e9 + 2], [7.0, 1e9, 1e9 + 1]])
def test_blocks_follow_each_other_whatever_the_wall_clock_does(walls: list[float]) -> None:
    assert times_of(walls, b'{"value": 1}') == pytest.approx([5000.0, 5001.0, 5002.0])


def test_times_that_the_source_tells_are_left_alone() -> None:
    assert times_of([1e9, 7.0], b'{"value": 1, "timestamp_ms": 1000}') == [1.0, 1.0]


def test_a_source_that_tells_times_now_and_then_stays_on_the_wall_clock() -> None:
    told, untold = b'{"value": 1, "timestamp_ms": 1000}', b'{"value": 1}'
    assert times_of([1e9, 7.0, 8.0], told, untold) == [1.0, 7.0, 8.0]


def test_what_is_told_stands_on_the_wall_clock_again() -> None:
    window = Window(0, 1, (("vib", ""),), 1.0, np.array([5000.0, 5001.0]).tobytes(), b"", b"")
    told = as_told(Outcome("p", at=5001.0, windows=(window,)), 4000.0)
    assert told.at == 1001.0
    assert np.frombuffer(told.windows[0].times).tolist() == [1000.0, 1001.0]


def test_an_outcome_without_a_shift_is_the_same() -> None:
    outcome = Outcome("p", at=5.0)
    assert as_told(outcome, 0.0) is outcome


def test_a_block_is_moved_whole() -> None:
    block = SensorBlock("m1", ("vib",), np.zeros((2, 1)), np.array([1.0, 2.0]), 1.0, 2.0, False)
    assert steadied(block, 10.0).timestamps_s.tolist() == [11.0, 12.0]
