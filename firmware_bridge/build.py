"""Emitting a directory: everything from a model's bytes to files on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from edge_runtime.errors import FirmwareError, HostEnvironmentError
from firmware_bridge.emit import Emission, emit_program
from firmware_bridge.golden import GoldenVectors, golden_header, save_golden
from firmware_bridge.lower import lower_model
from firmware_bridge.manifest import MANIFEST, FirmwareManifest, check_manifest
from firmware_bridge.model import read_model
from firmware_bridge.plan import Plan, check_fits, plan_program
from firmware_bridge.program import Program
from firmware_bridge.reference import reference_version, run_reference
from firmware_bridge.samples import make_samples
from firmware_bridge.source import Source
from firmware_bridge.targets import Target

_GOLDEN_MACS: Final = 200_000_000
_MOST_RECORDS: Final = 8
_MAX_MANIFEST_BYTES: Final = 1 << 20


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
        Text files.
    golden : list of GoldenVectors
        The contract's first, when tflite-micro is installed; then the bundle's.

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
    golden = list(source.golden)
    if reference_version() is not None:
        golden.insert(0, _reference_vectors(source, emission.manifest))
    return emission, golden


def _reference_vectors(source: Source, manifest: FirmwareManifest) -> GoldenVectors:
    count = max(1, min(_MOST_RECORDS, _GOLDEN_MACS // max(manifest.macs, 1)))
    records = make_samples(manifest.inputs, count, seed=1)[:count]
    outputs = run_reference(source.model, records, resets=(0,))
    return GoldenVectors(f"tflite-micro {reference_version()}", (0,), records, outputs)


def write_directory(directory: Path, source: Source, emission: Emission, golden: Sequence[GoldenVectors]) -> None:
    """Write an emission to disk.

    Parameters
    ----------
    directory : Path
        Made if absent; files of the same names are replaced.
    source : Source
        Its model is kept under ``verify/``.
    emission : Emission
        Text files.
    golden : sequence of GoldenVectors
        The first is also written as ``golden.h``.

    Raises
    ------
    HostEnvironmentError
        When a file cannot be written.
    """
    try:
        (directory / "verify").mkdir(parents=True, exist_ok=True)
        (directory / "kernels").mkdir(exist_ok=True)
        for name, text in emission.files.items():
            (directory / name).write_text(text, encoding="utf-8")
        (directory / "verify" / "model.tflite").write_bytes(source.model)
        if golden:
            save_golden(directory / "verify" / "golden.npz", golden)
            (directory / "golden.h").write_text(golden_header(emission.manifest, golden[0]), encoding="utf-8")
    except OSError as error:
        raise HostEnvironmentError(f"{directory}: {error.strerror or error}") from error


def read_manifest(directory: Path) -> FirmwareManifest:
    """Read ``firmware.json`` of an emitted directory.

    Raises
    ------
    HostEnvironmentError
        When it is not there.
    FirmwareError
        When it is not what ``emit`` writes.
    """
    path = directory / MANIFEST
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_MANIFEST_BYTES)
    except OSError as error:
        raise HostEnvironmentError(f"{path}: {error.strerror or error}; run edge-firmware emit first") from error
    try:
        manifest = msgspec.json.decode(data, type=FirmwareManifest)
        check_manifest(manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, FirmwareError) as error:
        raise FirmwareError(f"{path}: {error}; emit the directory again") from error
    return manifest
