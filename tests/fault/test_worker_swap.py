"""Real workers that take over from one another, and real ones that die while they should."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_runtime.daemon import protocol
from edge_runtime.daemon.keeper import Abandoned, Coming, Lost, Switched, WorkerLimits
from tests.bundles import CHANNELS, STRANGER, TRUSTED_PEM, image_bundle, window_bundle
from tests.fault.workers import Shop, alive, descendants, image_plan, picture, wait_for

N_BLOCKS = 24


@pytest.fixture(scope="module")
def open_shop() -> Iterator[Shop]:
    """One shop for all tests that leave a good worker behind."""
    with Shop(limits=WorkerLimits(hang_s=2.0)) as shop:
        shop.until_ready()
        yield shop


@pytest.fixture
def shop(open_shop: Shop) -> Shop:
    """The shop with a worker that has nothing to do."""
    open_shop.until_ready()
    open_shop.said.clear()
    return open_shop


def n_ready(shop: Shop) -> int:
    return sum(isinstance(event.message, protocol.Ready) for event in shop.heard(Coming))


def ready_beside(shop: Shop) -> bool:
    return n_ready(shop) > 0


def no_states() -> dict[str, bytes]:
    return {}


def test_no_input_is_lost_while_workers_take_over_from_one_another(shop: Shop) -> None:
    n_answered = n_given = 0
    for _ in range(5):
        shop.said.clear()
        shop.keeper.renew()
        while not shop.heard(Switched):
            if ready_beside(shop) and shop.keeper.has_room:
                shop.keeper.switch(no_states)
            if shop.keeper.has_room:
                shop.submit(picture(n_given % 200))
                n_given += 1
            shop.turn()
        n_answered += len(shop.heard(protocol.Done))
        assert shop.heard(Lost) == []
    shop.said.clear()
    shop.until(lambda: not shop.slots)
    assert n_answered + len(shop.heard(protocol.Done)) == n_given > 10


def test_a_worker_that_gave_way_is_gone(shop: Shop) -> None:
    old = shop.worker
    switch(shop)
    wait_for(lambda: not alive(old), patience_s=5.0)
    assert shop.worker != old


def switch(shop: Shop) -> None:
    shop.keeper.renew()
    shop.until(lambda: ready_beside(shop))
    shop.keeper.switch(no_states)
    shop.until_heard(Switched)


def test_swaps_leave_no_descriptor_and_no_process_behind(shop: Shop) -> None:
    processes = len(descendants(os.getpid()))  # counted before any change: a worker that was replaced takes a moment
    switch(shop)
    files = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        shop.said.clear()
        switch(shop)
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    wait_for(lambda: len(descendants(os.getpid())) == processes, patience_s=5.0)


def test_a_refused_bundle_in_the_worker_beside_leaves_the_present_one_answering(shop: Shop) -> None:
    forged = image_plan("surface", bundle=image_bundle(key=STRANGER))
    shop.keeper.renew(lambda: protocol.Load((forged,), (TRUSTED_PEM,), {}, 1 << 20))
    shop.until(lambda: ready_beside(shop))
    (refused,) = [event.message for event in shop.heard(Coming) if isinstance(event.message, protocol.Refused)]
    shop.keeper.abandon()
    shop.submit(picture())
    shop.until_heard(protocol.Done)
    assert refused.pipeline == "surface"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_beside_that_is_killed_leaves_the_present_one_answering(shop: Shop, number: signal.Signals) -> None:
    shop.keeper.renew()
    shop.until(lambda: len(shop.keeper.pids) == 3)
    os.kill(shop.keeper.pids[2], number)
    assert shop.until_heard(Abandoned) == [Abandoned("crashed")]
    shop.submit(picture())
    shop.until_heard(protocol.Done)
    assert shop.heard(Lost) == []


def test_a_present_worker_that_is_killed_before_the_switch_gives_way_to_the_next(shop: Shop) -> None:
    shop.keeper.renew()
    shop.until(lambda: ready_beside(shop) and len(shop.keeper.pids) == 3)
    os.kill(shop.worker, signal.SIGSTOP)
    number = shop.submit(picture())
    shop.keeper.switch(no_states)
    os.kill(shop.worker, signal.SIGKILL)
    began = time.monotonic()
    shop.until_heard(Switched)
    assert shop.heard(Lost) == [Lost("crashed", number, ())]
    shop.submit(picture())
    shop.until_heard(protocol.Done)
    assert time.monotonic() - began < 2.0


def sensor_plan() -> protocol.PipelinePlan:
    channels = tuple((name, "") for name in CHANNELS)
    return protocol.PipelinePlan("life", window_bundle(), (protocol.SourcePlan("press1", channels, 16.0),), {}, ())


def judge_blocks(shop: Shop, between: Callable[[int, dict[str, bytes]], None]) -> list[protocol.Outcome]:
    """Feed a sensor's blocks one after the other; gives what was found, without the time it took."""
    rng = np.random.default_rng(5)
    outcomes: list[protocol.Outcome] = []
    states: dict[str, bytes] = {}
    for index in range(N_BLOCKS):
        between(index, states)
        times = (1000.0 + (index * 7 + np.arange(7)) / 16.0).astype(np.float64)
        values = rng.normal(0.0, 1.0, (7, 4)).astype(np.float32)
        data = times.tobytes() + values.tobytes()
        shop.n_tasks += 1
        slot = shop.slots[shop.n_tasks] = shop.ring.fill(data)
        shop.keeper.submit(protocol.BlockTask(shop.n_tasks, "press1", slot, len(data), 7, 4))
        (outcome,) = shop.until_heard(protocol.Done, index + 1)[-1].outcomes
        assert outcome.state is not None
        states["life/press1"] = outcome.state
        outcomes.append(msgspec.structs.replace(outcome, took_ms=0.0))
    return outcomes


def test_a_window_goes_on_in_the_next_worker_bit_for_bit() -> None:
    with Shop([sensor_plan()]) as shop:
        shop.until_ready()
        expected = judge_blocks(shop, lambda _index, _states: None)
    with Shop([sensor_plan()]) as shop:
        shop.until_ready()

        def swap(index: int, states: dict[str, bytes]) -> None:
            n_swaps = len(shop.heard(Switched))
            if index % 5 == 2:
                shop.keeper.renew()
            if index % 5 == 4:
                shop.until(lambda: n_ready(shop) > n_swaps)
                shop.keeper.switch(lambda: states)
                shop.until_heard(Switched, n_swaps + 1)

        assert judge_blocks(shop, swap) == expected
