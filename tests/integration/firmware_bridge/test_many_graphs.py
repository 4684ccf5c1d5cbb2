"""Random graphs that no run had before, at every place where emitted code can be tried; EDGE_SEED repeats a run."""

from __future__ import annotations

import pytest

from firmware_bridge.boards import BOARDS, missing_tools
from firmware_bridge.emulator import PROCESSORS, missing_packages
from tests.integration.firmware_bridge.many_graphs import fresh_seed, run_many
from tests.integration.firmware_bridge.places import require, require_host

pytestmark = pytest.mark.compiler

SHORT = {"host": 24} | dict.fromkeys(PROCESSORS, 12) | dict.fromkeys(BOARDS, 4)
LONG = {"host": 1000} | dict.fromkeys(PROCESSORS, 150) | dict.fromkeys(BOARDS, 40)


def _exact(place: str, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Run fresh graphs; the seed is printed in any case."""
    require_host()
    if place in PROCESSORS:
        require(missing_packages())
    elif place in BOARDS:
        require(missing_tools(BOARDS[place]))
    seed = fresh_seed()
    with capsys.disabled():
        print(f"\n{count} random graphs on {place}, EDGE_SEED={seed}")  # noqa: T201 - to repeat the run
    assert dict(run_many(seed, count, place)) == {"exact": count}, f"EDGE_SEED={seed} repeats this run"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("place", SHORT)
def test_fresh_random_graphs_are_exact(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    _exact(place, SHORT[place], capsys)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("place", LONG)
def test_many_fresh_random_graphs_are_exact(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    _exact(place, LONG[place], capsys)
