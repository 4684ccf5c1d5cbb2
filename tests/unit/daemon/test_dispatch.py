"""Inputs and workers, with a worker that says what a test lets it say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.daemon import protocol
from edge_runtime.daemon.intake import Item
from edge_runtime.daemon.protocol import Building, Built
from edge_runtime.daemon.repeats import FRAMES
from edge_runtime.errors import BundleCompatibilityError
from edge_runtime.findings import Finding
from edge_runtime.messages import Alert, decode
from tests.unit.daemon.dispatchers import Hall, answers

BAD = Finding("vision.defect", "crack", 0.9, 0.6, 0.4, abnormal=True, clearable=False)


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    hall = Hall(tmp_path)
    yield hall
    hall.close()


def ask_again(hall: Hall) -> protocol.Load:
    """Lose the worker, and take what the next one is told."""
    hall.keeper.worker.close()
    hall.dispatcher.poll()
    return hall.keeper.take_request()


def test_answers_of_a_first_run_bind_the_next_worker_in_every_pipeline_of_the_bundle(hall: Hall) -> None:
    assert [plan.recorded for plan in hall.launch().pipelines] == [(), ()]
    hall.dispatcher.lineup.bind(hall.models["surface"].bundle.digest, answers())
    assert [plan.recorded for plan in ask_again(hall).pipelines] == [(answers(),), (answers(),)]


def test_answers_that_bind_are_not_replaced_by_other_ones(hall: Hall) -> None:
    digest = hall.models["surface"].bundle.digest
    hall.dispatcher.lineup.bind(digest, answers())
    with pytest.raises(BundleCompatibilityError, match="does not answer as it answered before"):
        hall.dispatcher.lineup.bind(digest, answers(2))
    assert [plan.recorded for plan in hall.launch().pipelines] == [(answers(),), (answers(),)]


def test_a_pipeline_that_may_not_run_is_left_out_of_the_next_worker(hall: Hall) -> None:
    hall.dispatcher.lineup.on_built = lambda _model, built: "other answers" if built.pipeline == "twin" else ""
    hall.launch()
    hall.say(Building("surface"), Built("surface", "e", None), Building("twin"), Built("twin", "e", None))
    hall.say(protocol.Ready(()))
    assert hall.statuses == [("surface", "running", ""), ("twin", "failed", "other answers")]
    assert [plan.name for plan in hall.keeper.take_request().pipelines] == ["surface"]


def outwait(hall: Hall) -> protocol.Load:
    """Let the worker not get ready in time, and take what the next one is told."""
    hall.say(Building("surface"))
    hall.keeper.now += 10.5
    hall.dispatcher.poll()
    hall.keeper.now += 10.0
    return hall.launch()


def test_a_pipeline_whose_model_took_two_workers_down_is_told_as_failed(hall: Hall) -> None:
    hall.launch()
    for _ in range(2):
        hall.say(Building("surface"))
        load = ask_again(hall)
    assert [status for _, status, _ in hall.statuses] == ["failed"]
    assert [plan.name for plan in load.pipelines] == ["twin"]


def test_a_model_that_was_too_slow_is_built_again_after_a_while(hall: Hall) -> None:
    hall.launch()
    outwait(hall)
    load = outwait(hall)
    assert [plan.name for plan in load.pipelines] == ["twin"]
    hall.say(Building("twin"), Built("twin", "e", None), protocol.Ready(()))
    hall.wall.now_s += 60.0
    hall.dispatcher.poll()
    hall.dispatcher.poll()
    assert [plan.name for plan in hall.keeper.take_request().pipelines] == ["twin", "surface"]


def test_a_worker_goes_on_from_the_last_word_of_the_one_before(hall: Hall) -> None:
    hall.stand_up()
    hall.publish("sure")
    hall.dispatcher.feed()
    hall.keeper.say(protocol.Done(1, (protocol.Outcome("surface", state=b"where it is"),), 1.0))
    assert ask_again(hall).states == {"surface/sure": b"where it is"}


def test_a_copy_of_a_frame_that_the_worker_has_is_dropped_and_acknowledges_it_in_its_place(hall: Hall) -> None:
    hall.stand_up()
    hall.publish("sure", token=(1, 5), ts_ms=1_700_000_000_000)
    hall.dispatcher.feed()
    hall.publish("sure", token=(2, 0), ts_ms=1_700_000_000_000, dup=True)
    hall.dispatcher.feed()
    hall.journal.flush(0.0, force=True)
    before = list(hall.acknowledged)
    hall.finish(1, protocol.Outcome("surface"))
    hall.journal.flush(0.0, force=True)
    assert (before, hall.acknowledged, hall.dropped("sure", "repeated")) == ([], [(2, 0)], 1)


def test_what_is_told_late_names_the_model_that_judged_and_not_its_successor(hall: Hall) -> None:
    hall.stand_up()
    waiting: list[tuple[Item, protocol.Done]] = []
    hall.dispatcher.on_finished = lambda item, done: waiting.append((item, done))
    hall.publish("sure")
    hall.dispatcher.feed()
    hall.finish(1, protocol.Outcome("surface", (BAD,)))
    judged_by = hall.dispatcher.facts["surface"]
    hall.dispatcher.lineup._facts["surface"] = replace(judged_by, version="2.0.0", sha256="2" * 64)
    hall.dispatcher.settle(*waiting[0])
    hall.journal.flush(0.0, force=True)
    told = [decode(each.payload, Alert) for each in hall.outbox.unsent(10) if each.topic == "alert/event"]
    assert [(alert.model_version, alert.model_sha256) for alert in told] == [(judged_by.version, judged_by.sha256)]


def test_two_frames_of_one_millisecond_are_both_worked_on(hall: Hall) -> None:
    hall.stand_up()
    for place in range(2):
        hall.publish("sure", token=(1, place), ts_ms=1_700_000_000_000)
    hall.dispatcher.feed()
    assert len(hall.dispatcher._with_worker) == 2


def test_an_input_that_no_slot_holds_is_given_up_and_acknowledged(hall: Hall) -> None:
    hall.stand_up()
    hall.dispatcher._ring.slot_bytes = 16
    hall.publish("sure", token=(1, 5))
    hall.dispatcher.feed()
    hall.journal.flush(0.0, force=True)
    assert hall.dispatcher.idle
    assert hall.acknowledged == [(1, 5)]
    assert hall.dropped("sure", "payload_size") == 1


@pytest.mark.parametrize("part", [None, "A-17"])
def test_a_frame_that_comes_again_after_a_kill_counts_once(hall: Hall, tmp_path: Path, part: str | None) -> None:
    hall.stand_up()
    hall.publish("sure", part, token=(1, 5), ts_ms=1_700_000_000_000)
    hall.dispatcher.feed()
    hall.finish(1, protocol.Outcome("surface", (BAD,)))
    hall.journal.flush(0.0, force=True)
    after = Hall(tmp_path / "next", outbox=hall.outbox)
    after.dispatcher.remember_frames([], hall.outbox.load_state(FRAMES))
    after.stand_up()
    after.publish("sure", part, token=(1, 5), ts_ms=1_700_000_000_000, dup=True)
    after.dispatcher.feed()
    after.journal.flush(0.0, force=True)
    assert (after.acknowledged, after.dropped("sure", "repeated"), after.dispatcher.idle) == ([(1, 5)], 1, True)
    after.dispatcher.close()


def test_what_is_known_of_a_frame_is_committed_with_what_it_caused(hall: Hall) -> None:
    hall.stand_up()
    hall.publish("sure", ts_ms=1_700_000_000_000)
    hall.dispatcher.feed()
    hall.finish(1, protocol.Outcome("surface", (BAD,)))
    before = set(hall.outbox.load_state(""))
    hall.journal.flush(0.0, force=True)
    assert (before, {"alarm/surface.sure.crack", "frames/sure"} <= set(hall.outbox.load_state(""))) == (set(), True)
