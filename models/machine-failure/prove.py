"""Runs the bundle on lines that nobody trained on, block by block as the worker does, and compares alarms."""

from __future__ import annotations

import msgspec
import numpy as np

from edge_runtime.alerts import AlarmBook, AlarmRule
from edge_runtime.bundle.reader import Bundle
from edge_runtime.compress.evaluate import wilson
from edge_runtime.inference.opening import open_runtime
from edge_runtime.simulator.line import LineSettings, line_messages
from edge_runtime.simulator.machines import CHANNELS, RATE_HZ
from edge_runtime.simulator.scoring import AssetScore, Score, score_assets
from edge_runtime.simulator.truth import AssetTruth
from edge_runtime.timeseries.monitor import Monitor

SEEDS = range(5_000_000, 5_000_024)
DURATION_S = 90.0
#: The rule of the demo.
RULE = AlarmRule(n=4, m=5, clear_after=5)


def run_line(bundle: Bundle, seed: int) -> AssetScore:
    """Watch every machine of one line, and score the alarms."""
    found = bundle.model("tflite")
    assert found is not None
    monitors: dict[str, Monitor] = {}
    book = AlarmBook()
    lives: list[AssetTruth] = []
    raised: dict[str, list[int]] = {}
    for message in line_messages(LineSettings(seed=seed, n_cameras=0), start_ms=0, duration_s=DURATION_S):
        if message.metadata is None:
            lives.append(msgspec.json.decode(message.payload, type=AssetTruth))
            continue
        asset = message.topic.split("/")[2]
        monitor = monitors.setdefault(asset, Monitor(bundle.manifest, open_runtime(found[1], "tflite")))
        values = np.frombuffer(message.payload, "<f4").reshape(-1, len(CHANNELS))
        assert message.metadata.ts_ms is not None
        first_s = message.metadata.ts_ms / 1000
        times = first_s + np.arange(len(values)) / RATE_HZ
        for finding in monitor.push(values, times):
            for step in book.apply(asset, finding, RULE, now_s=float(times[-1]), new_id="x"):
                if step.event_type == "raised":
                    raised.setdefault(asset, []).append(round(float(times[-1]) * 1000))
    return score_assets(lives, raised, end_ms=round(DURATION_S * 1000))


def prove(bundle: Bundle) -> list[str]:
    """Give the table of alarms over whole lives.

    Parameters
    ----------
    bundle : Bundle
        As released.

    Returns
    -------
    lines : list of str
        Markdown.
    """
    scores = [run_line(bundle, seed) for seed in SEEDS]
    total = sum((each.score for each in scores), Score(0, 0, 0, 0))
    worst = min(min(each.score.recall, each.score.precision) for each in scores)
    delays = sorted(delay for each in scores for delay in each.to_alert_s)
    found, accused = total.hits + total.misses, total.hits + total.false_alarms
    recall, precision = wilson(total.hits, found), wilson(total.hits, accused)
    return [
        f"Alarms of the int8 bundle over the lives of {len(SEEDS)} lines (six machines, difficulty 0.5, rule 4 of 5):",
        "",
        "| figure | int8 | 95 % interval | n |",
        "|---|---|---|---|",
        f"| recall | {total.recall:.4f} | {recall[0]:.4f} to {recall[1]:.4f} | {found} |",
        f"| precision | {total.precision:.4f} | {precision[0]:.4f} to {precision[1]:.4f} | {accused} |",
        f"| worse of recall and precision, worst line | {worst:.4f} | | {len(SEEDS)} |",
        f"| median delay of a right alarm, s | {delays[len(delays) // 2]:.1f} | | {len(delays)} |",
    ]
