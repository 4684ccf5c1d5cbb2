"""Emitted C on this machine, under sanitizers, against tflite-micro."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.terminal import run_command
from firmware_bridge.cli import group
from firmware_bridge.conformance.graphs import random_model, variable_model
from firmware_bridge.conformance.last_layers import lstm
from firmware_bridge.emit import kernel_text
from firmware_bridge.model import Option, Quantization, read_model
from firmware_bridge.toolchain import SANITIZERS, WARNINGS, host_compiler, model_sources, run_tool
from firmware_bridge.verify import VerificationError, require_agreement, verify_directory
from tests.bundles import TRUSTED_PEM, image_bundle
from tests.integration.firmware_bridge.many_graphs import run_many
from tests.integration.firmware_bridge.places import emitted, require_host
from tests.unit.firmware_bridge.small_models import CODE, maker, model_of, unary_model

pytestmark = pytest.mark.compiler

SUPPORTED = (
    "mlperf-tiny/ad01_int8",
    "mlperf-tiny/kws_ref_model",
    "mlperf-tiny/pretrainedResnet_large_int8",
    "mlperf-tiny/pretrainedResnet_quant",
    "mlperf-tiny/str_ww_ref_model",
    "mlperf-tiny/vww_96_int8",
    "tflite-micro/dtln_dtln_noise_suppression",
    "tflite-micro/hello_world_hello_world_int8",
    "tflite-micro/keyword_scrambled",
    "tflite-micro/keyword_scrambled_8bit",
    "tflite-micro/memory_footprint_simple_add_model",
    "tflite-micro/micro_speech_lstm_micro_speech_lstm",
    "tflite-micro/micro_speech_micro_speech_quantized",
    "tflite-micro/mnist_lstm_trained_lstm_int8",
    "tflite-micro/person_detect",
    "tflite-micro/pytorch_to_tflite_mobilenet_v2_quantized_1x3x224x224",
    "tflite-micro/seanet_pad_pad0",
    "tflite-micro/seanet_quantize_quantize0",
    "tflite-micro/seanet_quantize_quantize1",
    "tflite-micro/seanet_strided_slice_strided_slice10",
)


@pytest.fixture(autouse=True)
def _tools() -> None:
    require_host()


def _exact(directory: Path, *, seeded: int = 20, seed: int = 0) -> None:
    verification = verify_directory(directory, ("host",), seeded=seeded, seed=seed, litert=False)
    require_agreement(verification)
    assert all(agreement.largest == 0 for agreement in verification.agreements)


@pytest.mark.parametrize("seed", range(16))
def test_random_graph_is_exact(seed: int, tmp_path: Path) -> None:
    emitted(random_model(seed), tmp_path)
    _exact(tmp_path, seed=seed)


@pytest.mark.parametrize("half", [False, True])
def test_position_that_float32_puts_just_below_a_half_is_exact(half: bool, tmp_path: Path) -> None:
    graph = maker()
    source, target = (graph.tensor((1, size, 1, 1), "int8", CODE) for size in (2, 83))
    size = graph.constant(np.array([83, 1], np.int32))
    options: dict[str, Option] = {"align_corners": True, "half_pixel_centers": half}
    graph.operator("RESIZE_NEAREST_NEIGHBOR", [source, size], [target], options)
    emitted(model_of(graph, (source,), (target,)), tmp_path)
    _exact(tmp_path, seeded=4)


def test_floats_that_become_int16_in_their_own_memory_are_exact(tmp_path: Path) -> None:
    graph = maker()
    source = graph.tensor((1, 37), "float32")
    wide = graph.tensor((1, 37), "int16", Quantization((0.001,), (0,), 0))
    target = graph.tensor((1, 37), "int8", CODE)
    graph.operator("QUANTIZE", [source], [wide])
    graph.operator("QUANTIZE", [wide], [target])
    emitted(model_of(graph, (source,), (target,)), tmp_path)
    _exact(tmp_path, seeded=8)


@pytest.mark.parametrize("codes", [1e-6, 0.41, 1.2, 700.5])
def test_lstm_whose_cell_is_clipped_is_exact(codes: float, tmp_path: Path) -> None:
    """A clip below one code leaves nothing but 0."""
    graph = maker()
    source = graph.tensor((1, 2, 2, 3), "int8", CODE)
    target = lstm(graph, source)
    layer = graph.operators[-1]
    cell = graph.scale(layer.inputs[19])
    graph.operators[-1] = replace(layer, options={**layer.options, "cell_clip": codes * cell})
    emitted(model_of(graph, (source,), (target,)), tmp_path)
    _exact(tmp_path, seeded=8)


@pytest.mark.parametrize("initialised", [True, False])
def test_resource_variables_are_kept_over_invocations(initialised: bool, tmp_path: Path) -> None:
    emitted(variable_model(3, initialised=initialised), tmp_path)
    _exact(tmp_path, seeded=64)


@pytest.mark.shared_data
@pytest.mark.parametrize("model", SUPPORTED)
def test_public_model_is_exact(model: str, tmp_path: Path, shared_data: Path) -> None:
    data = (shared_data / "models" / f"{model}.tflite").read_bytes()
    manifest = emitted(data, tmp_path)
    _exact(tmp_path, seeded=1 if manifest.macs > 100_000_000 else 12)


@pytest.mark.shared_data
def test_no_public_int8_model_is_left_out(shared_data: Path) -> None:
    kept = {Path(name).name for name in SUPPORTED}
    moving = ("PAD", "STRIDED_SLICE", "QUANTIZE")
    for path in sorted((shared_data / "models").glob("**/*.tflite")):
        graph = read_model(path.read_bytes()).subgraphs[0]
        types = {graph.tensors[index].dtype for index in graph.inputs + graph.outputs}
        unusual = any(operator.name.startswith("CUSTOM") for operator in graph.operators)
        same = path.stem.startswith("seanet") and graph.operators[0].name in moving
        if types <= {"int8", "uint8"} and not unusual and not same and path.stem not in kept:
            assert path.stem == "python_tflite_size_tests_simple_add_model"  # the same bytes as another one


def test_two_models_live_in_one_image(tmp_path: Path) -> None:
    first = emitted(random_model(0), tmp_path / "a", name="first")
    second = emitted(random_model(2), tmp_path / "b", name="second")
    main = tmp_path / "main.c"
    main.write_text(
        '#include "a/first.h"\n#include "b/second.h"\n'
        "static uint64_t one[(FIRST_ARENA_BYTES + 7) / 8], two[(SECOND_ARENA_BYTES + 7) / 8];\n"
        "static uint64_t s1[FIRST_STATE_BYTES / 8 + 1], s2[SECOND_STATE_BYTES / 8 + 1];\n"
        "int main(void) { first_reset(s1); second_reset(s2);\n"
        "  return first_invoke(one, s1) + second_invoke(two, s2); }\n"
    )
    sources = [*model_sources(tmp_path / "a", first), *model_sources(tmp_path / "b", second)]
    program = tmp_path / "program"
    compiler = host_compiler()
    assert compiler is not None
    run_tool([compiler, *WARNINGS, f"-I{tmp_path}", *sources, str(main), "-o", str(program)])
    run_tool([str(program)])


def test_invocation_refuses_null_and_misaligned_memory(tmp_path: Path) -> None:
    manifest = emitted(random_model(0), tmp_path)
    main = tmp_path / "main.c"
    main.write_text(
        '#include "model.h"\nstatic uint64_t arena[NET_ARENA_BYTES / 8 + 2], state[NET_STATE_BYTES / 8 + 2];\n'
        "int main(void) {\n  net_reset(state);\n"
        "  if (net_invoke(0, state) != NET_ERROR_NULL) { return 1; }\n"
        "  if (net_invoke((uint8_t *)arena + 1, state) != NET_ERROR_ALIGNMENT) { return 2; }\n"
        "  return net_invoke(arena, state);\n}\n"
    )
    program = tmp_path / "program"
    compiler = host_compiler()
    assert compiler is not None
    run_tool([compiler, "-std=c99", f"-I{tmp_path}", *model_sources(tmp_path, manifest), str(main), "-o", str(program)])
    run_tool([str(program)])


def test_emitted_code_needs_nothing_but_three_functions_of_the_library(tmp_path: Path) -> None:
    manifest = emitted(random_model(5), tmp_path)
    compiler = host_compiler()
    assert compiler is not None
    known = {"memcpy", "memmove", "memset", "_GLOBAL_OFFSET_TABLE_"}
    for source in model_sources(tmp_path, manifest):
        target = tmp_path / "object.o"
        run_tool([compiler, "-std=c99", "-O2", "-fno-stack-protector", "-c", source, "-o", str(target)])
        listed = run_tool(["nm", "--undefined-only", str(target)]).decode().split()
        assert {name for name in listed if name != "U" and not name.startswith("edge_k1_c_")} <= known


def test_model_with_activations_beyond_a_mebibyte_is_exact(tmp_path: Path) -> None:
    emitted(unary_model("RELU", shape=(1, 480, 640, 3)), tmp_path)
    _exact(tmp_path, seeded=1)


def test_changed_weight_is_noticed(tmp_path: Path) -> None:
    emitted(random_model(0), tmp_path)
    source = (tmp_path / "model.c").read_text()
    at = source.index("{\n  ", source.index("static const int8_t weights")) + 4
    end = source.index(",", at)
    changed = "100" if source[at:end] != "100" else "-100"
    (tmp_path / "model.c").write_text(source[:at] + changed + source[end:])
    with pytest.raises(VerificationError) as caught:
        require_agreement(verify_directory(tmp_path, ("host",)))
    assert caught.value.exit_code == 3


def test_arithmetic_is_the_written_out_one(tmp_path: Path) -> None:
    for name in ("edge_arithmetic.h",):
        (tmp_path / name).write_text(kernel_text("include", name))
    (tmp_path / "arithmetic.c").write_text(kernel_text("tests", "arithmetic.c"))
    compiler = host_compiler()
    assert compiler is not None
    program = tmp_path / "program"
    run_tool([compiler, *WARNINGS, *SANITIZERS, "-O2", str(tmp_path / "arithmetic.c"), "-o", str(program)])
    run_tool([str(program)])


def test_bundle_is_emitted_and_held_to_its_golden_vectors(tmp_path: Path) -> None:
    (tmp_path / "tiny.edgebundle").write_bytes(image_bundle())
    (tmp_path / "key.pem").write_bytes(TRUSTED_PEM)
    arguments = [
        "emit",
        str(tmp_path / "tiny.edgebundle"),
        "--out",
        str(tmp_path / "c"),
        "--trust",
        str(tmp_path / "key.pem"),
    ]
    assert run_command(group, arguments) == 0
    verification = verify_directory(tmp_path / "c", ("host",), seeded=4)
    assert any(agreement.reference.startswith("litert") for agreement in verification.agreements)
    require_agreement(verification)


@pytest.mark.shared_data
def test_emitting_the_largest_public_model_takes_less_than_two_seconds(tmp_path: Path, shared_data: Path) -> None:
    data = (shared_data / "models" / f"{SUPPORTED[15]}.tflite").read_bytes()
    start = time.process_time()
    emitted(data, tmp_path)
    assert time.process_time() - start < 2.0


def test_cmake_fragment_builds_the_model(tmp_path: Path) -> None:
    if subprocess.run(["sh", "-c", "command -v cmake"], capture_output=True, check=False).returncode:
        pytest.skip("cmake is not installed; this test needs it")
    emitted(random_model(0), tmp_path / "net")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(app C)\nadd_subdirectory(net)\n"
        "add_executable(app main.c)\ntarget_link_libraries(app edge_model_net)\n"
    )
    (tmp_path / "main.c").write_text('#include "net.h"\nint main(void) { return net_bytes() > 0 ? 0 : 1; }\n')
    run_tool(["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "build")])
    run_tool(["cmake", "--build", str(tmp_path / "build")])
    run_tool([str(tmp_path / "build" / "app")])


@pytest.mark.parametrize("name", ["machine-failure", "surface-defect", "turbofan-rul"])
def test_released_bundle_is_emitted_and_exact(name: str, tmp_path: Path, project: Path) -> None:
    path = project / "models" / name / f"{name}.edgebundle"
    if not path.is_file():
        pytest.skip(f"{name} is not released yet")
    key = project / "models" / "keys" / "release.pub.pem"
    assert run_command(group, ["emit", str(path), "--out", str(tmp_path), "--trust", str(key)]) == 0
    verification = verify_directory(tmp_path, ("host",), seeded=16, litert=False)
    require_agreement(verification)
    assert any(agreement.allowed == agreement.largest == 0 for agreement in verification.agreements)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_thousand_random_graphs_are_exact_on_twenty_inputs_each() -> None:
    assert dict(run_many(1000, 1000)) == {"exact": 1000}
