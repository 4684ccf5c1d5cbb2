"""The outbox that is created is the one that ``docs/formats/outbox.md`` describes."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest

from edge_runtime.daemon.outbox import Priority
from edge_runtime.daemon.outbox_schema import SCHEMA_VERSION
from tests.unit.daemon.outboxes import open_outbox


@pytest.fixture(scope="module")
def document(project: Path) -> str:
    return (project / "docs" / "formats" / "outbox.md").read_text()


def plain(statements: str) -> set[str]:
    """Give the statements without regard to their spaces."""
    return {" ".join(statement.split()) for statement in statements.split(";") if statement.strip()}


def test_the_tables_are_those_of_the_document(document: str, tmp_path: Path) -> None:
    (described,) = re.findall(r"```sql\n(.*?)```", document, re.DOTALL)
    with closing(open_outbox(tmp_path)) as outbox:
        rows = outbox._database.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
    assert plain(";".join(row[0] for row in rows)) == plain(described)


def test_every_column_is_explained(document: str, tmp_path: Path) -> None:
    with closing(open_outbox(tmp_path)) as outbox:
        columns = [row[1] for row in outbox._database.execute("PRAGMA table_info(event)")]
    assert [name for name in columns if f"\n| `{name}` |" not in document] == []


def test_the_version_is_that_of_the_document(document: str) -> None:
    assert f"# Outbox, version {SCHEMA_VERSION} " in document


def test_priorities_are_those_of_the_document(document: str) -> None:
    assert "0 alerts, 1 verdicts, 2 evidence" in document
    assert [priority.name for priority in sorted(Priority)] == ["ALERT", "VERDICT", "EVIDENCE"]
