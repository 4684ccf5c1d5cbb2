"""The life of alarms over MQTT: shelving that outlives a kill, and a flood."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.daemon_rig import COMMAND, Plant, running_plant, until
from tests.integration.factory_inputs import Offline, picture

pytestmark = pytest.mark.broker

STATE = "alert/state/surface.cam1.crack"
FLOOD = "system.alarm_flood"
CLEAR_AFTER = 3
_PATIENCE_S = 40.0
_OFFLINE = Offline()


def find(wanted: Callable[[str, set[str]], bool]) -> bytes:
    """Give the first picture with a verdict and abnormal labels as wanted."""
    for number in range(200):
        verdict, findings = _OFFLINE.inspect(picture(number))
        if wanted(verdict, {str(each["label"]) for each in findings if each["abnormal"]}):
            return picture(number)
    raise AssertionError("no such picture")


CRACKED = find(lambda _verdict, labels: labels == {"crack"})
GOOD = find(lambda verdict, _labels: verdict == "ok")


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A plant where more than four alarms in an hour are a flood."""
    with running_plant(tmp_path_factory.mktemp("alarms"), flood_n=4) as running:
        yield running


def show(plant: Plant, *pictures: bytes) -> None:
    """Show pictures to the camera."""
    for encoded in pictures:
        plant.publisher.publish("plant/cam/cam1/frame", encoded, ts_ms=round(time.time() * 1000))


def events(plant: Plant, key: str = "surface.cam1.crack") -> list[dict[str, Any]]:
    """Every alert event of a key, in the order of its making, duplicates removed."""
    with plant.consumer._lock:
        found = [event for event in plant.consumer.events.values() if event.get("key") == key]
    return sorted(found, key=lambda event: event["timestamp_ms"])


def wait_for(plant: Plant, n_events: int, **fields: Any) -> dict[str, Any]:
    """Wait until so many events of the crack were told; gives the last, which has these fields."""
    until(lambda: len(events(plant)) >= n_events, f"{n_events} events", within_s=_PATIENCE_S)
    last = events(plant)[n_events - 1]
    assert fields.items() <= last.items(), last
    return last


def order(plant: Plant, name: str, **fields: Any) -> dict[str, Any]:
    """Give a command and its answer."""
    return plant.consumer.reply(plant.consumer.command(name, **fields))


def test_a_shelved_alarm_lives_on_over_a_kill_and_comes_back_by_itself(plant: Plant) -> None:
    # one long life, step by step: each step begins where the one before ended
    show(plant, CRACKED)
    alert_id = wait_for(plant, 1, event_type="raised", shelved=False)["alert_id"]
    assert order(plant, "alert/shelve", alert_id=alert_id, duration_s=600.0)["ok"]
    wait_for(plant, 2, event_type="shelved", shelved=True, active=True)
    until(lambda: plant.consumer.all_of("alert/summary")[-1]["shelved"] == 1, "a summary with one shelved alarm")

    plant.daemon.kill()
    plant.daemon.start(within_s=_PATIENCE_S)
    show(plant, *[GOOD] * CLEAR_AFTER, CRACKED)
    raised_again = wait_for(plant, 4, event_type="raised", shelved=True)["alert_id"]

    assert order(plant, "alert/shelve", alert_id=raised_again, duration_s=2.0)["ok"]
    plant.daemon.kill()
    plant.daemon.start(within_s=_PATIENCE_S)
    wait_for(plant, 6, event_type="unshelved", shelved=False, active=True)
    assert order(plant, "alert/unshelve", alert_id=raised_again)["reason"] == "unknown_alert"

    assert order(plant, "alert/shelve", alert_id=raised_again, duration_s=600.0, one_shot=True)["ok"]
    show(plant, *[GOOD] * CLEAR_AFTER)
    wait_for(plant, 9, event_type="unshelved", active=False)
    told = ["raised", "shelved", "cleared", "raised", "shelved", "unshelved", "shelved", "cleared", "unshelved"]
    assert [event["event_type"] for event in events(plant)] == told
    assert order(plant, "alert/shelve", alert_id=raised_again, duration_s=9.0, one_shot=True)["reason"] == "not_active"


def test_a_flood_is_told_once_and_marks_what_it_brings(plant: Plant) -> None:
    n_before = len(events(plant))
    for _ in range(6):
        show(plant, CRACKED, *[GOOD] * CLEAR_AFTER)
    until(lambda: len(events(plant)) >= n_before + 12, "every raise and clearing of the flood", within_s=_PATIENCE_S)
    raised = [event["flooded"] for event in events(plant)[n_before:] if event["event_type"] == "raised"]
    assert raised[-2:] == [True, True]
    assert [event["event_type"] for event in events(plant, FLOOD) if event["event_type"] != "updated"] == ["raised"]
    state = json.loads(plant.consumer.retained[f"alert/state/{FLOOD}"])
    assert (state["severity"], state["pipeline"]) == ("high", "system")


def test_a_command_is_obeyed_once_over_a_kill_and_stands_in_the_audit_trail(plant: Plant) -> None:
    alert_id = events(plant)[-1]["alert_id"]
    order_id = plant.consumer.command("alert/shelve", alert_id=alert_id, duration_s=600.0)
    first = plant.consumer.reply(order_id)
    plant.daemon.kill()  # the moment after the answer: what was answered is on disk
    plant.daemon.start(within_s=_PATIENCE_S)

    def n_shelved() -> int:
        told = [event for event in events(plant) if event["alert_id"] == alert_id]
        return [event["event_type"] for event in told].count("shelved")

    until(lambda: n_shelved() == 1, "the event of what was answered", within_s=_PATIENCE_S)
    plant.consumer.command("alert/shelve", id=order_id, alert_id=alert_id, duration_s=600.0)
    until(lambda: len(plant.consumer.all_of(f"reply/{order_id}")) == 2, "a second answer", within_s=_PATIENCE_S)
    assert plant.consumer.all_of(f"reply/{order_id}") == [first, first]
    assert n_shelved() == 1
    command = [*COMMAND, "audit", str(plant.daemon.config), "--json"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()
    trail = [json.loads(line) for line in shown]
    (entry,) = [entry for entry in trail if entry["reply"]["id"] == order_id]
    assert (entry["issuer"], entry["reply"]["command"], entry["reply"]["ok"]) == ("consumer", "alert/shelve", True)
    assert [entry["seq"] for entry in trail] == list(range(1, len(trail) + 1))


def test_every_command_is_obeyed_exactly_once_while_the_daemon_is_killed(plant: Plant) -> None:
    alert_id, rng = events(plant)[-1]["alert_id"], random.Random(4)
    names = [f"k{number}" for number in range(4)]
    n_before = len(events(plant))
    for name in names:
        order = {"id": name, "alert_id": alert_id, "duration_s": 600.0}
        plant.consumer.command("alert/shelve", **order)
        time.sleep(rng.uniform(0.0, 0.03))
        plant.daemon.kill()
        plant.daemon.start(within_s=_PATIENCE_S)
        plant.consumer.command("alert/shelve", **order)  # as an impatient person does
        plant.consumer.reply(name)
    until(lambda: len(events(plant)) >= n_before + len(names), "an event for each command", within_s=_PATIENCE_S)
    shelved = [event["event_type"] for event in events(plant)[n_before:]]
    assert shelved == ["shelved"] * len(names)
    command = [*COMMAND, "audit", str(plant.daemon.config), "--json"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()
    obeyed = [json.loads(line)["reply"]["id"] for line in shown]
    assert obeyed[-len(names) :] == names
