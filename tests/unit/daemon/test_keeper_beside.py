"""A worker that is built beside the present one: who answers, who takes over, and what happens when either fails."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest

from edge_runtime.daemon import protocol
from edge_runtime.daemon.keeper import Abandoned, Coming, Lost, Switched
from edge_runtime.daemon.ring import Ring
from tests.unit.daemon.keepers import BUILT, READY, Scripted

BUILDING = protocol.Building("surface")


@pytest.fixture
def keeper() -> Iterator[Scripted]:
    ring = Ring(4, 4096)
    keeper = Scripted(ring, start_s=10.0, hang_s=1.0, in_flight=2)
    keeper.stand_up()
    yield keeper
    keeper.close()
    ring.close()


def done(number: int) -> bytes:
    return protocol.encode(protocol.Done(number, (), 1.0))


def no_states() -> Mapping[str, bytes]:
    return {}


def test_the_present_worker_answers_while_another_is_built(keeper: Scripted) -> None:
    present = keeper.build_beside(BUILDING)
    keeper.give(1)
    present.send(done(1))
    assert keeper.poll() == [protocol.Done(1, (), 1.0), Coming(BUILDING)]
    assert keeper.has_room


def test_a_worker_beside_that_is_ready_waits_for_the_word(keeper: Scripted) -> None:
    keeper.build_beside(BUILDING, BUILT, READY)
    assert keeper.poll() == [Coming(BUILDING), Coming(BUILT), Coming(READY)]
    assert keeper.poll() == []
    assert keeper.has_room


def test_no_input_is_taken_between_the_word_and_the_switch(keeper: Scripted) -> None:
    keeper.give(1)
    keeper.build_beside(READY)
    keeper.poll()
    keeper.switch(no_states)
    assert not keeper.has_room


def test_the_next_worker_takes_over_when_the_present_one_has_answered(keeper: Scripted) -> None:
    keeper.give(1)
    present = keeper.build_beside(READY)
    keeper.poll()
    keeper.switch(no_states)
    assert keeper.poll() == []
    present.send(done(1))
    assert keeper.poll() == [protocol.Done(1, (), 1.0), Switched()]
    assert (keeper.has_room, keeper.coming, keeper.n_replaced) == (True, False, 0)


def test_inputs_after_the_switch_go_to_the_next_worker_behind_the_states(keeper: Scripted) -> None:
    keeper.build_beside(READY)
    keeper.poll()
    keeper.switch(lambda: {"surface/cam1": b"where it is"})
    keeper.poll()
    keeper.give(7)
    look, task = keeper.heard()
    assert isinstance(look, protocol.Look)
    assert isinstance(task, protocol.FrameTask)
    assert keeper.read_orders() == protocol.Resume({"surface/cam1": b"where it is"})


def test_states_are_asked_for_after_the_last_answer(keeper: Scripted) -> None:
    states: dict[str, bytes] = {}
    keeper.give(1)
    present = keeper.build_beside(READY)
    keeper.poll()
    keeper.switch(lambda: states)
    present.send(done(1))
    WorkerPolls.once(keeper)
    states["surface/cam1"] = b"after its last answer"
    WorkerPolls.once(keeper)
    assert keeper.read_orders() == protocol.Resume(states)


class WorkerPolls:
    """Polls as the dispatcher does, which handles what was said before it polls again."""

    @staticmethod
    def once(keeper: Scripted) -> None:
        super(Scripted, keeper).poll()


@pytest.mark.parametrize("asked", [False, True], ids=["while it builds", "after the word"])
def test_a_worker_beside_that_dies_leaves_the_present_one_working(keeper: Scripted, asked: bool) -> None:
    keeper.give(1)
    keeper.build_beside(*([READY] if asked else [BUILDING]))
    keeper.poll()
    if asked:
        keeper.switch(no_states)
    keeper.worker.close()
    assert keeper.poll() == [Abandoned("crashed")]
    assert (keeper.has_room, keeper.coming, keeper.n_replaced) == (True, False, 0)


def test_a_worker_beside_that_never_gets_ready_is_abandoned_alone(keeper: Scripted) -> None:
    keeper.build_beside(BUILDING)
    keeper.poll()
    keeper.now += 10.5
    assert keeper.poll() == [Abandoned("start_failed")]
    assert keeper.has_room
    assert len(keeper.launched_at) == 1


def test_a_worker_beside_that_answers_inputs_it_never_had_is_abandoned(keeper: Scripted) -> None:
    keeper.build_beside(READY)
    keeper.worker.send(done(1))
    assert keeper.poll() == [Coming(READY), Abandoned("crashed")]


def test_a_worker_beside_that_grows_is_abandoned(keeper: Scripted) -> None:
    keeper.build_beside(BUILDING)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as glutton:
        keeper.launcher.send(b"1073741824")  # the present worker's; nobody is killed for being forked first
        keeper.launcher.send(str(glutton.pid).encode())
        keeper._limits = type(keeper._limits)(memory_bytes=1 << 12)
        events = keeper.poll()
        while Abandoned("grew") not in events:  # a process that has only begun is still small
            events = keeper.poll()
        assert glutton.wait(5.0) < 0
    assert events[-1] == Abandoned("grew")


def test_a_present_worker_that_dies_is_replaced_at_once_beside_the_one_that_is_built(keeper: Scripted) -> None:
    keeper.give(1, 2)
    present = keeper.build_beside(BUILDING)
    keeper.poll()
    present.close()
    assert keeper.poll() == [Lost("crashed", 1, (2,))]
    keeper.take_request()
    keeper.say(READY)
    keeper.poll()
    assert (keeper.has_room, keeper.coming) == (True, True)


def test_a_next_worker_that_is_ready_before_the_replacement_takes_over(keeper: Scripted) -> None:
    present = keeper.build_beside(BUILDING)
    beside = keeper.worker
    present.close()
    keeper.poll()
    keeper.take_request()
    beside.send(protocol.encode(READY))
    assert keeper.poll() == [Coming(READY)]
    keeper.switch(no_states)
    assert keeper.poll() == [Switched()]
    keeper.worker = beside
    keeper.give(5)
    assert [type(message) for message in keeper.heard()] == [protocol.Look, protocol.FrameTask]


def test_a_present_worker_that_dies_after_the_word_is_followed_by_the_next_one(keeper: Scripted) -> None:
    keeper.give(1, 2)
    present = keeper.build_beside(READY)
    keeper.poll()
    keeper.switch(no_states)
    present.close()
    assert keeper.poll() == [Lost("crashed", 1, (2,)), Switched()]
    keeper.give(1, 2)
    assert len(keeper.heard()) == 3


def test_a_present_worker_that_hangs_after_the_word_is_followed_by_the_next_one(keeper: Scripted) -> None:
    keeper.give(1)
    keeper.build_beside(READY)
    keeper.poll()
    keeper.switch(no_states)
    for now in (0.25, 0.5, 0.75, 1.0):
        keeper.now = now
        assert keeper.poll() == []
    keeper.now = 1.01
    assert keeper.poll() == [Lost("hung", 1, ()), Switched()]


def test_a_launcher_that_dies_takes_both_workers_along(keeper: Scripted) -> None:
    keeper.give(1)
    keeper.build_beside(READY)
    keeper.launcher.close()
    assert keeper.poll() == [Lost("crashed", 1, ()), Abandoned("crashed")]
    keeper.poll()
    assert len(keeper.launched_at) == 2


def test_an_abandoned_worker_leaves_the_present_one_working(keeper: Scripted) -> None:
    keeper.build_beside(READY)
    keeper.poll()
    keeper.abandon()
    assert (keeper.poll(), keeper.has_room, keeper.coming) == ([], True, False)


def test_another_renewal_takes_the_place_of_the_one_before(keeper: Scripted) -> None:
    keeper.build_beside()
    before = keeper.worker
    keeper.renew()
    keeper.poll()
    keeper.take_request()
    assert before.recv(16) == b""


def test_a_format_whose_engine_is_not_loaded_gets_a_launcher_of_its_own(keeper: Scripted) -> None:
    first = keeper.launcher
    present = keeper.worker
    keeper.renew(formats=["onnx"])
    keeper.poll()
    keeper.launcher.send(b"up")
    keeper.poll()
    keeper.take_request()
    keeper.say(READY)
    keeper.give(1)
    present.send(done(1))
    assert keeper.poll() == [protocol.Done(1, (), 1.0), Coming(READY)]
    keeper.switch(no_states)
    assert keeper.poll() == [Switched()]
    assert first.recv(16) == b""
    assert keeper._launcher is not None
    assert keeper._launcher.formats == {"tflite", "onnx"}


def test_a_launcher_of_its_own_that_never_comes_up_is_abandoned(keeper: Scripted) -> None:
    keeper.renew(formats=["onnx"])
    keeper.poll()
    keeper.now += 10.5
    assert keeper.poll() == [Abandoned("start_failed")]
    assert keeper.has_room


def test_a_worker_that_was_ended_before_it_had_a_name_is_killed_when_it_gets_one(keeper: Scripted) -> None:
    keeper.build_beside(BUILDING)
    keeper.poll()
    keeper.abandon()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as nameless:
        keeper.launcher.send(b"1073741824")
        keeper.launcher.send(str(nameless.pid).encode())
        keeper.poll()
        assert nameless.wait(5.0) < 0


def test_closing_leaves_nothing_to_watch(keeper: Scripted) -> None:
    keeper.build_beside(BUILDING)
    keeper.poll()
    keeper.close()
    assert (keeper.filenos(), keeper.pids) == ([], ())
