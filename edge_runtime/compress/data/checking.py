"""``compress data check``, and the same look at the data inside a build."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from edge_runtime.bundle.manifest import ImagePreprocessing, Preprocessing, Resize
from edge_runtime.compress.data.health import DataHealth, examine
from edge_runtime.compress.data.loading import load_dataset
from edge_runtime.compress.data.reading import Reading
from edge_runtime.compress.data.sensors import declared_windows
from edge_runtime.compress.data.sets import Sets, read_sets
from edge_runtime.compress.dataset import Array
from edge_runtime.compress.defaults import default_preprocessing
from edge_runtime.compress.foundry import Foundry
from edge_runtime.compress.recipe import Recipe, load_recipe
from edge_runtime.errors import CalibrationError, UsageError

_MAX_SIDE: Final = 4096
#: More different numbers are a target.
_MAX_CLASSES: Final = 1000


def check_recipe(path: Path, *, say: Callable[[str], None]) -> tuple[DataHealth, tuple[str, ...]]:
    """Look at the data that a recipe names.

    Parameters
    ----------
    path : Path
        The recipe.
    say : callable
        Told what happens.

    Returns
    -------
    health : DataHealth
        What a build would find.
    accept : tuple of str
        What the recipe accepts.

    Raises
    ------
    CompressionError
        If the recipe or the data cannot be read.
    """
    recipe = load_recipe(path)
    preprocessing = settle_preprocessing(recipe, None)
    if preprocessing is None:
        say(f"loading {recipe.model.path}: the recipe has no [preprocessing], the model's input says the size")
        with Foundry() as foundry:
            facts = foundry.run("describe", {"model": recipe.model.path})
        preprocessing = settle_preprocessing(recipe, tuple(facts["inputs"][0]["shape"]))
    sets = read_sets(recipe, preprocessing)
    return examine_sets(recipe, sets, preprocessing, recipe.model.labels or sets.evaluation.labels), recipe.data.accept


def settle_preprocessing(recipe: Recipe, shape: tuple[int, ...] | None) -> Preprocessing | None:
    """Give the device's preprocessing: the recipe's, its windows', or one that suits the model's input.

    Parameters
    ----------
    recipe : Recipe
        What was asked for.
    shape : tuple of int, or None
        The model's input without batch; None when it is not known yet.

    Returns
    -------
    preprocessing : Preprocessing or None
        None when only the shape could tell.
    """
    if recipe.preprocessing is not None:
        return recipe.preprocessing
    if recipe.data.window is not None:
        return declared_windows(recipe.data.window, None)
    return None if shape is None else default_preprocessing(shape)


def examine_sets(recipe: Recipe, sets: Sets, preprocessing: Preprocessing | None, labels: Sequence[str]) -> DataHealth:
    """Look at the sets of a recipe, within its limits."""
    named = {"calibration": sets.calibration, "evaluation": sets.evaluation}
    if sets.training is not None:
        named["training"] = sets.training
    keys = recipe.data
    labels = labels if recipe.model.task == "classification" else ()
    health = examine(named, preprocessing, labels=labels, max_leak=keys.max_leak, max_near_leak=keys.max_near_leak)
    if keys.split is None or keys.split.by != "time":
        return health
    # A split by time goes through groups: that is what it is for.
    problems = tuple(each for each in health.problems if each.word != "groups_shared")
    return msgspec.structs.replace(health, problems=problems)


def check_files(source: Path, against: Path | None, *, size: str, files: str) -> DataHealth:
    """Look at data without a recipe.

    Parameters
    ----------
    source : Path
        Data in any format that needs no window declaration.
    against : Path or None
        Evaluation data of the same kind.
    size : str
        ``HEIGHTxWIDTH`` that pictures are stretched to.
    files : str
        Which files of a folder count.

    Returns
    -------
    health : DataHealth

    Raises
    ------
    UsageError
        If ``size`` is none.
    CalibrationError
        If the data cannot be read, or samples differ in shape.
    """
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", size)
    height, width = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
        raise UsageError(f"--size {size}: write HEIGHTxWIDTH, as 128x128")
    resize = Resize(mode="stretch", height=height, width=width)
    steps = ImagePreprocessing(resize=resize, colour="rgb", mean=(0.0,) * 3, std=(1.0,) * 3)
    reading = Reading(steps, files=files)
    data = load_dataset(source, reading)
    known = steps if data.x.dtype == "uint8" else None
    labels = data.labels or _numbered(data.y)
    if against is None:
        return examine({"data": data}, known, labels=labels)
    evaluation = load_dataset(against, Reading(steps, labels=data.labels, files=files))
    if evaluation.x.shape[1:] != data.x.shape[1:]:
        raise CalibrationError(f"{source}: samples of shape {data.x.shape[1:]}, {against}: {evaluation.x.shape[1:]}")
    return examine({"calibration": data, "evaluation": evaluation}, known, labels=labels)


def _numbered(y: Array | None) -> tuple[str, ...]:
    """Name the classes of an NPZ file by their numbers."""
    if y is None or y.dtype.kind not in "iub" or y.ndim != 1:
        return ()
    highest = int(y.max())
    return tuple(map(str, range(highest + 1))) if highest < _MAX_CLASSES else ()


def refuse(health: DataHealth, accept: Sequence[str]) -> None:
    """Raise when the data have errors that are not accepted.

    Raises
    ------
    CalibrationError
        With every error, and what to do.
    """
    errors = health.errors(accept)
    if errors:
        told = "\n  ".join(f"{each.word}: {each.text}" for each in errors)
        words = ", ".join(f'"{word}"' for word in sorted({each.word for each in errors}))
        raise CalibrationError(
            f"the data prove nothing as they are:\n  {told}\n"
            f"mend them, or where it is known and fine: [data] accept = [{words}]"
        )
