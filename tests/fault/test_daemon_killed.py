"""Supervisor, worker and broker are killed with SIGKILL in mid-stream; ``bench/kills.py`` does it at length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

from edge_runtime.alerts import AlarmBook, AlarmRule
from edge_runtime.bundle.reader import read_bundle
from edge_runtime.inference.opening import open_bundle
from edge_runtime.timeseries.monitor import Monitor
from tests.bundles import TRUSTED, window_bundle
from tests.integration.daemon_rig import Plant, running_plant
from tests.integration.factory_inputs import ROWS, samples, times_of
from tests.integration.kill_rounds import Stream, Tally, Victim, kill_in_mid_stream

pytestmark = [pytest.mark.broker, pytest.mark.slow]

KILLS = 3
SEED = 5

#: Mosquitto may acknowledge an input and forget it when it is killed; what it forgot of ours comes on request, later.
spared_mosquitto = pytest.mark.parametrize("killed", ["supervisor", "worker"], indirect=True)


@dataclass
class Killed:
    """What came of killing one process of a plant."""

    plant: Plant
    stream: Stream
    tally: Tally


@pytest.fixture(scope="module", params=get_args(Victim))
def killed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    """A plant one of whose processes was killed three times in mid-stream."""
    victim: Victim = request.param
    with running_plant(tmp_path_factory.mktemp(victim)) as plant:
        tally, stream = kill_in_mid_stream(plant, victim, kills=KILLS, seed=SEED)
        yield Killed(plant, stream, tally)


def test_no_committed_event_is_lost(killed: Killed) -> None:
    assert killed.tally.committed > 0
    assert killed.tally.lost == 0


def test_no_part_is_judged_twice(killed: Killed) -> None:
    assert killed.tally.judged_twice == 0


def test_events_of_a_boot_are_numbered_without_a_gap(killed: Killed) -> None:
    for numbers in killed.plant.consumer.order.values():
        assert sorted(numbers) == list(range(1, len(numbers) + 1))


@spared_mosquitto
def test_every_published_part_has_a_verdict(killed: Killed) -> None:
    assert killed.tally.silent == 0


@spared_mosquitto
def test_events_of_a_boot_arrive_in_their_order(killed: Killed) -> None:
    assert killed.tally.out_of_order == 0


@spared_mosquitto
def test_alarms_of_a_machine_are_those_of_an_undisturbed_stream(killed: Killed) -> None:
    heard = [event for event in killed.plant.consumer.events.values() if event.get("pipeline") == "life"]
    heard.sort(key=lambda event: (event["boot_id"], event["seq"]))
    told = [(event["event_type"], event["source_ms"], event["score"]) for event in heard if "event_type" in event]
    assert told == undisturbed_alarms(killed.stream)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("victim", get_args(Victim))
def test_no_committed_event_is_lost_over_twenty_kills(victim: Victim, tmp_path: Path) -> None:
    with running_plant(tmp_path) as plant:
        tally, _ = kill_in_mid_stream(plant, victim, kills=20, seed=SEED)
    assert (tally.kills, tally.lost, tally.judged_twice) == (20, 0, 0)


def undisturbed_alarms(stream: Stream) -> list[tuple[str, int, float]]:
    """Feed the same blocks to a monitor and an alarm book, one after the other."""
    bundle = read_bundle(window_bundle(), TRUSTED)
    monitor, book, told = Monitor(bundle.manifest, open_bundle(bundle)), AlarmBook(), []
    for number in range(stream.blocks):
        times = times_of(stream.block_time_ms(number), ROWS)
        at = float(times[-1])
        for finding in monitor.push(samples(number), times):
            steps = book.apply("life", finding, AlarmRule(), now_s=at, new_id=f"a{number}")
            told += [(str(step.event_type), round(at * 1000), finding.score) for step in steps]
    return told
