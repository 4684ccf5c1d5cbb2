"""Small hand-made graphs."""

from __future__ import annotations

import numpy as np

from firmware_bridge.conformance.maker import GraphMaker
from firmware_bridge.conformance.writer import write_model
from firmware_bridge.model import Quantization, Subgraph

CODE = Quantization((0.05,), (0,), 0)


def maker() -> GraphMaker:
    """A maker with fixed dice."""
    return GraphMaker(np.random.default_rng(0))


def model_of(graph: GraphMaker, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> bytes:
    """The file of one graph."""
    return write_model([Subgraph(tuple(graph.tensors), tuple(graph.operators), inputs, outputs)])


def unary_model(name: str, dtype: str = "int8", shape: tuple[int, ...] = (1, 4)) -> bytes:
    """One operator without options, the same type on both sides."""
    graph = maker()
    source = graph.tensor(shape, dtype, CODE)
    target = graph.tensor(shape, dtype, CODE)
    graph.operator(name, [source], [target])
    return model_of(graph, (source,), (target,))


def chain_model(n_layers: int = 3) -> bytes:
    """Fully connected layers behind each other."""
    graph = maker()
    first = current = graph.tensor((1, 8), "int8", CODE)
    for _ in range(n_layers):
        weights = graph.constant(graph.dice.integers(-100, 100, (8, 8)).astype(np.int8), Quantization((0.01,), (0,), 0))
        target = graph.tensor((1, 8), "int8", CODE)
        graph.operator("FULLY_CONNECTED", [current, weights, -1], [target], {"activation": 1, "weights_format": 0})
        current = target
    return model_of(graph, (first,), (current,))
