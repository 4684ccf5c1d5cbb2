"""How log lines look on a terminal and in systemd's journal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SAY = (
    "import logging\n"
    "from edge_runtime.terminal import configure_logging\n"
    "configure_logging()\n"
    "logging.getLogger('edge').warning('event=%s', 'two\\nlines')\n"
    "logging.getLogger('edge').info('event=started')\n"
)


def logged(file: Path, **environment: str) -> str:
    """What a process logs to a file that is its standard error."""
    with file.open("wb") as target:
        subprocess.run([sys.executable, "-c", SAY], stderr=target, check=True, env={**os.environ, **environment})
    return file.read_text()


def test_line_outside_of_the_journal_begins_with_its_time(tmp_path: Path) -> None:
    first = logged(tmp_path / "log").splitlines()[0]
    assert first.endswith("Z WARNING edge event=two")


def test_line_in_the_journal_begins_with_its_priority(tmp_path: Path) -> None:
    file = tmp_path / "journal"
    file.touch()
    status = file.stat()
    text = logged(file, JOURNAL_STREAM=f"{status.st_dev}:{status.st_ino}")
    assert text.splitlines() == ["<4>edge event=two", "<4>lines", "<6>edge event=started"]


def test_journal_of_another_stream_changes_nothing(tmp_path: Path) -> None:
    assert "WARNING edge" in logged(tmp_path / "log", JOURNAL_STREAM="1:2")
