"""Comparing emitted C with its reference: on this machine, on Cortex-M from PyPI packages, on QEMU's boards."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge_runtime.errors import FirmwareError, HostEnvironmentError, UsageError
from firmware_bridge.boards import BOARDS, Count, run_board
from firmware_bridge.directory import read_manifest
from firmware_bridge.emulator import PROCESSORS, verify_processor
from firmware_bridge.golden import GoldenVectors, check_golden, load_golden
from firmware_bridge.litert import Difference, measure_differences
from firmware_bridge.manifest import FirmwareManifest
from firmware_bridge.reference import reference_version, run_reference
from firmware_bridge.samples import Record, make_samples, most_samples
from firmware_bridge.toolchain import build_host, run_host

SEEDED: Final = 64
PLACES: Final = ("host", *PROCESSORS, *BOARDS)
_LITERT_RECORDS: Final = 32
_RESET_EVERY: Final = 16


class VerificationError(FirmwareError):
    """The emitted C does not agree with its reference."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Agreement:
    """One comparison.

    Attributes
    ----------
    place : str
        Where the C ran.
    reference : str
        What it was compared with.
    n_records, n_values, n_different, largest : int
        Records and output codes compared, codes that differ, and the largest difference.
    allowed : int
        Largest difference that still agrees.
    counts : tuple of Count
        Instructions, where the place counts them.
    flash_bytes, kernel_bytes : int
        Of the model and its kernels, and of the kernels alone, where the place tells.
    """

    place: str
    reference: str
    n_records: int
    n_values: int
    n_different: int
    largest: int
    allowed: int
    counts: tuple[Count, ...] = ()
    flash_bytes: int = 0
    kernel_bytes: int = 0

    @property
    def agrees(self) -> bool:
        """Whether every output is within what is allowed."""
        return self.largest <= self.allowed


@dataclass(frozen=True, slots=True)
class Verification:
    """All comparisons of one directory."""

    manifest: FirmwareManifest
    agreements: tuple[Agreement, ...]
    differences: tuple[Difference, ...]


def verify_directory(
    directory: Path,
    places: Sequence[str] = ("host",),
    *,
    seeded: int = SEEDED,
    seed: int = 0,
    litert: bool = True,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Compare an emitted directory with its reference.

    The bundle's golden vectors are compared first, where there are any; then, when tflite-micro is installed, seeded
    inputs and the extremes, with the state kept over runs of inputs.

    Parameters
    ----------
    directory : Path
        What ``emit`` wrote.
    places : sequence of str
        Of ``PLACES``.
    seeded : int
        Seeded inputs, beside four constant ones.
    seed : int
        For them.
    litert : bool
        Also measure how far LiteRT's kernels are from the contract.
    on_progress : callable
        Told each place after it is done.

    Returns
    -------
    verification : Verification
        Also when something does not agree.

    Raises
    ------
    UsageError
        When a place does not exist, or more inputs are asked for than memory is meant to hold.
    HostEnvironmentError
        When files or tools are missing, or there is nothing to compare with.
    FirmwareError
        When the C does not compile or run, or was not emitted from the model beside it.
    """
    unknown = [place for place in places if place not in PLACES]
    if unknown:
        raise UsageError(f"unknown place {unknown[0]!r}; choose of {', '.join(PLACES)}")
    manifest = read_manifest(directory)
    model = _read_model(directory, manifest)
    sets = _vectors(directory, manifest, model, seeded, seed)
    if not sets:
        raise HostEnvironmentError(
            "nothing to compare with: no golden vectors, and tflite-micro is not installed; "
            "pip install 'edge-runtime[firmware]'"
        )
    agreements: list[Agreement] = []
    for place in places:
        agreements += _at_place(place, directory, manifest, sets)
        on_progress(place)
    differences: list[Difference] = []
    exact = [golden for golden in sets if golden.max_lsb == 0]
    if exact and litert:
        inputs, outputs = exact[-1].inputs[:_LITERT_RECORDS], exact[-1].outputs[:_LITERT_RECORDS]
        differences = measure_differences(model, inputs, outputs, exact[-1].resets)
    return Verification(manifest, tuple(agreements), tuple(differences))


def require_agreement(verification: Verification) -> None:
    """Raise when a comparison failed.

    Raises
    ------
    VerificationError
        Naming place, reference and how far the outputs are off.
    """
    failed = [agreement for agreement in verification.agreements if not agreement.agrees]
    if failed:
        worst = failed[0]
        raise VerificationError(
            f"{verification.manifest.name} on {worst.place} differs from {worst.reference}: "
            f"{worst.n_different} of {worst.n_values} values, by up to {worst.largest} (allowed {worst.allowed})"
        )


def _read_model(directory: Path, manifest: FirmwareManifest) -> bytes:
    path = directory / "verify" / "model.tflite"
    try:
        model = path.read_bytes()
    except OSError as error:
        raise HostEnvironmentError(f"{path}: {error.strerror or error}; emit the directory again") from error
    if hashlib.sha256(model).hexdigest() != manifest.model_sha256:
        raise FirmwareError(f"{path} is not the model that model.c was emitted from; emit the directory again")
    return model


def _vectors(directory: Path, manifest: FirmwareManifest, model: bytes, seeded: int, seed: int) -> list[GoldenVectors]:
    path = directory / "verify" / "golden.npz"
    sets = load_golden(path) if path.is_file() else []
    check_golden(sets, manifest)
    if reference_version() is not None:
        most = most_samples(manifest.inputs)
        if 0 < most < seeded:
            raise UsageError(f"--inputs {seeded} are too many of this size; at most {most}")
        records = make_samples(manifest.inputs, seeded, seed)
        resets = tuple(range(0, len(records), _RESET_EVERY))
        outputs = run_reference(model, records, resets=resets)
        sets.append(GoldenVectors(f"tflite-micro {reference_version()} (seed {seed})", resets, records, outputs))
    return sets


def _at_place(
    place: str, directory: Path, manifest: FirmwareManifest, sets: Sequence[GoldenVectors]
) -> list[Agreement]:
    """Run all sets in one program, one after the other."""
    records: list[Record] = []
    resets: set[int] = set()
    for golden in sets:
        resets |= {len(records) + reset for reset in golden.resets}
        records += golden.inputs
    counts: tuple[Count, ...] = ()
    flash = (0, 0)
    if place == "host":
        with tempfile.TemporaryDirectory() as folder:
            program = build_host(directory, manifest, Path(folder), sanitize=True)
            outputs = run_host(program, manifest, records, resets)
    elif place in PROCESSORS:
        outputs = verify_processor(PROCESSORS[place], directory, manifest, records, resets)
    else:
        run = run_board(BOARDS[place], directory, manifest, records, resets)
        outputs, counts, flash = run.outputs, run.counts, (run.flash_bytes, run.kernel_bytes)
    agreements, at = [], 0
    for golden in sets:
        own = slice(at, at + len(golden.inputs))
        agreements.append(_compare(place, golden, outputs[own], counts[own], flash))
        at += len(golden.inputs)
    return agreements


def _compare(
    place: str, golden: GoldenVectors, outputs: Sequence[Record], counts: tuple[Count, ...], flash: tuple[int, int]
) -> Agreement:
    distances = np.concatenate(
        [
            np.abs(_codes(ours) - _codes(theirs))
            for found, wanted in zip(outputs, golden.outputs, strict=True)
            for ours, theirs in zip(found, wanted, strict=True)
        ]
    )
    return Agreement(
        place,
        golden.source,
        len(outputs),
        distances.size,
        int(np.count_nonzero(distances)),
        int(distances.max()),
        golden.max_lsb,
        counts,
        *flash,
    )


def _codes(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Values as integers; floats by their bits, so that equal means equal."""
    if values.dtype == np.float32:
        values = np.ascontiguousarray(values).view(np.int32)
    return values.astype(np.int64).ravel()
