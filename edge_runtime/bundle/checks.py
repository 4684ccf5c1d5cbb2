"""What the fields of a manifest must say together; every fault is found, each with its path."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from edge_runtime.bundle.manifest import (
    Decision,
    ImagePreprocessing,
    Manifest,
    Normalisation,
    Regimes,
    TensorSpec,
    WindowPreprocessing,
)

#: Members that every bundle has and the manifest does not list, since it is one and the other signs it.
UNLISTED = ("manifest.json", "signature")
_MEMBER = re.compile(r"(aux/)?[a-z0-9][a-z0-9_.-]{0,63}")
_MAX_ELEMENTS = 1 << 26
#: One value for two labels is the probability of the second.
_BINARY = (1, 2)
_COLOURS = {"rgb": 3, "bgr": 3, "gray": 1}


def find_problems(manifest: Manifest) -> list[str]:
    """Find everything in a manifest that contradicts itself.

    Parameters
    ----------
    manifest : Manifest
        Decoded, so types, patterns and single bounds hold already.

    Returns
    -------
    problems : list of str
        Each as ``$.path: what is wrong``; empty when there is none.
    """
    return [
        *_members(manifest),
        *_tensors("$.inputs", manifest.inputs),
        *_tensors("$.outputs", manifest.outputs),
        *_models(manifest),
        *_golden(manifest),
        *_preprocessing(manifest),
        *_decision(manifest),
        *_facts(manifest),
    ]


def _members(manifest: Manifest) -> Iterator[str]:
    """Names are allowed, and what the format requires is there."""
    for name in manifest.members:
        if _MEMBER.fullmatch(name) is None or name in UNLISTED:
            yield f'$.members: "{name}" is not a name for a member'
    if "golden.npz" not in manifest.members:
        yield '$.members: "golden.npz" is missing'
    if manifest.labels and "labels.txt" not in manifest.members:
        yield '$.members: "labels.txt" is missing although there are labels'


def _models(manifest: Manifest) -> Iterator[str]:
    """One model per format, each a member, each with the same tensors as the manifest."""
    formats = [model.format for model in manifest.models]
    if len(set(formats)) != len(formats):
        yield "$.models: two models of the same format"
    for index, model in enumerate(manifest.models):
        path = f"$.models[{index}]"
        if model.member not in manifest.members:
            yield f'{path}.member: "{model.member}" is not among the members'
        for kind, own, shared in (
            ("inputs", model.inputs, manifest.inputs),
            ("outputs", model.outputs, manifest.outputs),
        ):
            if own and len(own) != len(shared):
                yield f"{path}.{kind}: {len(own)} tensors, the manifest has {len(shared)}"
            yield from _tensors(f"{path}.{kind}", own)


def _tensors(path: str, specs: Sequence[TensorSpec]) -> Iterator[str]:
    """Names differ, the batch is 1, sizes are bounded, quantization fits."""
    if len({spec.name for spec in specs}) != len(specs):
        yield f"{path}: two tensors have the same name"
    for index, spec in enumerate(specs):
        where = f"{path}[{index}]"
        if spec.shape and spec.shape[0] != 1:
            yield f"{where}.shape: the batch axis is {spec.shape[0]}, it must be 1"
        if math.prod(spec.shape) > _MAX_ELEMENTS:
            yield f"{where}.shape: {math.prod(spec.shape)} elements, at most {_MAX_ELEMENTS} are allowed"
        yield from _quantization(where, spec)


def _quantization(path: str, spec: TensorSpec) -> Iterator[str]:
    """Scales are finite and positive, one or one per channel of the axis."""
    facts = spec.quantization
    if facts is None:
        return
    if len(facts.scale) != len(facts.zero_point):
        yield f"{path}.quantization: {len(facts.scale)} scales and {len(facts.zero_point)} zero points"
    if not all(math.isfinite(scale) and scale > 0 for scale in facts.scale):
        yield f"{path}.quantization.scale: must be finite and positive"
    if len(facts.scale) > 1:
        axis = facts.axis
        if axis is None or not 0 <= axis < len(spec.shape) or spec.shape[axis] != len(facts.scale):
            yield f"{path}.quantization: {len(facts.scale)} scales do not fit axis {axis} of {tuple(spec.shape)}"


def _golden(manifest: Manifest) -> Iterator[str]:
    """Keys and triples are unique."""
    sets = manifest.golden.sets
    if len({entry.key for entry in sets}) != len(sets):
        yield "$.golden.sets: two sets have the same key"
    if len({(entry.engine, entry.version, entry.instruction_set) for entry in sets}) != len(sets):
        yield "$.golden.sets: two sets for the same engine, version and instruction set"


def _preprocessing(manifest: Manifest) -> Iterator[str]:
    """Hold the parameters to the first input of the model."""
    steps = manifest.preprocessing
    shape = tuple(manifest.inputs[0].shape)
    if isinstance(steps, ImagePreprocessing):
        yield from _image(steps, shape)
    else:
        yield from _window(steps, shape)


def _image(steps: ImagePreprocessing, shape: tuple[int, ...]) -> Iterator[str]:
    """Colour, mean, std and size agree with the input."""
    path = "$.preprocessing"
    channels = _COLOURS[steps.colour]
    for name, values in (("mean", steps.mean), ("std", steps.std)):
        if len(values) != channels:
            yield f"{path}.{name}: {len(values)} values for {channels} channels ({steps.colour})"
    if not all(value > 0 for value in steps.std):
        yield f"{path}.std: must be positive"
    size = (steps.resize.height, steps.resize.width)
    if shape not in {(1, *size, channels), (1, channels, *size)}:
        yield f"{path}.resize: {size} with {channels} channels does not give the input {shape}"


def _window(steps: WindowPreprocessing, shape: tuple[int, ...]) -> Iterator[str]:
    """Channels, length and normalisation agree with the input."""
    path = "$.preprocessing"
    names = [channel.name for channel in steps.channels]
    if len(set(names)) != len(names):
        yield f"{path}.channels: two channels have the same name"
    for index, channel in enumerate(steps.channels):
        if channel.low is not None and channel.high is not None and channel.low >= channel.high:
            yield f"{path}.channels[{index}]: low is not below high"
    if math.prod(shape) != steps.length * len(names):
        yield f"{path}: {steps.length} samples of {len(names)} channels do not give the input {shape}"
    yield from _normalisation(f"{path}.normalisation", steps.normalisation, len(names))


def _normalisation(path: str, steps: Normalisation, n_channels: int) -> Iterator[str]:
    """One row per regime, one column per channel, scales positive."""
    n_rows = 1 if steps.regimes is None else len(steps.regimes.centroids)
    for name, rows in (("centre", steps.centre), ("scale", steps.scale)):
        if len(rows) != n_rows:
            yield f"{path}.{name}: {len(rows)} rows for {n_rows} regimes"
        if not all(len(row) == n_channels for row in rows):
            yield f"{path}.{name}: a row that does not have {n_channels} values"
    if not all(value > 0 for row in steps.scale for value in row):
        yield f"{path}.scale: must be positive"
    if steps.clip is not None and steps.clip <= 0:
        yield f"{path}.clip: must be positive"
    if steps.regimes is not None:
        yield from _regimes(f"{path}.regimes", steps.regimes, n_channels)


def _regimes(path: str, regimes: Regimes, n_channels: int) -> Iterator[str]:
    """Columns exist; spread and centroids have one value per column."""
    n_columns = len(regimes.columns)
    if not all(column < n_channels for column in regimes.columns):
        yield f"{path}.columns: a column beyond the {n_channels} channels"
    if len(regimes.spread) != n_columns or not all(value > 0 for value in regimes.spread):
        yield f"{path}.spread: must be {n_columns} positive values"
    if not all(len(row) == n_columns for row in regimes.centroids):
        yield f"{path}.centroids: a row that does not have {n_columns} values"


def _decision(manifest: Manifest) -> Iterator[str]:
    """Labels, thresholds and outputs agree."""
    decision = manifest.decision
    known = set(manifest.labels)
    if len(known) != len(manifest.labels):
        yield "$.labels: a label is there twice"
    if not all(label.isprintable() for label in manifest.labels):
        yield "$.labels: a label holds control characters"
    if not set(decision.normal) <= known:
        yield f"$.decision.normal: {sorted(set(decision.normal) - known)} are not labels"
    if manifest.task == "classification":
        yield from _classification(manifest, known)
    if manifest.task == "regression":
        yield from _regression(decision)
    yield from _hysteresis(decision)


def _classification(manifest: Manifest, known: set[str]) -> Iterator[str]:
    """One output per label, or one for two labels; every label but the normal ones has a threshold."""
    shape = manifest.outputs[0].shape
    if math.prod(shape) != len(manifest.labels) and (math.prod(shape), len(manifest.labels)) != _BINARY:
        yield f"$.labels: {len(manifest.labels)} labels for an output of shape {tuple(shape)}"
    missing = known - set(manifest.decision.normal) - set(manifest.decision.thresholds)
    if missing:
        yield f"$.decision.thresholds: {sorted(missing)} have none; every label but the normal ones needs one"
    unknown = set(manifest.decision.thresholds) - known
    if unknown:
        yield f"$.decision.thresholds: {sorted(unknown)} are not labels"


def _regression(decision: Decision) -> Iterator[str]:
    """Require a name for what is predicted, and thresholds of nothing else."""
    if not decision.quantity or not decision.quantity.isprintable():
        yield "$.decision.quantity: must name what a regression predicts"
    if set(decision.thresholds) - {decision.quantity}:
        yield f'$.decision.thresholds: may hold "{decision.quantity}" only, the quantity'
    if decision.interval is not None and decision.interval < 0:
        yield "$.decision.interval: is half a width, so it cannot be negative"


def _hysteresis(decision: Decision) -> Iterator[str]:
    """Require that an alarm clears on the good side of where it is raised."""
    for name, threshold in decision.thresholds.items():
        margin = threshold.raise_at - threshold.clear_at
        if (margin if decision.direction == "above" else -margin) < 0:
            yield f"$.decision.thresholds.{name}: clear_at is on the wrong side of raise_at"
    if decision.unsure is not None and decision.unsure[0] > decision.unsure[1]:
        yield "$.decision.unsure: low is above high"


def _facts(manifest: Manifest) -> Iterator[str]:
    """Limits are positive, intervals hold their values, histograms have width."""
    limits = manifest.limits
    for name, limit in (("latency_ms_p95", limits.latency_ms_p95), ("ram_kb", limits.ram_kb)):
        if limit is not None and limit <= 0:
            yield f"$.limits.{name}: must be positive"
    for index, histogram in enumerate(manifest.calibration_sketch):
        if histogram.low >= histogram.high:
            yield f"$.calibration_sketch[{index}]: low is not below high"
    for kind, metrics in (("before", manifest.metrics.before), ("after", manifest.metrics.after)):
        for index, metric in enumerate(metrics):
            low = metric.value if metric.low is None else metric.low
            high = metric.value if metric.high is None else metric.high
            if not low <= metric.value <= high:
                yield f"$.metrics.{kind}[{index}]: {metric.name} {metric.value} is outside its interval"
