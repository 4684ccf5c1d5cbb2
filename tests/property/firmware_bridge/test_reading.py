"""Damaged models are refused or emitted, never a crash."""

from __future__ import annotations

import random

import pytest

from edge_runtime.errors import FirmwareError
from firmware_bridge.conformance.graphs import random_model, variable_model
from firmware_bridge.emit import emit_program
from firmware_bridge.lower import lower_model
from firmware_bridge.model import read_model
from firmware_bridge.plan import plan_program
from firmware_bridge.samples import make_samples
from firmware_bridge.targets import TARGETS

MUTATIONS = 150
_SAMPLED_BYTES = 1 << 20


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


def _emit(data: bytes) -> None:
    """Everything that ``edge-firmware emit`` does in its own process."""
    target = TARGETS["generic"]
    program = lower_model(read_model(data), target)
    manifest = emit_program(program, plan_program(program), target, "net").manifest
    if sum(port.nbytes for port in manifest.inputs) <= _SAMPLED_BYTES:
        make_samples(manifest.inputs, 4, 0)


def _survives(data: bytes, mutations: int, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(mutations):
        try:
            _emit(_mutated(data, dice))
        except FirmwareError:
            continue


@pytest.mark.parametrize("seed", range(8))
def test_damaged_model_is_refused_or_emitted(seed: int) -> None:
    _survives(random_model(seed), MUTATIONS, seed)


def test_damaged_model_with_variables_is_refused_or_emitted() -> None:
    _survives(variable_model(0, initialised=True), MUTATIONS, 0)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_hundred_thousand_damaged_models_are_refused_or_emitted() -> None:
    for seed in range(100):
        _survives(random_model(seed), 1000, seed)
