"""What ``report.json`` holds. Specified in ``docs/formats/report.md``; everything but ``timings`` is reproducible."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from edge_runtime.compress.lines import Line

SCHEMA = "edge.report/1"


class Value(Struct, frozen=True, omit_defaults=True):
    """A figure with its 95 % interval, where it has one, and the samples it stands on."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0


class Pair(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure before and after; ``slice`` is a label, ``column=value``, or empty; ``drop`` is paired."""

    name: str
    before: Value
    after: Value
    slice: str = ""
    drop: Value | None = None


class Flips(Struct, frozen=True):
    """Samples that only one model got right, and McNemar's exact p-value."""

    lost: int
    won: int
    p: float


class Bin(Struct, frozen=True):
    """Samples of like confidence."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


class Damage(Struct, frozen=True):
    """Both models on samples damaged in one way."""

    kind: str
    strength: float
    before: Value
    after: Value
    drop: Value


class Map(Struct, frozen=True):
    """Where two models look in one sample; rows of the parts' weights."""

    sample: int
    before: Annotated[tuple[tuple[float, ...], ...], Meta(min_length=1)]
    after: Annotated[tuple[tuple[float, ...], ...], Meta(min_length=1)]
    correlation: float | None = None


class Flipped(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One sample on which the models differ: labels, or values; a small picture (PNG, base64) or curves."""

    sample: int
    name: str
    truth: str
    before: str
    after: str
    picture: Annotated[str, Meta(max_length=200_000)] = ""
    curves: tuple[tuple[float, ...], ...] = ()


class ModelFacts(Struct, frozen=True):
    """What the model is."""

    float_bytes: int
    int8_bytes: int
    macs: int
    parameters: int
    integer_macs_pct: float
    integer_weight_bytes_pct: float


class DataFacts(Struct, frozen=True):
    """What it was proved on."""

    calibration_n: int
    calibration_sha256: str
    evaluation_n: int
    evaluation_sha256: str


class Cost(Struct, frozen=True):
    """Time (ms) and memory (KiB) of one model on this machine."""

    p50_ms: float
    p95_ms: float
    n_timed: int
    load_ms: float
    peak_kib: float


class Timings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What differs from run to run: time and memory, and the lines of the budget about them."""

    int8: Cost | None = None
    float32: Cost | None = None
    engine: str = ""
    lines: tuple[Line, ...] = ()


class BundleFacts(Struct, frozen=True):
    """What was written."""

    sha256: str
    size_bytes: int


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A build, whether or not it met its budget."""

    schema: str
    name: str
    version: str
    release: int
    task: str
    tool: str
    metric: str
    model: ModelFacts
    data: DataFacts
    metrics: tuple[Pair, ...]
    lines: tuple[Line, ...]
    decision: dict[str, Any]
    n_flipped: int
    flipped: tuple[Flipped, ...]
    bundle: BundleFacts | None = None
    labels: tuple[str, ...] = ()
    decision_before: dict[str, Any] | None = None
    flips: Flips | None = None
    confusion_before: tuple[tuple[int, ...], ...] = ()
    confusion_after: tuple[tuple[int, ...], ...] = ()
    slices: tuple[Pair, ...] = ()
    verdicts: tuple[Pair, ...] = ()
    bins_before: tuple[Bin, ...] = ()
    bins_after: tuple[Bin, ...] = ()
    damage: tuple[Damage, ...] = ()
    attribution: Value | None = None
    maps: tuple[Map, ...] = ()
    notes: tuple[str, ...] = ()
    origin: dict[str, Any] = {}
    timings: Timings = Timings()

    @property
    def is_met(self) -> bool:
        """Whether every line of the budget holds."""
        return all(line.is_met for line in (*self.lines, *self.timings.lines))
