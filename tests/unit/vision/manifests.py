"""Manifests for tests of inspectors and monitors."""

from __future__ import annotations

from edge_runtime.bundle.manifest import (
    Decision,
    Golden,
    GoldenSet,
    Manifest,
    Metrics,
    ModelMember,
    Preprocessing,
    QuantizationFacts,
    TensorSpec,
)


def manifest(
    task: str, preprocessing: Preprocessing, source: TensorSpec, target: TensorSpec, decision: Decision, *labels: str
) -> Manifest:
    """A manifest of one input and one output; what decides nothing here is the least there can be."""
    return Manifest(
        schema="edge.bundle/1",
        name="example",
        version="1.0.0",
        release=1,
        task=task,  # type: ignore[arg-type]
        inputs=(source,),
        outputs=(target,),
        models=(ModelMember(format="tflite", member="model.tflite"),),
        preprocessing=preprocessing,
        labels=labels,
        decision=decision,
        quantization=QuantizationFacts("int8", macs=1, integer_macs_pct=100, integer_weight_bytes_pct=100),
        golden=Golden(1, 1, (GoldenSet("linear", "1", "any", "linear"),)),
        metrics=Metrics((), ()),
        members={},
    )
