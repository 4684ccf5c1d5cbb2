"""The table at the end of the demo, and the same as one object."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_runtime.demo.tally import Tally
from edge_runtime.simulator.scoring import AssetScore, Score, score_assets, score_parts

GOAL = 0.95
#: A trivial rule that scores so well means that the simulated line proves nothing.
TOO_EASY = 0.8
_DROPPED = re.compile(r'edge_dropped_total\{reason="(\w+)",source="([\w.-]+)"\}')
_PROCESSED = re.compile(r'edge_processed_total\{source="([\w.-]+)"\}')


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that the demo measured.

    Attributes
    ----------
    parts, assets : Score
        Verdicts on parts, alarms on machines.
    to_alert_s : tuple of float
        From the moment an alarm is right to the alarm, per machine found.
    baseline_parts, baseline_assets : Score
        The trivial rules on the same stream.
    frames, frames_processed, values : int
        What the line offered, and what the daemon took of the frames.
    dropped : mapping of str to int
        By reason.
    latency_ms : tuple of float
        From a frame's time stamp to its verdict at the consumer.
    online_s, pss_mb : float
        Start-up time and memory of supervisor, launcher and worker.
    first_alert_s : float or None
        From the start of the command to the first alert; None without one.
    lost, duplicates : int
        Committed events that the consumer lacks; events that came twice.
    seed : int
        Of the line.
    """

    parts: Score
    assets: Score
    to_alert_s: tuple[float, ...]
    baseline_parts: Score
    baseline_assets: Score
    frames: int
    frames_processed: int
    values: int
    dropped: Mapping[str, int]
    latency_ms: tuple[float, ...]
    online_s: float
    pss_mb: float
    first_alert_s: float | None
    lost: int
    duplicates: int
    seed: int

    @property
    def total(self) -> Score:
        """Verdicts and alarms together."""
        return self.parts + self.assets

    @property
    def baseline_f1(self) -> float:
        """The better of the two trivial rules, among those that had something to find."""
        rules = (self.baseline_parts, self.baseline_assets)
        return max((rule.f1 for rule in rules if rule.hits + rule.misses), default=0.0)

    @property
    def exit_code(self) -> int:
        """0, or 3 when a goal is missed."""
        good = self.total.recall >= GOAL and self.total.precision >= GOAL and self.lost == 0
        return 0 if good else 3

    def as_json(self) -> dict[str, object]:
        """Give the same for machines."""
        return {
            "recall": round(self.total.recall, 4),
            "precision": round(self.total.precision, 4),
            "lost": self.lost,
            "duplicates": self.duplicates,
            "frames": self.frames,
            "frames_processed": self.frames_processed,
            "sensor_values": self.values,
            "dropped": dict(self.dropped),
            "latency_ms": {"p50": percentile(self.latency_ms, 50), "p99": percentile(self.latency_ms, 99)},
            "pss_mb": self.pss_mb,
            "online_s": round(self.online_s, 3),
            "first_alert_s": None if self.first_alert_s is None else round(self.first_alert_s, 2),
            "baseline_f1": round(self.baseline_f1, 4),
            "verdicts": _score_json(self.parts),
            "alarms": {**_score_json(self.assets), "time_to_alert_s": [round(each, 2) for each in self.to_alert_s]},
            "baselines": {
                "brightness_threshold": _score_json(self.baseline_parts),
                "three_sigma": _score_json(self.baseline_assets),
            },
            "seed": self.seed,
        }

    def as_text(self) -> str:
        """Give the table for a person."""
        drops = ", ".join(f"{reason} {count}" for reason, count in sorted(self.dropped.items())) or "none"
        wait = f"{sorted(self.to_alert_s)[len(self.to_alert_s) // 2]:.1f} s (median)" if self.to_alert_s else "-"
        latency = f"p50 {percentile(self.latency_ms, 50):.1f} ms, p99 {percentile(self.latency_ms, 99):.1f} ms"
        rows = [
            ("", "recall", "precision", "F1", "found", "missed", "false", "unsure"),
            _row("part verdicts", self.parts),
            _row("machine alarms", self.assets),
            _row("together", self.total),
            _row("  brightness threshold", self.baseline_parts),
            _row("  3-sigma rule", self.baseline_assets),
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        table = "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
        facts = [
            ("frames", f"{self.frames} offered, {self.frames_processed} processed, dropped: {drops}"),
            ("sensor values", f"{self.values}"),
            ("time to alert", wait),
            ("frame to verdict", latency),
            ("start-up", f"{self.online_s:.2f} s until online with both models running"),
            ("first alert", "-" if self.first_alert_s is None else f"{self.first_alert_s:.1f} s after the command"),
            ("memory", f"{self.pss_mb:.0f} MB (supervisor, launcher and worker, shared pages once)"),
            ("events lost", f"{self.lost} ({self.duplicates} came twice)"),
            ("seed", f"{self.seed}"),
        ]
        lines = "\n".join(f"{name:<18}{value}" for name, value in facts)
        goal = "goals met" if self.exit_code == 0 else f"GOAL MISSED: recall and precision >= {GOAL}, 0 lost"
        if self.baseline_f1 >= TOO_EASY:
            goal += f"\nthis line was too easy: a trivial rule reached F1 {self.baseline_f1:.2f}"
        return f"{table}\n\n{lines}\n{goal}"


def summarize(
    tally: Tally,
    metrics: Mapping[str, float],
    committed: set[str],
    *,
    online_s: float,
    seed: int,
    began_at: float = 0.0,
) -> Summary:
    """Compare what was seen with the truth.

    Parameters
    ----------
    tally : Tally
        What the consumer saw.
    metrics : mapping of str to float
        The daemon's own counters.
    committed : set of str
        Events that the daemon promised.
    online_s : float
        Start-up time.
    seed : int
        Of the line.
    began_at : float, s
        Monotonic clock at the start of the command.
    """
    assets = score_assets(tally.lives, tally.raised, end_ms=tally.last_source_ms)
    sigma: AssetScore = score_assets(tally.lives, tally.sigma, end_ms=tally.last_source_ms)
    dropped: dict[str, int] = {}
    for name, value in metrics.items():
        match = _DROPPED.fullmatch(name)
        if match and value:
            dropped[match[1]] = dropped.get(match[1], 0) + int(value)
    processed = sum(
        int(value)
        for name, value in metrics.items()
        if (match := _PROCESSED.fullmatch(name)) and match[1].startswith("cam")
    )
    return Summary(
        parts=score_parts(tally.truths, tally.verdicts),
        assets=assets.score,
        to_alert_s=assets.to_alert_s,
        baseline_parts=score_parts(tally.truths, tally.bright),
        baseline_assets=sigma.score,
        frames=tally.frames,
        frames_processed=processed,
        values=tally.values,
        dropped=dropped,
        latency_ms=tuple(tally.latency_ms),
        online_s=online_s,
        pss_mb=tally.pss_mb,
        first_alert_s=None if tally.first_alert_at is None else tally.first_alert_at - began_at,
        lost=len(committed - tally.event_ids),
        duplicates=tally.duplicates,
        seed=seed,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value below which ``share`` percent lie (nearest rank); 0 of nothing.

    Examples
    --------
    >>> percentile([3.0, 1.0, 2.0], 50)
    2.0
    """
    if not values:
        return 0.0
    rank = max(1, math.ceil(share / 100 * len(values)))
    return round(sorted(values)[rank - 1], 2)


def _row(name: str, score: Score) -> tuple[str, ...]:
    figures = (f"{score.recall:.3f}", f"{score.precision:.3f}", f"{score.f1:.3f}")
    return (name, *figures, *map(str, (score.hits, score.misses, score.false_alarms, score.unsure)))


def _score_json(score: Score) -> dict[str, float]:
    return {
        "recall": round(score.recall, 4),
        "precision": round(score.precision, 4),
        "f1": round(score.f1, 4),
        "hits": score.hits,
        "misses": score.misses,
        "false_alarms": score.false_alarms,
        "unsure": score.unsure,
    }
