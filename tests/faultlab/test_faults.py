"""The fault table on a running plant under load: seen in health, over within ten seconds, nothing lost.

In short here; every row, and many pairs, with the long tests, which write ``docs/faults.md``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.faultlab.page import Entry, write_page
from tests.faultlab.plants import Plants, by_scene, random_pairs
from tests.faultlab.rounds import Outcome
from tests.faultlab.rows import FAULTS
from tests.faultlab.table import Fault

QUICK = by_scene(fault for fault in FAULTS.values() if fault.quick)
#: Of the pairs; another one draws others.
SEED = int(os.environ.get("FAULT_SEED", "7"))
N_PAIRS, N_PAIRS_LONG = 2, 60

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def plants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plants]:
    plants = Plants(tmp_path_factory.mktemp("plants"))
    yield plants
    plants.close()


@pytest.fixture(scope="module")
def entries(project: object) -> Iterator[list[Entry]]:
    """What long runs measured; all rows together make the page, where ``EDGE_RECORD=1`` asks for it."""
    measured: list[Entry] = []
    yield measured
    complete = {entry.names for entry in measured} >= {(name,) for name in FAULTS}
    if complete and os.environ.get("EDGE_RECORD") == "1":
        write_page(measured, SEED)


def require_well(plants: Plants, outcome: Outcome) -> None:
    """Fail with what is wrong."""
    problems = outcome.problems()
    assert not problems, f"{' and '.join(outcome.names)} (seed {SEED}): {problems}; seen {outcome.seen}"


def named(pair: tuple[Fault, Fault]) -> str:
    return f"{pair[0].name}+{pair[1].name}-seed-{SEED}"


@pytest.mark.slow
@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: fault.name)
def test_plant_shows_a_fault_recovers_from_it_and_loses_nothing(plants: Plants, fault: Fault) -> None:
    plants.require(fault)
    require_well(plants, plants.run(fault))


@pytest.mark.slow
@pytest.mark.parametrize("pair", random_pairs(QUICK, N_PAIRS, SEED), ids=named)
def test_plant_recovers_from_two_faults_at_once(plants: Plants, pair: tuple[Fault, Fault]) -> None:
    plants.require(*pair)
    require_well(plants, plants.run(*pair))


@pytest.mark.long
@pytest.mark.parametrize("fault", by_scene(FAULTS.values()), ids=lambda fault: fault.name)
def test_every_fault_of_the_table(plants: Plants, entries: list[Entry], fault: Fault) -> None:
    plants.require(fault)
    outcome = plants.run(fault)
    entries.append(Entry.of(outcome))
    require_well(plants, outcome)


@pytest.mark.long
@pytest.mark.parametrize("pair", random_pairs(FAULTS.values(), N_PAIRS_LONG, SEED), ids=named)
def test_random_pairs_of_faults(plants: Plants, entries: list[Entry], pair: tuple[Fault, Fault]) -> None:
    plants.require(*pair)
    outcome = plants.run(*pair)
    entries.append(Entry.of(outcome))
    require_well(plants, outcome)
