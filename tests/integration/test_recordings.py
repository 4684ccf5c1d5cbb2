"""Recorded sessions, played to a real daemon: what came out is what must come out. See ``tests/recordings``."""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.store import BundleStore
from edge_runtime.demo.released import released_bundle, released_key
from edge_runtime.simulator.recording import RecordingReader
from tests.integration.daemon_rig import COMMAND, Plant, install_tiny_bundles, running_plant, settle, until

pytestmark = pytest.mark.broker

RECORDINGS = sorted((Path(__file__).resolve().parents[1] / "recordings").glob("*.edgerec"))
RELEASED = ("surface-defect", "machine-failure", "turbofan-rul")

TOLD = (
    "event_type", "key", "pipeline", "kind", "label", "severity", "threshold", "clear_below", "unit", "count", "camera",
    "asset", "part", "source_ms", "frame_w", "frame_h", "evidence_sha256", "evidence_missing", "model", "model_version",
)  # fmt: skip
JUDGED = ("part", "pipeline", "camera", "verdict", "reasons", "model", "model_version")
FIGURES = ("score", "value", "value_low", "value_high")


def install(store: Path, sources: str) -> None:
    """Install the bundles that a configuration names."""
    install_tiny_bundles(store)
    bundles = BundleStore(store)
    for name in RELEASED:
        if f'"{name}"' in sources:
            bundles.trust.add(released_key())
            bundles.install(read_bundle(released_bundle(name), bundles.trust.keys()), activate=True)


def play(plant: Plant, recording: Path) -> dict[str, Any]:
    """Play a recording and give what came out."""
    n_messages = sum(1 for _ in RecordingReader.open(recording).messages())
    arguments = ["replay", str(recording), str(plant.daemon.config), "--speed", "0", "--json"]
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, check=True, timeout=120)
    assert json.loads(done.stdout)["messages"] == n_messages
    until(lambda: total(plant, "edge_inputs_total") == n_messages, "every message", within_s=60)
    finished = ("edge_processed_total", "edge_dropped_total")
    until(lambda: sum(total(plant, name) for name in finished) == n_messages, "the end of every input", within_s=60)
    settle(lambda: len(plant.consumer.events), quiet_s=0.5)
    return outcome(plant)


def total(plant: Plant, name: str) -> float:
    """Sum a counter over its labels."""
    families = text_string_to_metric_families(plant.daemon.page("metrics")[1])
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


def outcome(plant: Plant) -> dict[str, Any]:
    """What the daemon told, without what depends on the wall clock."""
    events = sorted(plant.consumer.events.values(), key=lambda event: event["seq"])
    alerts = [event for event in events if event["schema"] == "edge.alert/1" and event["event_type"] != "updated"]
    verdicts = [event for event in events if event["schema"] == "edge.verdict/1"]
    refused: Counter[str] = Counter()
    for family in text_string_to_metric_families(plant.daemon.page("metrics")[1]):
        for sample in family.samples:
            if sample.name in {"edge_dropped_total", "edge_irregular_samples_total"}:
                refused[f"{sample.labels['source']}:{sample.labels['reason']}"] += int(sample.value)
    return {
        "engine": next(event["engine"] for event in alerts),
        "alerts": sorted(
            ({name: event[name] for name in (*TOLD, *FIGURES)} for event in alerts), key=lambda event: str(event["key"])
        ),
        "verdicts": sorted(
            ({name: event[name] for name in (*JUDGED, "score")} for event in verdicts),
            key=lambda event: str(event["part"]),
        ),
        "refused": dict(sorted(refused.items())),
    }


def without_figures(found: dict[str, Any]) -> dict[str, Any]:
    """Leave out what another engine may compute otherwise."""
    return {
        "refused": found["refused"],
        **{
            series: [{name: value for name, value in event.items() if name not in FIGURES} for event in found[series]]
            for series in ("alerts", "verdicts")
        },
    }


def figures(found: dict[str, Any]) -> list[float | None]:
    """Every score and value, in order."""
    return [event.get(name) for series in ("alerts", "verdicts") for event in found[series] for name in FIGURES]


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_recorded_session_gives_what_it_gave_before(tmp_path: Path, recording: Path) -> None:
    sources = recording.with_suffix(".toml").read_text()
    install(tmp_path / "gateway" / "bundles", sources)
    with running_plant(tmp_path, sources) as plant:
        found = play(plant, recording)
    path = recording.with_suffix(".expected.json")
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(json.dumps(found, indent=1) + "\n")
    expected = json.loads(path.read_text())
    assert without_figures(found) == without_figures(expected)
    if found["engine"] == expected["engine"]:
        assert figures(found) == figures(expected)
    else:
        for new, old in zip(figures(found), figures(expected), strict=True):
            assert new == old or (new is not None and math.isclose(new, old or 0.0, rel_tol=0.02, abs_tol=0.02))


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_recording_is_small(recording: Path) -> None:
    assert recording.stat().st_size < 2_000_000
