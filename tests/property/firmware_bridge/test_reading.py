"""Damaged models are refused or emitted, never a crash."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from edge_runtime.errors import FirmwareError
from firmware_bridge.conformance.graphs import random_model, variable_model
from firmware_bridge.emit import emit_program
from firmware_bridge.lower import lower_model
from firmware_bridge.model import read_model
from firmware_bridge.plan import plan_program
from firmware_bridge.samples import make_samples, most_samples
from firmware_bridge.targets import TARGETS
from tests.property.firmware_bridge.mutations import mutated

MUTATIONS = 150
#: Of the processor, for one model; an undamaged one takes a few milliseconds.
LONGEST_S = 5.0


def _emit(data: bytes) -> None:
    """Everything that ``edge-firmware emit`` does in its own process."""
    target = TARGETS["generic"]
    program = lower_model(read_model(data), target)
    manifest = emit_program(program, plan_program(program), target, "net").manifest
    if most_samples(manifest.inputs):
        make_samples(manifest.inputs, 4, 0)


def _survives(data: bytes, mutations: int, seed: int) -> Counter[str]:
    """Emit damaged copies of a model; anything but a refusal by name or an emission is an error of ours."""
    dice, tally = random.Random(seed), Counter[str]()
    for _ in range(mutations):
        damaged = mutated(data, dice)
        start = time.process_time()
        try:
            _emit(damaged)
        except FirmwareError:
            tally["refused"] += 1
        else:
            tally["emitted"] += 1
        assert time.process_time() - start < LONGEST_S, "a few damaged bytes make it slow"
    return tally


@pytest.mark.parametrize("seed", range(8))
def test_damaged_model_is_refused_or_emitted(seed: int) -> None:
    tally = _survives(random_model(seed), MUTATIONS, seed)
    assert min(tally["refused"], tally["emitted"]) > 0


def test_damaged_model_with_variables_is_refused_or_emitted() -> None:
    _survives(variable_model(0, initialised=True), MUTATIONS, 0)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_hundred_thousand_damaged_models_are_refused_or_emitted(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Counter[str]()
    for seed in range(95):
        tally += _survives(random_model(seed), 1000, seed)
    for seed in range(5):
        tally += _survives(variable_model(seed, initialised=True), 1000, seed)
    with capsys.disabled():
        print(f"\n{tally.total()} damaged models: {dict(tally)}")  # noqa: T201 - the figure that is reported
    assert min(tally["refused"], tally["emitted"]) > 5_000, "one of both is hardly tried"
