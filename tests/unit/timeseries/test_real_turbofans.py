"""Real rows of turbofans, cycle by cycle, give the windows of an offline evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundle.manifest import Channel, Decision, WindowPreprocessing
from edge_runtime.kernels.window import extract_windows
from edge_runtime.timeseries.monitor import Monitor
from edge_runtime.timeseries.normalise import WindowPreprocessor, fit_normalisation
from tests.unit.vision.linear_runtime import LinearRuntime, spec
from tests.unit.vision.manifests import manifest

pytestmark = pytest.mark.shared_data

USED = [6, 7, 8, 11, 12, 13, 15, 16, 17, 18, 19, 21, 24, 25]


@pytest.mark.parametrize("method", ["zscore", "minmax", "robust"])
def test_rows_pushed_one_by_one_give_the_tensors_of_the_offline_windows(method: str, shared_data: Path) -> None:
    table = np.loadtxt(shared_data / "cmapss" / "train_FD001.txt.gz", max_rows=700)
    source, target = spec("window", "int8", (1, 30, 14), 0.03, 3), spec("cycles", "float32", (1, 1))
    normalisation = fit_normalisation(table[:, USED], method)  # type: ignore[arg-type]
    channels = tuple(Channel(f"s{column}") for column in USED)
    preprocessing = WindowPreprocessing(channels, 30, 1, 0.0, normalisation)
    unit = table[table[:, 0] == 1][:, USED].astype(np.float32)
    offline = [WindowPreprocessor(preprocessing, source)(window) for window in extract_windows(unit, 30, 1)]

    runtime = LinearRuntime(source, target, np.ones((1, 30 * 14)), (0.0,))
    decision = Decision(quantity="remaining_useful_life", unit="cycles")
    monitor = Monitor(manifest("regression", preprocessing, source, target, decision), runtime)
    for cycle, row in enumerate(unit):
        monitor.push(row[None], np.array([float(cycle)]))
    np.testing.assert_array_equal(runtime.inputs, offline)
    assert len(np.unique(offline)) > 50
