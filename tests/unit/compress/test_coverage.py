"""Coverage is read from the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.compress.coverage import measure_coverage
from edge_runtime.errors import ConversionError

MODELS = "tests/golden/models"


def test_an_int8_model_is_all_integer(project: Path) -> None:
    coverage = measure_coverage((project / MODELS / "image_int8.tflite").read_bytes())
    assert coverage.macs > 0
    assert coverage.is_full_int8
    assert coverage.integer_macs_pct == coverage.integer_weight_bytes_pct == 100.0


def test_a_float_lstm_is_called_float(project: Path) -> None:
    coverage = measure_coverage((project / MODELS / "recurrent_float.tflite").read_bytes())
    assert not coverage.is_full_int8
    assert coverage.float_operators()


def test_a_dynamic_range_model_of_others_is_not_called_int8(shared_data: Path) -> None:
    path = shared_data / "models" / "dtln-lstm" / "pretrained_model__model_quant_1.tflite"
    coverage = measure_coverage(path.read_bytes())
    assert coverage.integer_weight_bytes_pct > 50.0
    assert coverage.integer_macs_pct < 50.0


def test_macs_of_a_published_network_are_counted(shared_data: Path) -> None:
    """ResNet8 of MLPerf Tiny has 12.5 million multiply-accumulates."""
    coverage = measure_coverage((shared_data / "models" / "mlperf-tiny" / "pretrainedResnet_quant.tflite").read_bytes())
    assert coverage.macs == pytest.approx(12.5e6, rel=0.01)
    assert coverage.is_full_int8


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\x1c\x00\x00\x00TFL3" + b"\xff" * 64, b"no model at all, just words"])
def test_bytes_that_are_no_model_are_refused(data: bytes) -> None:
    with pytest.raises(ConversionError):
        measure_coverage(data)
