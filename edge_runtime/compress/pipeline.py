"""Float model to signed bundle: the stages and, only here, their order.

Each stage is a function ``(Artifact, options) -> Artifact``; no stage calls another.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge_runtime.bundle.manifest import Decision, Manifest
from edge_runtime.bundle.signature import load_private_key
from edge_runtime.bundle.writer import write_bundle
from edge_runtime.compress.artifact import Artifact
from edge_runtime.compress.attribution import mean_correlation
from edge_runtime.compress.coverage import measure_coverage
from edge_runtime.compress.data.checking import examine_sets, refuse, settle_preprocessing
from edge_runtime.compress.data.health import as_text
from edge_runtime.compress.data.sets import Sets, read_sets
from edge_runtime.compress.data.spool import take
from edge_runtime.compress.dataset import spread
from edge_runtime.compress.defaults import default_decision
from edge_runtime.compress.description import describe
from edge_runtime.compress.evaluate import measure_metrics, run_all, time_runtime
from edge_runtime.compress.examining import examine
from edge_runtime.compress.foundry import Foundry
from edge_runtime.compress.gates import Measured, judge_budget, require_met
from edge_runtime.compress.outcomes import Outcomes
from edge_runtime.compress.publish import write_file
from edge_runtime.compress.recipe import Recipe
from edge_runtime.compress.report.folder import write_report
from edge_runtime.compress.report.gathering import gather
from edge_runtime.compress.report.record import BundleFacts
from edge_runtime.compress.thresholds import tune_decision
from edge_runtime.errors import CalibrationError, RecipeError
from edge_runtime.inference.opening import open_runtime

#: Told of progress: one line for a person.
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Build:
    """A finished build.

    Attributes
    ----------
    artifact : Artifact
        Everything that was measured.
    manifest : Manifest
        What was signed.
    path : Path
        The bundle.
    sha256 : str
        Its digest.
    size_bytes : int
        Its size.
    """

    artifact: Artifact
    manifest: Manifest
    path: Path
    sha256: str
    size_bytes: int


def build(recipe: Recipe, *, say: Say) -> Build:
    """Take a float model through every stage to a signed bundle.

    Parameters
    ----------
    recipe : Recipe
        What, with which data, within which budget.
    say : callable
        Told what happens.

    Returns
    -------
    build : Build
        The bundle that was written.

    Raises
    ------
    CompressionError
        If the model or the data cannot be used, the converter fails, or the budget is not met. No bundle is written
        then; one that was there before stays.
    """
    key = load_private_key(Path(recipe.output.key))
    with tempfile.TemporaryDirectory(prefix="compress-") as folder, Foundry() as foundry:
        artifact = Artifact(recipe, Path(folder))
        stages = (_load, _read_data, _decide, _check_data, _convert, _measure, _tune, _evaluate, _examine, _judge)
        for stage in stages:
            artifact = stage(artifact, _Options(foundry, say))
        if not all(line.is_met for line in artifact.lines):
            _report(artifact, None, say)
        require_met(artifact.lines)
        manifest, members = describe(artifact)
        data = write_bundle(manifest, members, key)
    digest = hashlib.sha256(data).hexdigest()
    _report(artifact, BundleFacts(digest, len(data)), say)
    path = Path(recipe.output.bundle)
    write_file(path, data)
    return Build(artifact, manifest, path, digest, len(data))


def _report(artifact: Artifact, bundle: BundleFacts | None, say: Say) -> None:
    """Write the report where the recipe asks for one, whether or not the budget is met."""
    if artifact.recipe.output.report is not None:
        say(f"report: {write_report(Path(artifact.recipe.output.report), gather(artifact, bundle))}")


@dataclass(frozen=True, slots=True)
class _Options:
    """What stages use besides the artifact."""

    foundry: Foundry
    say: Say


def _load(artifact: Artifact, options: _Options) -> Artifact:
    """Read the float model in the child process."""
    path = artifact.recipe.model.path
    options.say(f"loading {path}")
    if not Path(path).is_file():
        raise CalibrationError(f"{path}: the model is not there")
    return replace(artifact, description=options.foundry.run("describe", {"model": path}))


def _read_data(artifact: Artifact, options: _Options) -> Artifact:
    """Read calibration and evaluation data, and settle the preprocessing that they and the device share."""
    recipe = artifact.recipe
    preprocessing = settle_preprocessing(recipe, tuple(artifact.facts["inputs"][0]["shape"]))
    if recipe.preprocessing is None and recipe.data.window is None:
        options.say("no [preprocessing] in the recipe: the device will feed bytes 0..255 or raw samples as they are")
    sets = read_sets(recipe, preprocessing)
    options.say(
        f"{len(sets.calibration)} calibration and {len(sets.evaluation)} evaluation samples"
        + (f", {len(sets.training)} for training" if sets.training else "")
    )
    return replace(
        artifact,
        calibration=sets.calibration,
        evaluation=sets.evaluation,
        training=sets.training,
        preprocessing=preprocessing,
    )


def _decide(artifact: Artifact, _options: _Options) -> Artifact:
    """Settle labels and decision, and hold the labels of the data to the model's outputs."""
    recipe, evaluation = artifact.recipe, artifact.evaluation_set
    y = np.asarray(evaluation.y)
    width = int(np.prod(artifact.facts["outputs"][0]["shape"]))
    if recipe.model.task == "regression":
        name = "value"
        decision = recipe.decision or Decision(quantity=name)
        return replace(artifact, decision=decision)
    n_labels = 2 if width == 1 else width
    labels = recipe.model.labels or evaluation.labels or tuple(str(index) for index in range(n_labels))
    if len(labels) != n_labels:
        raise RecipeError(
            recipe.model.path,
            [f"$.model.labels: {len(labels)} labels ({', '.join(labels)[:200]}), the model tells {n_labels} apart"],
        )
    if y.ndim != 1 or y.dtype.kind not in "iub" or y.min() < 0 or y.max() >= n_labels:
        raise CalibrationError(f'"y" of the evaluation data must be whole numbers 0..{n_labels - 1}, one per sample')
    decision = recipe.decision or default_decision(labels)
    return replace(artifact, labels=labels, decision=decision)


def _check_data(artifact: Artifact, options: _Options) -> Artifact:
    """Look at the health of the data, and refuse those that prove nothing."""
    recipe = artifact.recipe
    sets = Sets(artifact.calibration_set, artifact.evaluation_set, artifact.training)
    health = examine_sets(recipe, sets, artifact.preprocessing, artifact.labels)
    for line in as_text(health, recipe.data.accept):
        options.say(f"  {line}")
    refuse(health, recipe.data.accept)
    return replace(artifact, health=health)


def _convert(artifact: Artifact, options: _Options) -> Artifact:
    """Quantize in the child process, from preprocessed calibration samples."""
    calibration = artifact.calibration_set
    chosen = spread(len(calibration), artifact.recipe.data.calibration_samples)
    inputs = artifact.prepare(take(calibration.x, chosen, what="calibration"), artifact.float_input)
    folder = artifact.folder
    np.save(folder / "calibration.npy", inputs)
    options.say(f"quantizing to int8 from {len(chosen)} samples")
    options.foundry.run(
        "convert",
        {
            "model": artifact.recipe.model.path,
            "calibration": str(folder / "calibration.npy"),
            "int8": str(folder / "int8.tflite"),
            "float32": str(folder / "float32.tflite"),
        },
    )
    int8, float32 = (folder / "int8.tflite").read_bytes(), (folder / "float32.tflite").read_bytes()
    return replace(artifact, int8=int8, float32=float32)


def _measure(artifact: Artifact, options: _Options) -> Artifact:
    """Say how much is integer, and how long one inference takes."""
    coverage = measure_coverage(artifact.int8)
    options.say(
        f"integer: {coverage.integer_macs_pct:.1f} % of {coverage.macs} MACs,"
        f" {coverage.integer_weight_bytes_pct:.1f} % of {coverage.weight_bytes} bytes of weight matrices"
    )
    sample = artifact.evaluation_set.x[:1]
    times = []
    for model in (artifact.int8, artifact.float32):
        runtime = open_runtime(model, "tflite")
        times.append(time_runtime(runtime, artifact.prepare(sample, runtime.interface.inputs[0])[0]))
        runtime.close()
    fast, plain = times
    options.say(f"latency p50: int8 {fast.p50_ms:.3f} ms, float {plain.p50_ms:.3f} ms on this machine, one thread")
    if fast.p50_ms > plain.p50_ms:
        options.say("WARNING: int8 is slower than float here; small and recurrent models often are")
    return replace(artifact, coverage=coverage, latency=fast, float_latency=plain)


def _tune(artifact: Artifact, options: _Options) -> Artifact:
    """Find the thresholds of the quantized model again."""
    return tune_decision(artifact, say=options.say)


def _evaluate(artifact: Artifact, options: _Options) -> Artifact:
    """Run the float model and the shipped one on the same samples."""
    recipe, evaluation, folder = artifact.recipe, artifact.evaluation_set, artifact.folder
    np.save(folder / "inputs.npy", artifact.prepare(evaluation.x, artifact.float_input))
    options.say(f"evaluating float and int8 on {len(evaluation)} samples")
    options.foundry.run(
        "predict",
        {
            "model": artifact.recipe.model.path,
            "inputs": str(folder / "inputs.npy"),
            "outputs": str(folder / "outputs.npy"),
        },
    )
    reference = np.load(folder / "outputs.npy", allow_pickle=False).reshape(len(evaluation), -1)
    runtime = open_runtime(artifact.int8, "tflite")
    quantized = run_all(runtime, artifact.prepare(evaluation.x, runtime.interface.inputs[0]))
    runtime.close()
    outcomes = Outcomes(
        recipe.model.task,
        artifact.labels,
        artifact.decision,
        np.asarray(evaluation.y),
        reference,
        quantized.reshape(len(evaluation), -1),
        evaluation.groups,
        evaluation.slices,
        artifact.decision_before,
    )
    before, after = (measure_metrics(outcomes, outputs) for outputs in (outcomes.before, outcomes.after))
    for old, new in zip(before, after, strict=True):
        name = old.name + (f" {old.slice}" if old.slice else "")
        interval = "" if new.low is None else f" [{new.low:.4f}, {new.high:.4f}]"
        options.say(f"  {name:<28} float {old.value:.4f}   int8 {new.value:.4f}{interval} n={new.n}")
    return replace(artifact, before=before, after=after, outcomes=outcomes)


def _examine(artifact: Artifact, options: _Options) -> Artifact:
    """Measure what the budget or the report asks for besides."""
    return replace(artifact, examination=examine(artifact, say=options.say))


def _judge(artifact: Artifact, options: _Options) -> Artifact:
    """Hold it to the budget, every line of it."""
    recipe, found = artifact.recipe, artifact.examination
    assert artifact.coverage is not None
    measured = Measured(
        artifact.answers,
        artifact.coverage,
        len(artifact.int8),
        found.footprint,
        recipe.costs,
        mean_correlation(found.maps),
        found.corruption,
    )
    lines = judge_budget(recipe.budget, measured, metric=artifact.metric)
    for line in lines:
        options.say(f"  {line.status:<9}{line.sentence()}")
    return replace(artifact, lines=lines)
