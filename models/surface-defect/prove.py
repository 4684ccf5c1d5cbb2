"""Runs the bundle on lines that nobody trained on, frame by frame as the worker does, and compares verdicts."""

from __future__ import annotations

from collections import Counter

import cv2
import msgspec
import numpy as np

from edge_runtime.bundle.reader import Bundle
from edge_runtime.compress.evaluate import wilson
from edge_runtime.findings import Frame
from edge_runtime.inference.opening import open_runtime
from edge_runtime.simulator.line import LineSettings, line_messages
from edge_runtime.simulator.scoring import Score, score_parts
from edge_runtime.simulator.truth import PartTruth
from edge_runtime.vision.inspector import Inspector, frame_verdict

SEEDS = range(2_000_000, 2_000_016)
DURATION_S = 20.0


def run_line(inspector: Inspector, seed: int) -> tuple[dict[str, PartTruth], dict[str, str]]:
    """Give truth and verdict of every part of one line."""
    truth: dict[str, PartTruth] = {}
    verdicts: dict[str, str] = {}
    for message in line_messages(LineSettings(seed=seed, n_machines=0), start_ms=0, duration_s=DURATION_S):
        if message.metadata is None:
            told = msgspec.json.decode(message.payload, type=PartTruth)
            truth[told.part] = told
            continue
        pixels = cv2.imdecode(np.frombuffer(message.payload, np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        assert message.metadata.part is not None
        findings = inspector(Frame(np.asarray(pixels, np.uint8), "camera", 0.0))
        verdicts[message.metadata.part] = frame_verdict(findings, inspector.manifest.decision)
    return truth, verdicts


def prove(bundle: Bundle) -> list[str]:
    """Give the table of verdicts on whole lines.

    Parameters
    ----------
    bundle : Bundle
        As released.

    Returns
    -------
    lines : list of str
        Markdown.
    """
    found = bundle.model("tflite")
    assert found is not None
    inspector = Inspector(bundle.manifest, open_runtime(found[1], "tflite"))
    total, worst = Score(0, 0, 0, 0), 1.0
    seen: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for seed in SEEDS:
        truth, verdicts = run_line(inspector, seed)
        score = score_parts({part: each.verdict for part, each in truth.items()}, verdicts)
        total, worst = total + score, min(worst, score.recall, score.precision)
        for part, each in truth.items():
            seen[each.label] += 1
            missed[each.label] += (verdicts[part] == "ng") != (each.verdict == "ng")
    parts = sum(seen.values())
    found, accused = total.hits + total.misses, total.hits + total.false_alarms
    recall, precision = wilson(total.hits, found), wilson(total.hits, accused)
    return [
        f"Verdicts of the int8 bundle on {parts} parts of {len(SEEDS)} lines (two cameras, difficulty 0.5, 30 % bad):",
        "",
        "| figure | int8 | 95 % interval | n |",
        "|---|---|---|---|",
        f"| recall | {total.recall:.4f} | {recall[0]:.4f} to {recall[1]:.4f} | {found} |",
        f"| precision | {total.precision:.4f} | {precision[0]:.4f} to {precision[1]:.4f} | {accused} |",
        f"| unsure | {total.unsure / parts:.4f} | | {parts} |",
        f"| worse of recall and precision, worst line | {worst:.4f} | | {len(SEEDS)} |",
        *(f"| wrong: {label} | {missed[label] / seen[label]:.4f} | | {seen[label]} |" for label in sorted(seen)),
    ]
