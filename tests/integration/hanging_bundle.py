"""A bundle whose model never comes back from a bright picture, and is sound on every other."""

from __future__ import annotations

import msgspec
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.bundle.golden import pack_golden
from edge_runtime.bundle.manifest import GoldenSet, ImagePreprocessing, ModelMember, QuantizationFacts, Resize
from edge_runtime.bundle.reader import labels_text
from edge_runtime.inference.golden import run_samples
from edge_runtime.inference.opening import open_runtime
from tests.bundles import LABELS, N_SAMPLES, TinyModel, image_model, sign_tiny

#: Brighter than any picture but a white one, and darker than every picture.
WHITE, ANY = 250.0, -1.0


def hanging_bundle(beyond: float = WHITE, *, name: str = "tiny-trap") -> bytes:
    """Sign it, as release 1: its model hangs on pictures brighter than ``beyond``."""
    model = _model(WHITE)
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
    golden = pack_golden(inputs, outputs, {"recorded": outputs})
    return sign_tiny(
        TinyModel(manifest, {"model.onnx": _model(beyond), "golden.npz": golden, "labels.txt": labels_text(LABELS)})
    )


def _model(beyond: float) -> bytes:
    """Give the brightness a loop that ends before it begins, unless the picture is too bright."""
    number = helper.make_tensor_value_info("value", TensorProto.FLOAT, [])
    body = helper.make_graph(
        [helper.make_node("Sin", ["value"], ["following"]), helper.make_node("Identity", ["go_on"], ["still"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            number,
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("following", TensorProto.FLOAT, []),
        ],
    )
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["brightness"], keepdims=0),
        helper.make_node("Greater", ["brightness", "limit"], ["is_white"]),
        helper.make_node("Loop", ["", "is_white", "brightness"], ["after"], body=body),
        helper.make_node("Mul", ["after", "nothing"], ["zero"]),
        helper.make_node("Add", ["probabilities", "zero"], ["scores"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(beyond, np.float32), "limit"),
        numpy_helper.from_array(np.array(0, np.float32), "nothing"),
        numpy_helper.from_array(np.array([[0.9, 0.05, 0.05]], np.float32), "probabilities"),
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
