"""Figures of runs at length, kept with their date for the documentation.

``make test-long`` sets ``EDGE_RECORD=1``; then each test at length writes its figures into ``docs/endurance.json``, and
``docs/endurance.md`` is written from that. Without it, nothing is written.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import psutil

DOCS = Path(__file__).resolve().parents[2] / "docs"
_HEAD = """# Runs at length

Written by `make test-long` from `docs/endurance.json`; each row has the date of its run and the machine's cores and
memory. What is asserted stands in `tests/endurance`; short versions of the same tests run with `make test`.

| what | goal | measured | on | command |
|---|---|---|---|---|
"""
_TAIL = """
Memory is what supervisor, launcher and worker hold together (PSS): shared pages count once.

![Memory over the soak](endurance-memory.svg)
"""


def is_recording() -> bool:
    """Whether results are kept."""
    return os.environ.get("EDGE_RECORD") == "1"


def record(name: str, *, goal: str, measured: str, command: str, **figures: Any) -> None:
    """Keep what a run at length measured.

    Parameters
    ----------
    name : str
        What was run; a later run takes the place of an earlier one.
    goal, measured : str
        As they stand in the table.
    command : str
        What makes them.
    figures : numbers
        Kept in the JSON file.
    """
    if not is_recording():
        return
    file = DOCS / "endurance.json"
    rows: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.is_file() else {}
    memory_gb = round(psutil.virtual_memory().total / 1e9)
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    machine = f"{os.cpu_count()} cores, {memory_gb} GB"
    rows[name] = {
        "goal": goal, "measured": measured, "date": today, "machine": machine, "command": command, "figures": figures
    }  # fmt: skip
    file.write_text(json.dumps(dict(sorted(rows.items())), indent=2) + "\n")
    (DOCS / "endurance.md").write_text(page(rows))


def page(rows: dict[str, dict[str, Any]]) -> str:
    """Write the page of all rows."""
    lines = [
        f"| {name} | {row['goal']} | {row['measured']} | {row['date']}, {row['machine']} | `{row['command']}` |\n"
        for name, row in sorted(rows.items())
    ]
    return _HEAD + "".join(lines) + (_TAIL if (DOCS / "endurance-memory.svg").is_file() else "")


def draw(path: Path, title: str, unit: str, points: list[tuple[float, float]]) -> None:
    """Draw one line over time as SVG.

    Parameters
    ----------
    path : Path
        File to write.
    title, unit : str
        Of the vertical axis, which begins at zero.
    points : list of (s, value)
        At least two.
    """
    width, height, left, bottom = 900, 320, 60, 40
    last, top = max(points[-1][0], 1e-9), max(value for _, value in points) * 1.1
    places = [
        f"{left + (width - left - 20) * at / last:.1f},{height - bottom - (height - bottom - 30) * value / top:.1f}"
        for at, value in points
    ]
    ticks = []
    for part in range(5):
        x, y = left + (width - left - 20) * part / 4, height - bottom - (height - bottom - 30) * part / 4
        ticks += [
            f'<text x="{x:.0f}" y="{height - 18}" text-anchor="middle">{last * part / 240:.1f} min</text>',
            f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{top * part / 4:.0f}</text>',
            f'<line x1="{left}" x2="{width - 20}" y1="{y:.0f}" y2="{y:.0f}" stroke="#ddd"/>',
        ]
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"'
        ' font-size="12">\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n<text x="{left}" y="18">{title} ({unit})</text>\n'
        + "\n".join(ticks)
        + f'\n<polyline fill="none" stroke="#1660b0" stroke-width="1.5" points="{" ".join(places)}"/>\n</svg>\n'
    )
