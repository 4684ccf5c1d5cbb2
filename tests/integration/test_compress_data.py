"""`compress build` from data as users keep them: a folder of pictures, a table of runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.bundle.manifest import WindowPreprocessing
from edge_runtime.bundle.reader import Bundle, read_bundle
from edge_runtime.bundle.signature import TrustedKeys, parse_public_key

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

MAKE_MODELS = """
import keras
from keras import layers as L
keras.utils.set_random_seed(0)
keras.Sequential([keras.Input((16, 16, 3)), L.Conv2D(4, 3, strides=2, activation="relu"), L.GlobalAveragePooling2D(),
    L.Dense(2, activation="softmax")]).save("net.keras")
keras.Sequential([keras.Input((10, 2)), L.Flatten(), L.Dense(4, activation="relu"), L.Dense(1)]).save("life.keras")
"""

PICTURES = """
[model]
path = "net.keras"
task = "classification"
labels = ["ok", "scratch"]
[data]
path = "parts"
split = {by = "stratified", evaluation = 0.5, calibration = 0.5}
[output]
bundle = "net.edgebundle"
key = "signing.pem"
"""

RUNS = """
[model]
path = "life.keras"
task = "regression"
[data]
path = "runs.csv"
split = {by = "group", evaluation = 0.3, calibration = 0.3}
[data.window]
length = 10
hop = 5
group = "unit"
channels = [{name = "load", unit = "kN"}, {name = "heat", low = -50, high = 50}]
rule = "remaining"
[output]
bundle = "life.edgebundle"
key = "signing.pem"
"""


def compress(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_runtime.compress.cli", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def bundle(folder: Path, name: str) -> Bundle:
    key = parse_public_key((folder / "signing.pub.pem").read_bytes(), "test")
    return read_bundle((folder / name).read_bytes(), TrustedKeys([key]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two tiny float models, pictures of two classes and records of runs."""
    place = tmp_path_factory.mktemp("data")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    subprocess.run([sys.executable, "-c", MAKE_MODELS], cwd=place, env=environment, check=True, capture_output=True)
    rng = np.random.default_rng(0)
    for name in ("ok", "scratch"):
        (place / "parts" / name).mkdir(parents=True)
        for index in range(20):
            pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            cv2.imwrite(str(place / "parts" / name / f"{index}.png"), pixels)
    rows = [f"{unit},{load:.4f},{load / 2:.4f}" for unit in range(20) for load in rng.normal(size=40)]
    (place / "runs.csv").write_text("\n".join(["unit,load,heat", *rows]))
    (place / "pictures.toml").write_text(PICTURES)
    (place / "runs.toml").write_text(RUNS)
    assert compress(place, "keygen", ".").returncode == 0
    return place


def test_a_folder_of_pictures_becomes_a_bundle_that_tells_of_its_data(folder: Path) -> None:
    done = compress(folder, "build", "pictures.toml", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"]["sets"]["evaluation"]["classes"] == {"ok": 10, "scratch": 10}
    provenance = bundle(folder, "net.edgebundle").manifest.provenance
    assert provenance["data"]["sets"]["calibration"]["n"] == 20
    assert provenance["split"]["by"] == "stratified"


def test_a_picture_on_both_sides_ends_the_build(folder: Path) -> None:
    (folder / "twice").mkdir()
    for name in ("ok", "scratch"):
        (folder / "twice" / name).mkdir()
        for path in sorted((folder / "parts" / name).iterdir()):
            (folder / "twice" / name / path.name).write_bytes(path.read_bytes())
            (folder / "twice" / name / f"again{path.name}").write_bytes(path.read_bytes())
    recipe = PICTURES.replace('"parts"', '"twice"').replace("net.edgebundle", "twice.edgebundle")
    (folder / "twice.toml").write_text(recipe)
    done = compress(folder, "build", "twice.toml")
    assert done.returncode == 5
    assert "exact_duplicates" in done.stderr
    assert not (folder / "twice.edgebundle").exists()


def test_a_table_of_runs_becomes_a_bundle_with_its_window(folder: Path) -> None:
    done = compress(folder, "build", "runs.toml")
    assert done.returncode == 0, done.stderr
    steps = bundle(folder, "life.edgebundle").manifest.preprocessing
    assert isinstance(steps, WindowPreprocessing)
    assert [(each.name, each.unit, each.low) for each in steps.channels] == [("load", "kN", None), ("heat", "", -50.0)]
    assert (steps.length, steps.hop) == (10, 5)
