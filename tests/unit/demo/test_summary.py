"""The demo's summary: goals, exit code, and what it counts."""

from __future__ import annotations

import msgspec
import pytest

from edge_runtime.demo.summary import percentile, summarize
from edge_runtime.demo.tally import Tally
from edge_runtime.mqtt.interface import Incoming
from edge_runtime.mqtt.metadata import Metadata, write_envelope
from edge_runtime.simulator.baselines import BrightnessRule
from edge_runtime.simulator.truth import AssetTruth, PartTruth

ROOT = "edge/demo"


def tally(verdicts: dict[str, str], truths: dict[str, str]) -> Tally:
    found = Tally(ROOT, BrightnessRule(0.0))
    found.verdicts.update(verdicts)
    for part, word in truths.items():
        truth = PartTruth(part=part, camera="c", label="x", verdict=word, timestamp_ms=0)  # type: ignore[arg-type] # a word
        found.take(Incoming(f"plant/truth/part/{part}", msgspec.json.encode(truth), 0))
    return found


def test_all_found_and_nothing_lost_is_exit_0() -> None:
    summary = summarize(tally({"a": "ng", "b": "ok"}, {"a": "ng", "b": "ok"}), {}, set(), online_s=1.0, seed=1)
    assert summary.exit_code == 0
    assert summary.as_json()["recall"] == 1.0


@pytest.mark.parametrize(
    ("verdicts", "truths"), [({"a": "ok"}, {"a": "ng"}), ({"a": "ng"}, {"a": "ok"}), ({}, {"a": "ng"})]
)
def test_a_missed_goal_is_exit_3(verdicts: dict[str, str], truths: dict[str, str]) -> None:
    assert summarize(tally(verdicts, truths), {}, set(), online_s=1.0, seed=1).exit_code == 3


def test_an_event_that_never_came_is_lost_and_exit_3() -> None:
    summary = summarize(tally({"a": "ok"}, {"a": "ok"}), {}, {"01X"}, online_s=1.0, seed=1)
    assert summary.lost == 1
    assert summary.exit_code == 3


def test_drops_are_summed_by_reason() -> None:
    metrics = {
        'edge_dropped_total{reason="image_decode",source="cam1"}': 2.0,
        'edge_dropped_total{reason="image_decode",source="cam2"}': 1.0,
        'edge_processed_total{source="cam1"}': 7.0,
        'edge_processed_total{source="machine1"}': 9.0,
    }
    summary = summarize(tally({}, {}), metrics, set(), online_s=1.0, seed=1)
    assert summary.dropped == {"image_decode": 3}
    assert summary.frames_processed == 7


def test_every_word_of_the_contract_is_in_the_json() -> None:
    keys = summarize(tally({}, {}), {}, set(), online_s=1.0, seed=1).as_json().keys()
    wanted = {"recall", "precision", "lost", "frames", "dropped", "latency_ms", "pss_mb", "online_s", "baseline_f1"}
    assert wanted <= keys


def test_a_life_and_a_sensor_block_are_counted() -> None:
    found = Tally(ROOT, BrightnessRule(0.0))
    life = AssetTruth(asset="m", life=1, fails=False, mode="", began_ms=0, failing_from_ms=None, ends_ms=9)
    found.take(Incoming("plant/truth/asset/m", msgspec.json.encode(life), 1))
    block = write_envelope(Metadata(ts_ms=1000), bytes(16 * 10))
    found.take(Incoming("plant/sensor/m/telemetry", block, 1))
    assert found.lives == [life]
    assert (found.values, found.last_source_ms) == (40, 1500)


def test_a_message_that_cannot_be_read_is_news_and_nothing_more() -> None:
    found = Tally(ROOT, BrightnessRule(0.0))
    found.take(Incoming(f"{ROOT}/alert/event", b"{", 1))
    assert "unreadable" in found.news[0]


def test_percentile_of_nothing_is_zero() -> None:
    assert percentile([], 99) == 0.0


def test_a_rule_that_had_nothing_to_find_does_not_count_as_good() -> None:
    assert summarize(tally({}, {}), {}, set(), online_s=1.0, seed=1).baseline_f1 == 0.0


def test_a_line_on_which_a_trivial_rule_does_well_is_called_too_easy() -> None:
    found = tally({"a": "ng"}, {"a": "ng"})
    found.bright["a"] = "ng"
    assert "too easy" in summarize(found, {}, set(), online_s=1.0, seed=1).as_text()
