"""Sensor streams to findings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from msgspec.structs import replace

from edge_runtime.bundle.manifest import (
    Channel,
    Decision,
    ImagePreprocessing,
    Manifest,
    Normalisation,
    Resize,
    Threshold,
    WindowPreprocessing,
)
from edge_runtime.errors import BundleFormatError, InvocationError, PayloadFormatError, PayloadSizeError
from edge_runtime.findings import Finding
from edge_runtime.inference.interface import ModelInterface
from edge_runtime.inference.opening import open_runtime
from edge_runtime.kernels.window import extract_windows
from edge_runtime.timeseries.monitor import Monitor
from edge_runtime.timeseries.normalise import WindowPreprocessor
from edge_runtime.timeseries.state import MAX_STATE_BYTES, WindowState, decode_state
from tests.unit.vision.linear_runtime import LinearRuntime, spec
from tests.unit.vision.manifests import manifest

SOURCE, TARGET = spec("window", "float32", (1, 3, 1)), spec("value", "float32", (1, 1))
WINDOW = WindowPreprocessing(
    (Channel("level", "bar", low=0.0, high=100.0),), 3, 1, 10.0, Normalisation("none", ((0.0,),), ((1.0,),))
)
RUL = Decision(
    quantity="remaining_useful_life",
    unit="cycles",
    direction="below",
    interval=5.0,
    thresholds={"remaining_useful_life": Threshold(10.0, 20.0)},
)


def total() -> LinearRuntime:
    """The sum of the window."""
    return LinearRuntime(SOURCE, TARGET, np.ones((1, 3)), (0.0,))


def watching(decision: Decision = RUL, **changes: Any) -> Monitor:
    return Monitor(manifest("regression", replace(WINDOW, **changes), SOURCE, TARGET, decision), total())


def column(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)[:, None]


def sums(found: list[Finding]) -> list[float | None]:
    return [finding.value for finding in found]


def test_window_is_judged_when_it_is_full_and_then_at_every_hop() -> None:
    assert sums(watching(hop=2).push(column(1, 2, 3, 4, 5, 6, 7))) == [6, 12, 18]


def test_blocks_of_any_size_give_the_same_findings() -> None:
    monitor = watching()
    parts = [monitor.push(column(*part)) for part in ([1], [], [2, 3, 4], [5])]
    assert [sums(part) for part in parts] == [[], [], [6, 9], [12]]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), -0.1, 100.5])
def test_invalid_sample_never_reaches_the_model(bad: float) -> None:
    monitor = watching()
    assert sums(monitor.push(column(1, 2, bad, 3, 4, 5))) == [12]
    assert monitor.counts.unusable == 1


def test_last_valid_value_is_held_up_to_the_declared_limit() -> None:
    monitor = watching(max_hold=2)
    assert sums(monitor.push(column(1, 2, np.nan, np.nan, 3))) == [5, 6, 7]
    assert monitor.counts.held == 2


def test_longer_fault_than_may_be_held_ends_the_window() -> None:
    monitor = watching(max_hold=1)
    assert sums(monitor.push(column(1, 2, np.nan, np.nan, 3, 4, 5))) == [5, 12]
    assert (monitor.counts.held, monitor.counts.unusable) == (1, 1)


def test_nothing_is_held_before_the_first_valid_value() -> None:
    assert sums(watching(max_hold=5).push(column(np.nan, 1, 2, 3))) == [6]


def test_stuck_sensor_is_no_measurement() -> None:
    monitor = watching(channels=(Channel("level", stuck_after=2),))
    assert sums(monitor.push(column(7, 7, 7, 7, 1, 2, 3))) == [6]
    assert monitor.counts.stuck == 2


def test_invalid_values_are_counted_by_reason() -> None:
    monitor = watching()
    monitor.push(column(1, np.nan, 500, -3, np.inf))
    counts = monitor.counts
    assert (counts.samples, counts.not_finite, counts.out_of_range) == (5, 2, 2)


def test_hole_longer_than_allowed_begins_a_new_window() -> None:
    monitor = watching(max_gap_s=0.3)
    times = np.array([0.0, 0.1, 0.5, 0.6, 0.7])
    assert sums(monitor.push(column(1, 2, 3, 4, 5), times)) == [12]
    assert monitor.counts.gaps == 1


def test_nothing_is_held_over_a_hole() -> None:
    monitor = watching(max_gap_s=0.3, max_hold=5)
    times = np.array([0.0, 5.0, 5.1, 5.2, 5.3])
    assert sums(monitor.push(column(1, np.nan, 2, 3, 4), times)) == [9]


def test_block_that_comes_twice_is_taken_once() -> None:
    monitor = watching()
    block, times = column(1, 2, 3, 4, 5, 6, 7), np.arange(7) / 10
    first = monitor.push(block, times)
    assert len(first) == 5
    assert monitor.push(block, times) == []
    assert monitor.counts.late == 7


def test_sample_out_of_order_is_dropped() -> None:
    monitor = watching()
    times = np.array([0.0, 0.1, 0.05, 0.2])
    assert sums(monitor.push(column(1, 2, 50, 3), times)) == [6]


def test_clock_set_back_begins_a_new_window_and_goes_on() -> None:
    monitor = watching()
    monitor.push(column(1, 2), np.array([1000.0, 1000.1]))
    assert sums(monitor.push(column(3, 4, 5), np.array([10.0, 10.1, 10.2]))) == [12]
    assert monitor.counts.clock_steps == 1


def test_events_of_one_time_are_all_taken() -> None:
    assert sums(watching(rate_hz=0.0).push(column(1, 2, 3), np.full(3, 7.0))) == [6]


@pytest.mark.parametrize(
    ("values", "times"),
    [
        (np.zeros((2, 2), np.float32), None),
        (np.zeros(3, np.float32), None),
        (np.zeros((2, 1)), None),
        (column(1, 2), np.zeros(3)),
        (column(1, 2), np.zeros(2, np.float32)),
        (column(1, 2), np.array([0.0, np.nan])),
    ],
)
def test_block_of_another_form_is_refused_and_nothing_of_it_taken(values: Any, times: Any) -> None:
    monitor = watching()
    before = monitor.state()
    with pytest.raises(PayloadFormatError):
        monitor.push(values, times)
    assert monitor.state() == before


def test_regression_says_value_interval_and_unit() -> None:
    (found,) = watching().push(column(10, 20, 30))
    assert (found.label, found.unit) == ("remaining_useful_life", "cycles")
    assert (found.value, found.value_low, found.value_high) == (60, 55, 65)


@pytest.mark.parametrize(
    ("value", "abnormal", "clearable"),
    [(3.0, True, False), (10.0, True, False), (15.0, False, False), (21.0, False, True)],
)
def test_falling_quantity_is_abnormal_below_its_threshold(value: float, abnormal: bool, clearable: bool) -> None:
    (found,) = watching().push(column(value, 0, 0))
    assert (found.abnormal, found.clearable) == (abnormal, clearable)


def test_output_scale_and_offset_lead_to_the_unit() -> None:
    decision = replace(RUL, output_scale=2.0, output_offset=1.0, interval=None)
    (found,) = watching(decision).push(column(1, 2, 3))
    assert (found.value, found.value_low) == (13, None)


def test_quantity_without_a_threshold_is_told_and_never_abnormal() -> None:
    (found,) = watching(replace(RUL, thresholds={})).push(column(1, 2, 3))
    assert (found.abnormal, found.clearable, found.value) == (False, True, 6)


def test_classification_gives_a_finding_per_fault() -> None:
    target = spec("scores", "float32", (1, 2))
    decision = Decision(normal=("ok",), thresholds={"worn": Threshold(0.5, 0.4)}, activation="sigmoid")
    runtime = LinearRuntime(SOURCE, target, np.zeros((2, 3)), (-9.0, 9.0))
    watch = Monitor(manifest("classification", WINDOW, SOURCE, target, decision, "ok", "worn"), runtime)
    (found,) = watch.push(column(1, 2, 3))
    assert (found.kind, found.label, found.abnormal, found.value) == ("timeseries.failure", "worn", True, None)


def test_engine_that_gives_nan_is_an_error_not_a_finding() -> None:
    runtime = LinearRuntime(SOURCE, TARGET, np.full((1, 3), np.inf), (0.0,))
    monitor = Monitor(manifest("regression", WINDOW, SOURCE, TARGET, RUL), runtime)
    with np.errstate(invalid="ignore"), pytest.raises(InvocationError):
        monitor.push(column(0, 0, 0))


def test_no_window_spans_what_an_engine_error_left_out() -> None:
    runtime = LinearRuntime(SOURCE, TARGET, np.array([[np.inf, 1.0, 1.0]]), (0.0,))
    monitor = Monitor(manifest("regression", WINDOW, SOURCE, TARGET, RUL), runtime)
    with np.errstate(invalid="ignore"), pytest.raises(InvocationError):
        monitor.push(column(0, 1, 2, 30, 40))
    runtime._weights = np.ones((1, 3))
    assert sums(monitor.push(column(3, 4, 5, 6))) == [12, 15]


@pytest.mark.parametrize(
    "broken",
    [
        manifest("anomaly", WINDOW, SOURCE, TARGET, RUL),
        manifest("regression", WINDOW, SOURCE, TARGET, Decision()),
        manifest("classification", WINDOW, SOURCE, TARGET, Decision(), "a", "b", "c"),
        manifest(
            "regression", ImagePreprocessing(Resize("stretch", 1, 1), "gray", (0.0,), (1.0,)), SOURCE, TARGET, RUL
        ),
    ],
)
def test_manifest_of_another_model_is_refused(broken: Manifest) -> None:
    with pytest.raises(BundleFormatError):
        Monitor(broken, total())


def test_model_of_two_inputs_is_refused() -> None:
    runtime = total()
    runtime._interface = ModelInterface((SOURCE, SOURCE), (TARGET,))
    with pytest.raises(BundleFormatError, match="takes 2 inputs"):
        Monitor(manifest("regression", WINDOW, SOURCE, TARGET, RUL), runtime)


def test_quantity_beyond_every_number_is_an_error_not_a_finding() -> None:
    with pytest.raises(InvocationError, match="gave inf as remaining_useful_life"):
        watching(replace(RUL, output_scale=1e308)).push(column(100, 100, 100))


def test_state_of_another_declaration_is_refused() -> None:
    state = watching(hop=2).state()
    with pytest.raises(PayloadFormatError, match="another window declaration"):
        watching().restore(state)


@pytest.mark.parametrize(
    "damage",
    [
        {"values": b"\0\0\0"},
        {"values": bytes(12)},
        {"values": bytes(4 * 4), "times": bytes(8 * 4)},
        {"last": bytes(8)},
        {"counts": {"cheese": 1}},
        {"until_due": 4},
    ],
)
def test_state_that_contradicts_itself_is_refused_and_the_monitor_unchanged(damage: dict[str, Any]) -> None:
    monitor = watching()
    monitor.push(column(1, 2))
    before = monitor.state()
    damaged = replace(decode_state(before), **damage)
    with pytest.raises(PayloadFormatError):
        monitor.restore(msgspec.msgpack.encode(damaged))
    assert monitor.state() == before


@pytest.mark.parametrize(
    "encoded", [b"", b"\x80", b"nonsense", msgspec.msgpack.encode({"schema": "edge.window-state/2"})]
)
def test_bytes_that_are_no_state_are_refused(encoded: bytes) -> None:
    with pytest.raises(PayloadFormatError, match="no window state"):
        decode_state(encoded)


def test_state_beyond_the_limit_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(PayloadSizeError):
        decode_state(bytes(MAX_STATE_BYTES + 1))


def test_state_is_plain_data() -> None:
    state = decode_state(watching().state())
    assert isinstance(state, WindowState)
    assert state.schema == "edge.window-state/1"


def test_findings_are_those_of_the_engine_on_the_preprocessed_windows(project: Path) -> None:
    runtime = open_runtime((project / "tests" / "golden" / "models" / "window_int8.tflite").read_bytes(), "tflite")
    source, target = runtime.interface.inputs[0], runtime.interface.outputs[0]
    channels = tuple(Channel(name) for name in "abcd")
    preprocessing = WindowPreprocessing(channels, 16, 5, 1.0, Normalisation("zscore", ((1.0,) * 4,), ((2.0,) * 4,)))
    monitor = Monitor(manifest("regression", preprocessing, source, target, replace(RUL, thresholds={})), runtime)
    stream = np.random.default_rng(2).normal(1, 2, (60, 4)).astype(np.float32)
    found = monitor.push(stream)
    preprocess = WindowPreprocessor(preprocessing, source)
    codes = [int(runtime.run([preprocess(window)])[0][0, 0]) for window in extract_windows(stream, 16, 5)]
    assert sums(found) == [code * 0.25 for code in codes]
