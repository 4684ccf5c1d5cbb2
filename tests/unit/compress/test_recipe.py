"""The recipe: every fault at once, and nothing asked for is left out without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.bundle.manifest import ImagePreprocessing
from edge_runtime.compress.recipe import load_recipe
from edge_runtime.errors import HostEnvironmentError, RecipeError, UnsupportedModelError

GOOD = """
[model]
path = "net.keras"
task = "classification"
labels = ["good", "bad"]
[data]
calibration = "calib.npz"
evaluation = "../eval.npz"
[budget]
max_drop = 0.01
[budget.recall_min]
bad = 0.9
[output]
bundle = "out/Net-1.edgebundle"
key = "signing.pem"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    recipe = load_recipe(write(folder, GOOD))
    assert recipe.model.path == str(folder / "net.keras")
    assert recipe.data.evaluation == str(tmp_path / "eval.npz")


def test_the_bundle_is_called_after_its_file(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, GOOD)).bundle.name == "net-1"


def test_preprocessing_is_a_table_of_the_manifest(tmp_path: Path) -> None:
    text = GOOD + (
        '[preprocessing]\nkind = "image"\ncolour = "gray"\nmean = [0.0]\nstd = [255.0]\n'
        '[preprocessing.resize]\nmode = "letterbox"\nheight = 8\nwidth = 8\n'
    )
    steps = load_recipe(write(tmp_path, text)).preprocessing
    assert isinstance(steps, ImagePreprocessing)
    assert steps.resize.mode == "letterbox"


def test_every_fault_is_listed_at_once(tmp_path: Path) -> None:
    text = '[model]\npath = "n"\ntask = "classify"\n[data]\ncalibration = 3\n'
    text += '[output]\nbundle = "b"\nkey = "k"\nkex = "k"\n'
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, text))
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "$.model.task",
        "$.data.calibration",
        "$.data.evaluation",
        "$.output.kex",
    ]


def test_a_fault_inside_the_preprocessing_has_its_path(tmp_path: Path) -> None:
    text = GOOD + '[preprocessing]\nkind = "image"\ncolour = "cmyk"\nmean = [0.0]\nstd = [1.0]\n'
    with pytest.raises(RecipeError, match=r"\$\.preprocessing"):
        load_recipe(write(tmp_path, text))


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("prune = 0.5", "prune"),
        ("qat = true", "qat"),
        ("distill = true", "distill"),
        ('quantize = "int16x8"', "int16x8"),
        ('calibrator = "entropy"', "entropy"),
    ],
)
def test_a_method_that_this_release_lacks_is_refused_by_name(tmp_path: Path, line: str, named: str) -> None:
    with pytest.raises(UnsupportedModelError, match=named):
        load_recipe(write(tmp_path, f"{GOOD}[method]\n{line}\n"))


def test_text_that_is_no_toml_is_a_fault_of_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="not TOML"):
        load_recipe(write(tmp_path, "[model"))


def test_a_missing_recipe_is_an_error_of_the_environment(tmp_path: Path) -> None:
    with pytest.raises(HostEnvironmentError):
        load_recipe(tmp_path / "no.toml")
