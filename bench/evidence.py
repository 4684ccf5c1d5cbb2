"""What evidence costs an alarm: CPU time of its event with the input kept, against the event alone.

Ours is everything between the worker's answer and the disk: the alert, its state, the digest, the input, one commit.
The worker's share is a window handed over with its answer, against the same answer without it. Answers and events are
not compared: they are to differ.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.harness import Candidate, Case, Goal, run_benchmark
from edge_runtime.config import AlertRule, Pipeline
from edge_runtime.daemon import protocol
from edge_runtime.daemon.alarm_desk import Addresses
from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.desk import Desk
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.daemon.stream import Stream, build_pipeline
from edge_runtime.daemon.telling import Gateway, ModelFacts, Occasion
from edge_runtime.findings import Finding
from edge_runtime.messages import EventIds
from edge_runtime.mqtt.codec import FramePayload
from edge_runtime.mqtt.image_header import ImageHeader
from tests.bundles import CHANNELS, TRUSTED_PEM, window_bundle

WITH, WITHOUT = "with evidence", "without"
#: Bytes of a picture, and what its alarm may cost at most compared with one whose picture is not kept.
SIZES = {"50 kB": (50_000, 2.0), "400 kB": (400_000, 4.0), "2 MB": (2_000_000, 15.0)}
_FOLDER = tempfile.TemporaryDirectory(prefix="edge-bench-")
_MODEL = ModelFacts("surface-defect", "1.0.0", "a" * 64, "int8", "litert")
_BAD = Finding("vision.defect", "crack", 0.9, 0.6, 0.4, abnormal=True, clearable=False)
_GOOD = Finding("vision.defect", "crack", 0.1, 0.6, 0.4, abnormal=False, clearable=True)


def raising(folder: Path, n_bytes: int, *, kept: bool) -> Callable[[int], object]:
    """Give a function that raises an alarm on a picture of so many bytes, commits it, and lets it clear."""
    folder.mkdir(parents=True)
    outbox = Outbox(folder / "outbox.sqlite", boot_id="bench", max_bytes=1 << 30)
    journal: Journal[object] = Journal(outbox, lambda _: None, checkpoint_s=0.0, max_tokens=1)
    clock = Clock()
    rules = (AlertRule(clear_after=1),)
    evidence = "raised" if kept else "none"
    desk = Desk(
        [Pipeline(id="p", kind="inspection", bundle="b", cameras=("c",), rules=rules, evidence=evidence)],  # type: ignore[arg-type]
        journal,
        Gateway("bench", "c" * 64),
        Addresses("alert/event", "alert/state/{}".format, "part/verdict"),
        event_ids=EventIds(lambda: round(clock.wall() * 1000)),
        clock=clock,
        metrics=Metrics(),
        stored={},
    )
    picture = np.random.default_rng(1).bytes(n_bytes)
    payload = FramePayload("c", picture, ImageHeader("jpeg", 1920, 1080, 3), 0.0, 0.0, from_source=True)
    occasion = Occasion("p", "c", True, _MODEL, 1e9, 1e9, 0.01, payload=payload)

    def run(_index: int) -> object:
        desk.take(protocol.Outcome("p", (_BAD,)), occasion)
        journal.flush(clock.monotonic(), force=True)
        desk.take(protocol.Outcome("p", (_GOOD,)), occasion)
        journal.flush(clock.monotonic(), force=True)
        outbox.mark_acknowledged([event.id for event in outbox.unsent(16)])
        return None

    return run


def handing(*, abnormal: bool) -> Callable[[int], object]:
    """Give a function that judges one window and encodes the answer, with the window where it is abnormal."""
    source = protocol.SourcePlan("press", tuple((name, "") for name in CHANNELS), 16.0)
    limit = 1e9 if abnormal else -1e9
    plan = protocol.PipelinePlan("life", window_bundle(), (source,), {"*": (limit, limit)}, ())
    pipeline, _ = build_pipeline(plan, protocol.Load((), (TRUSTED_PEM,), {}, 1 << 20))
    worker = Stream([pipeline], max_pixels=1 << 20)
    values = np.random.default_rng(2).normal(size=(8, 4)).astype(np.float32)
    place = [0]

    def run(_index: int) -> object:
        place[0] += 1
        payload = ((np.arange(8.0) + 8 * place[0]) / 16).tobytes() + values.tobytes()
        task = protocol.BlockTask(1, "press", 0, len(payload), 8, 4)
        return protocol.encode(protocol.Done(1, tuple(worker.process(task, memoryview(payload))), 1.0))

    return run


def cases(quick: bool) -> Sequence[Case]:
    """Three sizes of pictures, and a window."""
    folder = Path(_FOLDER.name)
    rounds = 10 if quick else 60
    found = []
    for name, (n_bytes, at_most) in SIZES.items():
        pair = [
            Candidate(word, raising(folder / f"{n_bytes}-{word[:7].strip()}", n_bytes, kept=word == WITH))
            for word in (WITH, WITHOUT)
        ]
        goal = Goal(WITH, WITHOUT, at_most)
        found.append(Case(f"alarm with a picture of {name}", pair, [goal], rounds=rounds, equal=None))
    windows = [Candidate(WITH, handing(abnormal=True)), Candidate(WITHOUT, handing(abnormal=False))]
    goal = Goal(WITH, WITHOUT, at_most=1.5)
    found.append(Case("answer with a window of 16 x 4", windows, [goal], rounds=rounds, calls=20, equal=None))
    return found


if __name__ == "__main__":
    run_benchmark("evidence", cases)
