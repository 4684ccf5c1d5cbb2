"""From a finished artifact to what a bundle says and holds."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge_runtime import __version__
from edge_runtime.bundle.golden import pack_golden
from edge_runtime.bundle.manifest import (
    Golden,
    GoldenSet,
    Limits,
    Manifest,
    Metrics,
    ModelMember,
    QuantizationFacts,
)
from edge_runtime.bundle.reader import labels_text
from edge_runtime.compress.artifact import Artifact
from edge_runtime.compress.data.health import as_tree
from edge_runtime.compress.dataset import spread
from edge_runtime.compress.golden_samples import choose_clear, clearly_decided, golden_count
from edge_runtime.compress.sketch import sketch
from edge_runtime.inference.golden import run_samples
from edge_runtime.inference.opening import open_runtime

_GOLDEN_CANDIDATES = 128
_MAX_LSB = 16
_GOLDEN_KEY = "here"


def describe(artifact: Artifact) -> tuple[Manifest, dict[str, bytes]]:
    """Write the manifest and the members of an evaluated artifact.

    Parameters
    ----------
    artifact : Artifact
        Past its gates; ``outputs.npy`` of its folder holds the float model's answers to the evaluation data.

    Returns
    -------
    manifest : Manifest
        Without digests of members, which the writer adds.
    members : dict of str to bytes
        Model, golden outputs, labels.
    """
    recipe, coverage = artifact.recipe, artifact.coverage
    evaluation, calibration = artifact.evaluation_set, artifact.calibration_set
    assert coverage is not None
    runtime = open_runtime(artifact.int8, "tflite")
    interface, identity = runtime.interface, runtime.identity
    candidates = spread(len(evaluation), _GOLDEN_CANDIDATES)
    inputs = artifact.prepare(evaluation.x[candidates], interface.inputs[0])
    answers = run_samples(runtime, (inputs,))
    runtime.close()
    count = min(len(candidates), golden_count(inputs[0].nbytes))
    stateful = bool(artifact.facts["recurrent"])
    manifest = Manifest(
        schema="edge.bundle/1",
        name=recipe.bundle.name,
        version=recipe.bundle.version,
        release=recipe.bundle.release,
        task=recipe.model.task,
        inputs=interface.inputs,
        outputs=interface.outputs,
        models=(ModelMember(format="tflite", member="model.tflite", stateful=stateful),),
        preprocessing=artifact.steps,
        labels=artifact.labels,
        decision=artifact.decision,
        quantization=QuantizationFacts(
            precision="int8",
            macs=coverage.macs,
            integer_macs_pct=round(coverage.integer_macs_pct, 3),
            integer_weight_bytes_pct=round(coverage.integer_weight_bytes_pct, 3),
            weights_bytes=coverage.weight_bytes,
            parameters=coverage.parameters,
        ),
        golden=Golden(
            n_samples=count,
            max_lsb=_MAX_LSB,
            sets=(GoldenSet(identity.engine, identity.version, identity.instruction_set, _GOLDEN_KEY),),
        ),
        calibration_sketch=sketch(calibration.x, artifact.steps),
        metrics=Metrics(before=artifact.before, after=artifact.after),
        limits=Limits(latency_ms_p95=recipe.budget.latency_ms_p95, ram_kb=recipe.budget.ram_kb),
        members={},
        provenance=provenance(artifact),
    )
    chosen = choose_clear(clearly_decided(manifest, answers[0], _MAX_LSB), count)
    outputs = tuple(each[chosen] for each in answers)
    reference = np.load(artifact.folder / "outputs.npy", allow_pickle=False)[candidates[chosen]]
    references = (reference.reshape(outputs[0].shape).astype(np.float32),)
    golden = pack_golden((inputs[chosen],), references, {_GOLDEN_KEY: outputs})
    members = {"model.tflite": artifact.int8, "golden.npz": golden}
    if recipe.output.reference:
        members["aux/reference.tflite"] = artifact.float32
    if artifact.labels:
        members["labels.txt"] = labels_text(artifact.labels)
    return manifest, members


def provenance(artifact: Artifact) -> dict[str, Any]:
    """Say what the bundle was made from."""
    model = Path(artifact.recipe.model.path).read_bytes()
    more: dict[str, Any] = {}
    if artifact.training is not None:
        more["training_sha256"] = artifact.training.digest
    if artifact.health is not None:
        more["data"] = as_tree(artifact.health)
    if artifact.recipe.data.split is not None:
        more["split"] = msgspec.to_builtins(artifact.recipe.data.split)
    return more | {
        "tool": f"compress {__version__}",
        "source_model_sha256": hashlib.sha256(model).hexdigest(),
        "calibration_sha256": artifact.calibration_set.digest,
        "evaluation_sha256": artifact.evaluation_set.digest,
        "calibration_samples": artifact.recipe.data.calibration_samples,
        "float_model_kb": round(len(artifact.float32) / 1000, 1),
        "int8_model_kb": round(len(artifact.int8) / 1000, 1),
    }
