"""How much memory the reference interpreter gets."""

from __future__ import annotations

import itertools

from firmware_bridge.reference import MAX_ARENA_BYTES, arena_for
from tests.unit.firmware_bridge.small_models import chain_model, maker, model_of, unary_model


def test_arena_holds_all_activations_beside_each_other() -> None:
    shape = (1, 480, 640, 3)
    assert arena_for(unary_model("RELU", shape=shape)) >= 2 * 480 * 640 * 3 + (1 << 20)


def test_arena_of_a_small_model_is_a_mebibyte_and_its_activations() -> None:
    assert arena_for(chain_model(3)) == (1 << 20) + 4 * 8


def test_arena_has_a_limit() -> None:
    graph = maker()
    tensors = [graph.tensor((1, 60 << 20), "int8") for _ in range(10)]
    for source, target in itertools.pairwise(tensors):
        graph.operator("RELU", [source], [target])
    assert arena_for(model_of(graph, (tensors[0],), (tensors[-1],))) == MAX_ARENA_BYTES
