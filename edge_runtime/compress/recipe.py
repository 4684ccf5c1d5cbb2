"""The recipe: what to compress, with which data, within which budget. One TOML file, every fault listed at once.

Names are fixed by ``docs/formats/recipe.md``. A key whose method this release does not have is refused by name; nothing
that a recipe asks for is left undone without a word.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from edge_runtime.bundle.manifest import Decision, ImagePreprocessing, Label, Name, Preprocessing, WindowPreprocessing
from edge_runtime.compress.data.keys import SplitKeys, WindowKeys
from edge_runtime.errors import HostEnvironmentError, RecipeError, UnsupportedModelError
from edge_runtime.faults import list_faults

MAX_RECIPE_BYTES = 1 << 20

FilePath = Annotated[str, Meta(min_length=1, max_length=4096)]
Share = Annotated[float, Meta(ge=0, le=1)]
Task = Literal["classification", "detection", "segmentation", "anomaly", "regression"]


class ModelKeys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[model]``: the float model and what it is for."""

    path: FilePath  #: ``.keras`` or legacy ``.h5``
    task: Task
    labels: tuple[Label, ...] = ()  #: of the outputs, in their order; numbers without it


class DataKeys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[data]``: two sets, or one with a ``split``; formats in ``docs/data.md``."""

    calibration: FilePath | None = None  #: never random, never the evaluation data
    evaluation: FilePath | None = None
    training: FilePath | None = None  #: only where a method learns
    path: FilePath | None = None  #: one set for all, with ``split``
    split: SplitKeys | None = None
    colour: Literal["rgb", "bgr"] = "rgb"  #: order of the channels of pictures in ``x``
    files: Annotated[str, Meta(min_length=1, max_length=256)] = "*"  #: which files of a folder count
    calibration_samples: Annotated[int, Meta(ge=1, le=100_000)] = 500  #: spread evenly over the file
    window: WindowKeys | None = None  #: columns of sensor tables
    max_leak: Share = 0.01  #: of evaluation samples that are in the calibration or training data too
    max_near_leak: Share = 1.0  #: the same with near-duplicates
    accept: tuple[str, ...] = ()  #: findings about the data that are known and fine


class BudgetKeys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[budget]``: lines that the result must meet, else exit 3."""

    max_drop: Annotated[float, Meta(ge=0)] | None = None  #: of the metric, float to int8
    metric: Literal["accuracy", "rmse", "mae", "recall_min"] | None = None  #: by default the task's usual one
    size_kb: Annotated[float, Meta(gt=0)] | None = None  #: of the model file, in 1000 bytes
    latency_ms_p95: Annotated[float, Meta(gt=0)] | None = None  #: on this machine, one thread
    ram_kb: Annotated[float, Meta(gt=0)] | None = None  #: of the loaded model
    recall_min: dict[str, Share] = {}  #: by label
    max_recall_drop: dict[str, Share] = {}  #: by label, ``*`` for all
    proof: Literal["interval", "point"] = "interval"  #: whether the 95 % interval must keep a line, or the value alone
    slice_worst: dict[str, Annotated[float, Meta(ge=0)]] = {}  #: by slice: floor of the metric, ceiling of an error
    slice_gap: dict[str, Annotated[float, Meta(ge=0)]] = {}  #: by slice: between its best and worst part
    max_slice_drop: dict[str, Annotated[float, Meta(ge=0)]] = {}  #: by slice: what each part may lose
    ece_max: Share | None = None  #: expected calibration error
    miss_max: Share | None = None  #: share of the faulty samples that pass
    false_alarm_max: Share | None = None  #: share of the good samples that are thrown out
    unsure_max: Share | None = None  #: share of all samples left to a person
    cost_max: Annotated[float, Meta(ge=0)] | None = None  #: mean cost per sample, with ``[costs]``
    max_cost_rise: Annotated[float, Meta(ge=0)] | None = None  #: of it, float to int8
    attribution_min: Annotated[float, Meta(ge=-1, le=1)] | None = None  #: rank correlation of attribution maps
    max_corruption_drop: Annotated[float, Meta(ge=0)] | None = None  #: of the metric on blurred, noisy, badly lit data


class CostKeys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[costs]``: what wrong decisions cost, in any one unit."""

    miss: Annotated[float, Meta(ge=0)]  #: a fault that passes
    false_alarm: Annotated[float, Meta(ge=0)]  #: a good part thrown out
    unsure: Annotated[float, Meta(ge=0)]  #: a part that a person must look at


class ThresholdKeys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[thresholds]``: whether the decision is found again after compression, with ``[costs]``."""

    tune: bool = True
    data: Literal["calibration", "training"] = "calibration"  #: labelled; never the evaluation data
    max_unsure: Share = 0.05  #: of the samples that may be left to a person; 0 for no band


class MethodKeys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[method]``: how."""

    quantize: Literal["int8", "int16x8", "float"] = "int8"
    calibrator: Literal["auto", "min-max", "percentile", "mse", "entropy"] = "auto"
    qat: bool = False
    prune: Share = 0.0
    distill: bool = False


class OutputKeys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[output]``: where to."""

    bundle: FilePath
    key: FilePath  #: private key (PEM); ``compress keygen`` makes one
    formats: Annotated[tuple[Literal["tflite", "onnx"], ...], Meta(min_length=1, max_length=2)] = ("tflite",)
    report: FilePath | None = None  #: folder
    reference: bool = False  #: add the float model, for the gateway's quantization watchdog


class BundleKeys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[bundle]``: how the result is called."""

    name: Name
    version: Annotated[str, Meta(min_length=1, max_length=64)] = "1.0.0"
    release: Annotated[int, Meta(ge=1, le=2**53)] = 1


class Recipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a recipe says. Paths are absolute."""

    model: ModelKeys
    data: DataKeys
    output: OutputKeys
    bundle: BundleKeys
    budget: BudgetKeys = BudgetKeys()
    method: MethodKeys = MethodKeys()
    costs: CostKeys | None = None
    thresholds: ThresholdKeys | None = None
    preprocessing: Preprocessing | None = None
    decision: Decision | None = None


def load_recipe(path: Path) -> Recipe:
    """Read a recipe file.

    Parameters
    ----------
    path : Path
        TOML; paths in it are relative to its folder.

    Returns
    -------
    recipe : Recipe
        Checked; ``bundle.name`` is the output's file name where the recipe names none.

    Raises
    ------
    HostEnvironmentError
        If it cannot be read.
    RecipeError
        With every fault and its path.
    UnsupportedModelError
        If it asks for a method that this release does not have.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise HostEnvironmentError(f"{path}: the recipe cannot be read: {error.strerror}") from error
    if len(text) > MAX_RECIPE_BYTES:
        raise RecipeError(str(path), [f"$: the file is longer than {MAX_RECIPE_BYTES} bytes"])
    try:
        tree = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), [f"$: not TOML: {error}"]) from error
    recipe = _parse(tree, path)
    _require_methods(recipe)
    return _with_absolute_paths(recipe, path.absolute().parent)


def _parse(tree: dict[str, Any], path: Path) -> Recipe:
    """Turn a tree into a Recipe, or list everything that is wrong with it."""
    fixed = {key: value for key, value in tree.items() if key not in {"preprocessing", "decision"}}
    output = fixed.get("output")
    if "bundle" not in fixed and isinstance(output, dict) and isinstance(output.get("bundle"), str):
        fixed["bundle"] = {"name": Path(output["bundle"]).stem.lower()}
    faults = list_faults(fixed, _Fixed)
    preprocessing, decision = None, None
    if "preprocessing" in tree:
        preprocessing = _convert(tree["preprocessing"], Preprocessing, "$.preprocessing", faults)
    if "decision" in tree:
        decision = _convert(tree["decision"], Decision, "$.decision", faults)
    data = fixed.get("data")
    if isinstance(data, dict):
        sound = not any(fault.startswith("$.data") for fault in faults)
        faults += _missing_sets(data)
        if sound:
            faults += _data_faults(data, windowed=isinstance(preprocessing, WindowPreprocessing))
    if not faults:
        faults = _contradictions(msgspec.convert(fixed, _Fixed))
    if faults:
        raise RecipeError(str(path), faults)
    known = msgspec.convert(fixed, _Fixed)
    return Recipe(
        model=known.model,
        data=known.data,
        output=known.output,
        bundle=known.bundle,
        budget=known.budget,
        method=known.method,
        costs=known.costs,
        thresholds=known.thresholds,
        preprocessing=preprocessing,
        decision=decision,
    )


def _missing_sets(tree: dict[str, Any]) -> list[str]:
    """List the sets that neither a path of their own nor a split gives."""
    if "path" in tree or "split" in tree:
        return [] if {"path", "split"} <= tree.keys() else ["$.data: path and split belong together"]
    return [f"$.data.{name}: missing" for name in ("calibration", "evaluation") if name not in tree]


def _data_faults(tree: dict[str, Any], *, windowed: bool) -> list[str]:
    """List what contradicts itself in ``[data]``."""
    keys = msgspec.convert(tree, DataKeys)
    faults = []
    if keys.path is not None:
        sets = ("calibration", "evaluation", "training")
        faults += [f"$.data.{name}: path and split give it" for name in sets if name in tree]
    if keys.split is not None and (min(keys.split.evaluation, keys.split.calibration) <= 0 or _parts(keys.split) > 1):
        faults.append("$.data.split: evaluation and calibration are shares above 0, together at most 1")
    if keys.window is not None:
        faults += _window_faults(tree["window"], keys.window, windowed=windowed)
    return faults


def _parts(split: SplitKeys) -> float:
    return split.evaluation + split.calibration


def _window_faults(tree: dict[str, Any], keys: WindowKeys, *, windowed: bool) -> list[str]:
    faults = []
    told = ("length", "hop", "rate_hz", "max_gap_s", "max_hold", "channels")
    if windowed:
        faults += [f"$.data.window.{name}: [preprocessing] says it" for name in told if name in tree]
    else:
        faults += [f"$.data.window.{name}: missing" for name in ("length", "channels") if not getattr(keys, name)]
    if keys.label is not None and keys.target is not None:
        faults.append("$.data.window: a label or a target, not both")
    if keys.at_most is not None and keys.rule != "remaining":
        faults.append('$.data.window.at_most: only with rule = "remaining"')
    if keys.rule == "remaining" and (keys.label is not None or keys.target is not None):
        faults.append('$.data.window.rule: "remaining" counts the rows to the end of the group; it needs no column')
    if keys.label is not None and keys.rule == "mean":
        faults.append('$.data.window.rule: "mean" is for a target')
    return faults


class _Fixed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tables whose faults are listed one by one."""

    model: ModelKeys
    data: DataKeys
    output: OutputKeys
    bundle: BundleKeys
    budget: BudgetKeys = BudgetKeys()
    method: MethodKeys = MethodKeys()
    costs: CostKeys | None = None
    thresholds: ThresholdKeys | None = None


def _contradictions(recipe: _Fixed) -> list[str]:
    """List lines of the budget that this task or recipe cannot have."""
    budget, faults = recipe.budget, []
    if recipe.model.task == "regression":
        only = ("recall_min", "max_recall_drop", "ece_max", "unsure_max")
        faults += [f"$.budget.{key}: is about labels, a regression has none" for key in only if getattr(budget, key)]
    errors = budget.metric in {"rmse", "mae"}
    if budget.metric is not None and errors != (recipe.model.task == "regression"):
        faults.append(f'$.budget.metric: "{budget.metric}" is no metric of a {recipe.model.task}')
    if recipe.thresholds is not None and recipe.thresholds.tune:
        if recipe.costs is None:
            faults.append("$.thresholds.tune: needs [costs] miss, false_alarm and unsure")
        if recipe.model.task != "classification":
            faults.append(f"$.thresholds.tune: finds thresholds of a classification, not of a {recipe.model.task}")
    if recipe.costs is None:
        keys = ("cost_max", "max_cost_rise")
        faults += [
            f"$.budget.{key}: needs [costs] miss, false_alarm and unsure"
            for key in keys
            if getattr(budget, key) is not None
        ]
    return faults


def _convert(tree: object, kind: Any, path: str, faults: list[str]) -> Any:  # noqa: ANN401 - any manifest table
    """Read a table of the manifest; its first fault is added to the list."""
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        word, _, place = str(error).partition(" - at `$")
        faults.append(f"{path}{place.rstrip('`')}: {word}")
        return None


def _require_methods(recipe: Recipe) -> None:
    """Refuse what this release cannot do, by name."""
    method, wanted = recipe.method, []
    if method.quantize != "int8":
        wanted.append(f'[method] quantize = "{method.quantize}"')
    if method.calibrator not in {"auto", "min-max"}:
        wanted.append(f'[method] calibrator = "{method.calibrator}"')
    if method.qat:
        wanted.append("[method] qat")
    if method.prune:
        wanted.append("[method] prune")
    if method.distill:
        wanted.append("[method] distill")
    if "onnx" in recipe.output.formats:
        wanted.append('[output] formats with "onnx"')
    if recipe.model.task not in {"classification", "regression"}:
        wanted.append(f'[model] task = "{recipe.model.task}"')
    if wanted:
        raise UnsupportedModelError(f"this release does not have: {'; '.join(wanted)}; remove it from the recipe")


def _with_absolute_paths(recipe: Recipe, folder: Path) -> Recipe:
    """Resolve paths against the recipe's folder."""

    def resolve(path: str) -> str:
        return str((folder / path).resolve())

    data, output = recipe.data, recipe.output
    return msgspec.structs.replace(
        recipe,
        model=msgspec.structs.replace(recipe.model, path=resolve(recipe.model.path)),
        data=msgspec.structs.replace(
            data,
            **{
                name: resolve(value)
                for name in ("calibration", "evaluation", "training", "path")
                if (value := getattr(data, name)) is not None
            },
        ),
        output=msgspec.structs.replace(
            output,
            bundle=resolve(output.bundle),
            key=resolve(output.key),
            report=None if output.report is None else resolve(output.report),
        ),
    )


def image_steps(recipe: Recipe) -> ImagePreprocessing | None:
    """Give the recipe's picture preprocessing, None where it has another or none."""
    return recipe.preprocessing if isinstance(recipe.preprocessing, ImagePreprocessing) else None


def window_steps(recipe: Recipe) -> WindowPreprocessing | None:
    """Give the recipe's window preprocessing, None where it has another or none."""
    return recipe.preprocessing if isinstance(recipe.preprocessing, WindowPreprocessing) else None
