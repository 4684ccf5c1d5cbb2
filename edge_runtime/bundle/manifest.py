"""The manifest of a bundle: what a model is, needs, was measured at, and which bytes belong to it.

The field names are a file format, specified in ``docs/formats/bundle.md``. Decoding ignores unknown keys, and the
bytes that were signed are kept beside the decoded form, so that a newer manifest is carried on unchanged.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

SCHEMA = "edge.bundle/1"

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Label = Annotated[str, Meta(min_length=1, max_length=64)]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
MemberName = Annotated[str, Meta(pattern=r"^(aux/)?[a-z0-9][a-z0-9_.-]{0,63}$")]
Count = Annotated[int, Meta(ge=0)]
Dimension = Annotated[int, Meta(ge=1, le=1 << 24)]
Dtype = Literal["int8", "uint8", "int16", "int32", "int64", "float32", "bool"]


class Quantization(Struct, frozen=True, omit_defaults=True):
    """Affine quantization of a tensor: ``real = scale * (code - zero_point)``.

    One scale and zero point is per tensor; more are per channel of ``axis``.
    """

    scale: Annotated[tuple[float, ...], Meta(min_length=1, max_length=65536)]
    zero_point: Annotated[tuple[int, ...], Meta(min_length=1, max_length=65536)]
    axis: int | None = None


class TensorSpec(Struct, frozen=True, omit_defaults=True):
    """Name, dtype, shape and quantization of one input or output of a model.

    ``shape`` includes the batch axis, which is 1 in every bundle.
    """

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    dtype: Dtype
    shape: Annotated[tuple[Dimension, ...], Meta(max_length=8)]
    quantization: Quantization | None = None


class Resize(Struct, frozen=True, omit_defaults=True):
    """How a frame becomes the model's size.

    ``stretch`` ignores the aspect ratio, ``letterbox`` keeps it and pads with ``pad`` (a grey level 0..255, centred),
    ``crop`` keeps it and cuts the centre.
    """

    mode: Literal["stretch", "letterbox", "crop"]
    height: Annotated[int, Meta(ge=1, le=4096)]
    width: Annotated[int, Meta(ge=1, le=4096)]
    interpolation: Literal["linear", "area", "nearest"] = "linear"
    pad: Annotated[int, Meta(ge=0, le=255)] = 114


class ImagePreprocessing(Struct, frozen=True, tag="image", tag_field="kind", omit_defaults=True):
    """Frame to input tensor: resize, colour order, then ``(byte - mean) / std`` per channel, then the tensor's code.

    ``mean`` and ``std`` are in grey levels 0..255, one per channel of ``colour``.
    """

    resize: Resize
    colour: Literal["rgb", "bgr", "gray"]
    mean: Annotated[tuple[float, ...], Meta(min_length=1, max_length=3)]
    std: Annotated[tuple[float, ...], Meta(min_length=1, max_length=3)]


class Channel(Struct, frozen=True, omit_defaults=True):
    """One sensor channel of a window, in model order. ``unit`` is a UCUM-like word, empty for none.

    Values outside ``low``..``high`` are invalid, and so is a value that came ``stuck_after`` times more without the
    least change (0: that is not checked).
    """

    name: Name
    unit: Annotated[str, Meta(max_length=16)] = ""
    low: float | None = None
    high: float | None = None
    stuck_after: Count = 0


class Regimes(Struct, frozen=True, omit_defaults=True):
    """Operating regimes: the row of ``centroids`` nearest to the channels ``columns`` after division by ``spread``."""

    columns: Annotated[tuple[Count, ...], Meta(min_length=1, max_length=16)]
    spread: Annotated[tuple[float, ...], Meta(min_length=1, max_length=16)]
    centroids: Annotated[tuple[tuple[float, ...], ...], Meta(min_length=1, max_length=64)]


class Normalisation(Struct, frozen=True, omit_defaults=True):
    """``(value - centre) / scale`` per channel, with one row of ``centre`` and ``scale`` per regime (one row: none).

    ``method`` names how the numbers were found (z-score: mean and deviation, min-max, robust: median and IQR); the
    arithmetic on the device is the same. ``clip`` bounds the result on both sides.
    """

    method: Literal["none", "zscore", "minmax", "robust"]
    centre: Annotated[tuple[tuple[float, ...], ...], Meta(min_length=1, max_length=64)]
    scale: Annotated[tuple[tuple[float, ...], ...], Meta(min_length=1, max_length=64)]
    regimes: Regimes | None = None
    clip: float | None = None


class WindowPreprocessing(Struct, frozen=True, tag="window", tag_field="kind", omit_defaults=True):
    """Sensor stream to input tensor: ``length`` samples every ``hop``, normalised, then the tensor's code.

    ``rate_hz`` is the sampling rate that the model was trained at; 0 means that a sample is an event (a cycle, a
    part), not a time. ``max_gap_s`` is the longest hole that a window may span. ``max_hold`` is the number of invalid
    samples in a row that may be replaced by the channel's last valid value; a longer fault gives no window.
    """

    channels: Annotated[tuple[Channel, ...], Meta(min_length=1, max_length=256)]
    length: Annotated[int, Meta(ge=1, le=65536)]
    hop: Annotated[int, Meta(ge=1, le=65536)]
    rate_hz: Annotated[float, Meta(ge=0, le=1e6)]
    normalisation: Normalisation
    max_gap_s: float | None = None
    max_hold: Count = 0


Preprocessing = ImagePreprocessing | WindowPreprocessing


class Threshold(Struct, frozen=True, omit_defaults=True):
    """Where a finding of one label becomes abnormal and where its alarm may clear again."""

    raise_at: float
    clear_at: float


class Decision(Struct, frozen=True, omit_defaults=True):
    """How outputs become findings.

    For classification, ``activation`` turns outputs into probabilities, ``normal`` names the labels that are no
    fault, and ``thresholds`` are per remaining label. ``unsure`` is the band of the highest fault probability inside
    which a part's verdict is "unsure". For regression the first output times ``output_scale`` plus
    ``output_offset`` is the ``quantity`` in ``unit``, and ``thresholds`` holds one entry named after it;
    ``direction`` says on which side of the threshold the fault lies.
    """

    activation: Literal["none", "softmax", "sigmoid"] = "none"
    normal: tuple[Label, ...] = ()
    thresholds: dict[str, Threshold] = {}
    unsure: tuple[float, float] | None = None
    direction: Literal["above", "below"] = "above"
    quantity: Annotated[str, Meta(max_length=64)] = ""
    unit: Annotated[str, Meta(max_length=16)] = ""
    output_scale: float = 1.0
    output_offset: float = 0.0
    interval: float | None = None


class QuantizationFacts(Struct, frozen=True, omit_defaults=True):
    """What is integer in the model: in % of multiply-accumulates and of the bytes of weight matrices."""

    precision: Literal["int8", "int16x8", "float"]
    macs: Count
    integer_macs_pct: Annotated[float, Meta(ge=0, le=100)]
    integer_weight_bytes_pct: Annotated[float, Meta(ge=0, le=100)]
    weights_bytes: Count = 0
    parameters: Count = 0
    per_channel: bool = True


class ModelMember(Struct, frozen=True, omit_defaults=True):
    """One executable form of the model. ``stateful`` models are reset before every window."""

    format: Literal["tflite", "onnx"]
    member: MemberName
    stateful: bool = False
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


class GoldenSet(Struct, frozen=True, omit_defaults=True):
    """Outputs recorded on one (engine, version, instruction set); arrays ``<key>_output_<i>`` in golden.npz."""

    engine: Annotated[str, Meta(max_length=64)]
    version: Annotated[str, Meta(max_length=64)]
    instruction_set: Annotated[str, Meta(max_length=64)]
    key: Name


class Golden(Struct, frozen=True, omit_defaults=True):
    """What the model must answer: ``input_<i>``, float reference ``float_<i>``, and one set of outputs per engine.

    Every array has the samples on axis 0. ``max_lsb`` bounds the difference of integer outputs on another engine,
    version or instruction set.
    """

    n_samples: Annotated[int, Meta(ge=1, le=4096)]
    max_lsb: Annotated[int, Meta(ge=0, le=65535)]
    sets: Annotated[tuple[GoldenSet, ...], Meta(min_length=1, max_length=64)]


class Histogram(Struct, frozen=True, omit_defaults=True):
    """Counts of one channel or sensor between equally spaced edges ``low`` and ``high``."""

    name: str
    low: float
    high: float
    counts: Annotated[tuple[Count, ...], Meta(min_length=1, max_length=256)]
    below: Count = 0
    above: Count = 0


class Metric(Struct, frozen=True, omit_defaults=True):
    """One figure with its 95 % interval and the number of samples it stands on."""

    name: str
    value: float
    n: Count
    low: float | None = None
    high: float | None = None
    slice: str = ""


class Metrics(Struct, frozen=True, omit_defaults=True):
    """The float model before and the shipped model after, on the same samples."""

    before: tuple[Metric, ...]
    after: tuple[Metric, ...]


class Limits(Struct, frozen=True, omit_defaults=True):
    """What the gateway may hold the model to at load: exceeded means refused."""

    latency_ms_p95: float | None = None
    ram_kb: float | None = None


class Member(Struct, frozen=True):
    """Digest and size of one member of the archive."""

    sha256: Digest
    size_bytes: Count


class Manifest(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Everything that is said about a model, under one signature.

    ``release`` increases with every bundle of the same ``name`` that is given out; a gateway refuses to go back.
    ``members`` lists every member of the archive but ``manifest.json`` and ``signature``.
    """

    schema: Literal["edge.bundle/1"]
    name: Name
    version: Annotated[str, Meta(min_length=1, max_length=64)]
    release: Annotated[int, Meta(ge=1, le=2**53)]
    task: Literal["classification", "detection", "segmentation", "anomaly", "regression"]
    inputs: Annotated[tuple[TensorSpec, ...], Meta(min_length=1, max_length=16)]
    outputs: Annotated[tuple[TensorSpec, ...], Meta(min_length=1, max_length=16)]
    models: Annotated[tuple[ModelMember, ...], Meta(min_length=1, max_length=4)]
    preprocessing: Preprocessing
    labels: tuple[Label, ...] = ()
    decision: Decision
    quantization: QuantizationFacts
    golden: Golden
    calibration_sketch: tuple[Histogram, ...] = ()
    metrics: Metrics
    limits: Limits = Limits()
    members: dict[str, Member]
    provenance: dict[str, Any] = {}


def _require_finite(value: object, path: str) -> None:
    """Refuse NaN and infinity anywhere in a plain tree: JSON has no such numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path}: {value} is not a finite number")
    if isinstance(value, dict):
        for key, item in value.items():
            _require_finite(item, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _require_finite(item, f"{path}[{index}]")


def canonical_json(tree: object) -> bytes:
    r"""Write a tree of plain values or Structs as canonical JSON.

    Keys sorted, no white space, UTF-8, shortest round-trip numbers, one newline at the end.

    Parameters
    ----------
    tree : object
        Anything ``msgspec.to_builtins`` takes.

    Returns
    -------
    text : bytes
        The same bytes for equal trees.

    Raises
    ------
    ValueError
        If a number is NaN or infinite; the message names its path.

    Examples
    --------
    >>> canonical_json({"b": 1.0, "a": [1, "é"]})
    b'{"a":[1,"\xc3\xa9"],"b":1.0}\n'
    """
    plain = msgspec.to_builtins(tree)
    _require_finite(plain, "$")
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"
