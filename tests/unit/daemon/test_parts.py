"""Verdicts on parts, case by case."""

from __future__ import annotations

import msgspec
import pytest

from edge_runtime.daemon import parts
from edge_runtime.daemon.parts import Decided, PartBook, PartRule, PartState
from edge_runtime.messages import Verdict

ANY = PartRule(frozenset(), 2.0)
BOTH = PartRule(frozenset({"left", "right"}), 2.0)


def opened(rule: PartRule, *, now: float = 10.0, wall: float = 1_700_000_000.0) -> PartBook:
    book = PartBook()
    book.expect("surface", "A-17", rule, now=now, wall=wall)
    return book


def say(
    book: PartBook, rule: PartRule, camera: str, verdict: Verdict, *, now: float = 10.5, score: float | None = 0.2
) -> Decided | None:
    reasons = () if verdict == "ok" else (f"{verdict} by {camera}",)
    return book.answer("surface", "A-17", camera, rule, verdict=verdict, reasons=reasons, score=score, now=now)


def test_the_first_camera_decides_where_any_will_do() -> None:
    decided = say(opened(ANY), ANY, "left", "ok")
    assert decided == Decided("surface", "A-17", "ok", (), 1_700_000_000.0, 0.5, False, "left", 0.2)


def test_a_part_that_nobody_looked_at_is_unsure_not_ok() -> None:
    (decided,) = opened(ANY).overdue({"surface": ANY}, now=12.0)
    assert (decided.verdict, decided.reasons, decided.score) == ("unsure", ("no_answer",), None)


def test_all_cameras_must_answer_before_a_part_passes() -> None:
    book = opened(BOTH)
    assert say(book, BOTH, "left", "ok") is None
    decided = say(book, BOTH, "right", "ok")
    assert decided is not None
    assert (decided.verdict, decided.camera) == ("ok", None)


def test_the_missing_camera_is_named() -> None:
    book = opened(BOTH)
    say(book, BOTH, "left", "ok")
    (decided,) = book.overdue({"surface": BOTH}, now=12.0)
    assert (decided.verdict, decided.reasons) == ("unsure", ("missing:right",))


def test_a_bad_part_stays_bad_when_a_camera_is_missing() -> None:
    book = opened(BOTH)
    say(book, BOTH, "left", "ng")
    (decided,) = book.overdue({"surface": BOTH}, now=12.0)
    assert (decided.verdict, decided.reasons, decided.camera) == ("ng", ("ng by left",), "left")


def test_a_second_picture_by_the_same_camera_does_not_make_a_bad_part_good() -> None:
    book = opened(BOTH)
    say(book, BOTH, "left", "ng")
    say(book, BOTH, "left", "ok")
    decided = say(book, BOTH, "right", "ok")
    assert decided is not None
    assert decided.verdict == "ng"


def test_the_highest_score_of_all_cameras_is_told() -> None:
    book = opened(BOTH)
    say(book, BOTH, "left", "ok", score=0.3)
    decided = say(book, BOTH, "right", "unsure", score=None)
    assert decided is not None
    assert decided.score == 0.3


def test_an_answer_after_the_deadline_is_late() -> None:
    decided = say(opened(ANY), ANY, "left", "ok", now=12.0)
    assert decided is not None
    assert decided.late


def test_an_answer_for_an_unknown_part_is_no_verdict() -> None:
    assert say(PartBook(), ANY, "left", "ok") is None


def test_an_answer_for_a_decided_part_is_no_second_verdict() -> None:
    book = opened(ANY)
    say(book, ANY, "left", "ok")
    assert say(book, ANY, "right", "ng") is None


def test_a_picture_that_comes_again_does_not_open_a_decided_part() -> None:
    book = opened(ANY)
    say(book, ANY, "left", "ok")
    book.expect("surface", "A-17", ANY, now=20.0, wall=1_700_000_010.0, at=1_700_000_000.0)
    assert book.next_due() is None


def test_a_name_that_is_used_again_is_another_part() -> None:
    book = opened(ANY)
    say(book, ANY, "left", "ok")
    book.expect("surface", "A-17", ANY, now=30.0, wall=1_700_000_020.0)
    decided = say(book, ANY, "left", "ng", now=30.5)
    assert decided is not None
    assert decided.verdict == "ng"


def test_an_open_part_goes_on_where_an_earlier_run_left_it() -> None:
    book = opened(BOTH)
    say(book, BOTH, "left", "ng")
    state = book.state("surface", "A-17")
    assert state is not None
    again = PartBook()
    again.restore(
        "surface", "A-17", msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=PartState), BOTH, now=5.0
    )
    decided = say(again, BOTH, "right", "ok", now=5.5)
    assert decided is not None
    assert (decided.verdict, decided.reasons) == ("ng", ("ng by left",))


def test_a_part_that_nobody_answered_for_needs_no_checkpoint() -> None:
    assert opened(BOTH).state("surface", "A-17") is None


def test_a_second_picture_does_not_move_the_deadline() -> None:
    book = opened(ANY, now=10.0)
    book.expect("surface", "A-17", ANY, now=11.0, wall=0.0)
    assert book.next_due() == 12.0


def test_the_same_part_is_judged_by_each_pipeline() -> None:
    book = opened(ANY)
    book.expect("shape", "A-17", ANY, now=10.0, wall=0.0)
    say(book, ANY, "left", "ok")
    (decided,) = book.overdue({"shape": ANY, "surface": ANY}, now=12.0)
    assert decided.pipeline == "shape"


def test_parts_decided_by_an_earlier_run_are_remembered() -> None:
    book = PartBook([("surface", "A-17", 1_700_000_000.0)])
    book.expect("surface", "A-17", ANY, now=10.0, wall=1_700_000_003.0)
    assert book.is_decided("surface", "A-17")
    assert book.next_due() is None


def test_only_so_many_decided_parts_are_remembered() -> None:
    book = PartBook()
    for index in range(parts._REMEMBERED + 1):
        book.expect("surface", f"p{index}", ANY, now=0.0, wall=0.0)
    book.overdue({"surface": ANY}, now=5.0)
    remembered = [book.is_decided("surface", f"p{index}") for index in (0, 1, parts._REMEMBERED)]
    assert remembered == [False, True, True]


def decided_at_arrival(*, at: float | None = None) -> PartBook:
    """A part that arrived at 10 s (monotonic) and was decided."""
    book = PartBook()
    book.expect("surface", "A-17", ANY, now=10.0, wall=1.7e9, at=at)
    say(book, ANY, "left", "ok")
    return book


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, -1.7e9])
def test_a_part_that_is_known_by_its_arrival_is_the_same_whatever_the_clock_shows(jump_s: float) -> None:
    book = decided_at_arrival()
    book.expect("surface", "A-17", ANY, now=11.0, wall=1.7e9 + 1.0 + jump_s)
    assert book.is_decided("surface", "A-17")


def test_a_part_that_is_known_by_its_arrival_is_another_after_the_time_of_reuse() -> None:
    book = decided_at_arrival()
    book.expect("surface", "A-17", ANY, now=21.0, wall=1.7e9 + 1.0)
    assert not book.is_decided("surface", "A-17")


def test_where_the_source_tells_times_those_are_compared() -> None:
    book = decided_at_arrival(at=1.7e9 - 5.0)
    book.expect("surface", "A-17", ANY, now=500.0, wall=1.7e9 + 490.0, at=1.7e9 - 5.0)
    assert book.is_decided("surface", "A-17")
    book.expect("surface", "A-17", ANY, now=500.0, wall=1.7e9 + 490.0, at=1.7e9 + 489.0)
    assert not book.is_decided("surface", "A-17")


def test_a_clock_that_is_set_corrects_the_times_of_parts_that_were_taken_before() -> None:
    book = PartBook()
    book.expect("surface", "A-17", ANY, now=10.0, wall=30.0)
    book.expect("surface", "A-18", ANY, now=10.0, wall=30.0, at=1.7e9)
    book.shift(1.7e9, before_s=1e9)
    decided = book.overdue({"surface": ANY}, now=12.0)
    assert [each.opened_at for each in decided] == [1.7e9 + 30.0, 1.7e9 + 30.0]
    book.expect("surface", "A-17", ANY, now=13.0, wall=1.7e9 + 33.0, at=1.7e9 + 31.0)
    assert book.is_decided("surface", "A-17")


def test_open_parts_of_a_pipeline_that_is_gone_are_decided_and_those_of_others_stay_open() -> None:
    book = opened(BOTH)
    book.expect("other", "B-1", ANY, now=10.0, wall=1_700_000_000.0)
    say(book, BOTH, "left", "ok")
    (decided,) = book.close({"surface"}, {"surface": BOTH, "other": ANY}, now=10.6)
    assert (decided.part, decided.verdict, decided.reasons) == ("A-17", "unsure", ("missing:right",))
    assert book.next_due() == 12.0
