"""What the tests of emitted code share: finding tools and emitting into a directory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from firmware_bridge.build import emit_source
from firmware_bridge.directory import write_directory
from firmware_bridge.manifest import FirmwareManifest
from firmware_bridge.naming import name_from
from firmware_bridge.reference import reference_version
from firmware_bridge.source import Source
from firmware_bridge.targets import find_target
from firmware_bridge.toolchain import host_compiler

MODELS = {
    "resnet8": "mlperf-tiny/pretrainedResnet_quant.tflite",
    "ds-cnn": "mlperf-tiny/kws_ref_model.tflite",
    "mobilenet-vww": "mlperf-tiny/vww_96_int8.tflite",
    "autoencoder": "mlperf-tiny/ad01_int8.tflite",
    "lstm": "tflite-micro/mnist_lstm_trained_lstm_int8.tflite",
}
#: The project's own bundles, ``models/<name>/<name>.edgebundle``.
RELEASED = ("machine-failure", "surface-defect", "turbofan-rul")


def require(missing: Sequence[str]) -> None:
    """Skip when something is missing; fail where CI promises that it is there."""
    if not missing:
        return
    message = f"{', '.join(missing)} not installed; this test needs it"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def require_host() -> None:
    """The host compiler and the reference interpreter must be there."""
    missing = [] if host_compiler() else ["a C compiler"]
    require([*missing, *([] if reference_version() else ["tflite-micro"])])


def emitted(
    model: bytes, directory: Path, *, name: str = "net", target: str = "generic", ram_kb: int | None = None
) -> FirmwareManifest:
    """Emit a model into a directory and return what it says of itself."""
    return emitted_source(Source(model, name), directory, target=target, ram_kb=ram_kb)


def emitted_source(
    source: Source, directory: Path, *, target: str = "generic", ram_kb: int | None = None, name: str = ""
) -> FirmwareManifest:
    """Emit what was read from a file or a bundle."""
    emission, golden = emit_source(source, find_target(target, ram_kb), name or name_from(source.name))
    write_directory(directory, source, emission, golden)
    return emission.manifest
