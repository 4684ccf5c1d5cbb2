"""What people and dashboards read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_runtime.alerts import Alarm, Transition
from edge_runtime.daemon.protocol import Outcome
from edge_runtime.daemon.telling import (
    NO_MODEL,
    Gateway,
    ModelFacts,
    Occasion,
    Stamp,
    tell_alert,
    tell_command,
    tell_result,
)
from edge_runtime.findings import Finding
from edge_runtime.messages import Alert, PipeResult, decode, encode

MODEL = ModelFacts("surface-defect", "1.0.0", "a" * 64, "int8", "litert 2.3 x86-64")
GATEWAY = Gateway("01hf7yat00000000000000boot", "c" * 64)
STAMP = Stamp("01HF7YAT000000000000000001", 3, 1_700_000_002.0, "synchronized")
PICTURE = Occasion("surface", "cam1", True, MODEL, 1_700_000_000.5, 1_700_000_001.0, 0.0123456, "A-17", 9)
SAMPLES = replace(PICTURE, pipeline="life", source="press-3", is_camera=False, part=None)
CRACK = Finding(
    "vision.defect", "crack", 0.9, 0.6, 0.4, abnormal=True, clearable=False, boxes=((1.0, 2.0, 3.0, 4.0, 0.9),)
)
LIFE = Finding(
    "timeseries.failure",
    "remaining_useful_life",
    12.5,
    20.0,
    30.0,
    abnormal=True,
    clearable=False,
    value=12.5,
    value_low=9.0,
    value_high=16.0,
    unit="cycles",
)
ALARM = Alarm(
    key="surface.cam1.crack",
    alert_id="01HF7YAT000000000000000000",
    active=True,
    count=1,
    first_s=1_699_999_990.0,
    last_s=1_700_000_000.5,
)


def told(occasion: Occasion = PICTURE, finding: Finding = CRACK, alarm: Alarm = ALARM) -> Alert:
    alert = tell_alert(Transition("raised", alarm, finding), occasion, GATEWAY, STAMP)
    return decode(encode(alert), Alert)


def test_times_are_those_of_source_arrival_and_telling() -> None:
    alert = told()
    assert (alert.source_ms, alert.ingest_ms, alert.timestamp_ms) == (
        1_700_000_000_500,
        1_700_000_001_000,
        1_700_000_002_000,
    )
    assert (alert.first_ms, alert.last_ms) == (1_699_999_990_000, 1_700_000_000_500)


def test_latency_is_of_the_monotonic_clock_in_milliseconds() -> None:
    assert told().latency_ms == 12.346


def test_a_camera_is_told_as_a_camera_and_a_sensor_as_an_asset() -> None:
    picture, samples = told(), told(SAMPLES, LIFE)
    assert (picture.camera, picture.asset, samples.camera, samples.asset) == ("cam1", None, None, "press-3")


def test_ids_are_lower_case_where_they_are_part_of_a_topic() -> None:
    assert told().alert_id == ALARM.alert_id.lower()


@pytest.mark.parametrize(
    ("occasion", "finding", "count", "sentence"),
    [
        (PICTURE, CRACK, 1, "camera cam1: crack 0.90 (limit 0.6), part A-17"),
        (PICTURE, CRACK, 5, "camera cam1: crack 0.90 (limit 0.6), part A-17, seen 5 times"),
        (SAMPLES, LIFE, 1, "press-3: remaining_useful_life 12.5 cycles (limit 20)"),
    ],
)
def test_the_operator_reads_one_sentence(occasion: Occasion, finding: Finding, count: int, sentence: str) -> None:
    assert (
        tell_alert(
            Transition("raised", Alarm(key="k", alert_id="x", active=True, count=count), finding),
            occasion,
            GATEWAY,
            STAMP,
        ).text
        == sentence
    )


def test_clearing_is_told_as_good_news() -> None:
    alert = tell_alert(Transition("cleared", ALARM, replace(CRACK, score=0.1)), PICTURE, GATEWAY, STAMP)
    assert alert.text == "camera cam1: crack is back to normal (crack 0.10)"


def test_a_command_keeps_what_was_seen_and_has_an_identity_of_its_own() -> None:
    last = told()
    acked = Transition("acked", ALARM, None)
    alert = tell_command(last, acked, Gateway("another-boot", "d" * 64), replace(STAMP, event_id="0" * 26, seq=1))
    assert (alert.score, alert.boxes, alert.text) == (last.score, last.boxes, last.text)
    assert (alert.event_type, alert.event_id, alert.seq, alert.boot_id) == ("acked", "0" * 26, 1, "another-boot")
    assert (alert.latency_ms, alert.publish_ms) == (None, None)


def test_a_transition_without_a_finding_is_no_alert_of_a_finding() -> None:
    with pytest.raises(ValueError, match="without a finding"):
        tell_alert(Transition("acked", ALARM, None), PICTURE, GATEWAY, STAMP)


def test_a_result_repeats_the_worst_finding() -> None:
    good = replace(CRACK, label="stain", score=0.2, abnormal=False)
    result = tell_result(Outcome("surface", (good, CRACK)), PICTURE, now_s=1_700_000_002.0, input_sha256="b" * 64)
    assert (result.label, result.score, result.abnormal, len(result.findings)) == ("crack", 0.9, True, 2)


def test_a_result_without_findings_fits_its_schema() -> None:
    result = tell_result(Outcome("surface"), replace(PICTURE, model=NO_MODEL), now_s=0.0, input_sha256=None)
    assert decode(encode(result), PipeResult) == result
    assert (result.label, result.score, result.abnormal, result.model_sha256) == (None, None, False, None)


def test_a_model_that_was_built_is_told_with_its_engine() -> None:
    facts = replace(MODEL, engine="")
    assert told(replace(PICTURE, model=facts)).engine is None
    assert told(replace(PICTURE, model=facts.with_engine("onnxruntime 1.31"))).engine == "onnxruntime 1.31"
