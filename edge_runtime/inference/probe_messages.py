"""What the probe and its child process tell each other."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from edge_runtime.bundle.manifest import TensorSpec


class ProbeCandidate(Struct, frozen=True, kw_only=True):
    """One form of the model; its bytes are member ``model/<index>`` of the task's archive."""

    format: Literal["tflite", "onnx"]


class ProbeTask(Struct, frozen=True, kw_only=True):
    """What the child is to do: run the first candidate that an engine here can take."""

    candidates: tuple[ProbeCandidate, ...]
    engine: str | None = None
    threads: int = 1
    has_inputs: bool = False
    n_timed: int = 200
    timed_s: float = 1.0


class Measured(Struct, frozen=True, kw_only=True):
    """What the child found. Times are of one run, wall clock; memory is what loading and running added."""

    candidate: int
    engine: str
    version: str
    instruction_set: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    load_ms: float
    latency_ms_p50: float
    latency_ms_p95: float
    n_timed: int
    peak_kb: float


class Refused(Struct, frozen=True, kw_only=True):
    """Why the child ended without a measurement; ``error`` is the name of one of our errors."""

    error: str
    message: str


class ProbeAnswer(Struct, frozen=True, kw_only=True):
    """One of the two."""

    measured: Measured | None = None
    refused: Refused | None = None


def encode(message: Struct) -> bytes:
    """Write a message as JSON.

    Parameters
    ----------
    message : Struct
        One of this module's.

    Returns
    -------
    text : bytes
        JSON.
    """
    return msgspec.json.encode(message)
