"""The scaling for sums of any size gives what the short form gives, on the portable and on the SMLAD path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from firmware_bridge.build import prepare
from firmware_bridge.conformance.graphs import random_model
from firmware_bridge.directory import write_directory
from firmware_bridge.emit import emit_program
from firmware_bridge.emulator import PROCESSORS, missing_packages, verify_processor
from firmware_bridge.program import Call, Params, Program
from firmware_bridge.reference import run_reference
from firmware_bridge.samples import make_samples
from firmware_bridge.source import Source
from firmware_bridge.targets import TARGETS
from tests.integration.firmware_bridge.places import require, require_host

pytestmark = [pytest.mark.compiler, pytest.mark.timeout(120)]

_SHORT_FORMS = {"fast", "feature_fast", "output_fast"}
#: Seeds of graphs that end with an LSTM, an SVDF and a fully connected layer.
LSTM, SVDF, DENSE = 6, 19, 16


def _long(params: Params) -> Params:
    """Take the proof away that the short form suffices."""
    values = {
        key: _long(value) if isinstance(value, Params) else 0 if key in _SHORT_FORMS else value
        for key, value in params.values.items()
    }
    return Params(params.struct, values)


def _long_call(call: Call) -> Call:
    arguments = tuple(_long(argument) if isinstance(argument, Params) else argument for argument in call.arguments)
    return replace(call, arguments=arguments)


def _long_program(program: Program) -> Program:
    steps = tuple(replace(step, calls=tuple(_long_call(call) for call in step.calls)) for step in program.steps)
    return replace(program, steps=steps)


@pytest.mark.parametrize(("seed", "portable"), [(LSTM, False), (SVDF, False), (DENSE, False), (LSTM, True)])
def test_graph_is_exact_without_short_scaling(seed: int, portable: bool, tmp_path: Path) -> None:
    require_host()
    require(missing_packages())
    data = random_model(seed)
    prepared = prepare(data, TARGETS["generic"])
    emission = emit_program(_long_program(prepared.program), prepared.plan, TARGETS["generic"], "net")
    write_directory(tmp_path, Source(data, "net"), emission, [])
    records = make_samples(emission.manifest.inputs, 16, seed)
    found = verify_processor(PROCESSORS["unicorn-m4"], tmp_path, emission.manifest, records, {0, 10}, portable=portable)
    expected = run_reference(data, records, resets=(0, 10))
    for ours, theirs in zip(found, expected, strict=True):
        assert [a.tobytes() for a in ours] == [b.tobytes() for b in theirs]
