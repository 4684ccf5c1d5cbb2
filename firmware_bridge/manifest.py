"""``firmware.json``: what an emitted directory holds, for programs."""

from __future__ import annotations

from typing import Final

import msgspec

MANIFEST: Final = "firmware.json"
SCHEMA: Final = "edge.firmware/1"
CONTRACT: Final = "tflm"


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
