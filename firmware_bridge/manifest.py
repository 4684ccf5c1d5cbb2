"""``firmware.json``: what an emitted directory holds, for programs."""

from __future__ import annotations

import math
import re
from typing import Final

import msgspec
import numpy as np

from edge_runtime.errors import FirmwareError, UsageError
from firmware_bridge.naming import check_name
from firmware_bridge.schema import ITEM_BYTES

MANIFEST: Final = "firmware.json"
SCHEMA: Final = "edge.firmware/1"
CONTRACT: Final = "tflm"
_DTYPES: Final = ("int8", "uint8", "int16", "int32", "float32")
_KERNEL = re.compile(r"^[a-z][a-z0-9_]{0,39}$")
_MAX_BYTES: Final = (1 << 31) - 1
_SIZES: Final = {
    "model_bytes": _MAX_BYTES,
    "arena_bytes": _MAX_BYTES,
    "arena_lower_bound": _MAX_BYTES,
    "state_bytes": _MAX_BYTES,
    "constant_bytes": _MAX_BYTES,
    "macs": (1 << 63) - 1,
}


class PortManifest(msgspec.Struct, frozen=True):
    """One graph input or output in ``firmware.json``."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    arena_offset: int
    scale: float
    zero_point: int


class FirmwareManifest(msgspec.Struct, frozen=True):
    """What an emitted directory holds; ``docs/formats/firmware-directory.md`` specifies it."""

    schema: str
    name: str
    target: str
    contract: str
    model_sha256: str
    model_bytes: int
    arena_bytes: int
    arena_lower_bound: int
    state_bytes: int
    macs: int
    constant_bytes: int
    kernels: tuple[str, ...]
    inputs: tuple[PortManifest, ...]
    outputs: tuple[PortManifest, ...]
    operators: tuple[tuple[int, str, int], ...]


def check_manifest(manifest: FirmwareManifest) -> None:
    """Refuse a manifest whose fields ``emit`` cannot have written.

    Parameters
    ----------
    manifest : FirmwareManifest
        As decoded; its name, kernels and types become C text and paths.

    Raises
    ------
    FirmwareError
        Naming the first field that is wrong.
    """
    if manifest.schema != SCHEMA:
        raise FirmwareError(f"schema {manifest.schema!r} instead of {SCHEMA!r}")
    if manifest.contract != CONTRACT:
        raise FirmwareError(f"contract {manifest.contract!r} instead of {CONTRACT!r}")
    try:
        check_name(manifest.name)
    except UsageError as error:
        raise FirmwareError(f"name {manifest.name!r} is none that emit writes") from error
    for kernel in manifest.kernels:
        if not _KERNEL.match(kernel):
            raise FirmwareError(f"kernel {kernel!r} is no kernel's name")
    for field, most in _SIZES.items():
        value = getattr(manifest, field)
        if not 0 <= value <= most:
            raise FirmwareError(f"{field} is {value}")
    if not manifest.inputs or not manifest.outputs:
        raise FirmwareError("inputs or outputs are empty")
    for port in manifest.inputs + manifest.outputs:
        _check_port(port, manifest.arena_bytes)


def _check_port(port: PortManifest, arena_bytes: int) -> None:
    if port.dtype not in _DTYPES:
        raise FirmwareError(f"port {port.name!r}: dtype {port.dtype!r} is none of {', '.join(_DTYPES)}")
    if any(size < 1 for size in port.shape) or port.nbytes != math.prod(port.shape) * ITEM_BYTES[port.dtype]:
        raise FirmwareError(f"port {port.name!r}: shape {list(port.shape)} does not have {port.nbytes} bytes")
    if not 0 <= port.arena_offset <= arena_bytes - port.nbytes:
        raise FirmwareError(f"port {port.name!r}: offset {port.arena_offset} is outside of the arena")
    if not (math.isfinite(port.scale) and port.scale > 0.0):
        raise FirmwareError(f"port {port.name!r}: scale {port.scale} is not positive and finite")
    if port.dtype != "float32":
        limits = np.iinfo(port.dtype)
        if not limits.min <= port.zero_point <= limits.max:
            raise FirmwareError(f"port {port.name!r}: zero point {port.zero_point} is outside of {port.dtype}")
