"""Tiny signed bundles for every test that needs one: a classifier of images and a regression over windows.

They are real: the models run in a few microseconds, and the golden outputs are recorded on this machine's engine.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_runtime.bundle.golden import pack_golden
from edge_runtime.bundle.manifest import (
    Channel,
    Decision,
    Golden,
    GoldenSet,
    ImagePreprocessing,
    Limits,
    Manifest,
    Metric,
    Metrics,
    ModelMember,
    Normalisation,
    Preprocessing,
    QuantizationFacts,
    Resize,
    TensorSpec,
    Threshold,
    WindowPreprocessing,
)
from edge_runtime.bundle.reader import labels_text
from edge_runtime.bundle.signature import TrustedKeys, public_pem
from edge_runtime.bundle.store import BundleStore
from edge_runtime.bundle.writer import write_bundle
from edge_runtime.inference.golden import run_samples
from edge_runtime.inference.interface import Array
from edge_runtime.inference.opening import open_runtime

MODELS = Path(__file__).resolve().parent / "golden" / "models"
LABELS = ("good", "crack", "stain")
CHANNELS = ("vibration", "temperature", "current", "pressure")
N_SAMPLES = 6

#: The signer of the tests, and one that nobody trusts. Fixed, so that bundles are the same in every run.
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
TRUSTED = TrustedKeys([SIGNER.public_key()])
TRUSTED_PEM = public_pem(SIGNER)


@dataclass(frozen=True)
class TinyModel:
    """Parts of a bundle, before they are signed."""

    manifest: Manifest
    members: Mapping[str, bytes] = field(repr=False)


def image_bundle(*, key: Ed25519PrivateKey = SIGNER, **changes: Any) -> bytes:
    """Sign a classifier of 8 x 8 RGB images into good, crack and stain.

    ``changes`` replace fields of the manifest: ``image_bundle(release=3, limits=Limits(ram_kb=1))``.
    """
    return sign_tiny(image_model(), key=key, **changes)


def window_bundle(*, key: Ed25519PrivateKey = SIGNER, **changes: Any) -> bytes:
    """Sign a regression of remaining useful life over windows of 16 samples of 4 channels, at 16 Hz."""
    return sign_tiny(window_model(), key=key, **changes)


def sign_tiny(model: TinyModel, *, key: Ed25519PrivateKey = SIGNER, **changes: Any) -> bytes:
    """Sign a tiny model after replacing fields of its manifest."""
    return write_bundle(msgspec.structs.replace(model.manifest, **changes), model.members, key)


def trusting_store(root: Path, **arguments: Any) -> BundleStore:
    """Give an empty store that trusts the tests' signer."""
    store = BundleStore(root, **arguments)
    store.trust.add(TRUSTED_PEM)
    return store


@functools.cache
def image_model() -> TinyModel:
    """Give the parts of the image bundle."""
    size = Resize(mode="stretch", height=8, width=8)
    return _tiny(
        "image_int8.tflite",
        name="tiny-surface",
        task="classification",
        labels=LABELS,
        preprocessing=ImagePreprocessing(resize=size, colour="rgb", mean=(127.5,) * 3, std=(63.75,) * 3),
        decision=Decision(
            activation="none",
            normal=("good",),
            thresholds={label: Threshold(raise_at=0.6, clear_at=0.4) for label in LABELS[1:]},
            unsure=(0.4, 0.6),
        ),
    )


@functools.cache
def window_model() -> TinyModel:
    """Give the parts of the window bundle."""
    return _tiny(
        "window_int8.tflite",
        name="tiny-life",
        task="regression",
        labels=(),
        preprocessing=WindowPreprocessing(
            channels=tuple(Channel(name=name) for name in CHANNELS),
            length=16,
            hop=8,
            rate_hz=16.0,
            normalisation=Normalisation(method="none", centre=((0.0,) * 4,), scale=((1.0,) * 4,)),
        ),
        decision=Decision(
            thresholds={"remaining_useful_life": Threshold(raise_at=-2.0, clear_at=0.0)},
            direction="below",
            quantity="remaining_useful_life",
            unit="cycles",
        ),
    )


def real_values(spec: TensorSpec, codes: Array) -> Array:
    """Give the real values of int8 codes as float32."""
    assert spec.quantization is not None
    zero_point, scale = spec.quantization.zero_point[0], spec.quantization.scale[0]
    return ((codes.astype(np.float64) - zero_point) * scale).astype(np.float32)


def _tiny(
    file: str, *, name: str, task: Any, labels: tuple[str, ...], preprocessing: Preprocessing, decision: Decision
) -> TinyModel:
    """Run a tiny model on seeded inputs and describe it."""
    model = (MODELS / file).read_bytes()
    runtime = open_runtime(model, "tflite")
    interface, identity = runtime.interface, runtime.identity
    rng = np.random.default_rng(3)
    inputs = tuple(
        rng.integers(-128, 127, (N_SAMPLES, *spec.shape[1:]), dtype=np.int8, endpoint=True) for spec in interface.inputs
    )
    outputs = run_samples(runtime, inputs)
    references = tuple(real_values(spec, codes) for spec, codes in zip(interface.outputs, outputs, strict=True))
    key = "recorded"
    manifest = Manifest(
        schema="edge.bundle/1",
        name=name,
        version="1.0.0",
        release=1,
        task=task,
        inputs=interface.inputs,
        outputs=interface.outputs,
        models=(ModelMember(format="tflite", member="model.tflite"),),
        preprocessing=preprocessing,
        labels=labels,
        decision=decision,
        quantization=QuantizationFacts(
            precision="int8", macs=576, integer_macs_pct=100.0, integer_weight_bytes_pct=100.0
        ),
        golden=Golden(
            n_samples=N_SAMPLES,
            max_lsb=2,
            sets=(GoldenSet(identity.engine, identity.version, identity.instruction_set, key),),
        ),
        metrics=Metrics(
            before=(Metric(name="accuracy", value=0.95, n=40, low=0.9, high=0.99),),
            after=(Metric(name="accuracy", value=0.95, n=40, low=0.9, high=0.99),),
        ),
        limits=Limits(),
        members={},
        provenance={"origin": "generated for tests"},
    )
    members = {"model.tflite": model, "golden.npz": pack_golden(inputs, references, {key: outputs})}
    if labels:
        members["labels.txt"] = labels_text(labels)
    return TinyModel(manifest, members)
