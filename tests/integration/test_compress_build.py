"""`compress build` as a user runs it, on models of a few hundred weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.signature import TrustedKeys, parse_public_key
from edge_runtime.inference.opening import open_runtime

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

MAKE_MODELS = """
import sys, numpy as np, keras
from keras import layers as L
keras.utils.set_random_seed(0)
image = keras.Sequential([keras.Input((16, 16, 3)), L.Conv2D(8, 3, strides=2, use_bias=False), L.BatchNormalization(),
    L.ReLU(), L.DepthwiseConv2D(3), L.GlobalAveragePooling2D(), L.Dense(2, activation="softmax")])
image.save("image.keras")
lstm = keras.Sequential([keras.Input((12, 2)), L.LSTM(6), L.Dropout(0.2), L.Dense(1)])
lstm.save("lstm.keras")
gru = keras.Sequential([keras.Input((12, 2)), L.GRU(4), L.Dense(1)])
gru.save("gru.keras")
broken = keras.Sequential([keras.Input((12, 2)), L.LSTM(6), L.Dense(1)])
broken.layers[-1].set_weights([np.full((6, 1), np.nan), np.zeros(1)])
broken.save("nan.keras")
"""

RECIPE = """
[model]
path = "{model}.keras"
task = "{task}"
[data]
calibration = "{data}_cal.npz"
evaluation = "{data}_eval.npz"
[budget]
max_drop = {drop}
size_kb = {size}
[output]
bundle = "out/{model}.edgebundle"
key = "signing.pem"
reference = true
report = "{report}"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny float models, data and a key pair."""
    place = tmp_path_factory.mktemp("compress")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    subprocess.run([sys.executable, "-c", MAKE_MODELS], cwd=place, env=environment, check=True, capture_output=True)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (60, 16, 16, 3), dtype=np.uint8)
    windows = rng.normal(size=(60, 12, 2)).astype(np.float32)
    for name, x, y in (("image", pictures, rng.integers(0, 2, 60)), ("window", windows, windows.mean(axis=(1, 2)))):
        np.savez(place / f"{name}_cal.npz", x=x[:30])
        np.savez(place / f"{name}_eval.npz", x=x[30:], y=y[30:])
    assert compress(place, "keygen", ".").returncode == 0
    return place


def compress(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_runtime.compress.cli", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def recipe(folder: Path, model: str, task: str, *, drop: float = 1.0, size: int = 500) -> str:
    data = "image" if model == "image" else "window"
    path = folder / f"{model}-{drop}-{size}.toml"
    report = f"run-{model}-{size}"
    path.write_text(RECIPE.format(model=model, task=task, data=data, drop=drop, size=size, report=report))
    return path.name


@pytest.mark.parametrize(("model", "task"), [("image", "classification"), ("lstm", "regression")])
def test_a_build_ends_in_a_signed_full_int8_bundle_the_same_every_time(folder: Path, model: str, task: str) -> None:
    first = compress(folder, "build", recipe(folder, model, task), "--json")
    assert first.returncode == 0, first.stderr
    said = json.loads(first.stdout)
    assert said["integer_macs_pct"] == said["integer_weight_bytes_pct"] == 100.0
    assert "integer: 100.0 %" in first.stderr
    key = parse_public_key((folder / "signing.pub.pem").read_bytes(), "test")
    bundle = read_bundle((folder / "out" / f"{model}.edgebundle").read_bytes(), TrustedKeys([key]))
    assert bundle.digest == said["sha256"]
    assert bundle.manifest.models[0].stateful == (model == "lstm")
    assert bundle.manifest.metrics.after[0].n == 30
    reference = open_runtime(bundle.members["aux/reference.tflite"], "tflite")
    assert [tensor.dtype for tensor in reference.interface.inputs] == ["float32"]
    report = json.loads((folder / f"run-{model}-500" / "report.json").read_text())
    assert report["bundle"]["sha256"] == said["sha256"]
    assert len(report["damage"]) == 7
    again = compress(folder, "build", recipe(folder, model, task), "--json")
    assert json.loads(again.stdout)["sha256"] == said["sha256"]
    once_more = json.loads((folder / f"run-{model}-500" / "report.json").read_text())
    assert report.pop("timings")["int8"]["p50_ms"] > 0
    once_more.pop("timings")
    assert once_more == report


def test_a_budget_that_is_not_met_exits_3_and_leaves_a_report_and_no_bundle(folder: Path) -> None:
    path = folder / "out" / "image.edgebundle"
    path.unlink(missing_ok=True)
    done = compress(folder, "build", recipe(folder, "image", "classification", size=1))
    assert done.returncode == 3
    assert "size_kb" in done.stderr
    assert not path.exists()
    shown = compress(folder, "report", "run-image-1")
    assert shown.returncode == 3
    assert "missed   size_kb" in shown.stdout
    assert "budget not met" in (folder / "run-image-1" / "report.html").read_text()


def test_a_layer_that_has_no_int8_form_exits_4_and_is_named(folder: Path) -> None:
    done = compress(folder, "build", recipe(folder, "gru", "regression"))
    assert done.returncode == 4
    assert "GRU" in done.stderr


def test_nan_weights_exit_4_and_the_layer_is_named(folder: Path) -> None:
    done = compress(folder, "build", recipe(folder, "nan", "regression"))
    assert done.returncode == 4
    assert "NaN" in done.stderr


def test_a_file_that_is_no_model_exits_4(folder: Path) -> None:
    (folder / "junk.keras").write_bytes(b"junk")
    done = compress(folder, "inspect", "junk.keras")
    assert done.returncode == 4
    assert "not a Keras model" in done.stderr


def test_quantize_alone_writes_a_full_int8_file(folder: Path) -> None:
    done = compress(
        folder, "quantize", "lstm.keras", "--calibration", "window_cal.npz", "--out", "lstm.tflite", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["integer_macs_pct"] == 100.0
    inspected = compress(folder, "inspect", "lstm.tflite", "--json")
    assert json.loads(inspected.stdout)["integer_weight_bytes_pct"] == 100.0
