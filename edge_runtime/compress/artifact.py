"""What the stages of a build hand on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from edge_runtime.bundle.manifest import Decision, Metric, Preprocessing, TensorSpec
from edge_runtime.compress.attribution import AttributionMaps
from edge_runtime.compress.corruption import CorruptionFigure
from edge_runtime.compress.coverage import Coverage
from edge_runtime.compress.data.health import DataHealth
from edge_runtime.compress.dataset import Dataset
from edge_runtime.compress.evaluate import Latency
from edge_runtime.compress.footprint import Footprint
from edge_runtime.compress.inputs import prepare
from edge_runtime.compress.lines import Line
from edge_runtime.compress.outcomes import Outcomes
from edge_runtime.compress.recipe import Recipe

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Examination:
    """What was measured besides the metrics; empty where nobody asked.

    Attributes
    ----------
    footprint, float_footprint : Footprint or None
        Time and memory of both models.
    maps : tuple of AttributionMaps
        Of some samples.
    corruption : tuple of CorruptionFigure
        Both models on damaged samples.
    """

    footprint: Footprint | None = None
    float_footprint: Footprint | None = None
    maps: tuple[AttributionMaps, ...] = ()
    corruption: tuple[CorruptionFigure, ...] = ()


@dataclass(frozen=True, slots=True)
class Artifact:
    """What the stages hand on; later fields are empty until their stage has run.

    Attributes
    ----------
    recipe : Recipe
        What was asked for.
    folder : Path
        Working files, removed at the end.
    description : dict
        The float model, as ``jobs.describe`` gives it.
    preprocessing : Preprocessing or None
        What the device will do to its input.
    labels : tuple of str
        Of the outputs; empty for regression.
    decision : Decision
        How outputs become findings.
    decision_before : Decision or None
        The recipe's, where the decision was tuned after compression.
    calibration, evaluation, training : Dataset or None
        The data.
    health : DataHealth or None
        What the data are like.
    int8, float32 : bytes
        The converted models.
    coverage : Coverage or None
        What is integer.
    before, after : tuple of Metric
        Float and int8 on the evaluation data.
    latency, float_latency : Latency or None
        On this machine, one thread.
    outcomes : Outcomes or None
        What both models said about each sample of the evaluation data.
    examination : Examination
        What the budget or the report asks for besides.
    lines : tuple of Line
        The budget, judged.
    """

    recipe: Recipe
    folder: Path
    description: dict[str, Any] | None = None
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] = ()
    decision: Decision = field(default_factory=Decision)
    decision_before: Decision | None = None
    calibration: Dataset | None = None
    evaluation: Dataset | None = None
    training: Dataset | None = None
    health: DataHealth | None = None
    int8: bytes = b""
    float32: bytes = b""
    coverage: Coverage | None = None
    before: tuple[Metric, ...] = ()
    after: tuple[Metric, ...] = ()
    latency: Latency | None = None
    float_latency: Latency | None = None
    outcomes: Outcomes | None = None
    examination: Examination = field(default_factory=Examination)
    lines: tuple[Line, ...] = ()

    @property
    def facts(self) -> dict[str, Any]:
        """The description, once the model is loaded."""
        assert self.description is not None
        return self.description

    @property
    def steps(self) -> Preprocessing:
        """The preprocessing, once it is settled."""
        assert self.preprocessing is not None
        return self.preprocessing

    @property
    def calibration_set(self) -> Dataset:
        """The calibration data, once they are read."""
        assert self.calibration is not None
        return self.calibration

    @property
    def evaluation_set(self) -> Dataset:
        """The evaluation data, once they are read."""
        assert self.evaluation is not None
        return self.evaluation

    @property
    def answers(self) -> Outcomes:
        """What both models said, once they are evaluated."""
        assert self.outcomes is not None
        return self.outcomes

    @property
    def metric(self) -> str:
        """What ``max_drop`` is about."""
        return self.recipe.budget.metric or ("rmse" if self.recipe.model.task == "regression" else "accuracy")

    @property
    def float_input(self) -> TensorSpec:
        """The float model's input."""
        return TensorSpec(name="input", dtype="float32", shape=(1, *self.facts["inputs"][0]["shape"]))

    def prepare(self, x: Array, tensor: TensorSpec) -> Array:
        """Preprocess raw samples exactly as the device does."""
        return prepare(x, self.steps, tensor, colour=self.recipe.data.colour)
