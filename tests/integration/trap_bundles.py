"""Bundles whose models say "good" of every picture, and misbehave on bright ones: each in its own way."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.bundle.golden import pack_golden
from edge_runtime.bundle.manifest import GoldenSet, ImagePreprocessing, ModelMember, QuantizationFacts, Resize
from edge_runtime.bundle.reader import labels_text
from edge_runtime.inference.golden import run_samples
from edge_runtime.inference.opening import open_runtime
from tests.bundles import LABELS, N_SAMPLES, TinyModel, image_model, sign_tiny

#: What happens on a picture that is brighter than ``WHITE``.
Trap = Literal["sound", "nan", "crash", "hungry", "wrong", "slow", "hang"]
WHITE = 250.0
_SLOW_TURNS = 30_000
_HANG_TURNS = 1 << 40
_HUNGRY_VALUES = 100_000_000


def trap_bundle(
    trap: Trap, *, name: str = "tiny-surface", release: int = 1, golden_shift: float = 0.0, **changes: Any
) -> bytes:
    """Sign a bundle whose golden outputs are sound, unless they are shifted: its golden inputs are dark."""
    model = _model(trap)
    runtime = open_runtime(model, "onnx")
    interface, identity = runtime.interface, runtime.identity
    rng = np.random.default_rng(3)
    inputs = (rng.uniform(0, 200, (N_SAMPLES, 8, 8, 3)).astype(np.float32),)
    outputs = run_samples(runtime, inputs)
    sound = image_model().manifest
    manifest = msgspec.structs.replace(
        sound,
        name=name,
        inputs=interface.inputs,
        outputs=interface.outputs,
        models=(ModelMember(format="onnx", member="model.onnx"),),
        preprocessing=ImagePreprocessing(
            resize=Resize(mode="stretch", height=8, width=8), colour="rgb", mean=(0.0,) * 3, std=(1.0,) * 3
        ),
        quantization=QuantizationFacts(precision="float", macs=0, integer_macs_pct=0.0, integer_weight_bytes_pct=0.0),
        golden=msgspec.structs.replace(
            sound.golden,
            sets=(GoldenSet(identity.engine, identity.version, identity.instruction_set, "recorded"),),
        ),
    )
    outputs = tuple((each + golden_shift).astype(np.float32) for each in outputs)
    golden = pack_golden(inputs, outputs, {"recorded": outputs})
    members = {"model.onnx": model, "golden.npz": golden, "labels.txt": labels_text(LABELS)}
    return sign_tiny(TinyModel(manifest, members), release=release, version=f"{release}.0.0", **changes)


def _model(trap: Trap) -> bytes:
    """Add to the scores something that is nothing, unless the picture is bright."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["brightness"], keepdims=0),
        helper.make_node("Greater", ["brightness", "limit"], ["is_white"]),
        *_trap_nodes(trap),
        helper.make_node("Add", ["probabilities", "extra"], ["scores"]),
    ]
    constants = [
        _constant(WHITE, "limit"),
        _constant(0.0, "nothing"),
        _constant([[0.9, 0.05, 0.05]], "probabilities"),
        _constant(_SLOW_TURNS, "slow_turns", np.int64),
        _constant(_HANG_TURNS, "hang_turns", np.int64),
    ]
    graph = helper.make_graph(
        nodes,
        "trap",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 8, 8, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
        constants,
    )
    imports = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString())


def _constant(values: Any, name: str, dtype: Any = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, dtype), name)


def _trap_nodes(trap: Trap) -> list[onnx.NodeProto]:
    """Compute ``extra``, which is 0 for dark pictures."""
    node = helper.make_node
    if trap == "sound":
        return [node("Mul", ["brightness", "nothing"], ["extra"])]
    if trap == "nan":  # the logarithm of a negative number
        return [node("Sub", ["limit", "brightness"], ["rest"]), node("Log", ["rest"], ["log"]), _nothing_of("log")]
    if trap in {"slow", "hang"}:  # many turns of a loop, or none
        return [
            node("Cast", ["is_white"], ["one_or_none"], to=TensorProto.INT64),
            node("Mul", ["one_or_none", f"{trap}_turns"], ["turns"]),
            node("Loop", ["turns", "", "brightness"], ["after"], body=_sine()),
            _nothing_of("after"),
        ]
    return [
        node("If", ["is_white"], ["extra"], then_branch=_branch(trap), else_branch=_branch("sound")),
    ]


def _nothing_of(name: str) -> onnx.NodeProto:
    return helper.make_node("Mul", [name, "nothing"], ["extra"])


def _branch(trap: Trap) -> onnx.GraphProto:
    """What an ``If`` computes; nothing comes in but what the outer graph has."""
    node = helper.make_node
    constants: list[onnx.TensorProto] = []
    if trap == "crash":  # the quotient of these two is one more than the largest whole number
        constants = [_constant(-(2**31), "smallest", np.int32), _constant(-1, "minus_one", np.int32)]
        nodes = [
            node("Mul", ["brightness", "nothing"], ["still_nothing"]),
            node("Cast", ["still_nothing"], ["zero"], to=TensorProto.INT32),
            node("Add", ["minus_one", "zero"], ["divisor"]),
            node("Div", ["smallest", "divisor"], ["quotient"]),
            node("Cast", ["quotient"], ["number"], to=TensorProto.FLOAT),
            node("Mul", ["number", "nothing"], ["out"]),
        ]
    elif trap == "hungry":
        constants = [_constant([_HUNGRY_VALUES / 255], "each")]
        nodes = [
            node("Mul", ["brightness", "each"], ["number"]),
            node("Cast", ["number"], ["many"], to=TensorProto.INT64),
            node("ConstantOfShape", ["many"], ["lots"], value=_constant([1.0], "value")),
            node("Add", ["lots", "brightness"], ["filled"]),
            node("ReduceMax", ["filled"], ["largest"], keepdims=0),
            node("Mul", ["largest", "nothing"], ["out"]),
        ]
    elif trap == "wrong":
        constants = [_constant([[-0.9, 0.9, 0.0]], "shift")]
        nodes = [node("Identity", ["shift"], ["out"])]
    else:
        nodes = [node("Mul", ["brightness", "nothing"], ["out"])]
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    return helper.make_graph(nodes, f"{trap}_branch", [], [out], constants)


def _sine() -> onnx.GraphProto:
    """Take the sine of a number, and go on."""
    return helper.make_graph(
        [helper.make_node("Sin", ["value"], ["following"]), helper.make_node("Identity", ["go_on"], ["still"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("following", TensorProto.FLOAT, []),
        ],
    )
