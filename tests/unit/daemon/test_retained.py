"""Retained topics of a former configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.daemon.retained import RETAINED, empty_gone
from edge_runtime.messages import EventIds
from tests.unit.daemon.outboxes import open_outbox


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = open_outbox(tmp_path)
    yield outbox
    outbox.close()


def start(outbox: Outbox, *topics: str) -> None:
    """Start a run that publishes on these topics."""
    journal: Journal[object] = Journal(outbox, lambda _: None, checkpoint_s=0.2, max_tokens=8)
    empty_gone(outbox.load_state(RETAINED), topics, journal, EventIds(lambda: 1), now=0.0)
    journal.flush(0.0, force=True)


def emptied(outbox: Outbox) -> list[tuple[str, bytes, bool]]:
    return [(event.topic, event.payload, event.retain) for event in outbox.unsent(10)]


def test_the_topics_that_are_gone_are_emptied(outbox: Outbox) -> None:
    start(outbox, "pipe/a/status", "pipe/b/status")
    start(outbox, "pipe/b/status", "pipe/c/status")
    assert emptied(outbox) == [("pipe/a/status", b"", True)]


def test_a_topic_is_emptied_once(outbox: Outbox) -> None:
    start(outbox, "pipe/a/status")
    start(outbox)
    start(outbox)
    assert len(emptied(outbox)) == 1


def test_a_topic_that_came_back_is_left_alone(outbox: Outbox) -> None:
    start(outbox, "pipe/a/status")
    start(outbox, "pipe/a/status")
    assert emptied(outbox) == []
