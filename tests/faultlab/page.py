"""``docs/faults.md``: what a run of the table gave."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

import edge_runtime
from tests.faultlab.rounds import RECOVERY_S, Outcome
from tests.faultlab.rows import FAULTS
from tests.faultlab.table import Fault

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
COMMAND = "python -m tests.faultlab --pairs 60 --page docs/faults.md"
_ROW = re.compile(r"^\| `([a-z0-9-]+)` \| ([^|]*) \|", re.MULTILINE)

_HEAD = """# What the gateway survives

Every row is a fault that is done to a running plant: the daemon as `edge-runtime run`, mosquitto, a camera whose every
part must get a verdict (QoS 1), a machine whose samples raise alarms (QoS 1), video at QoS 0, and a consumer that keeps
a persistent session and asks for what it lacks.

- *Seen* is what `health` said meanwhile (the retained topic, and `/health` while the broker was away), how the daemon
  ended where the fault ends it and the service manager starts it again, what `availability` became, or why inputs
  were counted as dropped.
- *Recovered* is the time from the end of the fault (of a kill: from the kill) until `/ready`, `availability`, a verdict
  on a new part, a new alert, and a health without the fault's reasons were all there. The bound is ten seconds; where
  other programs use the processors, up to eight times as much, as they slow down work that is timed meanwhile.
- *Lost* counts events that were committed and that the consumer lacks, parts without a verdict, and parts with two.
  Parts that the fault itself took from broker or disk are owed by nobody; those rows are marked.
- The daemon has the shortest keepalive, 5 s, and reconnects within 0.2 s. With the defaults (15 s, up to 8 s) a silent
  link takes longer to be noticed.
- A disk that refuses, is slow, or forgets is a library between the daemon and the kernel (`tests/faultlab/meddler.c`);
  a full one is a file system of 160 MB; the link is a TCP proxy (`tests/faultlab/proxy.py`); the clock libfaketime's.

    {command}

{date}, {machine}, edge-runtime {version}. Other programs used the
processors: while this was measured, work took {busy:.1f} times its processor time (median).
"""


@dataclass(frozen=True)
class Entry:
    """One measured round."""

    names: tuple[str, ...]
    seen: tuple[str, ...]
    recovery_s: float
    lost: int
    problems: tuple[str, ...]
    allowance: float

    @classmethod
    def of(cls, outcome: Outcome) -> Entry:
        """Take what the page shows."""
        lost = outcome.lost + outcome.silent + outcome.judged_twice
        problems = tuple(outcome.problems())
        return cls(outcome.names, outcome.seen, outcome.recovery_s, lost, problems, outcome.allowance)


def read_entries(text: str) -> list[Entry]:
    """Read what ``write_entries`` wrote."""
    return [msgspec.json.decode(line, type=Entry) for line in text.splitlines()]


def write_entries(entries: Iterable[Entry]) -> str:
    """Write entries, one a line."""
    return "".join(msgspec.json.encode(entry).decode() + "\n" for entry in entries)


def write_page(entries: Iterable[Entry], seed: int, path: Path = PAGE) -> None:
    """Write the page of a run of all rows."""
    measured = {entry.names: entry for entry in entries}
    pairs = [entry for names, entry in measured.items() if len(names) > 1]
    text = _HEAD.format(
        command=COMMAND,
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        machine=machine(),
        version=edge_runtime.__version__,
        busy=statistics.median([entry.allowance for entry in measured.values()] or [1.0]),
    )
    text += "\n| fault | what is done | seen | recovered, s | lost |\n|---|---|---|---|---|\n"
    text += "".join(_row(fault, measured.get((name,))) for name, fault in FAULTS.items())
    text += f"\n## Two at once\n\n{len(pairs)} pairs by chance, of different areas, drawn with seed {seed}.\n"
    text += "\n| faults | seen | recovered, s | lost |\n|---|---|---|---|\n"
    text += "".join(
        f"| {' + '.join(entry.names)} | {_words(entry.seen)} | {_seconds(entry)} | {_lost(entry)} |\n"
        for entry in pairs
    )
    path.write_text(text)


def rows_of(text: str) -> dict[str, str]:
    """Read which rows a page shows, and what it says is done."""
    return dict(_ROW.findall(text))


def said(fault: Fault) -> str:
    """Say what a row does, with its marks."""
    return fault.what + (" (inputs that it took itself are owed by nobody)" if fault.forgets else "")


def machine() -> str:
    """Describe this machine without names."""
    return f"{os.cpu_count()} x {platform.machine()} shared, Python {platform.python_version()}, {platform.system()}"


def _row(fault: Fault, entry: Entry | None) -> str:
    if entry is None:
        return f"| `{fault.name}` | {said(fault)} | not measured here | | |\n"
    return f"| `{fault.name}` | {said(fault)} | {_words(entry.seen)} | {_seconds(entry)} | {_lost(entry)} |\n"


def _words(seen: tuple[str, ...]) -> str:
    sources: dict[str, list[str]] = {}
    for word in seen:
        head, _, source = word.partition(":")
        sources.setdefault(head, []).append(source)
    return (
        ", ".join(f"`{head}`" + (f" ({len(of)})" if len(of) > 1 else "") for head, of in sources.items()) or "works on"
    )


def _seconds(entry: Entry) -> str:
    stretched = f" (machine busy, x{min(8.0, entry.allowance):.1f})" if entry.recovery_s > RECOVERY_S else ""
    return f"{entry.recovery_s:.1f}{stretched}"


def _lost(entry: Entry) -> str:
    return str(entry.lost) if not entry.problems else f"{entry.lost}: {'; '.join(entry.problems)}"
