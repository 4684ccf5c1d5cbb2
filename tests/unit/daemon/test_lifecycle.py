"""What the gateway says about itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from edge_runtime.daemon import lifecycle
from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.lifecycle import HealthReporter, StatusBoard, Vitals
from edge_runtime.daemon.telling import Gateway, ModelFacts
from edge_runtime.messages import PipeStatus, encode

WELL = Vitals(
    connected=True,
    worker_ready=True,
    fault="",
    outbox_full=False,
    outbox_depth=0,
    oldest_unsent_s=0.0,
    failed=(),
    pids=(),
    last_alert_seq=4,
    last_verdict_seq=7,
)
FACTS = ModelFacts("net", "1.0.0", "0" * 64, "int8", "litert 2 x")


@dataclass
class Time:
    """Both clocks, moved by hand."""

    now_s: float = 1_800_000_000.0

    def clock(self) -> Clock:
        return Clock(wall=lambda: self.now_s, monotonic=lambda: self.now_s)


def reporter(folder: Path, time: Time | None = None) -> HealthReporter:
    return HealthReporter("boot", folder, (time or Time()).clock())


def test_a_well_gateway_is_ok_and_tells_its_last_numbers(tmp_path: Path) -> None:
    health = reporter(tmp_path).report(WELL)
    assert health.ok
    assert (health.reasons, health.last_alert_seq, health.last_verdict_seq) == ((), 4, 7)
    assert health.rss_mb > 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"connected": False}, "broker_disconnected"),
        ({"worker_ready": False}, "worker_restarting"),
        ({"fault": "disk full"}, "outbox_stuck"),
        ({"outbox_full": True}, "outbox_full"),
        ({"n_refused": 2}, "events_refused"),
        ({"oldest_unsent_s": 5.1}, "events_late"),
        ({"disk_slow": True}, "disk_slow"),
        ({"failed": ("surface",)}, "pipeline_failed:surface"),
        ({"troubles": ("inputs_disconnected",)}, "inputs_disconnected"),
    ],
)
def test_each_trouble_has_its_word(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    health = reporter(tmp_path).report(replace(WELL, **change))  # type: ignore[arg-type] # fields by name
    assert not health.ok
    assert health.reasons == (reason,)


def test_a_state_folder_that_is_gone_is_told_and_not_fatal(tmp_path: Path) -> None:
    assert "disk_low" in reporter(tmp_path / "gone").report(WELL).reasons


def test_an_incident_stays_for_an_hour(tmp_path: Path) -> None:
    time = Time()
    health = reporter(tmp_path, time)
    health.remember("input_set_aside:cam1")
    time.now_s += 3599
    assert health.report(WELL).reasons == ("input_set_aside:cam1",)
    time.now_s += 2
    assert health.report(WELL).ok


def test_a_held_reason_stays_until_the_next_start(tmp_path: Path) -> None:
    time = Time()
    health = reporter(tmp_path, time)
    health.hold("answers_not_recorded:surface")
    time.now_s += 1_000_000
    assert health.report(WELL).reasons == ("answers_not_recorded:surface",)


def test_only_so_many_incidents_are_remembered(tmp_path: Path) -> None:
    health = reporter(tmp_path)
    for number in range(100):
        health.remember(f"incident:{number}")
    assert len(health.report(WELL).reasons) == 64


def test_incidents_that_were_mended_are_forgotten_by_their_beginning(tmp_path: Path) -> None:
    health = reporter(tmp_path)
    health.remember("reload_refused:invalid_config")
    health.remember("input_set_aside:cam1")
    health.forget("reload_refused:")
    assert health.report(WELL).reasons == ("input_set_aside:cam1",)


def test_a_status_is_published_when_it_changes_and_again_on_demand() -> None:
    said: list[tuple[str, str]] = []

    def publish(pipeline: str, status: PipeStatus) -> None:
        said.append((pipeline, status.status))

    board = StatusBoard(publish, Time().clock())
    board.set("surface", "running", facts=FACTS)
    board.set("surface", "running", facts=FACTS)
    board.set("surface", "failed", "no bundle")
    assert said == [("surface", "running"), ("surface", "failed")]
    assert board.failed() == ("surface",)
    board.publish_all()
    assert said[2:] == [("surface", "failed")]


def test_birth_names_versions_pipelines_bundles_and_schemas() -> None:
    born = lifecycle.birth("gw", Gateway("boot", "1" * 64), {"surface": FACTS}, ["surface"], 1.8e9)
    assert encode(born)
    assert born.bundles == {"net": "0" * 64}
    assert "edge-runtime" in born.versions
    assert "edge.alert/1" in born.schemas


def test_installed_names_the_engine() -> None:
    said = lifecycle.installed(FACTS, 3, 1.8e9)
    assert (said.model, said.release, said.engine) == ("net", 3, "litert 2 x")


def test_figures_carry_value_time_and_unit() -> None:
    (figure,) = lifecycle.figures({"memory": (12.5, "MB")}, 1.0).values()
    assert (figure.value, figure.timestamp_ms, figure.unit) == (12.5, 1000, "MB")
