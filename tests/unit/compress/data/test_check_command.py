"""``compress data check`` as an engineer calls it before a build."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from edge_runtime.compress.cli import group
from edge_runtime.errors import CalibrationError, UsageError

RECIPE = """
[model]
path = "net.keras"
task = "regression"
[data]
path = "runs.csv"
split = {by = "group", evaluation = 0.4, calibration = 0.4}
accept = ["constant_channel"]
[data.window]
length = 5
hop = 5
group = "unit"
rule = "remaining"
channels = [{name = "load"}, {name = "heat"}]
[output]
bundle = "o.edgebundle"
key = "k.pem"
"""


def run(*words: str) -> Result:
    return CliRunner().invoke(group, ["data", "check", *words])


def pictures(folder: Path, seed: int, n: int = 4) -> Path:
    rng = np.random.default_rng(seed)
    for name in ("ok", "ng"):
        (folder / name).mkdir(parents=True)
        for index in range(n):
            pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / name / f"{index}.png"), pixels)
    return folder


def test_a_folder_is_described(tmp_path: Path) -> None:
    found = run(str(pictures(tmp_path / "a", 0)), "--size", "16x16")
    assert found.exit_code == 0
    assert "data: 8 samples; ng 4, ok 4" in found.stdout


def test_leaks_between_two_sets_are_named_and_refused(tmp_path: Path) -> None:
    one, other = pictures(tmp_path / "a", 0), pictures(tmp_path / "b", 1)
    (other / "ok" / "0.png").write_bytes((one / "ok" / "3.png").read_bytes())
    found = run(str(one), "--against", str(other), "--size", "16x16")
    assert isinstance(found.exception, CalibrationError)
    assert "exact: ok/0.png = ok/3.png" in found.stdout
    assert "ERROR exact_duplicates: 1 of 8" in found.stdout


def test_a_recipe_is_checked_without_its_model(tmp_path: Path) -> None:
    rows = [f"{unit},{np.sin(row * (1 + unit / 50)):.5f},1" for unit in range(40) for row in range(30)]
    (tmp_path / "runs.csv").write_text("\n".join(["unit,load,heat", *rows]))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    found = run(str(tmp_path / "recipe.toml"), "--json")
    assert found.exit_code == 0
    told = json.loads(found.stdout)
    assert {name: each["groups"] for name, each in told["sets"].items()} == {
        "calibration": 16,
        "evaluation": 16,
        "training": 8,
    }
    assert [each["word"] for each in told["problems"]] == ["few_samples"] * 2 + ["constant_channel"]


@pytest.mark.parametrize("size", ["0x8", "8", "8x9999", "x"])
def test_a_size_that_is_none_is_a_usage_error(tmp_path: Path, size: str) -> None:
    assert isinstance(run(str(pictures(tmp_path / "a", 0)), "--size", size).exception, UsageError)
