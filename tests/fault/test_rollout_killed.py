"""The daemon is killed in the midst of a rollout, again and again: it goes on, and ends where it would have ended."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.integration.daemon_rig import until
from tests.integration.rollout_rig import ROLLOUT, Line, running_line
from tests.integration.trap_bundles import trap_bundle

pytestmark = pytest.mark.broker

EAGER = f"{ROLLOUT}auto_promote = true\n"


def kill_and_start(line: Line) -> None:
    """Kill the daemon without warning, and start it again."""
    line.daemon.kill()
    line.daemon.start(within_s=60)


def test_good_model_comes_into_use_whatever_is_killed(tmp_path: Path) -> None:
    with running_line(tmp_path, EAGER) as line:
        digest = line.order(trap_bundle("sound", release=3))
        line.wait_for_candidate(digest, "fetching", "verifying", "ready")
        kill_and_start(line)
        line.wait_for_candidate(digest, "ready")
        kill_and_start(line)
        line.wait_for_rollout(digest, "canary", share=0.5)
        kill_and_start(line)
        line.wait_for_rollout(digest, "promoted")
        kill_and_start(line)
        until(
            lambda: "passed its probation" in line.wait_for_rollout(digest, "promoted")["reason"],
            "the end of the probation",
            within_s=30,
        )
        line.rest()
        lost = line.consumer.recover(line.daemon)
        parts = [part for part, _ in line.shown]
        until(lambda: set(parts) <= line.consumer.verdicts().keys(), "all verdicts", within_s=20)
        assert (lost, line.active()) == (set(), 3)


@pytest.mark.long
def test_rollout_ends_well_under_kills_at_any_moment(tmp_path: Path) -> None:
    rng = random.Random(7)
    with running_line(tmp_path, EAGER) as line:
        for release in range(3, 7):
            digest = line.order(trap_bundle("sound", release=release))
            for _ in range(5):
                time.sleep(rng.uniform(0.0, 3.0))
                kill_and_start(line)
            line.wait_for_rollout(digest, "promoted", reason="it passed its probation")
        line.rest()
        lost = line.consumer.recover(line.daemon)
        parts = {part for part, _ in line.shown}
        until(lambda: parts <= line.consumer.verdicts().keys(), "all verdicts", within_s=20)
        assert (lost, line.active()) == (set(), 6)


def test_bad_model_goes_back_whatever_is_killed(tmp_path: Path) -> None:
    with running_line(tmp_path) as line:
        digest = line.order(trap_bundle("wrong", release=3))
        line.wait_for_candidate(digest, "ready")
        line.promote(digest)
        line.wait_for_rollout(digest, "promoted")
        line.bright = True
        line.wait_for_rollout(digest, "rolled_back")
        kill_and_start(line)
        line.wait_for_rollout(digest, "rolled_back", share=0.0)
        line.bright = False
        assert line.versions_of(line.next_parts(3)) == ["2.0.0"] * 3
        assert line.active() == 2
