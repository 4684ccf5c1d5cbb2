"""Damaged models are refused or lowered, never a crash."""

from __future__ import annotations

import random

import pytest

from edge_runtime.errors import FirmwareError
from firmware_bridge.conformance.graphs import random_model, variable_model
from firmware_bridge.lower import lower_model
from firmware_bridge.model import read_model
from firmware_bridge.plan import plan_program
from firmware_bridge.targets import TARGETS

MUTATIONS = 150


def _mutated(data: bytes, dice: random.Random) -> bytes:
    damaged = bytearray(data)
    kind = dice.randrange(4)
    if kind == 0:
        for _ in range(dice.randrange(1, 4)):
            damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
    elif kind == 1:
        for _ in range(dice.randrange(1, 9)):
            damaged[dice.randrange(len(damaged))] = dice.choice((0, 1, 127, 128, 255))
    elif kind == 2:
        return bytes(damaged[: dice.randrange(len(damaged))])
    else:
        at = dice.randrange(len(damaged))
        damaged[at : at + 12] = dice.randbytes(12)
    return bytes(damaged)


def _survives(data: bytes, mutations: int, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(mutations):
        try:
            plan_program(lower_model(read_model(_mutated(data, dice)), TARGETS["generic"]))
        except FirmwareError:
            continue


@pytest.mark.parametrize("seed", range(8))
def test_damaged_model_is_refused_or_lowered(seed: int) -> None:
    _survives(random_model(seed), MUTATIONS, seed)


def test_damaged_model_with_variables_is_refused_or_lowered() -> None:
    _survives(variable_model(0, initialised=True), MUTATIONS, 0)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_hundred_thousand_damaged_models_are_refused_or_lowered() -> None:
    for seed in range(100):
        _survives(random_model(seed), 1000, seed)
