"""What supervisor and worker say to each other: msgpack over a socket pair, payloads by their slot in the ring.

Both ends are always of one version, so this is no file format; it is still decoded strictly, because the worker is the
side that strangers' bytes could take over.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from edge_runtime.findings import Finding

Verdict = Literal["ok", "ng", "unsure"]


class PipelinePlan(Struct, frozen=True):
    """One pipeline as the worker builds it.

    ``exact`` holds outputs recorded earlier on this very engine: name of the triple and arrays as npz, empty the
    first time.
    """

    name: str
    kind: Literal["inspection", "monitor"]
    bundle: bytes
    sources: tuple[str, ...]
    exact: bytes = b""


class Load(Struct, frozen=True, tag="load"):
    """Build these pipelines and continue from these states (key ``<pipeline>/<source>``)."""

    pipelines: tuple[PipelinePlan, ...]
    states: dict[str, bytes]
    max_pixels: int


class FrameTask(Struct, frozen=True, tag="frame"):
    """An encoded picture in a slot."""

    id: int
    source: str
    slot: int
    n_bytes: int
    captured_at: float
    part: str | None


class BlockTask(Struct, frozen=True, tag="block"):
    """Sensor samples in a slot: ``rows`` timestamps (float64), then ``rows`` x ``columns`` values (float32)."""

    id: int
    source: str
    slot: int
    n_bytes: int
    rows: int
    columns: int


class Ready(Struct, frozen=True, tag="ready"):
    """The pipelines are built and their golden outputs agree.

    ``engines`` names the engine of each pipeline; ``exact`` holds newly recorded golden outputs to be stored.
    """

    engines: dict[str, str]
    exact: dict[str, bytes]
    sandbox: tuple[str, ...]
    load_ms: float


class Refused(Struct, frozen=True, tag="refused"):
    """A pipeline cannot be built; the others go on."""

    pipeline: str
    reason: Annotated[str, Meta(max_length=2000)]


class Outcome(Struct, frozen=True):
    """What one pipeline made of an input.

    ``reason`` is the stable word of a refused input, with ``detail`` for the log. ``state`` is the window state after
    it, where there is one.
    """

    pipeline: str
    findings: tuple[Finding, ...] = ()
    verdict: Verdict | None = None
    reason: str = ""
    detail: Annotated[str, Meta(max_length=500)] = ""
    state: bytes | None = None
    at: float | None = None


class Done(Struct, frozen=True, tag="done"):
    """An input is finished and its slot may be used again."""

    id: int
    outcomes: tuple[Outcome, ...]
    busy_ms: float


ToWorker = Load | FrameTask | BlockTask
FromWorker = Ready | Refused | Done

encode = msgspec.msgpack.Encoder().encode
decode_to_worker = msgspec.msgpack.Decoder(ToWorker).decode
decode_from_worker = msgspec.msgpack.Decoder(FromWorker).decode
