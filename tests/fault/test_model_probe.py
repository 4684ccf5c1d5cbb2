"""What a bad model does, it does in the probe's child process, and there is one clear error."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.errors import HostEnvironmentError, InvocationError, ModelLoadError
from edge_runtime.inference.opening import Format
from edge_runtime.inference.probe import ProbeLimits, probe_model
from tests.bundles import MODELS

#: Third-party models that are refused here, and why.
REFUSED = {
    "keyword_scrambled_8bit.tflite": "ended by SIG",
    "person_detect.tflite": "quantized_dimension",
    "person_detect_vela.tflite": "ethos-u",
    "micro_speech_audio_preprocessor_float.tflite": "SignalWindow",
    "micro_speech_audio_preprocessor_int8.tflite": "SignalWindow",
    # Their second input is the shape of the output, and a made one of zeros is none.
    "seanet_transpose_conv_transpose_conv0.tflite": "transpose_conv",
    "seanet_transpose_conv_transpose_conv1.tflite": "transpose_conv",
    "seanet_transpose_conv_transpose_conv2.tflite": "transpose_conv",
    "seanet_transpose_conv_transpose_conv3.tflite": "transpose_conv",
    "seanet_transpose_conv_transpose_conv4.tflite": "transpose_conv",
}


def model(name: str) -> bytes:
    return (MODELS / name).read_bytes()


def test_sound_model_is_measured() -> None:
    probe = probe_model(model("image_int8.tflite"), "tflite")
    assert probe.identity.engine == "litert"
    assert [spec.name for spec in probe.interface.inputs] == ["image"]
    assert probe.outputs[0].shape == (4, 3)
    assert 0 < probe.latency_ms_p50 <= probe.latency_ms_p95 < 1000
    assert probe.n_timed >= 20
    assert 0 <= probe.peak_kb < 10_000


def test_model_that_never_ends_is_killed() -> None:
    # On a busy machine the time may be over before the child has come to the model.
    with pytest.raises((InvocationError, ModelLoadError), match="no end within 3 s"):
        probe_model(model("endless_loop.onnx"), "onnx", limits=ProbeLimits(wall_s=3))


def test_model_that_never_ends_is_stopped_by_its_cpu_time() -> None:
    with pytest.raises(InvocationError, match=r"while the model ran \(run\): more than 2 s of CPU time"):
        probe_model(model("endless_loop.onnx"), "onnx", limits=ProbeLimits(wall_s=100, cpu_s=2))


def test_model_that_wants_too_much_memory_is_refused() -> None:
    with pytest.raises(InvocationError, match=r"(?i)memory"):
        probe_model(model("greedy.onnx"), "onnx")


def test_child_that_gets_too_little_memory_to_start_is_one_clear_error() -> None:
    with pytest.raises((ModelLoadError, InvocationError)):
        probe_model(model("image_int8.tflite"), "tflite", limits=ProbeLimits(address_space_bytes=64 << 20))


def test_model_that_computes_no_number_is_refused() -> None:
    with pytest.raises(InvocationError, match="not finite"):
        probe_model(model("logarithm_float.onnx"), "onnx")


def test_model_that_answers_by_chance_is_refused() -> None:
    with pytest.raises(InvocationError, match="depends on what was run before"):
        probe_model(model("random_noise.onnx"), "onnx")


def test_model_with_an_unknown_operator_is_refused_by_its_name() -> None:
    with pytest.raises(ModelLoadError, match=r"factory\.secret"):
        probe_model(model("custom_operator.tflite"), "tflite")


def test_lstm_is_measured_and_forgets() -> None:
    assert probe_model(model("recurrent_float.tflite"), "tflite").outputs[0].shape == (4, 4, 3)


@pytest.mark.parametrize("data", [b"", b"x" * 100, model("image_int8.tflite")[:700]])
def test_bytes_that_are_no_model_are_refused(data: bytes) -> None:
    with pytest.raises(ModelLoadError):
        probe_model(data, "tflite")


def test_format_that_the_wanted_engine_does_not_run_is_refused() -> None:
    with pytest.raises(ModelLoadError, match="onnxruntime runs onnx models"):
        probe_model(model("image_int8.tflite"), "tflite", engine="onnxruntime")


def test_engine_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ModelLoadError, match='no engine "abacus"'):
        probe_model(model("image_int8.tflite"), "tflite", engine="abacus")


def test_parent_keeps_no_open_file_of_the_probe() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    probe_model(model("image_int8.tflite"), "tflite")
    with pytest.raises(ModelLoadError):
        probe_model(b"x", "tflite")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_interpreter_that_cannot_be_started_is_an_environment_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/absent/python")
    with pytest.raises(HostEnvironmentError, match="no child process"):
        probe_model(model("image_int8.tflite"), "tflite")


@pytest.mark.shared_data
def test_model_that_corrupts_the_heap_ends_only_the_child(shared_data: Path) -> None:
    data = (shared_data / "models" / "tflite-micro" / "keyword_scrambled_8bit.tflite").read_bytes()
    with pytest.raises((InvocationError, ModelLoadError), match="the process was ended by SIG"):
        probe_model(data, "tflite")


@pytest.mark.slow
def test_child_of_a_parent_that_was_killed_ends_by_itself(project: Path) -> None:
    code = (
        "from pathlib import Path; import edge_runtime.inference.probe as probe\n"
        f"data = Path({str(MODELS)!r}, 'endless_loop.onnx').read_bytes()\n"
        "probe.probe_model(data, 'onnx', limits=probe.ProbeLimits(wall_s=2))"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=project) as parent:
        child = _wait_for(lambda: _children_of(parent.pid))
        parent.kill()
    assert _wait_for(lambda: None if Path(f"/proc/{child}").exists() else child) == child


def _children_of(pid: int) -> int | None:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == pid:
            return int(path.parent.name)
    return None


def _wait_for(found: Callable[[], int | None]) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        value = found()
        if value is not None:
            return value
        time.sleep(0.05)
    raise AssertionError("it never came")


def reasons_of(paths: list[Path]) -> dict[str, str]:
    """Probe each model; give why those that are refused are, by name."""
    reasons: dict[str, str] = {}
    for path in paths:
        model_format: Format = "onnx" if path.suffix == ".onnx" else "tflite"
        try:
            probe_model(path.read_bytes(), model_format)
        except (ModelLoadError, InvocationError) as error:
            reasons[path.name] = str(error)
    return reasons


def unexpected(reasons: dict[str, str]) -> dict[str, str]:
    """Leave out what is known; ONNX models without fixed axes are run with axes of 1, which some refuse."""
    return {
        name: reason
        for name, reason in reasons.items()
        if REFUSED.get(name, "onnxruntime cannot run the model") not in reason
    }


def third_party(shared_data: Path, pattern: str) -> list[Path]:
    return sorted(path for path in (shared_data / "models").rglob(pattern) if path.suffix in {".tflite", ".onnx"})


@pytest.mark.shared_data
@pytest.mark.slow
def test_third_party_networks_run_or_are_refused_with_their_reason(shared_data: Path) -> None:
    paths = [path for path in third_party(shared_data, "*") if not path.name.startswith("seanet")]
    assert len(paths) > 30
    assert unexpected(reasons_of(paths)) == {}


@pytest.mark.shared_data
@pytest.mark.long
def test_third_party_operators_run_or_are_refused_with_their_reason(shared_data: Path) -> None:
    paths = third_party(shared_data, "seanet*")
    assert len(paths) > 100
    assert unexpected(reasons_of(paths)) == {}
