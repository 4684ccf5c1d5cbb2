"""The sets of a recipe: read, or read once and split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edge_runtime.bundle.manifest import Preprocessing
from edge_runtime.compress.data.loading import load_dataset
from edge_runtime.compress.data.reading import Reading
from edge_runtime.compress.data.splits import split_dataset
from edge_runtime.compress.dataset import Dataset
from edge_runtime.compress.recipe import Recipe
from edge_runtime.errors import CalibrationError


@dataclass(frozen=True, slots=True)
class Sets:
    """What a build works with.

    Attributes
    ----------
    calibration, evaluation : Dataset
        Samples of the same shape.
    training : Dataset or None
        Where the recipe has some.
    """

    calibration: Dataset
    evaluation: Dataset
    training: Dataset | None = None


def read_sets(recipe: Recipe, preprocessing: Preprocessing | None, *, needs_y: bool = True) -> Sets:
    """Read what ``[data]`` names.

    Parameters
    ----------
    recipe : Recipe
        Paths, formats, split.
    preprocessing : Preprocessing or None
        The device's, settled.
    needs_y : bool
        Whether evaluation data must be labelled.

    Returns
    -------
    sets : Sets

    Raises
    ------
    CalibrationError
        If data are unusable, or samples of two sets differ in shape.
    """
    keys = recipe.data
    reading = Reading(
        preprocessing, recipe.model.task, needs_y, recipe.model.labels, keys.colour, keys.window, keys.files
    )
    if keys.path is not None and keys.split is not None:
        whole = load_dataset(Path(keys.path), reading)
        training, calibration, evaluation = split_dataset(whole, keys.split, task=recipe.model.task)
        return Sets(calibration, evaluation, training)
    assert keys.evaluation is not None
    assert keys.calibration is not None
    evaluation = load_dataset(Path(keys.evaluation), reading)
    # Words that only the evaluation data name must have the same index everywhere.
    same = reading if reading.labels else replace(reading, labels=evaluation.labels)
    calibration = load_dataset(Path(keys.calibration), replace(same, needs_y=False))
    training = None if keys.training is None else load_dataset(Path(keys.training), same)
    for name, other in (("calibration", calibration), ("training", training)):
        if other is not None and other.x.shape[1:] != evaluation.x.shape[1:]:
            raise CalibrationError(
                f"{name} samples have shape {other.x.shape[1:]}, evaluation samples {evaluation.x.shape[1:]}"
            )
    return Sets(calibration, evaluation, training)
