"""The float reference beside the quantized model, inside the worker."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.daemon import protocol
from edge_runtime.daemon.second_look import REFERENCE, SecondLook
from edge_runtime.daemon.stream import Inspection, Monitoring, build_pipeline
from edge_runtime.errors import InvocationError
from edge_runtime.findings import Finding, Frame
from tests.bundles import CHANNELS, MODELS, TRUSTED_PEM, TinyModel, image_model, sign_tiny, window_model

GENERATOR = np.random.default_rng(20_26)


def finding(score: float, *, abnormal: bool) -> Finding:
    """One finding."""
    return Finding("vision.defect", "crack", score, 0.6, 0.4, abnormal, not abnormal)


def plan(model: TinyModel, every: int, *sources: protocol.SourcePlan) -> tuple[protocol.PipelinePlan, protocol.Load]:
    """Orders for one pipeline."""
    ordered = protocol.PipelinePlan("p", sign_tiny(model), sources, {}, (), every)
    return ordered, protocol.Load((ordered,), (TRUSTED_PEM,), {}, 1 << 20)


def with_reference(model: TinyModel, reference: bytes) -> TinyModel:
    """The same bundle with a reference."""
    return TinyModel(model.manifest, {**model.members, REFERENCE: reference})


def frame() -> Frame:
    """A picture of noise."""
    return Frame(GENERATOR.integers(0, 256, (8, 8, 3), dtype=np.uint8), "cam1", 0.0)


def test_one_subject_in_so_many_is_looked_at_twice() -> None:
    looks: list[int] = []

    def judge(subject: int) -> list[Finding]:
        looks.append(subject)
        return [finding(0.5, abnormal=False)]

    second_look = SecondLook(judge, 3)
    said = [second_look(number, [finding(0.7, abnormal=True)]) for number in range(9)]
    assert looks == [2, 5, 8]
    assert said[2] == (protocol.Compared("crack", 0.7, 0.5, abnormal=True, reference_abnormal=False),)
    assert said[3] == ()


def test_reference_that_fails_is_counted_and_says_nothing() -> None:
    def judge(_subject: int) -> list[Finding]:
        raise InvocationError("the model gave NaN or infinity")

    second_look = SecondLook(judge, 1)
    assert second_look(0, [finding(0.7, abnormal=True)]) == ()
    assert second_look.n_failed == 1


def test_pictures_are_compared_with_the_reference_of_the_bundle() -> None:
    model = image_model()
    # The quantized model is its own reference here: it must agree with itself to the bit.
    ordered, orders = plan(with_reference(model, model.members["model.tflite"]), 2, protocol.SourcePlan("cam1"))
    pipeline, built = build_pipeline(ordered, orders)
    assert isinstance(pipeline, Inspection)
    assert built.reference == ""
    first, second = pipeline.process(frame()), pipeline.process(frame())
    assert first.compared == ()
    ((crack, stain),) = second.compared
    assert (crack.label, stain.label) == ("crack", "stain")
    assert (crack.score, stain.score) == (crack.reference_score, stain.reference_score)


def test_windows_are_compared_with_the_reference_of_the_bundle() -> None:
    model = window_model()
    source = protocol.SourcePlan("press1", tuple((name, "") for name in CHANNELS), 16.0)
    ordered, orders = plan(with_reference(model, model.members["model.tflite"]), 1, source)
    pipeline, _ = build_pipeline(ordered, orders)
    assert isinstance(pipeline, Monitoring)
    task = protocol.BlockTask(1, "press1", 0, 0, 32, len(CHANNELS))
    values = GENERATOR.normal(size=(32, len(CHANNELS))).astype(np.float32)
    outcome = pipeline.process(task, values, np.arange(32) / 16.0)
    assert len(outcome.compared) == len(outcome.findings) == 3
    assert [each.score for (each,) in outcome.compared] == [each.score for each in outcome.findings]
    assert [each.score for (each,) in outcome.compared] == [each.reference_score for (each,) in outcome.compared]


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        (None, "the bundle holds no aux/reference.tflite"),
        (b"no model", ""),
        ((MODELS / "recurrent_float.tflite").read_bytes(), "correct the preprocessing's resize and colour"),
    ],
)
def test_pipeline_without_a_usable_reference_runs_and_says_so(reference: bytes | None, reason: str) -> None:
    model = image_model() if reference is None else with_reference(image_model(), reference)
    ordered, orders = plan(model, 1, protocol.SourcePlan("cam1"))
    pipeline, built = build_pipeline(ordered, orders)
    assert isinstance(pipeline, Inspection)
    assert built.reference
    assert reason in built.reference
    assert pipeline.process(frame()).compared == ()


def test_reference_is_left_alone_where_nobody_wants_it() -> None:
    ordered, orders = plan(with_reference(image_model(), b"no model"), 0, protocol.SourcePlan("cam1"))
    _, built = build_pipeline(ordered, orders)
    assert built.reference == ""


def test_comparison_that_is_not_finite_is_nonsense_of_the_worker() -> None:
    compared = protocol.Compared("crack", float("nan"), 0.5, abnormal=True, reference_abnormal=False)
    done = protocol.Done(1, (protocol.Outcome("p", compared=((compared,),)),), 1.0)
    with pytest.raises(Exception, match="a comparison of nan"):
        protocol.decode_from_worker(protocol.encode(done), {"p"})
