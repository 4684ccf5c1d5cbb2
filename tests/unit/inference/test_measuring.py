"""What the probe's child does and answers, here in one process."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edge_runtime.bundle.archive import ArchiveLimits, pack, unpack
from edge_runtime.bundle.arrays import Array, pack_arrays, unpack_arrays
from edge_runtime.errors import AccuracyGateError, BundleError, InvocationError, ModelLoadError
from edge_runtime.inference.measuring import answer
from edge_runtime.inference.probe import ProbeLimits, _death, _open_result, _signal_name
from edge_runtime.inference.probe_messages import ProbeAnswer, ProbeCandidate, ProbeTask, Refused, encode
from tests.bundles import MODELS

TFLITE, ONNX = ProbeCandidate(format="tflite"), ProbeCandidate(format="onnx")


def asked(task: ProbeTask, **files: bytes) -> tuple[ProbeAnswer, dict[str, Array]]:
    members = {name.replace("_", "/", 1): content for name, content in files.items() if name != "inputs"}
    if "inputs" in files:
        members["inputs.npz"] = files["inputs"]
    result = unpack(answer(pack({"task.json": encode(task), **members})), ArchiveLimits()).members
    outputs = unpack_arrays(result["outputs.npz"], ArchiveLimits()) if "outputs.npz" in result else {}
    return msgspec.json.decode(result["answer.json"], type=ProbeAnswer), outputs


def task(*candidates: ProbeCandidate, engine: str | None = None, has_inputs: bool = False) -> ProbeTask:
    return ProbeTask(candidates=candidates, engine=engine, has_inputs=has_inputs, n_timed=25, timed_s=0.001)


def model(name: str) -> bytes:
    return (MODELS / name).read_bytes()


def test_sound_model_is_measured() -> None:
    found, outputs = asked(task(TFLITE), model_0=model("image_int8.tflite"))
    assert found.measured is not None
    assert found.measured.engine == "litert"
    assert 20 <= found.measured.n_timed <= 25
    assert outputs["output_0"].shape == (4, 3)


def test_given_inputs_are_taken() -> None:
    image = np.full((1, 8, 8, 3), 7, np.int8)
    _, outputs = asked(
        task(TFLITE, has_inputs=True), model_0=model("image_int8.tflite"), inputs=pack_arrays({"input_0": image})
    )
    assert outputs["output_0"].shape == (1, 3)


def test_given_inputs_that_do_not_fit_are_refused() -> None:
    image = np.full((1, 8, 8, 4), 7, np.int8)
    found, _ = asked(
        task(TFLITE, has_inputs=True), model_0=model("image_int8.tflite"), inputs=pack_arrays({"input_0": image})
    )
    assert found.refused is not None
    assert found.refused.error == "TensorMismatchError"


def test_wanted_engine_chooses_the_form() -> None:
    found, _ = asked(
        task(TFLITE, ONNX, engine="onnxruntime"), model_0=model("image_int8.tflite"), model_1=model("image_int8.onnx")
    )
    assert found.measured is not None
    assert (found.measured.candidate, found.measured.engine) == (1, "onnxruntime")


def test_no_form_for_the_wanted_engine_is_refused() -> None:
    found, _ = asked(task(TFLITE, engine="onnxruntime"), model_0=model("image_int8.tflite"))
    assert found.refused == Refused(
        error="ModelLoadError", message="engine onnxruntime runs onnx models, this is a tflite model"
    )


def test_refusal_names_the_error() -> None:
    found, _ = asked(task(TFLITE), model_0=b"x")
    assert found.refused is not None
    assert found.refused.error == "ModelLoadError"


def test_model_that_answers_by_chance_is_refused() -> None:
    found, _ = asked(task(ONNX), model_0=model("random_noise.onnx"))
    assert found.refused is not None
    assert "depends on what was run before" in found.refused.message


def refusal(error: str) -> bytes:
    return pack({"answer.json": encode(ProbeAnswer(refused=Refused(error=error, message="why")))})


def test_refusal_of_the_child_is_raised_by_its_name() -> None:
    with pytest.raises(ModelLoadError, match="why"):
        _open_result(refusal("ModelLoadError"))


@pytest.mark.parametrize("error", ["SystemExit", "BundleError", "Mapping", "ConfigError", "AccuracyGateError", ""])
def test_error_that_a_probe_cannot_end_with_is_not_believed(error: str) -> None:
    with pytest.raises(InvocationError, match="why"):
        _open_result(refusal(error))


@pytest.mark.parametrize(
    "result", [b"", b"x", pack({"a": b""}), pack({"answer.json": b"{"}), pack({"answer.json": b"{}"})]
)
def test_answer_that_is_none_is_an_error(result: bytes) -> None:
    with pytest.raises(InvocationError, match=r"gave no (readable )?answer"):
        _open_result(result)


@pytest.mark.parametrize(
    ("status", "said", "message"),
    [
        (-6, b"stage=load\nfree(): invalid pointer\n", "while the model was loaded: .* SIGABRT; its last words: free"),
        (-11, b"stage=load\nstage=run\n", r"while the model ran \(run\): .* SIGSEGV$"),
        (-24, b"stage=load\nstage=run\n", "more than 60 s of CPU time"),
        (-40, b"", "before the model was loaded: .* signal 40"),
        (None, b"stage=load\n", "no end within 60 s"),
        (1, b"Traceback:\nMemoryError\n", "status 1; its last words: MemoryError"),
    ],
)
def test_death_of_the_child_is_told_with_stage_and_cause(status: int | None, said: bytes, message: str) -> None:
    error = _death(status, said, ProbeLimits())
    assert isinstance(error, (ModelLoadError, InvocationError))
    with pytest.raises(type(error), match=message):
        raise error


def test_chatter_is_nobodys_last_words() -> None:
    assert "last words" not in str(_death(-6, b"stage=load\nINFO: Created delegate\n", ProbeLimits()))


def test_unknown_signal_has_a_number() -> None:
    assert _signal_name(40) == "signal 40"


def test_gate_is_neither_a_bundle_error_nor_an_inference_error() -> None:
    assert not issubclass(AccuracyGateError, (BundleError, InvocationError))
