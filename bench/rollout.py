"""How soon a bad model is gone, and what a good one costs the line, at 30 pictures a second.

A model that a person promoted misbehaves from one picture on, each in its way. Told are the times from that picture
until the gateway decides to go back, and until the model before decides everything again; the goal is 5 s between
the two. Then a sound model goes the whole way: parts without exactly one verdict, and the verdicts' latency. Prints
one line each and writes ``bench/results/rollout.json``.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.harness import RESULTS, machine
from tests.integration.daemon_rig import until
from tests.integration.rollout_rig import Line, running_line
from tests.integration.trap_bundles import Trap, trap_bundle

GOAL_S = 5.0
#: Long stages, as on a gateway.
LONG = """
[rollout]
fetch_timeout_s = 8.0
shadow_inputs = 100
canary_share = 0.5
canary_inputs = 50
probation_inputs = 300
"""
EAGER = f"{LONG}auto_promote = true\n"

Verdicts = Mapping[str, Sequence[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Gone:
    """One bad model: why it went, and when, s."""

    trap: str
    reason: str
    until_decided_s: float
    until_back_s: float

    def line(self) -> str:
        """Write it for people."""
        back = self.until_back_s - self.until_decided_s
        return (
            f"{self.trap:<7} decided after {self.until_decided_s:6.3f} s, back {back:6.3f} s later"
            f" (goal {GOAL_S:g} s): {self.reason}"
        )


@dataclass(frozen=True, slots=True)
class Smooth:
    """One good model from the order to the end of its probation."""

    parts: int
    without_verdict: int
    judged_twice: int
    seconds: float
    p50_ms: float
    p99_ms: float
    longest_gap_ms: float
    p99_before_ms: float
    longest_gap_before_ms: float

    def line(self) -> str:
        """Write it for people."""
        return (
            f"sound   {self.parts} parts in {self.seconds:.1f} s: {self.without_verdict} without a verdict,"
            f" {self.judged_twice} judged twice; latency p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms"
            f" (before: {self.p99_before_ms:.1f}); longest time between verdicts {self.longest_gap_ms:.0f} ms"
            f" (before: {self.longest_gap_before_ms:.0f})"
        )


def send_back(line: Line, trap: Trap) -> Gone:
    """Promote a bad model and let it misbehave."""
    line.bright = False
    digest = line.order(trap_bundle(trap, release=line.next_release()))
    line.wait_for_candidate(digest, "ready")
    line.promote(digest)
    line.wait_for_rollout(digest, "promoted")
    line.next_parts(60)
    line.bright = True
    began_ms = time.time() * 1000
    decided = line.wait_for_rollout(digest, "rolled_back", share=1.0)
    back = line.wait_for_rollout(digest, "rolled_back", share=0.0)
    line.bright = False
    times = [(each["timestamp_ms"] - began_ms) / 1000 for each in (decided, back)]
    return Gone(trap, back["reason"], *times)


def go_all_the_way(line: Line) -> Smooth:
    """Let a sound model be tried, promoted by itself, and pass its probation."""
    for _ in range(6):
        line.next_parts(50)
    began, begun = time.monotonic(), len(line.shown)
    digest = line.order(trap_bundle("sound", release=line.next_release()))
    until(
        lambda: "passed its probation" in line.wait_for_rollout(digest, "promoted")["reason"],
        "the end of the probation",
        within_s=120,
    )
    seconds = time.monotonic() - began
    parts = [part for part, _ in line.shown[begun:]]
    line.rest()
    until(lambda: set(parts) <= line.consumer.verdicts().keys(), "all verdicts", within_s=20)
    verdicts = line.consumer.verdicts()
    latency, gap = figures(verdicts, parts)
    latency_before, gap_before = figures(verdicts, [part for part, _ in line.shown[:begun]])
    return Smooth(
        parts=len(parts),
        without_verdict=sum(part not in verdicts for part in parts),
        judged_twice=sum(len(verdicts.get(part, ())) > 1 for part in parts),
        seconds=seconds,
        p50_ms=float(np.percentile(latency, 50)),
        p99_ms=float(np.percentile(latency, 99)),
        longest_gap_ms=gap,
        p99_before_ms=float(np.percentile(latency_before, 99)),
        longest_gap_before_ms=gap_before,
    )


def figures(verdicts: Verdicts, parts: list[str]) -> tuple[list[float], float]:
    """Give the latencies of the verdicts on parts, and the longest time between two of them; ms."""
    given = [each for part in parts for each in verdicts.get(part, ())]
    gaps = np.diff(sorted(each["timestamp_ms"] for each in given))
    return [float(each["latency_ms"]) for each in given], float(gaps.max())


@click.command()
@click.option("--quick", is_flag=True, help="Two bad models.")
def main(*, quick: bool) -> None:
    """Measure how soon bad models are gone and what a good one costs."""
    traps: tuple[Trap, ...] = ("crash", "nan", "wrong", "slow", "hungry", "hang")
    gone = []
    with tempfile.TemporaryDirectory(prefix="edge-rollout-") as folder, running_line(Path(folder), LONG) as line:
        for trap in traps[:2] if quick else traps:
            gone.append(send_back(line, trap))
            print(gone[-1].line(), flush=True)
    with tempfile.TemporaryDirectory(prefix="edge-rollout-") as folder, running_line(Path(folder), EAGER) as line:
        smooth = go_all_the_way(line)
    print(smooth.line(), flush=True)
    RESULTS.mkdir(exist_ok=True)
    report = {"benchmark": "rollout", **machine(), "gone": [asdict(each) for each in gone], "good": asdict(smooth)}
    (RESULTS / "rollout.json").write_text(json.dumps(report, indent=2) + "\n")
    late = any(each.until_back_s - each.until_decided_s > GOAL_S for each in gone)
    sys.exit(3 if late or smooth.without_verdict or smooth.judged_twice else 0)


if __name__ == "__main__":
    main()
