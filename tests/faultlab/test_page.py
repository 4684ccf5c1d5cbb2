"""The page of the fault table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faultlab.page import PAGE, Entry, read_entries, rows_of, said, write_entries, write_page
from tests.faultlab.plants import random_pairs
from tests.faultlab.rows import FAULTS

ENTRY = Entry(("link-cut",), ("broker_disconnected", "not_subscribed:a", "not_subscribed:b"), 0.41, 0, (), 1.0)


def test_page_in_docs_shows_every_row_as_it_is_now() -> None:
    assert rows_of(PAGE.read_text()) == {name: said(fault) for name, fault in FAULTS.items()}


def test_table_has_at_least_forty_faults() -> None:
    assert len(FAULTS) >= 40


def test_written_page_shows_what_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "faults.md"
    write_page([ENTRY], 7, path)
    (line,) = [line for line in path.read_text().splitlines() if line.startswith("| `link-cut`")]
    assert line.endswith("| `broker_disconnected`, `not_subscribed` (2) | 0.4 | 0 |")


def test_entries_are_read_as_they_were_written() -> None:
    assert read_entries(write_entries([ENTRY, ENTRY])) == [ENTRY, ENTRY]


@pytest.mark.parametrize("seed", [1, 2])
def test_pairs_are_of_different_areas_and_the_same_for_a_seed(seed: int) -> None:
    pairs = random_pairs(FAULTS.values(), 50, seed)
    assert pairs == random_pairs(FAULTS.values(), 50, seed)
    assert len({frozenset((one.name, other.name)) for one, other in pairs}) == 50
    assert all(one.area != other.area for one, other in pairs)
