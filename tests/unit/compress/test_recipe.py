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
        "$.output.kex",
        "$.data.evaluation",
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


@pytest.mark.parametrize(
    ("tables", "fault"),
    [
        ("[thresholds]\n", "$.thresholds.tune: needs [costs]"),
        ("[budget]\ncost_max = 1.0\n", "$.budget.cost_max: needs [costs]"),
        ('[budget]\nmetric = "rmse"\n', '$.budget.metric: "rmse" is no metric of a classification'),
    ],
)
def test_a_line_that_the_recipe_cannot_have_is_a_fault(tmp_path: Path, tables: str, fault: str) -> None:
    text = GOOD.replace("[budget]\nmax_drop = 0.01\n[budget.recall_min]\nbad = 0.9\n", "") + tables
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, text))
    assert [each[: len(fault)] for each in caught.value.problems] == [fault]


def test_a_regression_has_no_lines_about_labels_and_no_thresholds_to_tune(tmp_path: Path) -> None:
    text = GOOD.replace('"classification"\nlabels = ["good", "bad"]', '"regression"') + "[thresholds]\n"
    text += "[costs]\nmiss = 1.0\nfalse_alarm = 1.0\nunsure = 1.0\n"
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, text))
    assert [each.partition(":")[0] for each in caught.value.problems] == ["$.budget.recall_min", "$.thresholds.tune"]


def test_text_that_is_no_toml_is_a_fault_of_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="not TOML"):
        load_recipe(write(tmp_path, "[model"))


def test_a_missing_recipe_is_an_error_of_the_environment(tmp_path: Path) -> None:
    with pytest.raises(HostEnvironmentError):
        load_recipe(tmp_path / "no.toml")


SPLIT = GOOD.replace(
    'calibration = "calib.npz"\nevaluation = "../eval.npz"',
    'path = "all.npz"\nsplit = {by = "group", evaluation = 0.2, calibration = 0.1}',
)


def test_one_set_may_be_split_in_place_of_two(tmp_path: Path) -> None:
    data = load_recipe(write(tmp_path, SPLIT)).data
    assert data.path == str(tmp_path / "all.npz")
    assert data.split is not None
    assert data.split.by == "group"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('path = "all.npz"\n', "", "path and split belong together"),
        ('path = "all.npz"', 'path = "all.npz"\nevaluation = "e.npz"', "data.evaluation: path and split give it"),
        ("evaluation = 0.2", "evaluation = 0.95", "together at most 1"),
        ("[budget]", "[data.window]\nlength = 3\n[budget]", "data.window.channels: missing"),
        ("[budget]", '[data.window]\nlabel = "a"\ntarget = "b"\n[budget]', "a label or a target"),
        ("[budget]", '[data.window]\nrule = "remaining"\nlabel = "b"\n[budget]', "needs no column"),
        ("[budget]", "[data.window]\nat_most = 9.0\n[budget]", 'only with rule = "remaining"'),
    ],
)
def test_data_that_contradict_themselves_are_faults(tmp_path: Path, old: str, new: str, fault: str) -> None:
    with pytest.raises(RecipeError, match=fault):
        load_recipe(write(tmp_path, SPLIT.replace(old, new)))


def test_a_window_that_the_preprocessing_declares_is_not_declared_twice(tmp_path: Path) -> None:
    window = '[data.window]\nlength = 8\nlabel = "state"\n'
    steps = (
        '[preprocessing]\nkind = "window"\nlength = 8\nhop = 8\nrate_hz = 0\nchannels = [{name = "a"}]\n'
        '[preprocessing.normalisation]\nmethod = "none"\ncentre = [[0]]\nscale = [[1]]\n'
    )
    with pytest.raises(RecipeError, match=r"window.length: \[preprocessing\] says it"):
        load_recipe(write(tmp_path, GOOD + window + steps))
