"""Everything in a manifest that contradicts itself is found, with its path."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from edge_runtime.bundle.checks import find_problems
from edge_runtime.bundle.manifest import Manifest
from edge_runtime.bundle.reader import read_bundle
from tests.bundles import TRUSTED, image_bundle, window_bundle

Path = tuple[str | int, ...]


def changed(data: bytes, path: Path, value: Any) -> Manifest:
    """Give the manifest of a bundle with one value replaced."""
    tree: Any = json.loads(read_bundle(data, TRUSTED).manifest_bytes)
    place = tree
    for step in path[:-1]:
        place = place[step] if isinstance(step, int) else place.setdefault(step, {})
    place[path[-1]] = value
    return msgspec.convert(tree, Manifest)


SPEC = {"name": "image", "dtype": "int8", "shape": [1, 8, 8, 3]}
REGIMES = {"columns": [0, 1], "spread": [1.0, 1.0], "centroids": [[0.0, 0.0], [1.0, 1.0]]}
TWO_ROWS = [[0.0] * 4, [0.0] * 4]
ONES = [[1.0] * 4, [1.0] * 4]

IMAGE_FAULTS: list[tuple[Path, Any, str]] = [
    (("members", "Odd"), {"sha256": "0" * 64, "size_bytes": 1}, '$.members: "Odd" is not a name'),
    (("members", "signature"), {"sha256": "0" * 64, "size_bytes": 1}, '$.members: "signature" is not a name'),
    (("members",), {"model.tflite": {"sha256": "0" * 64, "size_bytes": 1}}, '"golden.npz" is missing'),
    (("members",), {"golden.npz": {"sha256": "0" * 64, "size_bytes": 1}}, '"labels.txt" is missing'),
    (("models",), [{"format": "tflite", "member": "model.tflite"}] * 2, "two models of the same format"),
    (("models", 0, "member"), "other.tflite", "$.models[0].member"),
    (("models", 0, "inputs"), [SPEC, {**SPEC, "name": "more"}], "$.models[0].inputs: 2 tensors"),
    (("inputs",), [SPEC, SPEC], "$.inputs: two tensors have the same name"),
    (("inputs", 0, "shape"), [2, 8, 8, 3], "the batch axis is 2"),
    (("inputs", 0, "shape"), [1, 1 << 14, 1 << 14], "268435456 elements"),
    (("inputs", 0, "quantization"), {"scale": [0.5], "zero_point": [0, 0]}, "1 scales and 2 zero points"),
    (("inputs", 0, "quantization"), {"scale": [0.0], "zero_point": [0]}, "scale: must be finite and positive"),
    (
        ("inputs", 0, "quantization"),
        {"scale": [1.0, 2.0], "zero_point": [0, 0], "axis": 3},
        "2 scales do not fit axis 3",
    ),
    (("inputs", 0, "quantization"), {"scale": [1.0, 2.0], "zero_point": [0, 0]}, "2 scales do not fit axis None"),
    (("golden", "sets"), [{"engine": "a", "version": "1", "instruction_set": "x", "key": "k"}] * 2, "the same key"),
    (
        ("golden", "sets"),
        [{"engine": "a", "version": "1", "instruction_set": "x", "key": key} for key in ("k", "l")],
        "two sets for the same engine",
    ),
    (("preprocessing", "mean"), [1.0], "$.preprocessing.mean: 1 values for 3 channels (rgb)"),
    (("preprocessing", "std"), [1.0, 1.0, 0.0], "$.preprocessing.std: must be positive"),
    (("preprocessing", "resize", "width"), 9, "$.preprocessing.resize: (8, 9)"),
    (("labels",), ["good", "good", "crack"], "$.labels: a label is there twice"),
    (("labels",), ["good", "cr\nack", "stain"], "$.labels: a label holds control characters"),
    (("labels",), ["good", "crack"], "$.labels: 2 labels for an output of shape (1, 3)"),
    (("decision", "normal"), ["perfect"], "$.decision.normal: ['perfect'] are not labels"),
    (("decision", "thresholds"), {}, "['crack', 'stain'] have none"),
    (("decision", "thresholds", "rust"), {"raise_at": 1.0, "clear_at": 0.5}, "['rust'] are not labels"),
    (("decision", "thresholds", "crack"), {"raise_at": 0.4, "clear_at": 0.5}, "thresholds.crack: clear_at"),
    (("decision", "unsure"), [0.6, 0.4], "$.decision.unsure: low is above high"),
    (("limits", "ram_kb"), 0.0, "$.limits.ram_kb: must be positive"),
    (("limits", "latency_ms_p95"), -1.0, "$.limits.latency_ms_p95: must be positive"),
    (
        ("calibration_sketch",),
        [{"name": "red", "low": 1.0, "high": 1.0, "counts": [1]}],
        "$.calibration_sketch[0]: low is not below high",
    ),
    (("metrics", "after", 0, "value"), 0.5, "$.metrics.after[0]: accuracy 0.5 is outside its interval"),
]

WINDOW_FAULTS: list[tuple[Path, Any, str]] = [
    (("preprocessing", "length"), 17, "17 samples of 4 channels do not give the input (1, 16, 4)"),
    (("preprocessing", "channels", 1, "name"), "vibration", "two channels have the same name"),
    (("preprocessing", "channels", 0), {"name": "v", "low": 1.0, "high": 0.0}, "channels[0]: low is not below high"),
    (("preprocessing", "normalisation", "centre"), TWO_ROWS, "centre: 2 rows for 1 regimes"),
    (("preprocessing", "normalisation", "scale"), [[1.0]], "scale: a row that does not have 4 values"),
    (("preprocessing", "normalisation", "scale"), [[1.0, 1.0, 1.0, 0.0]], "scale: must be positive"),
    (("preprocessing", "normalisation", "clip"), 0.0, "clip: must be positive"),
    (("preprocessing", "normalisation", "regimes"), REGIMES, "centre: 1 rows for 2 regimes"),
    (("preprocessing", "normalisation", "regimes"), {**REGIMES, "columns": [0, 4]}, "a column beyond the 4 channels"),
    (("preprocessing", "normalisation", "regimes"), {**REGIMES, "spread": [1.0]}, "must be 2 positive values"),
    (("preprocessing", "normalisation", "regimes"), {**REGIMES, "centroids": [[0.0]]}, "does not have 2 values"),
    (("decision", "thresholds", "load"), {"raise_at": 1.0, "clear_at": 1.0}, 'may hold "remaining_useful_life" only'),
    (("decision", "direction"), "above", "clear_at is on the wrong side"),
    (("decision", "quantity"), "", "$.decision.quantity: must name"),
    (("decision", "interval"), -1.0, "$.decision.interval: is half a width"),
]


@pytest.mark.parametrize("bundle", [image_bundle, window_bundle])
def test_sound_manifest_has_no_problem(bundle: Any) -> None:
    assert find_problems(read_bundle(bundle(), TRUSTED).manifest) == []


@pytest.mark.parametrize(("path", "value", "message"), IMAGE_FAULTS)
def test_fault_of_an_image_bundle_is_found(path: Path, value: Any, message: str) -> None:
    assert message in "\n".join(find_problems(changed(image_bundle(), path, value)))


@pytest.mark.parametrize(("path", "value", "message"), WINDOW_FAULTS)
def test_fault_of_a_window_bundle_is_found(path: Path, value: Any, message: str) -> None:
    assert message in "\n".join(find_problems(changed(window_bundle(), path, value)))


def test_regimes_with_one_row_each_are_sound() -> None:
    manifest = changed(window_bundle(), ("preprocessing", "normalisation", "regimes"), REGIMES)
    tree: Any = msgspec.to_builtins(manifest)
    tree["preprocessing"]["normalisation"] |= {"centre": TWO_ROWS, "scale": ONES}
    assert find_problems(msgspec.convert(tree, Manifest)) == []


def test_channels_first_input_is_sound() -> None:
    manifest = changed(image_bundle(), ("inputs", 0, "shape"), [1, 3, 8, 8])
    assert find_problems(manifest) == []


def test_one_value_for_two_labels_is_sound() -> None:
    manifest = changed(image_bundle(), ("outputs", 0, "shape"), [1, 1])
    tree: Any = msgspec.to_builtins(manifest)
    tree["labels"] = ["good", "crack"]
    del tree["decision"]["thresholds"]["stain"]
    assert find_problems(msgspec.convert(tree, Manifest)) == []
