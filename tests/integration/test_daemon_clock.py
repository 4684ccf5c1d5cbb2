"""A daemon whose wall clock was never set, is set, and jumps, while everything goes on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.daemon_rig import Daemon, Plant, require_mosquitto, until
from tests.integration.factory_inputs import Offline, picture
from tests.integration.mosquitto import Mosquitto

pytestmark = pytest.mark.broker

_OFFLINE = Offline()
_TOLERANCE_S = 30.0


def library() -> Path:
    """Find libfaketime; without it the tests are left out, with an explanation, and CI fails."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        message = "libfaketime is not installed; this test needs it and is left out (apt-get install faketime)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found[0]


class Clocked(Plant):
    """A plant whose daemon sees another wall clock; the monotonic clocks are the real ones."""

    def __init__(self, broker: Mosquitto, folder: Path) -> None:
        daemon = Daemon(folder, broker.port, gateway="hold_events_s = 600")
        self._file = folder / "clock"
        daemon.environment = {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        super().__init__(broker, daemon)

    def offset(self, seconds: float) -> None:
        """Set the daemon's clock so far off the real one."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+.0f}\n")
        new.rename(self._file)

    def unset(self) -> None:
        """Let the daemon's clock show the first of January 1970."""
        self.offset(30.0 - time.time())

    def show(self, encoded: bytes, **metadata: Any) -> None:
        """Show a picture whose time is that of its arrival."""
        self.publisher.publish("plant/cam/cam1/frame", encoded, wait=True, **metadata)

    def events(self) -> list[dict[str, Any]]:
        """Alert events in the order of their arrival."""
        with self.consumer._lock:
            return [event for event in self.consumer.events.values() if event["schema"] == "edge.alert/1"]

    def reasons(self) -> list[str]:
        """Why the gateway is not well."""
        health = self.consumer.retained.get("health", b'{"reasons": []}')
        return list(json.loads(health)["reasons"])


def find(*, bad: bool) -> bytes:
    """Give a picture with one defect, or a good one."""
    for number in range(200):
        verdict, findings = _OFFLINE.inspect(picture(number))
        if verdict == ("ng" if bad else "ok") and sum(bool(each["abnormal"]) for each in findings) == bad:
            return picture(number)
    raise AssertionError("no such picture")


BAD, GOOD = find(bad=True), find(bad=False)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clocked]:
    """A plant whose daemon has not started."""
    require_mosquitto()
    folder = tmp_path_factory.mktemp("clock")
    broker = Mosquitto(folder / "mosquitto")
    broker.start()
    try:
        with Clocked(broker, folder / "gateway") as standing:
            yield standing
    finally:
        broker.kill()


def is_now(event: dict[str, Any], *fields: str) -> bool:
    """Whether times of an event are those of the real clock."""
    return all(abs(event[field] / 1000 - time.time()) < _TOLERANCE_S for field in fields)


def test_what_comes_before_the_clock_is_set_waits_for_it_and_has_the_right_times(plant: Clocked) -> None:
    plant.unset()
    plant.daemon.start()
    until(lambda: "clock_unset" in plant.reasons(), "health says that the clock is unset")
    plant.show(BAD, part="A-1")
    until(lambda: len(plant.daemon.committed()) == 2, "an alert and a verdict are committed")
    plant.daemon.kill()  # and what is held outlives the run that held it
    plant.daemon.start()
    plant.show(GOOD, part="A-2")
    until(lambda: len(plant.daemon.committed()) == 3, "another verdict is committed")
    assert plant.consumer.events == {}

    plant.offset(0.0)
    until(lambda: len(plant.consumer.events) == 3, "all that was held")
    (alert,) = plant.events()
    assert is_now(alert, "timestamp_ms", "first_ms", "last_ms", "source_ms", "ingest_ms")
    verdicts = plant.consumer.verdicts()
    assert all(is_now(verdicts[part][0], "timestamp_ms", "deadline_ms", "ingest_ms") for part in ("A-1", "A-2"))
    assert "unset" not in {event["clock"] for event in plant.consumer.events.values()}
    state = next(payload for topic, payload in plant.consumer.retained.items() if topic.startswith("alert/state/"))
    assert is_now(json.loads(state), "timestamp_ms", "first_ms")
    until(lambda: "clock_unset" not in plant.reasons(), "health is well again")
    until(lambda: is_now(json.loads(plant.consumer.retained["birth"]), "timestamp_ms"), "a birth with the right time")
    assert "clock_jumped" not in plant.reasons()


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0], ids=["an hour on", "an hour back"])
def test_a_jump_of_the_clock_is_told_and_harms_nothing(plant: Clocked, jump_s: float) -> None:
    part, n_alerts = f"jump{jump_s:+.0f}", len(plant.events())
    n_jumps = plant.daemon.metric("edge_clock_jumps_total")
    plant.offset(jump_s)
    until(lambda: plant.daemon.metric("edge_clock_jumps_total") > n_jumps, "the jump is counted")
    until(lambda: "clock_jumped" in plant.reasons(), "health tells the jump")
    for _ in range(3):
        plant.show(GOOD)  # the alarm clears
    until(lambda: len(plant.events()) > n_alerts, "the alarm is cleared")
    plant.show(BAD, part=part)
    plant.offset(0.0)
    plant.show(BAD, part=part)  # once more, and the same part
    until(
        lambda: [event["event_type"] for event in plant.events()[n_alerts:]].count("raised"),
        "the alarm is raised again",
    )
    until(lambda: part in plant.consumer.verdicts(), "a verdict on the part")
    raised = next(event for event in plant.events()[n_alerts:] if event["event_type"] == "raised")
    verdict = plant.consumer.verdicts()[part][0]
    assert not raised["buffered"]
    assert max(raised["latency_ms"], verdict["latency_ms"]) < 60_000
    until(lambda: not plant.daemon.committed(unsent=True), "all is sent and marked")
    until(lambda: not plant.consumer.gaps(), "the consumer lacks nothing")
    assert len(plant.consumer.verdicts()[part]) == 1


def test_after_all_that_an_alarm_is_still_shelved_for_its_time_and_no_longer(plant: Clocked) -> None:
    alert_id, began = plant.events()[-1]["alert_id"], time.monotonic()
    assert plant.consumer.reply(plant.consumer.command("alert/shelve", alert_id=alert_id, duration_s=4.0))["ok"]
    plant.offset(7200.0)
    plant.unset()
    until(lambda: "clock_unset" in plant.reasons(), "health says that the clock is unset")
    plant.offset(-7200.0)
    until(lambda: plant.events()[-1]["event_type"] == "unshelved", "the alarm is unshelved", within_s=30)
    assert 3.9 < time.monotonic() - began < 60.0
