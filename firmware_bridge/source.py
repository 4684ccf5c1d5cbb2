"""Where a model comes from: a .tflite file or a bundle, read with limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.reader import MAX_BUNDLE_BYTES, Bundle, read_bundle, read_unverified
from edge_runtime.bundle.signature import TrustedKeys, parse_public_key
from edge_runtime.errors import FirmwareError, HostEnvironmentError
from firmware_bridge.golden import GoldenVectors
from firmware_bridge.model import MAX_MODEL_BYTES
from firmware_bridge.samples import Record

_MAX_KEY_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Source:
    """A model and what is known about it.

    Attributes
    ----------
    model : bytes
        The .tflite file.
    name : str
        Of the file or bundle, without its ending.
    golden : tuple of GoldenVectors
        What a bundle recorded; empty for a file.
    warning : str
        What the user should know, or empty.
    """

    model: bytes
    name: str
    golden: tuple[GoldenVectors, ...] = ()
    warning: str = ""


def read_source(path: Path, trust: Path | None) -> Source:
    """Read a .tflite file or a bundle.

    Parameters
    ----------
    path : Path
        What the user named; a bundle is known by its zip header.
    trust : Path or None
        Public key that must have signed a bundle; without it digests are checked but not who signed.

    Raises
    ------
    HostEnvironmentError
        When the file cannot be read.
    BundleError
        When a bundle is refused.
    FirmwareError
        When a bundle has no .tflite member.
    """
    data = _read_limited(path, MAX_MODEL_BYTES)
    if data[:2] != b"PK":
        return Source(data, path.stem)
    if len(data) > MAX_BUNDLE_BYTES:
        raise FirmwareError(f"{path}: a bundle has at most {MAX_BUNDLE_BYTES} bytes")
    if trust is None:
        bundle = read_unverified(data)
        warning = "the bundle's signature was not checked; give --trust PUBLIC.pem"
    else:
        key = parse_public_key(_read_limited(trust, _MAX_KEY_BYTES), str(trust))
        bundle, warning = read_bundle(data, TrustedKeys([key])), ""
    found = bundle.model("tflite")
    if found is None:
        raise FirmwareError(f'{path}: the bundle holds no .tflite model; build it with formats = ["tflite"]')
    return Source(found[1], bundle.manifest.name, tuple(_golden_sets(bundle)), warning)


def _read_limited(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise HostEnvironmentError(f"{path}: {error.strerror or error}") from error
    if len(data) > limit:
        raise FirmwareError(f"{path} has more than {limit} bytes")
    return data


def _with_batch(arrays: tuple[npt.NDArray[np.generic], ...], index: int) -> Record:
    return tuple(array[index : index + 1] for array in arrays)


def _golden_sets(bundle: Bundle) -> list[GoldenVectors]:
    """Return recorded sets as vectors; the state is reset before every sample."""
    vectors = bundle.golden()
    manifest = bundle.manifest
    n_samples = manifest.golden.n_samples
    inputs = [_with_batch(tuple(vectors.inputs), index) for index in range(n_samples)]
    sets = []
    for entry in manifest.golden.sets:
        outputs = [_with_batch(tuple(vectors.outputs[entry.key]), index) for index in range(n_samples)]
        exact = entry.engine == "tflite-micro"
        label = f"{entry.engine} {entry.version} {entry.instruction_set}"
        sets.append(
            GoldenVectors(label, tuple(range(n_samples)), inputs, outputs, 0 if exact else manifest.golden.max_lsb)
        )
    return sets
