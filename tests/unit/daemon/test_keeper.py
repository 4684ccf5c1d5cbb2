"""The keeper's decisions, with a launcher and a worker that say exactly what a test lets them say."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from edge_runtime.daemon import protocol
from edge_runtime.daemon.keeper import Event, Lost, WorkerKeeper, WorkerLimits
from edge_runtime.daemon.launching import Launcher
from edge_runtime.daemon.ring import Ring
from edge_runtime.findings import Finding
from tests.unit.daemon.keepers import BUILT, READY, Scripted


@pytest.fixture
def keeper() -> Iterator[Scripted]:
    ring = Ring(2, 4096)
    keeper = Scripted(ring, start_s=10.0, hang_s=1.0, in_flight=2)
    yield keeper
    keeper.close()
    ring.close()


def done(number: int, *outcomes: protocol.Outcome) -> protocol.Done:
    return protocol.Done(number, outcomes, 1.0)


def lost(events: list[Event]) -> list[Lost]:
    return [event for event in events if isinstance(event, Lost)]


def look(keeper: Scripted, *, until: float) -> list[Event]:
    """Poll as often as the main loop does."""
    events = keeper.poll()
    while keeper.now < until and not events:
        keeper.now = min(until, keeper.now + 0.25)
        events = keeper.poll()
    return events


def test_a_worker_gets_its_orders_when_the_launcher_is_up(keeper: Scripted) -> None:
    keeper.poll()
    keeper.launcher.send(b"up")
    keeper.poll()
    assert [plan.name for plan in keeper.take_request().pipelines] == ["surface"]


def test_nothing_is_taken_before_the_worker_is_ready(keeper: Scripted) -> None:
    keeper.poll()
    keeper.launcher.send(b"up")
    keeper.poll()
    assert not keeper.has_room
    keeper.take_request()
    keeper.say(READY)
    keeper.poll()
    assert keeper.has_room


def test_no_more_inputs_are_with_the_worker_than_allowed(keeper: Scripted) -> None:
    keeper.stand_up()
    keeper.give(1, 2)
    assert not keeper.has_room


def test_an_answer_makes_room(keeper: Scripted) -> None:
    keeper.stand_up()
    keeper.give(1, 2)
    keeper.say(done(1))
    assert keeper.poll() == [done(1)]
    assert keeper.has_room


def test_a_worker_that_ends_gives_back_what_it_held(keeper: Scripted) -> None:
    keeper.stand_up()
    keeper.give(1, 2)
    keeper.worker.close()
    assert keeper.poll() == [Lost("crashed", 1, (2,))]


def test_answers_said_before_the_end_count(keeper: Scripted) -> None:
    keeper.stand_up()
    keeper.give(1, 2)
    keeper.say(done(1))
    keeper.worker.close()
    assert keeper.poll() == [done(1), Lost("crashed", 2, ())]


def test_the_next_worker_is_asked_for_at_once(keeper: Scripted) -> None:
    keeper.stand_up()
    keeper.worker.close()
    keeper.poll()
    keeper.take_request()
    assert keeper.launched_at == [0.0]


def test_a_worker_is_restarted_once_it_has_answered_what_it_holds(keeper: Scripted) -> None:
    keeper.stand_up()
    keeper.give(1)
    keeper.restart()
    assert keeper.poll() == []
    assert not keeper.has_room
    keeper.say(done(1))
    assert keeper.poll() == [done(1)]
    keeper.take_request()
    keeper.say(protocol.Building("surface"), BUILT, READY)
    keeper.poll()
    assert (keeper.has_room, keeper.n_replaced) == (True, 0)


def test_the_inputs_of_a_lost_worker_are_not_with_the_next_one(keeper: Scripted) -> None:
    keeper.stand_up()
    keeper.give(1, 2)
    keeper.worker.close()
    keeper.poll()
    keeper.take_request()
    keeper.say(READY)
    keeper.poll()
    assert keeper.has_room
    keeper.now = 100.0
    assert keeper.poll() == []


def test_a_worker_that_is_silent_on_an_input_hangs(keeper: Scripted) -> None:
    keeper.stand_up()
    keeper.give(1, 2)
    assert look(keeper, until=1.0) == []
    keeper.now = 1.01
    assert keeper.poll() == [Lost("hung", 1, (2,))]


def test_a_worker_does_not_hang_while_the_whole_machine_stands_still(keeper: Scripted) -> None:
    keeper.stand_up()
    keeper.give(1)
    for _ in range(10):
        keeper.now += 60.0
        keeper.say(done(1))
        assert keeper.poll() == [done(1)]
        keeper.give(1)
        keeper.now += 60.0
        assert keeper.poll() == []


def test_a_worker_that_stays_silent_after_a_stall_hangs(keeper: Scripted) -> None:
    keeper.stand_up()
    keeper.give(1)
    keeper.now += 60.0
    assert look(keeper, until=61.1) == [Lost("hung", 1, ())]


def test_a_stall_before_an_input_gives_the_worker_no_more_time_for_it(keeper: Scripted) -> None:
    keeper.stand_up()
    keeper.now += 60.0
    keeper.give(1)
    assert look(keeper, until=61.1) == [Lost("hung", 1, ())]


def test_a_worker_without_an_input_may_be_silent(keeper: Scripted) -> None:
    keeper.stand_up()
    keeper.now = 1000.0
    assert keeper.poll() == []


def test_each_input_has_its_own_time(keeper: Scripted) -> None:
    keeper.stand_up()
    keeper.give(1, 2)
    keeper.now = 0.9
    keeper.say(done(1))
    keeper.poll()
    assert look(keeper, until=1.8) == []


def test_a_late_look_at_an_answer_that_is_there_is_no_hang(keeper: Scripted) -> None:
    keeper.stand_up()
    keeper.give(1)
    keeper.say(done(1))
    keeper.now = 60.0
    assert keeper.poll() == [done(1)]


def test_a_launcher_that_never_comes_up_is_replaced(keeper: Scripted) -> None:
    keeper.poll()
    keeper.now = 10.5
    assert keeper.poll() == [Lost("start_failed", None, ())]
    keeper.poll()
    assert keeper.launched_at == [0.0, 10.5]


def test_a_worker_that_never_gets_ready_is_replaced(keeper: Scripted) -> None:
    keeper.poll()
    keeper.launcher.send(b"up")
    keeper.now = 5.0
    keeper.poll()
    keeper.take_request()
    keeper.now = 15.5
    assert [event.reason for event in lost(keeper.poll())] == ["start_failed"]


def test_a_launcher_that_ends_takes_the_worker_along(keeper: Scripted) -> None:
    keeper.stand_up()
    keeper.give(1)
    keeper.launcher.close()
    assert keeper.poll() == [Lost("crashed", 1, ())]
    keeper.poll()
    assert len(keeper.launched_at) == 2


def test_a_launcher_that_dies_right_after_its_first_word_is_replaced(keeper: Scripted) -> None:
    keeper.poll()
    keeper.launcher.send(b"up")
    keeper.launcher.close()
    assert [event.reason for event in lost(keeper.poll())] == ["start_failed"]
    keeper.poll()
    assert len(keeper.launched_at) == 2


@pytest.fixture
def real_keeper() -> Iterator[WorkerKeeper]:
    ring = Ring(2, 4096)
    load = protocol.Load((), (), {}, 1)
    keeper = WorkerKeeper(ring, lambda: load, formats=[], limits=WorkerLimits(), clock=lambda: 0.0)
    yield keeper
    keeper.close()
    ring.close()


@pytest.fixture
def descriptors() -> Iterator[list[int]]:
    """Let this process take no more descriptors than are closed of these."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, limits[0]), limits[1]))
    taken: list[int] = []
    with suppress(OSError):
        while True:
            taken.append(os.dup(0))
    yield taken
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for descriptor in taken:
        os.close(descriptor)


@pytest.mark.parametrize("n_free", [0, 1, 2, 3], ids=lambda n_free: f"{n_free} free")
def test_a_host_without_descriptors_is_a_start_that_failed(
    real_keeper: WorkerKeeper, descriptors: list[int], n_free: int
) -> None:
    for _ in range(n_free):
        os.close(descriptors.pop())
    assert real_keeper.poll() == [Lost("start_failed", None, ())]
    descriptors.extend(os.dup(0) for _ in range(n_free))  # whatever it took, it gave back
    assert real_keeper.filenos() == []


def test_a_host_that_cannot_start_processes_is_asked_less_and_less_often(keeper: Scripted) -> None:
    asked_at: list[float] = []

    def refuse(_formats: frozenset[str], now: float) -> Launcher:
        asked_at.append(now)
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    keeper._launch = refuse  # type: ignore[method-assign,assignment] # what the host does
    while keeper.now < 120.0:
        keeper.poll()
        keeper.now += 0.125
    waits = [later - earlier for earlier, later in pairwise(asked_at)]
    assert waits == sorted(waits)
    assert 2.0 < waits[-1] <= 4.5


def test_starts_that_fail_again_and_again_become_rarer(keeper: Scripted) -> None:
    while keeper.now < 120.0:
        keeper.poll()
        if keeper._launcher is not None:
            keeper.launcher.close()
        keeper.now += 0.125
    waits = [later - earlier for earlier, later in zip(keeper.launched_at, keeper.launched_at[1:], strict=False)]
    assert waits == sorted(waits)
    assert max(waits) <= 10.5


def test_a_worker_that_dies_while_it_builds_is_followed_by_another_from_the_same_launcher(keeper: Scripted) -> None:
    keeper.poll()
    keeper.launcher.send(b"up")
    keeper.poll()
    for _ in range(2):
        keeper.take_request()
        keeper.say(protocol.Building("surface"))
        keeper.worker.close()
        assert keeper.poll() == [protocol.Building("surface"), Lost("crashed", None, ())]
    keeper.take_request()
    assert keeper.launched_at == [0.0]


def test_a_third_worker_that_dies_while_it_builds_costs_the_launcher_its_place(keeper: Scripted) -> None:
    keeper.poll()
    keeper.launcher.send(b"up")
    keeper.poll()
    for _ in range(3):
        keeper.take_request()
        keeper.worker.close()
        keeper.poll()
    keeper.now = 1.9
    keeper.poll()
    assert keeper.launched_at == [0.0]
    keeper.now = 2.0
    keeper.poll()
    assert keeper.launched_at == [0.0, 2.0]


def test_a_worker_that_came_up_is_forgiven_its_predecessors(keeper: Scripted) -> None:
    for _ in range(3):
        keeper.poll()
        keeper.launcher.close()
        keeper.poll()
        keeper.now += 10.0
    keeper.stand_up()
    keeper.worker.close()
    keeper.poll()
    keeper.take_request()
    assert keeper.n_replaced == 4


FINDING = Finding("vision.defect", "crack", 0.9, 0.6, 0.4, abnormal=True, clearable=False)


def seen(**changes: Any) -> protocol.Done:
    return done(1, protocol.Outcome("surface", (dataclasses.replace(FINDING, **changes),)))


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\xc1",
        b"\x00" * 100,
        b"",
        protocol.encode(FINDING),
        protocol.encode(READY),
        protocol.encode(BUILT),
        protocol.encode(done(2)),
        protocol.encode(done(1, protocol.Outcome("no such pipeline"))),
        protocol.encode(done(1, protocol.Outcome("surface", reason="a reason; with anything in it"))),
        protocol.encode(done(1, protocol.Outcome("surface", detail="x" * 501))),
        protocol.encode(done(1, protocol.Outcome("surface", at=float("nan")))),
        protocol.encode(done(1, protocol.Outcome("surface", at=1e306))),
        protocol.encode(msgspec.structs.replace(done(1), busy_ms=-1.0)),
        protocol.encode(msgspec.structs.replace(done(1), busy_ms=float("nan"))),
        protocol.encode(seen(score=float("nan"))),
        protocol.encode(seen(value=float("inf"))),
        protocol.encode(seen(boxes=((0.0, 0.0, 1.0, float("nan"), 0.5),))),
        protocol.encode(seen(label="x" * 65)),
        protocol.encode(seen(label="")),
        protocol.encode(seen(kind="vision.nonsense")),
        protocol.encode(done(1))[:-3],
    ],
    ids=[
        "no msgpack",
        "zeros",
        "empty packet",
        "another struct",
        "ready twice",
        "built while working",
        "another input's answer",
        "unknown pipeline",
        "free text as reason",
        "long detail",
        "time that is no number",
        "time beyond every clock",
        "negative time spent",
        "time spent that is no number",
        "score that is no number",
        "infinite value",
        "box that is no number",
        "long label",
        "no label",
        "unknown kind",
        "cut short",
    ],
)
def test_a_worker_that_speaks_nonsense_is_replaced_and_its_input_given_back(keeper: Scripted, nonsense: bytes) -> None:
    keeper.stand_up()
    keeper.give(1)
    keeper.worker.send(nonsense)
    assert keeper.poll() == [Lost("crashed", 1, ())]
    keeper.take_request()


@pytest.mark.parametrize(
    "message",
    [
        protocol.Building("no such pipeline"),
        protocol.Refused("no such pipeline", "why"),
        protocol.Refused("surface", "x" * 2001),
        protocol.Built("surface", "x" * 300, None),
        protocol.Built("surface", "e", protocol.Answers("e", "1", "i", (("int8", (2, 2), b"abc"),))),
        protocol.Built("surface", "e", protocol.Answers("e", "1", "i", (("object", (1,), b"abcdefgh"),))),  # type: ignore[arg-type] # what a hostile worker would say
        protocol.Built("surface", "e", protocol.Answers("e", "1", "i", (("int8", (-1,), b""),))),
        done(1),
    ],
    ids=[
        "building an unknown pipeline",
        "refusing an unknown pipeline",
        "long reason",
        "long engine",
        "short array",
        "array of objects",
        "negative shape",
        "an answer before it is ready",
    ],
)
def test_a_worker_that_builds_nonsense_is_replaced(keeper: Scripted, message: msgspec.Struct) -> None:
    keeper.poll()
    keeper.launcher.send(b"up")
    keeper.poll()
    keeper.take_request()
    keeper.say(message)
    assert keeper.poll() == [Lost("crashed", None, ())]


def test_a_worker_that_talks_without_end_does_not_hold_up_the_loop(keeper: Scripted) -> None:
    keeper.poll()
    keeper.launcher.send(b"up")
    keeper.poll()
    keeper.take_request()
    keeper.worker.setblocking(False)
    n_said = 0
    while True:
        try:
            keeper.say(protocol.Building("surface"))
        except BlockingIOError:
            break
        n_said += 1
    assert len(keeper.poll()) == min(n_said, 256)


def test_nothing_is_watched_after_closing(keeper: Scripted) -> None:
    keeper.stand_up()
    keeper.close()
    assert keeper.filenos() == []
    assert keeper.pids == ()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Let this process have descriptors beyond 1023."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2048)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
def test_it_waits_on_descriptors_of_any_number(keeper: Scripted) -> None:
    keeper.poll()
    assert keeper._launcher is not None
    low = keeper._launcher._control
    keeper._launcher._control = socket.socket(fileno=fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 1500))
    low.close()
    assert not keeper.wait(0.0)
    keeper.launcher.send(b"up")
    assert keeper.wait(0.0)
