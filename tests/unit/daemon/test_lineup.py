"""Changing what pipelines run: the new worker is built beside, and where it fails everything stays as it was."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.bundle.reader import read_bundle
from edge_runtime.daemon import protocol
from edge_runtime.daemon.intake import PartSeen
from edge_runtime.daemon.lineup import Swap
from edge_runtime.daemon.models import PipelineModel
from edge_runtime.daemon.protocol import Building, Built, Refused
from edge_runtime.errors import BundleFormatError
from tests.bundles import TRUSTED, image_bundle
from tests.unit.daemon.dispatchers import Hall, answers

READY = protocol.Ready(())


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    hall = Hall(tmp_path)
    hall.stand_up()
    hall.statuses.clear()
    yield hall
    hall.close()


def next_release(hall: Hall) -> PipelineModel:
    """Give the pipeline "surface" with release 2 of its bundle."""
    old = hall.models["surface"]
    bundle = read_bundle(image_bundle(release=2, version="2.0.0"), TRUSTED)
    facts = dataclasses.replace(old.facts, version="2.0.0", sha256=bundle.digest)
    plan = protocol.PipelinePlan("surface", bundle.data, old.plan.sources, {}, ())
    return PipelineModel(old.pipeline, bundle, facts, plan)


def begin(hall: Hall, **changes: object) -> tuple[list[str], socket.socket]:
    """Ask for release 2, and take what the worker beside is told; gives what the end tells, and the present worker."""
    ended: list[str] = []
    present = hall.keeper.worker
    hall.dispatcher.swap({"surface": next_release(hall)}, ended=ended.append)
    hall.dispatcher.poll()
    hall.dispatcher.poll()
    hall.keeper.take_request()
    return ended, present


def build(hall: Hall, *names: str) -> None:
    for name in names or ("surface", "twin"):
        hall.say(Building(name), Built(name, "engine 2", None))
    hall.say(READY)


def test_a_new_model_runs_when_its_worker_is_ready(hall: Hall) -> None:
    ended, _ = begin(hall)
    build(hall)
    assert ended == [""]
    assert hall.dispatcher.facts["surface"].version == "2.0.0"
    assert hall.statuses == [("surface", "running", ""), ("twin", "running", "")]


def test_facts_stay_those_of_the_present_worker_until_the_switch(hall: Hall) -> None:
    begin(hall)
    hall.say(Building("surface"), Built("surface", "engine 2", None))
    assert (hall.dispatcher.facts["surface"].version, hall.dispatcher.facts["surface"].engine) == ("1.0.0", "e")
    assert hall.statuses == []


def test_inputs_go_to_the_present_worker_while_the_next_is_built(hall: Hall) -> None:
    _, present = begin(hall)
    hall.publish("sure", token=(1, 1))
    hall.dispatcher.feed()
    task = protocol.decode_to_worker(present.recv(1 << 16))
    assert isinstance(task, protocol.FrameTask)
    present.send(protocol.encode(protocol.Done(task.id, (protocol.Outcome("surface"),), 1.0)))
    hall.dispatcher.poll()
    assert hall.dispatcher.idle


def test_the_worker_after_a_swap_is_told_the_new_model(hall: Hall) -> None:
    begin(hall)
    build(hall)
    hall.keeper.worker.close()
    hall.dispatcher.poll()
    loaded = hall.keeper.take_request()
    assert next_release(hall).plan.bundle in [plan.bundle for plan in loaded.pipelines]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ((Building("surface"), Refused("surface", "golden outputs differ")), "golden outputs differ"),
        ((Building("surface"), Built("surface", "e", answers())), "other answers"),
        ((Building("surface"),), 'the new worker died while it built "surface"'),
    ],
    ids=["refused by the worker", "refused by the supervisor", "died"],
)
def test_a_new_model_that_does_not_come_up_leaves_the_old_one_running(
    hall: Hall, said: tuple[protocol.FromWorker, ...], reason: str
) -> None:
    hall.dispatcher.lineup.on_built = lambda _model, built: "other answers" if built.answers is not None else ""
    ended, _ = begin(hall)
    hall.keeper.say(*said)
    hall.keeper.worker.close()
    hall.dispatcher.poll()
    (name, status, text), (told,) = hall.statuses[0], ended
    assert (name, status) == ("surface", "running")
    assert reason in text
    assert "goes on with tiny-surface 1.0.0" in text
    assert reason in told
    assert hall.keeper.has_room
    assert hall.dispatcher.facts["surface"].version == "1.0.0"


def test_a_model_that_failed_to_come_up_is_not_in_the_next_worker(hall: Hall) -> None:
    _, present = begin(hall)
    hall.say(Building("surface"), Refused("surface", "why"))
    present.close()
    hall.dispatcher.poll()
    loaded = hall.keeper.take_request()
    assert next_release(hall).plan.bundle not in [plan.bundle for plan in loaded.pipelines]


def test_a_switch_waits_until_it_is_agreed_to(hall: Hall) -> None:
    agreed: list[bool] = []
    hall.dispatcher.lineup.swap(Swap({"surface": next_release(hall)}, may_switch=lambda: bool(agreed)))
    hall.dispatcher.poll()
    hall.dispatcher.poll()
    hall.keeper.take_request()
    build(hall)
    before = hall.dispatcher.facts["surface"].version
    agreed.append(True)
    hall.dispatcher.poll()
    assert (before, hall.dispatcher.facts["surface"].version) == ("1.0.0", "2.0.0")


def test_window_states_that_changed_meanwhile_are_handed_over(hall: Hall) -> None:
    hall.dispatcher.restore_windows({"surface/fast": b"old"})
    _, present = begin(hall)
    hall.publish("sure", token=(1, 1))
    hall.dispatcher.feed()
    outcome = protocol.Outcome("surface", state=b"where it is")
    present.send(protocol.encode(protocol.Done(1, (outcome,), 1.0)))
    build(hall)
    assert hall.keeper.read_orders() == protocol.Resume({"surface/sure": b"where it is"})


def test_swaps_are_done_one_after_the_other(hall: Hall) -> None:
    ended, _ = begin(hall)
    hall.dispatcher.swap({}, gone=["twin"], ended=ended.append)
    build(hall)
    hall.dispatcher.poll()
    hall.dispatcher.poll()
    assert [plan.name for plan in hall.keeper.take_request().pipelines] == ["surface"]
    build(hall, "surface")
    assert ended == ["", ""]
    assert "twin" not in hall.dispatcher.facts


def test_answers_of_a_first_run_bind_the_model_that_is_built_beside(hall: Hall) -> None:
    def bind(model: PipelineModel, built: Built) -> str:
        if built.answers is not None:
            hall.dispatcher.lineup.bind(model.bundle.digest, built.answers)
        return ""

    hall.dispatcher.lineup.on_built = bind
    begin(hall)
    hall.say(Building("surface"), Built("surface", "e", answers()))
    hall.say(Building("twin"), Built("twin", "e", None), READY)
    hall.keeper.worker.close()
    hall.dispatcher.poll()
    by_name = {plan.name: plan for plan in hall.keeper.take_request().pipelines}
    assert (by_name["surface"].recorded, by_name["twin"].recorded) == ((answers(),), ())


def test_a_present_worker_that_dies_is_replaced_with_the_old_models_while_the_new_ones_are_built(hall: Hall) -> None:
    _, present = begin(hall)
    beside = hall.keeper.worker
    present.close()
    hall.dispatcher.poll()
    loaded = hall.keeper.take_request()
    assert next_release(hall).plan.bundle not in [plan.bundle for plan in loaded.pipelines]
    hall.keeper.worker = beside
    build(hall)
    assert hall.dispatcher.facts["surface"].version == "2.0.0"


def test_inputs_of_a_present_worker_that_dies_are_judged_by_the_next_one(hall: Hall) -> None:
    _, present = begin(hall)
    hall.publish("sure", token=(1, 1))
    hall.dispatcher.feed()
    present.close()
    hall.dispatcher.poll()
    build_end = hall.keeper.worker
    hall.keeper.take_request()
    hall.keeper.worker = build_end
    build(hall)
    hall.dispatcher.feed()
    tasks = [message for message in hall.keeper.heard() if isinstance(message, protocol.FrameTask)]
    assert len(tasks) == 1


def stop(hall: Hall, name: str) -> None:
    hall.dispatcher.lineup.stop(name)
    hall.dispatcher.poll()
    hall.dispatcher.poll()


def test_a_stopped_pipeline_is_left_out_of_the_next_worker(hall: Hall) -> None:
    stop(hall, "twin")
    assert [plan.name for plan in hall.keeper.take_request().pipelines] == ["surface"]
    assert hall.statuses == [("twin", "stopped", "")]


def test_outcomes_of_a_stopped_pipeline_do_not_count(hall: Hall) -> None:
    shown: list[str] = []
    hall.dispatcher._on_outcome = lambda outcome, *_: shown.append(outcome.pipeline)
    present = hall.keeper.worker
    hall.publish("fast")
    hall.dispatcher.feed()
    stop(hall, "twin")
    outcomes = (protocol.Outcome("surface"), protocol.Outcome("twin"))
    present.send(protocol.encode(protocol.Done(1, outcomes, 1.0)))
    hall.dispatcher.poll()
    assert shown == ["surface"]


def test_inputs_of_a_stopped_pipeline_are_acknowledged_and_counted(hall: Hall) -> None:
    stop(hall, "surface")
    hall.publish("sure", part="p1", token=(1, 5))
    hall.dispatcher.feed()
    hall.journal.flush(0.0, force=True)
    assert (hall.acknowledged, hall.dropped("sure", "pipeline_stopped")) == ([(1, 5)], 1)


def test_a_stopped_pipeline_owes_no_verdicts(hall: Hall) -> None:
    stop(hall, "surface")
    hall.dispatcher.expect_part(PartSeen("sure", "p1", 1e9, 1e9))
    assert hall.desk.next_deadline() is None


def test_a_pipeline_that_is_started_runs_when_its_worker_is_ready(hall: Hall) -> None:
    stop(hall, "twin")
    hall.keeper.take_request()
    build(hall, "surface")
    hall.dispatcher.lineup.start("twin", hall.models["twin"])
    hall.dispatcher.poll()
    hall.dispatcher.poll()
    assert [plan.name for plan in hall.keeper.take_request().pipelines] == ["surface", "twin"]
    build(hall)
    assert hall.statuses[-1] == ("twin", "running", "")


def test_a_pipeline_that_cannot_be_started_is_told_as_failed_and_the_others_go_on(hall: Hall) -> None:
    stop(hall, "twin")
    hall.keeper.take_request()
    build(hall, "surface")
    hall.dispatcher.lineup.start("twin", hall.models["twin"])
    hall.dispatcher.poll()
    hall.dispatcher.poll()
    hall.keeper.take_request()
    hall.say(Building("twin"), Refused("twin", "why"))
    assert hall.statuses[-1] == ("twin", "failed", '"twin" is refused: why')
    assert hall.keeper.has_room


def test_a_pipeline_that_is_started_behind_another_change_runs_what_that_change_brought(hall: Hall) -> None:
    stop(hall, "surface")
    hall.keeper.take_request()
    build(hall, "twin")
    told: list[str] = []
    hall.dispatcher.swap({"twin": hall.models["twin"]})
    lineup = hall.dispatcher.lineup
    lineup.start("surface", hall.models["surface"], told.append, read=lambda: next_release(hall))
    for _ in range(2):
        hall.dispatcher.poll()
    hall.keeper.take_request()
    build(hall, "twin")
    for _ in range(2):
        hall.dispatcher.poll()
    hall.keeper.take_request()
    build(hall, "twin", "surface")
    assert (told, hall.dispatcher.facts["surface"].version) == ([""], "2.0.0")


def test_a_bundle_that_cannot_be_read_when_its_turn_comes_leaves_everything_as_it_was(hall: Hall) -> None:
    stop(hall, "surface")
    hall.keeper.take_request()
    build(hall, "twin")
    told: list[str] = []

    def read() -> PipelineModel:
        raise BundleFormatError("it has gone")

    hall.dispatcher.lineup.start("surface", hall.models["surface"], told.append, read=read)
    hall.dispatcher.poll()
    assert told == ["it has gone"]
    assert hall.statuses[-1] == ("surface", "failed", "it has gone")


def test_a_pipeline_that_rested_gets_no_inputs_before_the_worker_has_it(hall: Hall) -> None:
    lineup = hall.dispatcher.lineup
    for _ in range(2):
        lineup._blame("surface", "start_failed", 0.0)
    lineup._roster._resting = {
        name: dataclasses.replace(rest, until=-1.0) for name, rest in lineup._roster._resting.items()
    }
    hall.dispatcher.poll()
    assert lineup.changing
    assert not lineup.runs("surface")
