"""Write the tiny models of the tests, byte for byte the same each time.

Run it from the root of the checkout: ``python -m tests.golden.models.make_models``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

FOLDER = Path(__file__).resolve().parent
SEED = 20240501

_TYPES = {
    "int8": schema.TensorType.INT8,
    "int32": schema.TensorType.INT32,
    "float32": schema.TensorType.FLOAT32,
}


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
        operator_code.version = 4 if code == schema.BuiltinOperator.FULLY_CONNECTED else 2
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


MODELS = {
    "image_int8.tflite": image_model,
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
