"""What supervisor and worker say to each other: msgpack over a socket pair, payloads by their slot in the ring.

Both ends are always of one version, so this is no file format; it is still decoded strictly, because the worker is the
side that strangers' bytes could take over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from edge_runtime.findings import Finding
from edge_runtime.messages import Verdict

_Word = Annotated[str, Meta(pattern=r"^[a-z_]{0,64}$")]
ItemType = Literal["bool", "int8", "uint8", "int16", "int32", "int64", "float32", "float64"]
_ITEM_BYTES: dict[str, int] = {
    "bool": 1, "int8": 1, "uint8": 1, "int16": 2, "int32": 4, "int64": 8, "float32": 4, "float64": 8
}  # fmt: skip
_Name = Annotated[str, Meta(min_length=1, max_length=64)]
_Unit = Annotated[str, Meta(max_length=16)]
_LABEL_LENGTH, _UNIT_LENGTH = 64, 16
#: Beyond every time that the codec lets in, s since the epoch, either way.
_FARTHEST_S = 1e14

#: The longest window state that is carried over to a new worker; a larger window begins anew.
STATE_BYTES = 1 << 17
#: Windows that one pipeline hands over with one outcome, altogether; those beyond are not evidence. With the state they
#: fit into a packet of the kernel's usual 416 KiB.
WINDOWS_BYTES = 3 << 16


class Answers(Struct, frozen=True):
    """What a model answered to its bundle's golden inputs on one engine, version and instruction set.

    Per output: dtype, shape and bytes.
    """

    engine: str
    version: str
    instruction_set: str
    outputs: tuple[tuple[ItemType, tuple[Annotated[int, Meta(ge=0)], ...], bytes], ...]


class SourcePlan(Struct, frozen=True):
    """A camera (no channels), or a sensor with its channels' names and units and its rate."""

    id: str
    channels: tuple[tuple[str, str], ...] = ()
    rate_hz: float = 0.0


class PipelinePlan(Struct, frozen=True):
    """One pipeline as the worker builds it: a bundle whose signature the supervisor has verified, and its sources.

    ``thresholds`` overrides the bundle's by label: where a finding is abnormal, and where its alarm may clear.
    ``recorded`` is what this gateway knows of its answers. The float reference looks at one input in
    ``reference_every``, at none with 0.
    """

    name: str
    bundle: bytes
    sources: tuple[SourcePlan, ...]
    thresholds: dict[str, tuple[float | None, float | None]]
    recorded: tuple[Answers, ...]
    reference_every: int = 0


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

    ``first`` is the source's channel in the first column. ``again`` says that the broker may have delivered it before.
    """

    id: int
    source: str
    slot: int
    n_bytes: int
    rows: int
    columns: int
    first: int = 0
    again: bool = False


class WindowTask(Struct, frozen=True, tag="window"):
    """One window in a slot, to be judged beside the stream: ``rows`` x ``columns`` values (float32), cleaned."""

    id: int
    pipeline: str
    slot: int
    n_bytes: int
    rows: int
    columns: int


class Look(Struct, frozen=True, tag="look"):
    """New orders are in the memory file of the first ones: a ``Resume``."""


class Resume(Struct, frozen=True, tag="resume"):
    """Go on from these states (key ``<pipeline>/<source>``): another worker went on while this one was built."""

    states: dict[str, bytes]


class Building(Struct, frozen=True, tag="building"):
    """A pipeline is about to be built; if nothing follows, its model took the worker down."""

    pipeline: str


class Built(Struct, frozen=True, tag="built"):
    """A pipeline is built, and its model answered the golden inputs as the bundle and ``recorded`` allow.

    ``answers`` is given when nobody recorded this engine, version and instruction set before: the gateway then does.
    ``reference`` says why the float reference that is wanted does not look; empty when it does, or none is wanted.
    """

    pipeline: str
    engine: Annotated[str, Meta(max_length=256)]
    answers: Answers | None
    reference: Annotated[str, Meta(max_length=500)] = ""


class Refused(Struct, frozen=True, tag="refused"):
    """A pipeline cannot be built; the others go on."""

    pipeline: str
    reason: Annotated[str, Meta(max_length=2000)]


class Ready(Struct, frozen=True, tag="ready"):
    """Every pipeline is built or refused; inputs may come. ``sandbox`` names the measures in force."""

    sandbox: tuple[str, ...]


#: What a sample that is not simply used is counted as; the words of ``CleaningCounts``.
Irregularity = Literal[
    "not_finite", "out_of_range", "stuck", "held", "unusable", "late", "gaps", "clock_steps", "reference_failed"
]


class Window(Struct, frozen=True):
    """A window with an abnormal finding, as the model was shown it: the evidence of an alarm that it raises.

    ``first`` is the place of its first finding in the outcome, ``count`` how many findings are its own. ``times`` are
    float64 (s), ``samples`` float32, a row for each time; ``held`` are bits of values that stand in for invalid ones,
    or nothing. ``channels`` are names and units.
    """

    first: Annotated[int, Meta(ge=0)]
    count: Annotated[int, Meta(ge=1)]
    channels: Annotated[tuple[tuple[_Name, _Unit], ...], Meta(min_length=1, max_length=256)]
    rate_hz: Annotated[float, Meta(ge=0, le=1e6)]
    times: Annotated[bytes, Meta(max_length=WINDOWS_BYTES)]
    samples: Annotated[bytes, Meta(max_length=WINDOWS_BYTES)]
    held: Annotated[bytes, Meta(max_length=WINDOWS_BYTES)] = b""

    @property
    def size(self) -> int:
        """Bytes of its arrays."""
        return len(self.times) + len(self.samples) + len(self.held)


class Compared(Struct, frozen=True):
    """What the quantized model and its float reference said of one label: scores, and whether they are abnormal."""

    label: Annotated[str, Meta(min_length=1, max_length=_LABEL_LENGTH)]
    score: float
    reference_score: float
    abnormal: bool
    reference_abnormal: bool


class Outcome(Struct, frozen=True):
    """What one pipeline made of an input.

    ``reason`` is the stable word of a refused input, with ``detail`` for the log. ``state`` is the window state after
    it, where there is one. ``irregular`` counts samples of the input, or values of them, that were not simply used.
    ``took_ms`` is the processor time of this pipeline, without the decoding of the picture.
    ``windows`` are those with abnormal findings, as far as there is room. ``compared`` holds, for each input that the
    float reference looked at too, one entry per label.
    """

    pipeline: str
    findings: tuple[Finding, ...] = ()
    verdict: Verdict | None = None
    reason: _Word = ""
    detail: Annotated[str, Meta(max_length=500)] = ""
    state: bytes | None = None
    at: float | None = None
    irregular: dict[Irregularity, Annotated[int, Meta(ge=0)]] = {}
    windows: tuple[Window, ...] = ()
    took_ms: Annotated[float, Meta(ge=0, le=1e12)] = 0.0
    compared: tuple[tuple[Compared, ...], ...] = ()


class Done(Struct, frozen=True, tag="done"):
    """An input is finished and its slot may be used again."""

    id: int
    outcomes: tuple[Outcome, ...]
    busy_ms: Annotated[float, Meta(ge=0, le=1e12)]


Task = FrameTask | BlockTask | WindowTask
ToWorker = Load | Task | Look | Resume
FromWorker = Building | Built | Refused | Ready | Done

encode = msgspec.msgpack.Encoder().encode
decode_to_worker = msgspec.msgpack.Decoder(ToWorker).decode
_decode_from_worker: Callable[[bytes], FromWorker] = msgspec.msgpack.Decoder(FromWorker).decode


def decode_from_worker(data: bytes, pipelines: Container[str]) -> FromWorker:
    """Read a message of the worker as one reads a stranger's.

    Parameters
    ----------
    data : bytes
        One packet.
    pipelines : container of str
        Those that the worker was told to build.

    Returns
    -------
    message : FromWorker
        Of the right types, about these pipelines, with finite numbers, and with texts that fit into our messages.

    Raises
    ------
    msgspec.MsgspecError
        If it is anything else.
    """
    message = _decode_from_worker(data)
    for fault in _list_faults(message, pipelines):
        raise msgspec.ValidationError(fault)
    return message


def _list_faults(message: FromWorker, pipelines: Container[str]) -> Iterator[str]:
    """Say what no worker of ours would say."""
    if isinstance(message, Done):
        for outcome in message.outcomes:
            if outcome.pipeline not in pipelines:
                yield f"an outcome of the unknown pipeline {outcome.pipeline[:64]!r}"
            if outcome.at is not None and not abs(outcome.at) <= _FARTHEST_S:
                yield f"an outcome at {outcome.at}"
            yield from _list_finding_faults(outcome.findings)
            yield from _list_comparison_faults(outcome)
            yield from _list_window_faults(outcome)
    elif isinstance(message, (Building, Built, Refused)):
        if message.pipeline not in pipelines:
            yield f"the unknown pipeline {message.pipeline[:64]!r}"
        if isinstance(message, Built) and message.answers is not None:
            for dtype, shape, data in message.answers.outputs:
                if math.prod(shape) * _ITEM_BYTES[dtype] != len(data):
                    yield f"{len(data)} bytes as {dtype} of shape {shape}"


def _list_comparison_faults(outcome: Outcome) -> Iterator[str]:
    """Say what no two models would say."""
    for each in (label for compared in outcome.compared for label in compared):
        if not (math.isfinite(each.score) and math.isfinite(each.reference_score)):
            yield f"a comparison of {each.score} with {each.reference_score}"


def _list_window_faults(outcome: Outcome) -> Iterator[str]:
    """Say what is no window of these findings."""
    for each in outcome.windows:
        rows, n_values = len(each.times) // 8, len(each.samples) // 4
        if not rows or len(each.times) % 8 or len(each.samples) != 4 * rows * len(each.channels):
            yield f"a window of {len(each.times)} bytes of times and {len(each.samples)} of samples"
        if each.held and len(each.held) != -(-n_values // 8):
            yield f"a window with {len(each.held)} bytes of marks"
        if each.first + each.count > len(outcome.findings):
            yield "a window of findings that are not there"
        if not math.isfinite(each.rate_hz):
            yield f"a window at {each.rate_hz} Hz"
    if sum(each.size for each in outcome.windows) > WINDOWS_BYTES:
        yield "more windows than are handed over"


def _list_finding_faults(findings: tuple[Finding, ...]) -> Iterator[str]:
    """Say what is no finding of ours."""
    for each in findings:
        numbers = (each.score, each.threshold, each.clear_below, each.value, each.value_low, each.value_high)
        if not all(number is None or math.isfinite(number) for number in numbers):
            yield f"a finding with {numbers}"
        if not all(math.isfinite(number) for box in each.boxes for number in box):
            yield "a box that is not finite"
        if not each.label or len(each.label) > _LABEL_LENGTH or len(each.unit) > _UNIT_LENGTH:
            yield "a finding with too long a label or unit, or none"
