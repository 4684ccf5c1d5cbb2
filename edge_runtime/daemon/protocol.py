"""What supervisor and worker say to each other: msgpack over a socket pair, payloads by their slot in the ring.

Both ends are always of one version, so this is no file format; it is still decoded strictly, because the worker is the
side that strangers' bytes could take over.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from edge_runtime.findings import Finding
from edge_runtime.messages import Verdict

#: The longest window state that is carried over to a new worker; a larger window begins anew.
STATE_BYTES = 1 << 17


class Answers(Struct, frozen=True):
    """What a model answered to its bundle's golden inputs on one engine, version and instruction set.

    Per output: dtype, shape and bytes.
    """

    engine: str
    version: str
    instruction_set: str
    outputs: tuple[tuple[str, tuple[int, ...], bytes], ...]


class SourcePlan(Struct, frozen=True):
    """A camera (no channels), or a sensor with its channels' names and units and its rate."""

    id: str
    channels: tuple[tuple[str, str], ...] = ()
    rate_hz: float = 0.0


class PipelinePlan(Struct, frozen=True):
    """One pipeline as the worker builds it: a bundle whose signature the supervisor has verified, and its sources.

    ``thresholds`` overrides the bundle's by label: where a finding is abnormal, and where its alarm may clear.
    ``recorded`` is what this gateway knows of its answers.
    """

    name: str
    bundle: bytes
    sources: tuple[SourcePlan, ...]
    thresholds: dict[str, tuple[float | None, float | None]]
    recorded: tuple[Answers, ...]


class Load(Struct, frozen=True, tag="load"):
    """Build these pipelines and continue from these states (key ``<pipeline>/<source>``).

    ``trusted`` holds the public keys, as PEM, by which bundles are verified.
    """

    pipelines: tuple[PipelinePlan, ...]
    trusted: tuple[bytes, ...]
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
    """Sensor samples in a slot: ``rows`` timestamps (float64), then ``rows`` x ``columns`` values (float32).

    ``first`` is the source's channel in the first column.
    """

    id: int
    source: str
    slot: int
    n_bytes: int
    rows: int
    columns: int
    first: int = 0


class Building(Struct, frozen=True, tag="building"):
    """A pipeline is about to be built; if nothing follows, its model took the worker down."""

    pipeline: str


class Built(Struct, frozen=True, tag="built"):
    """A pipeline is built, and its model answered the golden inputs as the bundle and ``recorded`` allow.

    ``answers`` is given when nobody recorded this engine, version and instruction set before: the gateway then does.
    """

    pipeline: str
    engine: str
    answers: Answers | None


class Refused(Struct, frozen=True, tag="refused"):
    """A pipeline cannot be built; the others go on."""

    pipeline: str
    reason: Annotated[str, Meta(max_length=2000)]


class Ready(Struct, frozen=True, tag="ready"):
    """Every pipeline is built or refused; inputs may come. ``sandbox`` names the measures in force."""

    sandbox: tuple[str, ...]


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
FromWorker = Building | Built | Refused | Ready | Done

encode = msgspec.msgpack.Encoder().encode
decode_to_worker = msgspec.msgpack.Decoder(ToWorker).decode
decode_from_worker = msgspec.msgpack.Decoder(FromWorker).decode
