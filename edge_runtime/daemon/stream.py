"""Input to findings, inside the worker: decode, then every inspector or monitor that listens to the source.

A refused input becomes an outcome with its reason; it never ends the worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from edge_runtime.bundle.manifest import ImagePreprocessing, Manifest, Threshold
from edge_runtime.bundle.reader import Bundle, read_bundle
from edge_runtime.bundle.recorded import Triple
from edge_runtime.bundle.signature import TrustedKeys, parse_public_key
from edge_runtime.daemon import protocol
from edge_runtime.daemon.arrays import pack, unpack
from edge_runtime.daemon.second_look import REFERENCE, SecondLook, open_reference
from edge_runtime.daemon.watch import Watch
from edge_runtime.errors import EdgeRuntimeError, InferenceError, MessageError
from edge_runtime.findings import Frame
from edge_runtime.inference.golden import judge_golden, run_samples, triple_of
from edge_runtime.inference.interface import Runtime
from edge_runtime.inference.opening import open_bundle
from edge_runtime.timeseries.monitor import Monitor
from edge_runtime.vision.decoding import decode_picture
from edge_runtime.vision.inspector import Inspector, frame_verdict


@dataclass(frozen=True, slots=True)
class Inspection:
    """A pipeline on frames."""

    name: str
    sources: tuple[str, ...]
    manifest: Manifest
    inspector: Inspector
    second_look: SecondLook[Frame] | None = None

    def process(self, frame: Frame) -> protocol.Outcome:
        """Inspect one frame."""
        findings = tuple(self.inspector(frame))
        verdict = frame_verdict(findings, self.manifest.decision)
        outcome = protocol.Outcome(self.name, findings, verdict=verdict, at=frame.captured_at)
        return outcome if self.second_look is None else self._compare(self.second_look, frame, outcome)

    def _compare(self, second_look: SecondLook[Frame], frame: Frame, outcome: protocol.Outcome) -> protocol.Outcome:
        """Add what the float reference says, where it looks."""
        n_failed = second_look.n_failed
        compared = second_look(frame, outcome.findings)
        failed: dict[protocol.Irregularity, int] = {"reference_failed": 1} if second_look.n_failed > n_failed else {}
        return replace(outcome, compared=(compared,) if compared else (), irregular=failed)


@dataclass(frozen=True, slots=True)
class Monitoring:
    """A pipeline on sensor streams, with one watch per source."""

    name: str
    sources: tuple[str, ...]
    watches: dict[str, Watch]

    def process(
        self, task: protocol.BlockTask, values: npt.NDArray[np.float32], timestamps: npt.NDArray[np.float64]
    ) -> protocol.Outcome:
        """Feed one block of samples."""
        watch = self.watches[task.source]
        findings, at = watch.push(task.first, values, timestamps, again=task.again)
        state = watch.state()
        kept = state if len(state) <= protocol.STATE_BYTES else None
        irregular, windows = watch.irregular(), watch.windows()
        outcome = protocol.Outcome(self.name, findings, state=kept, at=at, irregular=irregular, windows=windows)
        return replace(outcome, compared=watch.compared()) if watch.compared() else outcome

    def judge(self, samples: npt.NDArray[np.float32]) -> protocol.Outcome:
        """Judge one window beside the streams."""
        watch = next(iter(self.watches.values()))
        return protocol.Outcome(self.name, tuple(watch.judge(samples)))


Pipeline = Inspection | Monitoring
Listener = TypeVar("Listener", Inspection, Monitoring)
Judge = TypeVar("Judge")


def build_pipeline(plan: protocol.PipelinePlan, orders: protocol.Load) -> tuple[Pipeline, protocol.Built]:
    """Open a bundle's model, ask it for its golden outputs, and put its inspector or monitors around it.

    Parameters
    ----------
    plan : PipelinePlan
        Which bundle and sources.
    orders : Load
        The keys that bundles are verified by, and the states to continue from.

    Raises
    ------
    BundleError, InferenceError
        If the bundle is refused or its model does not run here.
    """
    bundle = read_bundle(plan.bundle, TrustedKeys(parse_public_key(pem, "orders") for pem in orders.trusted))
    manifest = with_thresholds(bundle.manifest, plan.thresholds)
    runtime = open_bundle(bundle)
    built = check_golden(plan, bundle, runtime)
    names = tuple(source.id for source in plan.sources)
    if isinstance(manifest.preprocessing, ImagePreprocessing):
        inspector = Inspector(manifest, runtime)
        inspect, missing = find_reference(plan, bundle, lambda reference: Inspector(manifest, reference))
        second_look = None if inspect is None else SecondLook[Frame](inspect, plan.reference_every)
        return Inspection(plan.name, names, manifest, inspector, second_look), replace(built, reference=missing)
    watches = {source.id: Watch(source, manifest, Monitor(manifest, runtime)) for source in plan.sources}
    judge, missing = find_reference(plan, bundle, lambda reference: Monitor(manifest, reference).judge)
    if judge is not None:
        for watch in watches.values():
            watch.look_again(SecondLook(judge, plan.reference_every))
    for source, watch in watches.items():
        state = orders.states.get(f"{plan.name}/{source}")
        if state is not None:
            watch.restore(state)
    return Monitoring(plan.name, names, watches), replace(built, reference=missing)


def find_reference(
    plan: protocol.PipelinePlan, bundle: Bundle, around: Callable[[Runtime], Judge]
) -> tuple[Judge | None, str]:
    """Load the float reference where it is wanted, and put a judge around it.

    Returns
    -------
    judge : what ``around`` makes of it, or None
        None where none is wanted, or it is missing or does not fit: the pipeline runs without it, too.
    missing : str
        Why there is none although it is wanted; empty otherwise.
    """
    if not plan.reference_every:
        return None, ""
    try:
        reference = open_reference(bundle)
        if reference is not None:
            return around(reference), ""
    except EdgeRuntimeError as error:
        return None, str(error)[:500]
    return None, f"the bundle holds no {REFERENCE}"


def check_golden(plan: protocol.PipelinePlan, bundle: Bundle, runtime: Runtime) -> protocol.Built:
    """Run the bundle's golden inputs in this very process and hold the answers to what they must be.

    Raises
    ------
    BundleCompatibilityError
        If they differ.
    """
    vectors = bundle.golden()
    triple = triple_of(runtime.identity)
    known = next(
        (each for each in plan.recorded if Triple(each.engine, each.version, each.instruction_set) == triple), None
    )
    outputs = run_samples(runtime, vectors.inputs)
    recorded = None if known is None else unpack(known.outputs)
    verdict = judge_golden(bundle.manifest, vectors, triple, outputs, recorded)
    engine = f"{triple.engine} {triple.version} {triple.instruction_set}"
    if verdict.rule != "tolerated":
        return protocol.Built(plan.name, engine, None)
    answers = protocol.Answers(triple.engine, triple.version, triple.instruction_set, pack(outputs))
    return protocol.Built(plan.name, engine, answers)


def with_thresholds(manifest: Manifest, overrides: Mapping[str, tuple[float | None, float | None]]) -> Manifest:
    """Replace thresholds of a bundle by the configuration's.

    Parameters
    ----------
    manifest : Manifest
        Of the bundle.
    overrides : mapping of str to (raise_at, clear_at)
        By label, ``*`` for the others; None keeps the bundle's.
    """
    thresholds = {}
    for label, old in manifest.decision.thresholds.items():
        raise_at, clear_at = overrides.get(label) or overrides.get("*") or (None, None)
        thresholds[label] = Threshold(
            old.raise_at if raise_at is None else raise_at, old.clear_at if clear_at is None else clear_at
        )
    return replace(manifest, decision=replace(manifest.decision, thresholds=thresholds))


class Stream:
    """All pipelines of the worker.

    Parameters
    ----------
    pipelines : sequence of Inspection or Monitoring
        What listens.
    max_pixels : int
        The largest picture that is decoded.
    """

    def __init__(self, pipelines: Sequence[Pipeline], *, max_pixels: int) -> None:
        self._inspections = _by_source([each for each in pipelines if isinstance(each, Inspection)])
        self._monitorings = _by_source([each for each in pipelines if isinstance(each, Monitoring)])
        self._max_pixels = max_pixels

    def process(self, task: protocol.Task, payload: memoryview) -> list[protocol.Outcome]:
        """Run one input through every pipeline that listens to its source, or one window through its pipeline.

        Parameters
        ----------
        task : FrameTask, BlockTask or WindowTask
            What the payload is.
        payload : memoryview
            The bytes in the ring.

        Returns
        -------
        outcomes : list of Outcome
            One per pipeline; refused inputs carry a reason.
        """
        if isinstance(task, protocol.FrameTask):
            return self._process_frame(task, payload)
        if isinstance(task, protocol.WindowTask):
            return self._process_window(task, payload)
        rows, columns = task.rows, task.columns
        timestamps = np.frombuffer(payload, np.float64, rows).copy()
        values = np.frombuffer(payload, np.float32, rows * columns, offset=rows * 8).reshape(rows, columns).copy()
        return [
            _attempt(each.name, partial(each.process, task, values, timestamps))
            for each in self._monitorings.get(task.source, ())
        ]

    def _process_window(self, task: protocol.WindowTask, payload: memoryview) -> list[protocol.Outcome]:
        samples = np.frombuffer(payload, np.float32).reshape(task.rows, task.columns).copy()
        for monitoring in (each for listeners in self._monitorings.values() for each in listeners):
            if monitoring.name == task.pipeline:
                return [_attempt(monitoring.name, partial(monitoring.judge, samples))]
        return []

    def resume(self, states: Mapping[str, bytes]) -> None:
        """Go on from these window states, by ``<pipeline>/<source>``; those of others are passed over."""
        for monitorings in self._monitorings.values():
            for monitoring in monitorings:
                for source, watch in monitoring.watches.items():
                    state = states.get(f"{monitoring.name}/{source}")
                    if state is not None:
                        watch.restore(state)

    def _process_frame(self, task: protocol.FrameTask, payload: memoryview) -> list[protocol.Outcome]:
        inspections = self._inspections.get(task.source, ())
        try:
            pixels = decode_picture(payload, max_pixels=self._max_pixels)
        except MessageError as error:
            return [_refused(each.name, error) for each in inspections]
        frame = Frame(pixels, task.source, task.captured_at, task.part)
        return [_attempt(each.name, partial(each.process, frame)) for each in inspections]


def _attempt(pipeline: str, process: Callable[[], protocol.Outcome]) -> protocol.Outcome:
    """Let one pipeline look at an input, and take its processor time."""
    started = time.process_time()
    try:
        outcome = process()
    except EdgeRuntimeError as error:
        return _refused(pipeline, error)
    return replace(outcome, took_ms=(time.process_time() - started) * 1e3)


def _refused(pipeline: str, error: EdgeRuntimeError) -> protocol.Outcome:
    """Say why an input gave nothing."""
    reason = error.reason if isinstance(error, MessageError) else "inference"
    if not isinstance(error, (MessageError, InferenceError)):
        reason = "internal"
    return protocol.Outcome(pipeline, reason=reason, detail=str(error)[:500])


def _by_source(pipelines: Iterable[Listener]) -> dict[str, list[Listener]]:
    """Group pipelines by the sources they listen to."""
    listeners: dict[str, list[Listener]] = {}
    for pipeline in pipelines:
        for source in pipeline.sources:
            listeners.setdefault(source, []).append(pipeline)
    return listeners
