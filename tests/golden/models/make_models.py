"""Write the tiny models of the tests, byte for byte the same each time.

Run it from the root of the checkout: ``python -m tests.golden.models.make_models``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

FOLDER = Path(__file__).resolve().parent
SEED = 20240501

_TYPES = {
    "int8": schema.TensorType.INT8,
    "int32": schema.TensorType.INT32,
    "float32": schema.TensorType.FLOAT32,
}
#: The first version of each operator that takes these dtypes, so that old engines take the models, too.
_VERSIONS = {schema.BuiltinOperator.FULLY_CONNECTED: 4, schema.BuiltinOperator.SOFTMAX: 2}


class Graph:
    """Builds one subgraph tensor by tensor."""

    def __init__(self) -> None:
        self._buffers = [schema.BufferT()]
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: list[Any] = []

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str,
        *,
        data: np.ndarray[Any, Any] | None = None,
        scale: float | None = None,
        zero_point: int = 0,
        variable: bool = False,
    ) -> int:
        """Add a tensor and give its index."""
        tensor = schema.TensorT()
        tensor.name = name
        tensor.shape = list(shape)
        tensor.type = _TYPES[dtype]
        tensor.isVariable = variable
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            tensor.buffer = len(self._buffers)
            self._buffers.append(buffer)
        if scale is not None:
            facts = schema.QuantizationParametersT()
            facts.scale = [scale]
            facts.zeroPoint = [zero_point]
            tensor.quantization = facts
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def operator(
        self, code: int, inputs: list[int], outputs: list[int], options_type: int = 0, options: Any = None
    ) -> None:
        """Add an operator."""
        operator_code = schema.OperatorCodeT()
        operator_code.builtinCode = code
        operator_code.deprecatedBuiltinCode = min(code, 127)
        operator_code.version = _VERSIONS.get(code, 1)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self._codes)
        operator.inputs = inputs
        operator.outputs = outputs
        operator.builtinOptionsType = options_type
        operator.builtinOptions = options
        self._codes.append(operator_code)
        self._operators.append(operator)

    def finish(self, inputs: list[int], outputs: list[int]) -> bytes:
        """Give the file."""
        subgraph = schema.SubGraphT()
        subgraph.tensors = self._tensors
        subgraph.operators = self._operators
        subgraph.inputs = inputs
        subgraph.outputs = outputs
        subgraph.name = "main"
        model = schema.ModelT()
        model.version = 3
        model.operatorCodes = self._codes
        model.subgraphs = [subgraph]
        model.buffers = self._buffers
        builder = flatbuffers.Builder(4096)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def dense(graph: Graph, source: int, target: int, n_in: int, n_out: int, scales: tuple[float, float, float]) -> None:
    """Add a fully connected int8 layer; ``scales`` of input, weights and output (for the bias)."""
    rng = np.random.default_rng(SEED)
    weights = rng.integers(-127, 128, (n_out, n_in), dtype=np.int8)
    bias = rng.integers(-200, 200, n_out, dtype=np.int32)
    weight_index = graph.tensor("weights", (n_out, n_in), "int8", data=weights, scale=scales[1])
    bias_index = graph.tensor("bias", (n_out,), "int32", data=bias, scale=scales[0] * scales[1])
    options = schema.FullyConnectedOptionsT()
    graph.operator(
        schema.BuiltinOperator.FULLY_CONNECTED,
        [source, weight_index, bias_index],
        [target],
        schema.BuiltinOptions.FullyConnectedOptions,
        options,
    )


def image_model() -> bytes:
    """Give int8 image (1, 8, 8, 3) to int8 probabilities of three labels."""
    graph = Graph()
    image = graph.tensor("image", (1, 8, 8, 3), "int8", scale=1 / 64, zero_point=0)
    logits = graph.tensor("logits", (1, 3), "int8", scale=0.0625, zero_point=3)
    scores = graph.tensor("scores", (1, 3), "int8", scale=1 / 256, zero_point=-128)
    dense(graph, image, logits, 192, 3, (1 / 64, 1 / 1024, 0.0625))
    options = schema.SoftmaxOptionsT()
    options.beta = 1.0
    graph.operator(schema.BuiltinOperator.SOFTMAX, [logits], [scores], schema.BuiltinOptions.SoftmaxOptions, options)
    return graph.finish([image], [scores])


def float_image_model(order: tuple[int, int, int] = (0, 1, 2)) -> bytes:
    """Give the float model of which ``image_model`` is the quantized one; another order swaps labels."""
    graph = Graph()
    image = graph.tensor("image", (1, 8, 8, 3), "float32")
    logits, scores = (graph.tensor(name, (1, 3), "float32") for name in ("logits", "scores"))
    rng = np.random.default_rng(SEED)
    weights = rng.integers(-127, 128, (3, 192), dtype=np.int8)[list(order)].astype(np.float32) / 1024
    bias = rng.integers(-200, 200, 3, dtype=np.int32)[list(order)].astype(np.float32) / (64 * 1024)
    constants = [
        graph.tensor("weights", (3, 192), "float32", data=weights),
        graph.tensor("bias", (3,), "float32", data=bias),
    ]
    dense_options, options = schema.FullyConnectedOptionsT(), schema.SoftmaxOptionsT()
    options.beta = 1.0
    graph.operator(
        schema.BuiltinOperator.FULLY_CONNECTED,
        [image, *constants],
        [logits],
        schema.BuiltinOptions.FullyConnectedOptions,
        dense_options,
    )
    graph.operator(schema.BuiltinOperator.SOFTMAX, [logits], [scores], schema.BuiltinOptions.SoftmaxOptions, options)
    return graph.finish([image], [scores])


def window_model() -> bytes:
    """Give int8 window (1, 16, 4) to one int8 remaining useful life."""
    graph = Graph()
    window = graph.tensor("window", (1, 16, 4), "int8", scale=1 / 32, zero_point=-5)
    life = graph.tensor("remaining_useful_life", (1, 1), "int8", scale=0.25, zero_point=0)
    dense(graph, window, life, 64, 1, (1 / 32, 1 / 1024, 0.25))
    return graph.finish([window], [life])


def recurrent_model() -> bytes:
    """Give float window (1, 4, 2) to (1, 4, 3) through an LSTM whose state lives in variable tensors."""
    rng = np.random.default_rng(SEED)
    graph = Graph()
    window = graph.tensor("window", (1, 4, 2), "float32")
    hidden = graph.tensor("hidden", (1, 4, 3), "float32")
    inputs = [window]
    for gate in ("input", "forget", "cell", "output"):
        data = rng.normal(size=(3, 2)).astype(np.float32)
        inputs.append(graph.tensor(f"{gate}_weights", (3, 2), "float32", data=data))
    for gate in ("input", "forget", "cell", "output"):
        data = rng.normal(size=(3, 3)).astype(np.float32)
        inputs.append(graph.tensor(f"{gate}_recurrent", (3, 3), "float32", data=data))
    inputs += [-1, -1, -1]
    for gate in ("input", "forget", "cell", "output"):
        data = rng.normal(size=3).astype(np.float32)
        inputs.append(graph.tensor(f"{gate}_bias", (3,), "float32", data=data))
    inputs += [-1, -1]
    inputs.append(graph.tensor("output_state", (1, 3), "float32", variable=True))
    inputs.append(graph.tensor("cell_state", (1, 3), "float32", variable=True))
    inputs += [-1, -1, -1, -1]
    options = schema.UnidirectionalSequenceLSTMOptionsT()
    options.fusedActivationFunction = schema.ActivationFunctionType.TANH
    graph.operator(
        schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM,
        inputs,
        [hidden],
        schema.BuiltinOptions.UnidirectionalSequenceLSTMOptions,
        options,
    )
    return graph.finish([window], [hidden])


def logarithm_model() -> bytes:
    """Give the natural logarithm of two floats: not a number for negative ones."""
    graph = Graph()
    source = graph.tensor("x", (1, 2), "float32")
    target = graph.tensor("log", (1, 2), "float32")
    graph.operator(schema.BuiltinOperator.LOG, [source], [target])
    return graph.finish([source], [target])


def custom_model() -> bytes:
    """Give a model with an operator that no engine knows."""
    graph = Graph()
    source = graph.tensor("x", (1, 2), "float32")
    target = graph.tensor("y", (1, 2), "float32")
    graph.operator(schema.BuiltinOperator.CUSTOM, [source], [target])
    graph._codes[0].customCode = "factory.secret"
    return graph.finish([source], [target])


def smallest_model() -> bytes:
    """Give the absolute value of one float: what the runtime builds to see whether an engine works."""
    graph = Graph()
    source = graph.tensor("x", (1,), "float32")
    target = graph.tensor("y", (1,), "float32")
    graph.operator(schema.BuiltinOperator.ABS, [source], [target])
    return graph.finish([source], [target])


def onnx_graph(nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: list[Any]) -> bytes:
    """Give an ONNX file of operator set 13."""
    graph = helper.make_graph(nodes, "main", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def image_onnx() -> bytes:
    """Give int8 image (1, 8, 8, 3) to int8 probabilities of three labels, the same weights as the TFLite twin."""
    rng = np.random.default_rng(SEED)
    weights = rng.integers(-127, 128, (3, 192), dtype=np.int8)
    bias = rng.integers(-200, 200, 3, dtype=np.int32)
    constants = [
        numpy_helper.from_array(np.float32(1 / 64), "image_scale"),
        numpy_helper.from_array(np.int8(0), "image_zero"),
        numpy_helper.from_array(np.float32(1 / 256), "scores_scale"),
        numpy_helper.from_array(np.int8(-128), "scores_zero"),
        numpy_helper.from_array(weights.T.astype(np.float32) / 1024, "weights"),
        numpy_helper.from_array(bias.astype(np.float32) / 65536, "bias"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["image", "image_scale", "image_zero"], ["real"]),
        helper.make_node("Flatten", ["real"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
        helper.make_node("QuantizeLinear", ["probabilities", "scores_scale", "scores_zero"], ["scores"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.INT8, [1, 8, 8, 3])
    scores = helper.make_tensor_value_info("scores", TensorProto.INT8, [1, 3])
    return onnx_graph(nodes, [image], [scores], constants)


def recurrent_onnx() -> bytes:
    """Give float window (1, 4, 2) to the hidden states of an LSTM."""
    rng = np.random.default_rng(SEED)
    constants = [
        numpy_helper.from_array(rng.normal(size=(1, 12, 2)).astype(np.float32), "weights"),
        numpy_helper.from_array(rng.normal(size=(1, 12, 3)).astype(np.float32), "recurrent"),
    ]
    nodes = [
        helper.make_node("Transpose", ["window"], ["steps"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["steps", "weights", "recurrent"], ["states"], hidden_size=3),
        helper.make_node("Transpose", ["states"], ["hidden"], perm=[2, 0, 1, 3]),
    ]
    window = helper.make_tensor_value_info("window", TensorProto.FLOAT, [1, 4, 2])
    hidden = helper.make_tensor_value_info("hidden", TensorProto.FLOAT, [1, 4, 1, 3])
    return onnx_graph(nodes, [window], [hidden], constants)


def unary_onnx(operator: str, dtype: int = TensorProto.FLOAT, *, domain: str = "") -> bytes:
    """Give a model of one operator on two values; with another domain no engine knows it."""
    node = helper.make_node(operator, ["x"], ["y"], domain=domain)
    source = helper.make_tensor_value_info("x", dtype, [1, 2])
    target = helper.make_tensor_value_info("y", dtype, [1, 2])
    graph = helper.make_graph([node], "main", [source], [target])
    imports = [helper.make_opsetid("", 13)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return bytes(helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString())


def endless_onnx() -> bytes:
    """Give a model whose loop never ends."""
    value = helper.make_tensor_value_info("value", TensorProto.FLOAT, [1, 2])
    following = helper.make_tensor_value_info("following", TensorProto.FLOAT, [1, 2])
    body = helper.make_graph(
        [
            helper.make_node("Sin", ["value"], ["following"]),
            helper.make_node("Identity", ["go_on"], ["still"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            value,
        ],
        [helper.make_tensor_value_info("still", TensorProto.BOOL, []), following],
    )
    node = helper.make_node("Loop", ["", "always", "x"], ["y"], body=body)
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])
    target = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])
    always = numpy_helper.from_array(np.array(True), "always")
    return onnx_graph([node], [source], [target], [always])


def greedy_onnx() -> bytes:
    """Give a model that asks for 32 GiB when it runs."""
    nodes = [
        helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Add", ["whole", "sizes"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["block"]),
        helper.make_node("ReduceSum", ["block"], ["y"], keepdims=0),
    ]
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    target = helper.make_tensor_value_info("y", TensorProto.FLOAT, [])
    sizes = numpy_helper.from_array(np.array([1 << 17, 1 << 16], np.int64), "sizes")
    return onnx_graph(nodes, [source], [target], [sizes])


def external_onnx() -> bytes:
    """Give a model whose weights are said to be in another file."""
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [2], b"\0" * 8, raw=True)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])
    target = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])
    return onnx_graph([helper.make_node("Add", ["x", "weights"], ["y"])], [source], [target], [weights])


def random_onnx() -> bytes:
    """Give a model that answers otherwise each time."""
    nodes = [
        helper.make_node("RandomUniformLike", ["x"], ["noise"]),
        helper.make_node("Add", ["x", "noise"], ["y"]),
    ]
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])
    target = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])
    return onnx_graph(nodes, [source], [target], [])


def changing_onnx() -> bytes:
    """Give a model whose output is as long as there are values that are not zero."""
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])
    target = helper.make_tensor_value_info("places", TensorProto.INT64, [2, None])
    return onnx_graph([helper.make_node("NonZero", ["x"], ["places"])], [source], [target], [])


MODELS = {
    "changing_shape.onnx": changing_onnx,
    "image_int8.onnx": image_onnx,
    "recurrent_float.onnx": recurrent_onnx,
    "logarithm_float.onnx": lambda: unary_onnx("Log"),
    "custom_operator.onnx": lambda: unary_onnx("Secret", domain="factory"),
    "double_abs.onnx": lambda: unary_onnx("Abs", TensorProto.DOUBLE),
    "endless_loop.onnx": endless_onnx,
    "greedy.onnx": greedy_onnx,
    "external_weights.onnx": external_onnx,
    "random_noise.onnx": random_onnx,
    "image_int8.tflite": image_model,
    "image_float.tflite": float_image_model,
    "image_swapped_float.tflite": lambda: float_image_model((0, 2, 1)),
    "window_int8.tflite": window_model,
    "recurrent_float.tflite": recurrent_model,
    "logarithm_float.tflite": logarithm_model,
    "custom_operator.tflite": custom_model,
}


def main() -> None:
    """Write every model beside this script."""
    for name, build in MODELS.items():
        (FOLDER / name).write_bytes(build())


if __name__ == "__main__":
    main()
