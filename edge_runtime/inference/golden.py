"""Whether a model answers as its bundle says: bit for bit on the same engine, the same decisions on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.golden import GoldenVectors, sample_shape
from edge_runtime.bundle.manifest import Manifest, TensorSpec
from edge_runtime.bundle.recorded import Triple
from edge_runtime.errors import BundleCompatibilityError, TensorMismatchError
from edge_runtime.inference.interface import Array, EngineIdentity, Runtime

#: A float output has no codes; its step is the range of the golden outputs over this many.
_FLOAT_STEPS = 255


@dataclass(frozen=True, slots=True)
class GoldenVerdict:
    """How a model's answers compare with the golden ones.

    Attributes
    ----------
    rule : {"shipped", "recorded", "tolerated"}
        Equal to the bundle's set for this engine, version and instruction set; equal to what this gateway recorded
        before; or, on a triple that nobody recorded, the same decisions within ``max_lsb``.
    max_lsb : float
        Largest difference seen, in steps of the output; 0 unless tolerated.
    compared_with : str
        Key of the bundle's set, or ``recorded``.
    """

    rule: Literal["shipped", "recorded", "tolerated"]
    max_lsb: float
    compared_with: str


def triple_of(identity: EngineIdentity) -> Triple:
    """Give what an exact set belongs to.

    Parameters
    ----------
    identity : EngineIdentity
        The engine.

    Returns
    -------
    triple : Triple
        Engine, version, instruction set.
    """
    return Triple(identity.engine, identity.version, identity.instruction_set)


def run_samples(runtime: Runtime, inputs: Sequence[Array]) -> tuple[Array, ...]:
    """Run a model on each sample.

    Parameters
    ----------
    runtime : Runtime
        The loaded model.
    inputs : sequence of arrays
        One per input, samples on axis 0 in place of the batch.

    Returns
    -------
    outputs : tuple of arrays
        One per output, samples on axis 0.

    Raises
    ------
    TensorMismatchError, InvocationError
        As ``Runtime.run``.
    """
    specs = runtime.interface.inputs
    _require_samples(specs, inputs)
    n_samples = len(inputs[0])
    answers = [
        runtime.run([array[index : index + 1].reshape(spec.shape) for spec, array in zip(specs, inputs, strict=True)])
        for index in range(n_samples)
    ]
    outputs = []
    for position, spec in enumerate(runtime.interface.outputs):
        stacked = np.stack([answer[position] for answer in answers])
        outputs.append(stacked.reshape((n_samples, *sample_shape(spec))))
    return tuple(outputs)


def judge_golden(
    manifest: Manifest,
    vectors: GoldenVectors,
    triple: Triple,
    outputs: Sequence[Array],
    recorded: Sequence[Array] | None,
) -> GoldenVerdict:
    """Hold a model's answers to the golden ones.

    Parameters
    ----------
    manifest : Manifest
        Of the bundle.
    vectors : GoldenVectors
        Of the bundle.
    triple : Triple
        Where the answers were computed.
    outputs : sequence of arrays
        The answers, one per output, samples on axis 0.
    recorded : sequence of arrays or None
        What this gateway recorded for the same bundle and triple.

    Returns
    -------
    verdict : GoldenVerdict
        By which rule they pass.

    Raises
    ------
    BundleCompatibilityError
        If they do not, with the first difference and its size.
    """
    for entry in manifest.golden.sets:
        if Triple(entry.engine, entry.version, entry.instruction_set) == triple:
            _require_equal(manifest, vectors.outputs[entry.key], outputs, f"the bundle's set {entry.key}")
            return GoldenVerdict("shipped", 0.0, entry.key)
    if recorded is not None:
        _require_equal(manifest, recorded, outputs, "what this gateway recorded before")
        return GoldenVerdict("recorded", 0.0, "recorded")
    return _judge_other_triple(manifest, vectors.outputs, triple, outputs)


def decisions(manifest: Manifest, outputs: Sequence[Array]) -> npt.NDArray[np.int64]:
    """Give what each sample's first output decides, as far as the manifest defines a decision.

    Parameters
    ----------
    manifest : Manifest
        Task, thresholds and quantization of the output.
    outputs : sequence of arrays
        Samples on axis 0.

    Returns
    -------
    decisions : int64, shape (n_samples, n_decisions)
        Classification: 1 per label at or above its threshold, then the index of the most probable label.
        Regression and anomaly: 1 on the fault side of each threshold. Other tasks have none: (n_samples, 0).

    Notes
    -----
    ``inference.decision`` decides the same for one frame or window, on kernels that the supervisor must not load; a
    test holds the two together.
    """
    scores = _real(manifest.outputs[0], outputs[0]).reshape(len(outputs[0]), -1)
    decision = manifest.decision
    if manifest.task == "classification":
        probabilities = _probabilities(manifest, scores)
        raised: npt.NDArray[np.bool_] = probabilities >= np.array(
            [_raise_at(manifest, each) for each in manifest.labels]
        )
        best = probabilities.argmax(axis=1)[:, np.newaxis]
        return np.hstack([raised, best]).astype(np.int64)
    if manifest.task in {"regression", "anomaly"} and decision.thresholds:
        values = scores[:, -1:] * decision.output_scale + decision.output_offset
        levels = np.array([threshold.raise_at for threshold in decision.thresholds.values()])
        sides: npt.NDArray[np.bool_] = values >= levels if decision.direction == "above" else values <= levels
        return sides.astype(np.int64)
    return np.zeros((len(scores), 0), np.int64)


def _require_samples(specs: Sequence[TensorSpec], inputs: Sequence[Array]) -> None:
    """Refuse samples that do not fit the model."""
    if len(specs) != len(inputs):
        raise TensorMismatchError(f"the model takes {len(specs)} inputs, got {len(inputs)}")
    for spec, array in zip(specs, inputs, strict=True):
        if array.dtype != np.dtype(spec.dtype) or array.shape[1:] != sample_shape(spec):
            wanted = f"samples of {spec.dtype} {sample_shape(spec)}"
            raise TensorMismatchError(f'input "{spec.name}": expected {wanted}, got {array.dtype} {array.shape}')


def _raise_at(manifest: Manifest, label: str) -> float:
    """Give a label's threshold; a normal label has none and is never raised."""
    threshold = manifest.decision.thresholds.get(label)
    return np.inf if threshold is None else threshold.raise_at


def _probabilities(manifest: Manifest, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give one probability per label and sample."""
    if manifest.decision.activation == "softmax":
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores = powers / powers.sum(axis=1, keepdims=True)
    elif manifest.decision.activation == "sigmoid":
        shrunk = np.exp(-np.abs(scores))  # of nothing positive: it cannot overflow
        scores = np.where(scores >= 0, 1.0, shrunk) / (1.0 + shrunk)
    if scores.shape[1] == 1:
        return np.hstack([1.0 - scores, scores])
    return scores


def _judge_other_triple(
    manifest: Manifest, sets: Mapping[str, tuple[Array, ...]], triple: Triple, outputs: Sequence[Array]
) -> GoldenVerdict:
    """Compare with the nearest of the bundle's sets."""
    distances = {key: _distance(manifest.outputs, expected, outputs) for key, expected in sets.items()}
    key = min(distances, key=lambda each: distances[each])
    if distances[key] > manifest.golden.max_lsb:
        raise BundleCompatibilityError(
            f"{triple.engine} {triple.version} on {triple.instruction_set} differs from the golden outputs"
            f' "{key}" by {distances[key]:.1f} steps, {manifest.golden.max_lsb} are allowed; build the bundle with'
            " golden outputs of this engine, or use the engine that it was built with"
        )
    wanted, found = decisions(manifest, sets[key]), decisions(manifest, outputs)
    different = np.flatnonzero((wanted != found).any(axis=1))
    if len(different):
        raise BundleCompatibilityError(
            f"{triple.engine} {triple.version} on {triple.instruction_set} decides {len(different)} of"
            f' {len(wanted)} golden samples otherwise than set "{key}", first sample {different[0]}; build the'
            " bundle with golden outputs of this engine, or use the engine that it was built with"
        )
    return GoldenVerdict("tolerated", distances[key], key)


def _require_equal(manifest: Manifest, expected: Sequence[Array], outputs: Sequence[Array], origin: str) -> None:
    """Require equal bits."""
    for spec, wanted, found in zip(manifest.outputs, expected, outputs, strict=True):
        if wanted.tobytes() != np.ascontiguousarray(found).tobytes():
            first = np.argwhere(wanted != found)
            place = tuple(int(index) for index in first[0]) if len(first) else ()
            raise BundleCompatibilityError(
                f'output "{spec.name}" differs from {origin} in {len(first)} of {wanted.size} values, first at'
                f" {place}: {found[place]} instead of {wanted[place]}; the same engine on the same instruction set must"
                " give the same bits: the library or the machine is damaged, or was changed under the same version"
            )


def _distance(specs: Sequence[TensorSpec], expected: Sequence[Array], outputs: Sequence[Array]) -> float:
    """Give the largest difference in steps of the output."""
    largest = 0.0
    for spec, wanted, found in zip(specs, expected, outputs, strict=True):
        difference = np.abs(wanted.astype(np.float64) - found.astype(np.float64)).max(initial=0.0)
        if spec.dtype == "float32":
            span = float(wanted.max(initial=0.0) - wanted.min(initial=0.0))
            step = span / _FLOAT_STEPS if span > 0 else 1.0
            difference = difference / step
        largest = max(largest, float(difference))
    return largest


def _real(spec: TensorSpec, codes: Array) -> npt.NDArray[np.float64]:
    """Give the real values of an output."""
    values = codes.astype(np.float64)
    if spec.quantization is None or len(spec.quantization.scale) != 1:
        return values
    return (values - spec.quantization.zero_point[0]) * spec.quantization.scale[0]
