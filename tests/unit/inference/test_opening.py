"""The engine is chosen by running it, and a model must have the tensors that were stated."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from edge_runtime.bundle.manifest import ModelMember, Quantization, TensorSpec
from edge_runtime.bundle.reader import read_bundle, read_unverified
from edge_runtime.errors import BundleCompatibilityError, BundleError, ModelLoadError
from edge_runtime.inference import smallest
from edge_runtime.inference.opening import (
    available_engines,
    choose_engine,
    choose_model,
    engine_status,
    open_bundle,
    open_runtime,
    require_same_tensors,
)
from tests.bundles import MODELS, TRUSTED, image_bundle, image_model

MODEL = image_model().members["model.tflite"]
INTERFACE = image_model().manifest.inputs
OUTPUTS = image_model().manifest.outputs


def test_engines_of_the_gateway_work_here() -> None:
    working = {status.engine for status in available_engines() if status.identity is not None}
    assert {"litert", "onnxruntime"} <= working


def test_engine_that_does_not_work_says_why() -> None:
    for status in available_engines():
        assert (status.identity is None) == bool(status.reason)


def test_litert_is_preferred_for_tflite() -> None:
    assert choose_engine("tflite") == "litert"


def test_wanted_engine_is_taken() -> None:
    assert choose_engine("onnx", "onnxruntime") == "onnxruntime"


def test_engine_of_another_format_is_refused() -> None:
    with pytest.raises(ModelLoadError, match="litert runs tflite models"):
        choose_engine("onnx", "litert")


def test_unknown_engine_lists_the_known() -> None:
    with pytest.raises(ModelLoadError, match="known: litert, tflite-runtime, onnxruntime"):
        engine_status("abacus")


def test_smallest_models_are_those_of_the_generator() -> None:
    generator = pytest.importorskip("tests.golden.models.make_models", reason="needs onnx and flatbuffers")
    assert generator.smallest_model() == smallest.TFLITE


def test_models_of_the_tests_are_those_of_the_generator() -> None:
    generator = pytest.importorskip("tests.golden.models.make_models", reason="needs onnx and flatbuffers")
    different = [name for name, build in generator.MODELS.items() if build() != (MODELS / name).read_bytes()]
    assert different == []


def test_model_with_the_stated_tensors_is_opened() -> None:
    member = ModelMember(format="tflite", member="model.tflite", inputs=INTERFACE, outputs=OUTPUTS)
    assert open_runtime(MODEL, member).interface.inputs == INTERFACE


@pytest.mark.parametrize(
    "stated",
    [
        replace(INTERFACE[0], name="photo"),
        replace(INTERFACE[0], dtype="uint8"),
        replace(INTERFACE[0], shape=(1, 8, 8, 1)),
        replace(INTERFACE[0], quantization=Quantization(scale=(0.5,), zero_point=(0,))),
    ],
)
def test_model_with_another_tensor_is_refused_by_name(stated: TensorSpec) -> None:
    member = ModelMember(format="tflite", member="model.tflite", inputs=(stated,))
    with pytest.raises(BundleCompatibilityError, match=f'input "{stated.name}"'):
        open_runtime(MODEL, member)


def test_other_number_of_tensors_is_refused() -> None:
    with pytest.raises(BundleCompatibilityError, match="states 2 outputs, the model has 1"):
        require_same_tensors("output", (*OUTPUTS, *OUTPUTS), OUTPUTS)


def test_names_may_differ_between_the_forms_of_a_model() -> None:
    require_same_tensors("input", (replace(INTERFACE[0], name="photo"),), INTERFACE, by_name=False)


def test_form_that_does_not_state_quantization_is_accepted() -> None:
    require_same_tensors("input", INTERFACE, (replace(INTERFACE[0], quantization=None),))


def test_verified_bundle_is_opened() -> None:
    runtime = open_bundle(read_bundle(image_bundle(), TRUSTED))
    assert runtime.interface.outputs == OUTPUTS


def test_unverified_bundle_is_refused() -> None:
    with pytest.raises(BundleError, match="without verification"):
        open_bundle(read_unverified(image_bundle()))


def test_bundle_whose_tensors_are_not_the_models_is_refused() -> None:
    quantization = Quantization(scale=(0.5,), zero_point=(1,))
    data = image_bundle(inputs=(replace(INTERFACE[0], quantization=quantization),))
    with pytest.raises(BundleCompatibilityError, match='input "image"'):
        open_bundle(read_bundle(data, TRUSTED))


def test_bundle_without_a_form_for_the_wanted_engine_is_refused_with_the_reason() -> None:
    with pytest.raises(BundleCompatibilityError, match="onnxruntime runs onnx models"):
        choose_model(read_bundle(image_bundle(), TRUSTED), "onnxruntime")
