"""From a model's bytes to C text and golden vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from firmware_bridge.emit import Emission, emit_program
from firmware_bridge.footprint import measure_footprint
from firmware_bridge.golden import GoldenVectors
from firmware_bridge.lower import lower_model
from firmware_bridge.manifest import FirmwareManifest
from firmware_bridge.model import read_model
from firmware_bridge.plan import Plan, check_fits, plan_program
from firmware_bridge.program import Program
from firmware_bridge.readme import readme_text
from firmware_bridge.reference import reference_version, run_reference
from firmware_bridge.samples import make_samples, most_samples
from firmware_bridge.source import Source
from firmware_bridge.targets import Target

_GOLDEN_MACS: Final = 200_000_000
_GOLDEN_BYTES: Final = 32 << 20
_MOST_RECORDS: Final = 8


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model that was read, lowered and planned."""

    program: Program
    plan: Plan


def prepare(model: bytes, target: Target) -> Prepared:
    """Read, lower and plan a model.

    Parameters
    ----------
    model : bytes
        The .tflite file.
    target : Target
        Where it shall run.

    Raises
    ------
    FirmwareError
        When the model is damaged or holds something that cannot be emitted.
    """
    program = lower_model(read_model(model), target)
    return Prepared(program, plan_program(program))


def emit_source(source: Source, target: Target, name: str) -> tuple[Emission, list[GoldenVectors]]:
    """Emit a model and compute its golden vectors.

    Parameters
    ----------
    source : Source
        The model and what its bundle recorded.
    target : Target
        Where it shall run; exceeding its RAM is an error.
    name : str
        Checked C name.

    Returns
    -------
    emission : Emission
        Text files, with flash and stack in the README where the target's compiler is installed.
    golden : list of GoldenVectors
        The contract's first, when tflite-micro is installed and a record has at most 32 MiB; then the bundle's.

    Raises
    ------
    ArenaOverflowError
        When the target's RAM does not suffice.
    FirmwareError
        When the model is refused.
    """
    prepared = prepare(source.model, target)
    check_fits(prepared.plan, target)
    emission = emit_program(prepared.program, prepared.plan, target, name)
    footprint = measure_footprint(emission)
    if footprint is not None:
        readme = readme_text(emission.manifest, target, prepared.plan, footprint)
        emission = Emission(emission.manifest, {**emission.files, "README.md": readme}, footprint)
    golden = list(source.golden)
    if reference_version() is not None:
        golden = _reference_vectors(source, emission.manifest) + golden
    return emission, golden


def _reference_vectors(source: Source, manifest: FirmwareManifest) -> list[GoldenVectors]:
    """One set, or none when a single record is beyond the limits of samples or of the file."""
    each = sum(port.nbytes for port in manifest.inputs + manifest.outputs)
    count = min(_MOST_RECORDS, _GOLDEN_MACS // max(manifest.macs, 1), _GOLDEN_BYTES // each)
    count = min(max(count, 1), most_samples(manifest.inputs))
    if count < 1 or each > _GOLDEN_BYTES:
        return []
    records = make_samples(manifest.inputs, count, seed=1)[:count]
    outputs = run_reference(source.model, records, resets=(0,))
    return [GoldenVectors(f"tflite-micro {reference_version()}", (0,), records, outputs)]
