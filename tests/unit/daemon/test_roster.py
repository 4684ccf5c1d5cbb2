"""Which pipelines are built, after what became of earlier workers."""

from __future__ import annotations

import pytest

from edge_runtime.daemon.roster import Roster


@pytest.fixture
def roster() -> Roster[str]:
    return Roster({"surface": "a", "life": "b"})


def blame_until_left_out(roster: Roster[str], reason: str, *, now: float = 0.0) -> str:
    assert roster.blame("surface", reason, now=now) == ""
    return roster.blame("surface", reason, now=now)


@pytest.mark.parametrize("reason", ["crashed", "grew", "hung"])
def test_a_model_that_took_two_workers_down_is_never_tried_again(roster: Roster[str], reason: str) -> None:
    assert "took the worker down twice" in blame_until_left_out(roster, reason)
    assert roster.recall(1e9) == ""
    assert list(roster.models) == ["life"]


def test_a_model_that_loads_too_slowly_is_left_out_only_for_a_while(roster: Roster[str]) -> None:
    assert "again in 60 s" in blame_until_left_out(roster, "start_failed", now=5.0)
    assert list(roster.models) == ["life"]
    assert roster.recall(64.9) == ""
    assert roster.recall(65.0) == "surface"
    assert roster.models == {"surface": "a", "life": "b"}


def test_a_model_that_stays_slow_is_tried_less_and_less_often(roster: Roster[str]) -> None:
    now, waits = 0.0, []
    blame_until_left_out(roster, "start_failed", now=now)
    for _ in range(8):
        asked = now
        while not roster.recall(now):
            now += 60.0
        waits.append(now - asked)
        roster.blame("surface", "start_failed", now=now)
    assert waits == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0]


def test_a_model_that_was_built_is_forgiven(roster: Roster[str]) -> None:
    roster.blame("surface", "crashed", now=0.0)
    roster.praise("surface")
    assert roster.blame("surface", "crashed", now=0.0) == ""


def test_a_model_that_is_dropped_does_not_come_back_with_a_new_plan(roster: Roster[str]) -> None:
    roster.drop("surface")
    roster.replace("surface", "c")
    roster.replace("life", "d")
    assert roster.models == {"life": "d"}
