"""Frames to findings to verdicts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from edge_runtime.bundle.manifest import (
    Channel,
    Decision,
    ImagePreprocessing,
    Normalisation,
    Resize,
    Threshold,
    WindowPreprocessing,
)
from edge_runtime.errors import BundleFormatError, InvocationError, MessageError
from edge_runtime.findings import UNSURE, Finding, Frame
from edge_runtime.inference.decision import activate, real_output
from edge_runtime.inference.interface import ModelInterface
from edge_runtime.inference.opening import open_runtime
from edge_runtime.vision.inspector import Inspector, frame_verdict
from edge_runtime.vision.preprocess import ImagePreprocessor
from tests.unit.vision.linear_runtime import LinearRuntime, spec
from tests.unit.vision.manifests import manifest

GREY = ImagePreprocessing(Resize("stretch", 2, 2), "gray", (0.0,), (255.0,))
SOURCE = spec("image", "int8", (1, 2, 2, 1), 1 / 255, -128)
TARGET = spec("scores", "int8", (1, 2), 1 / 256, -128)
DECISION = Decision(normal=("good",), thresholds={"bright": Threshold(0.75, 0.5)}, unsure=(0.5, 0.75))
MANIFEST = manifest("classification", GREY, SOURCE, TARGET, DECISION, "good", "bright")
WINDOW = WindowPreprocessing((Channel("a"),), 4, 1, 0.0, Normalisation("none", ((0.0,),), ((1.0,),)))


def brightness(target: object = TARGET) -> LinearRuntime:
    """The second score is the mean of the picture, 0..1."""
    weights = np.array([[-0.25] * 4, [0.25] * 4])
    return LinearRuntime(SOURCE, target, weights, (1.0, 0.0))  # type: ignore[arg-type]


def picture(grey: int) -> Frame:
    return Frame(np.full((6, 9, 3), grey, np.uint8), "camera", 0.0)


def findings(grey: int) -> list[Finding]:
    return Inspector(MANIFEST, brightness())(picture(grey))


def test_fault_gives_a_finding_and_the_normal_label_none() -> None:
    assert [finding.label for finding in findings(10)] == ["bright"]


def test_probability_is_the_model_s_real_output() -> None:
    assert findings(128)[0].score == pytest.approx(128 / 255, abs=1 / 256)


@pytest.mark.parametrize(
    ("grey", "abnormal", "clearable"), [(20, False, True), (150, False, False), (230, True, False)]
)
def test_thresholds_leave_a_band_between_raising_and_clearing(grey: int, abnormal: bool, clearable: bool) -> None:
    (finding,) = findings(grey)
    assert (finding.abnormal, finding.clearable) == (abnormal, clearable)


def test_score_at_the_threshold_is_abnormal() -> None:
    (finding,) = findings(191)
    assert (finding.score, finding.abnormal) == (0.75, True)


@pytest.mark.parametrize(("grey", "verdict"), [(20, "ok"), (150, "unsure"), (230, "ng")])
def test_verdict_follows_the_highest_fault_probability(grey: int, verdict: str) -> None:
    assert frame_verdict(findings(grey), DECISION) == verdict


def test_verdict_without_a_band_is_never_unsure_about_a_number() -> None:
    decision = replace(DECISION, unsure=None)
    assert [frame_verdict(findings(grey), decision) for grey in (150, 230)] == ["ok", "ng"]


def test_verdict_at_the_upper_end_of_the_band_is_not_unsure() -> None:
    assert frame_verdict(findings(191), DECISION) == "ng"


def test_finding_that_says_unsure_makes_the_part_unsure() -> None:
    doubt = Finding("vision.camera", UNSURE, 0.0, 1.0, 1.0, abnormal=False, clearable=False)
    assert frame_verdict([*findings(230), doubt], DECISION) == "unsure"


def test_picture_with_an_alpha_channel_is_refused_as_a_message() -> None:
    frame = Frame(np.zeros((4, 4, 4), np.uint8), "camera", 0.0)
    with pytest.raises(MessageError, match="height, width, 3"):
        Inspector(MANIFEST, brightness())(frame)


def test_inspector_works_on_after_a_refused_picture() -> None:
    inspector = Inspector(MANIFEST, brightness())
    with pytest.raises(MessageError):
        inspector(Frame(np.zeros((4, 4, 4), np.uint8), "camera", 0.0))
    assert inspector(picture(230)) == findings(230)


def test_one_output_is_the_probability_of_the_second_label() -> None:
    target = spec("score", "float32", (1, 1))
    runtime = LinearRuntime(SOURCE, target, np.full((1, 4), 0.25), (0.0,))
    (finding,) = Inspector(MANIFEST, runtime)(picture(255))
    assert (finding.label, finding.score) == ("bright", 1.0)


@pytest.mark.parametrize(("activation", "score"), [("softmax", 0.8807971), ("sigmoid", 0.7310586)])
def test_activation_turns_logits_into_probabilities(activation: str, score: float) -> None:
    target = spec("logits", "float32", (1, 2))
    runtime = LinearRuntime(SOURCE, target, np.zeros((2, 4)), (-1.0, 1.0))
    decision = replace(DECISION, activation=activation)
    (finding,) = Inspector(replace(MANIFEST, decision=decision), runtime)(picture(0))
    assert finding.score == pytest.approx(score, abs=1e-6)


def test_logits_of_any_size_overflow_nothing() -> None:
    target = spec("logits", "float32", (1, 2))
    runtime = LinearRuntime(SOURCE, target, np.zeros((2, 4)), (-1e30, 1e30))
    for activation in ("softmax", "sigmoid"):
        decision = replace(DECISION, activation=activation)
        assert Inspector(replace(MANIFEST, decision=decision), runtime)(picture(0))[0].score == 1.0


def test_logits_under_a_manifest_that_says_probabilities_are_refused() -> None:
    runtime = LinearRuntime(SOURCE, spec("logits", "float32", (1, 2)), np.zeros((2, 4)), (-3.0, 4.0))
    with pytest.raises(InvocationError, match="no probabilities"):
        Inspector(MANIFEST, runtime)(picture(0))


def test_fault_without_a_threshold_is_refused_by_name() -> None:
    broken = replace(MANIFEST, decision=replace(DECISION, thresholds={}))
    with pytest.raises(BundleFormatError, match="thresholds lacks bright"):
        Inspector(broken, brightness())


@pytest.mark.parametrize(
    "broken",
    [
        replace(MANIFEST, task="regression"),
        replace(MANIFEST, preprocessing=WINDOW),
        replace(MANIFEST, labels=("good", "bright", "dark")),
    ],
)
def test_manifest_of_another_model_is_refused(broken: object) -> None:
    with pytest.raises(BundleFormatError):
        Inspector(broken, brightness())  # type: ignore[arg-type]


def test_findings_are_those_of_the_engine_on_the_preprocessed_frame(project: Path) -> None:
    runtime = open_runtime((project / "tests" / "golden" / "models" / "image_int8.tflite").read_bytes(), "tflite")
    source, target = runtime.interface.inputs[0], runtime.interface.outputs[0]
    preprocessing = ImagePreprocessing(Resize("letterbox", 8, 8), "rgb", (128.0,) * 3, (64.0,) * 3)
    decision = Decision(normal=("a",), thresholds={"b": Threshold(0.5, 0.4), "c": Threshold(0.5, 0.4)})
    inspector = Inspector(manifest("classification", preprocessing, source, target, decision, "a", "b", "c"), runtime)
    random = np.random.default_rng(5)
    for _ in range(5):
        pixels = random.integers(0, 256, (50, 70, 3), dtype=np.uint8)
        (codes,) = runtime.run([ImagePreprocessor(preprocessing, source)(pixels)])
        found = inspector(Frame(pixels, "camera", 0.0))
        assert [finding.score for finding in found] == [(int(code) + 128) / 256 for code in codes[0, 1:]]


def test_model_of_two_inputs_is_refused() -> None:
    runtime = brightness()
    runtime._interface = ModelInterface((SOURCE, SOURCE), (TARGET,))
    with pytest.raises(BundleFormatError, match="takes 2 inputs"):
        Inspector(MANIFEST, runtime)


def test_probability_that_is_not_finite_is_refused() -> None:
    with pytest.raises(InvocationError, match="NaN or infinity"):
        activate(np.array([np.nan], np.float32), "softmax")


def test_integer_output_without_a_scale_is_refused() -> None:
    with pytest.raises(BundleFormatError, match='output "scores" is int8'):
        real_output(spec("scores", "int8", (1, 2)), np.zeros((1, 2), np.int8))
