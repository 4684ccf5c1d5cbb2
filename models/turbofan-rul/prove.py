"""Builds every seed, runs each as the gateway does over the official test engines, and tables float against int8."""

from __future__ import annotations

import math
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import TensorSpec, WindowPreprocessing
from edge_runtime.bundle.reader import Bundle, read_unverified
from edge_runtime.compress.inputs import prepare
from edge_runtime.compress.pipeline import build
from edge_runtime.compress.recipe import load_recipe
from edge_runtime.inference.opening import open_runtime
from edge_runtime.timeseries.monitor import Monitor

HERE = Path(__file__).resolve().parent
SEEDS = HERE.parents[1] / "build" / "models" / "turbofan-rul"

Floats = npt.NDArray[np.float32]


def gateway_predictions(bundle: Bundle, windows: Floats) -> Floats:
    """Push each engine's window through a monitor of its own, in physical units, and take the value it states."""
    found = bundle.model("tflite")
    assert found is not None
    runtime = open_runtime(found[1], "tflite")
    values = []
    for window in windows:
        (finding,) = Monitor(bundle.manifest, runtime).push(np.ascontiguousarray(window))
        values.append(math.nan if finding.value is None else finding.value)
    runtime.close()
    return np.array(values, np.float32)


def float_predictions(keras: Any, folder: Path, bundle: Bundle, windows: Floats) -> Floats:  # noqa: ANN401 - no types
    """Run the float model on the same windows."""
    preprocessing = bundle.manifest.preprocessing
    assert isinstance(preprocessing, WindowPreprocessing)
    tensor = TensorSpec(name="input", dtype="float32", shape=(1, *windows.shape[1:]))
    model = keras.models.load_model(folder / "float.keras", compile=False)
    outputs = np.asarray(model(prepare(windows, preprocessing, tensor, colour="rgb")))[:, 0]
    return outputs.astype(np.float32) * np.float32(bundle.manifest.decision.output_scale)


def prove(bundle: Bundle) -> list[str]:
    """Give the table of all seeds.

    Parameters
    ----------
    bundle : Bundle
        As released.

    Returns
    -------
    lines : list of str
        Markdown.
    """
    model = runpy.run_path(str(HERE / "model.py"))
    keras = model["start_keras"](0)
    windows, truth = model["official_test"]()
    capped = np.minimum(truth, np.float32(model["CAP_CYCLES"]))
    shipped = bundle.manifest.provenance["source_model_sha256"]
    figures, lines = [], []
    for folder in sorted(SEEDS.glob("seed-*")):
        built = build(load_recipe(folder / "recipe.toml"), say=lambda _: None)
        each = read_unverified(built.path.read_bytes())
        row = []
        for guess in (
            float_predictions(keras, folder, each, windows),
            gateway_predictions(each, windows),
        ):
            row += [model["rmse"](guess, capped), model["rmse"](guess, truth), model["nasa_score"](guess, truth)]
        figures.append(row)
        mark = " (shipped)" if each.manifest.provenance["source_model_sha256"] == shipped else ""
        lines.append(f"| {folder.name.removeprefix('seed-')}{mark} | " + _cells(row))
    return [
        "All seeds on the same 100 engines: RMSE in cycles with the test's labels capped at 125 and as they are, and",
        "NASA's score (labels as they are); int8 through the gateway's monitor:",
        "",
        "| seed | capped, float | capped, int8 | uncapped, float | uncapped, int8 | score, float | score, int8 |",
        "|---|---|---|---|---|---|---|",
        *lines,
        "| mean | " + _cells(list(np.mean(figures, axis=0))),
    ]


def _cells(row: list[float]) -> str:
    """Write one row: float and int8 side by side."""
    plain, quantized = row[:3], row[3:]
    pairs = [f"{each:.{digits}f}" for a, b, digits in zip(plain, quantized, (2, 2, 0), strict=True) for each in (a, b)]
    return " | ".join(pairs) + " |"
