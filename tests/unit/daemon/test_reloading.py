"""A reload step by step, with a worker that says what a test lets it say; the broker is away."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.bundle.reader import read_bundle
from edge_runtime.config import BrokerSettings, load_config
from edge_runtime.daemon import protocol
from edge_runtime.daemon.front import Front
from edge_runtime.daemon.inlet import Inlet
from edge_runtime.daemon.intake import PartSeen
from edge_runtime.daemon.lifecycle import HealthReporter, StatusBoard
from edge_runtime.daemon.protocol import Building, Built, Refused
from edge_runtime.daemon.references import References
from edge_runtime.daemon.release_parts import make_releases
from edge_runtime.daemon.reloading import Affected, Reloader
from edge_runtime.daemon.reporter import Parts, Reporter
from edge_runtime.daemon.sender import Sender
from edge_runtime.daemon.telling import Gateway
from edge_runtime.daemon.trail import Trail
from edge_runtime.messages import EventIds
from edge_runtime.mqtt.session import Session
from edge_runtime.mqtt.topics import Topics
from tests.bundles import TRUSTED, image_bundle, window_bundle
from tests.unit.daemon.dispatchers import Hall

READY = protocol.Ready(())
FILE = """
[gateway]
id = "gw1"
[worker]
ring_slots = 4
[[camera]]
id = "sure"
topic = "in/sure"
format = "jpeg"
qos = 1
[[camera]]
id = "fast"
topic = "in/fast"
format = "jpeg"
mailbox = { depth = 8, overflow = "drop_oldest" }
[[pipeline]]
id = "surface"
kind = "inspection"
bundle = "tiny-surface"
cameras = ["sure", "fast"]
[[pipeline]]
id = "twin"
kind = "inspection"
bundle = "tiny-surface"
cameras = ["fast"]
verdict = "none"
"""
WITHOUT_TWIN = FILE.partition('[[pipeline]]\nid = "twin"')[0]
LIFE = """
[[sensor]]
id = "press1"
topics = ["in/press1"]
format = "f32"
rate_hz = 16.0
channel = [{ name = "vibration" }, { name = "temperature" }, { name = "current" }, { name = "pressure" }]
[[pipeline]]
id = "life"
kind = "monitor"
bundle = "tiny-life"
sensors = ["press1"]
"""


class House:
    """A hall in a configuration file, and everything that a reload speaks to."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "gateway.toml"
        self.file.write_text(FILE)
        self.hall = hall = Hall(folder)
        config, topics = load_config(self.file), Topics("edge", "gw1")
        gateway = Gateway("boot-1", "c" * 64)
        front = Front(
            Session(BrokerSettings(client_id="gw1")), topics, hall.complaints, lambda: "unset", lambda _: False
        )
        inlet = Inlet(
            BrokerSettings(client_id="gw1"),
            hall.intake,
            notify=lambda _note: None,
            metrics=hall.metrics,
            complaints=hall.complaints,
        )
        sender = Sender(hall.outbox, lambda *_: None, clock=hall.clock, drain_per_s=5.0, in_flight=4)
        self.status = StatusBoard(lambda *_: None, hall.clock)
        parts = Parts(
            front,
            hall.intake,
            hall.desk,
            hall.dispatcher,
            hall.journal,
            sender,
            hall.outbox,
            self.status,
            hall.metrics,
            hall.complaints,
            tuple,
        )
        reporter = Reporter(config, gateway, parts, HealthReporter("boot-1", folder, hall.clock), hall.clock)
        releases = make_releases(
            config,
            hall.store,
            outbox=hall.outbox,
            journal=hall.journal,
            front=front,
            desk=hall.desk,
            dispatcher=hall.dispatcher,
            topics=topics,
            event_ids=EventIds(lambda: 0),
            trail=Trail({}, hall.journal, boot_id="boot-1", clock=hall.clock),
            metrics=hall.metrics,
            clock=hall.clock,
        )
        affected = Affected(
            hall.intake,
            inlet,
            hall.desk,
            hall.dispatcher,
            hall.journal,
            hall.outbox,
            sender,
            front,
            self.status,
            reporter,
            releases,
            References(hall.desk, hall.metrics, hall.complaints, hall.incidents.append),
            EventIds(lambda: round(hall.wall.now_s * 1000)),
        )
        self.reloader = Reloader(
            self.file,
            config,
            gateway,
            hall.store,
            affected,
            now=hall.clock.monotonic,
            on_incident=hall.incidents.append,
            on_mended=lambda _beginning: hall.incidents.clear(),
        )
        self.ended: list[tuple[str, str]] = []
        hall.stand_up()
        hall.statuses.clear()

    def reload(self, text: str) -> list[tuple[str, str]]:
        """Write the file and have it read; gives what was answered, now or later."""
        self.file.write_text(text)
        ended: list[tuple[str, str]] = []
        self.reloader.reload().then(lambda *words: ended.append(words))
        return ended

    def begin(self, text: str) -> tuple[list[tuple[str, str]], socket.socket]:
        """Begin a reload that needs a worker, and take its request; gives answer to come and present worker."""
        present = self.hall.keeper.worker
        ended = self.reload(text)
        self.hall.dispatcher.poll()
        self.hall.dispatcher.poll()
        self.load = self.hall.keeper.take_request()
        return ended, present

    def build(self) -> None:
        for plan in self.load.pipelines:
            self.hall.say(Building(plan.name), Built(plan.name, "e", None))
        self.hall.say(READY)

    def topics(self) -> dict[str, bytes]:
        """Give what was committed last on each topic."""
        self.hall.journal.flush(0.0, force=True)
        return {stored.topic: stored.payload for stored in self.hall.outbox.unsent(100)}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    house.hall.store.install(read_bundle(window_bundle(), TRUSTED), activate=True)
    yield house
    house.hall.close()


def test_a_rule_that_no_model_sees_is_taken_over_at_once(house: House) -> None:
    (answer,) = house.reload(FILE.replace('verdict = "none"', 'verdict = "none"\nrule = [{ n = 2, m = 3 }]'))
    assert answer == ("changed: $.pipeline[twin].rule", "")
    assert not house.hall.keeper.coming
    assert house.hall.desk._pipelines["twin"].rule_for("crack").n == 2


def test_the_rate_of_the_outbox_is_taken_over_at_once(house: House) -> None:
    (answer,) = house.reload(FILE + "[outbox]\ndrain_per_s = 7.0\nmax_bytes = 2000000\n")
    assert (answer, house.hall.outbox._max_bytes) == (
        ("changed: $.outbox.max_bytes, $.outbox.drain_per_s", ""),
        2_000_000,
    )


def test_a_faulty_file_changes_nothing(house: House) -> None:
    before = house.reloader.config
    ((text, reason),) = house.reload(FILE.replace('format = "jpeg"', 'format = "bmp"'))
    assert (reason, text.count("$.camera")) == ("invalid_config", 2)
    assert house.reloader.config is before
    assert house.hall.incidents == ["reload_refused:invalid_config"]


def test_a_good_file_ends_what_health_said_of_a_faulty_one(house: House) -> None:
    house.reload(FILE.replace('format = "jpeg"', 'format = "bmp"'))
    house.reload(FILE)
    assert house.hall.incidents == []


def test_a_file_that_is_gone_changes_nothing(house: House) -> None:
    house.file.unlink()
    ended: list[str] = []
    house.reloader.reload().then(lambda _text, reason: ended.append(reason))
    assert ended == ["failed"]


def test_a_pipeline_without_a_bundle_changes_nothing(house: House) -> None:
    ((text, reason),) = house.reload(FILE + LIFE.replace("tiny-life", "nothing"))
    assert reason == "bundle_refused"
    assert 'life: no active bundle of "nothing"' in text


def test_nothing_is_told_before_the_new_worker_takes_over(house: House) -> None:
    ended, _ = house.begin(FILE + LIFE)
    house.hall.say(Building("surface"))
    assert (ended, house.hall.statuses, "press1" in house.hall.intake.mailboxes) == ([], [], False)


def test_a_new_pipeline_is_there_when_its_worker_is(house: House) -> None:
    ended, _ = house.begin(FILE + LIFE)
    house.build()
    assert ended == [("changed: $.sensor[press1] (new), $.pipeline[life] (new), life is built", "")]
    assert ("life", "running", "") in house.hall.statuses
    assert "press1" in house.hall.intake.mailboxes


def test_a_new_pipeline_that_does_not_come_up_changes_nothing(house: House) -> None:
    ended, _ = house.begin(FILE + LIFE)
    house.hall.say(Building("life"), Refused("life", "golden outputs differ"))
    ((text, reason),) = ended
    assert (reason, "golden outputs differ" in text) == ("swap_failed", True)
    assert "press1" not in house.hall.intake.mailboxes
    assert house.hall.keeper.has_room
    assert [status for status in house.hall.statuses if status[0] == "life"] == []


def test_another_reload_is_refused_while_one_is_under_way(house: House) -> None:
    house.begin(FILE + LIFE)
    ((_, reason),) = house.reload(FILE)
    assert reason == "change_running"


def test_a_reload_after_one_that_failed_is_done(house: House) -> None:
    house.begin(FILE + LIFE)
    house.hall.say(Building("life"), Refused("life", "why"))
    ended, _ = house.begin(WITHOUT_TWIN)
    house.build()
    assert [reason for _, reason in ended] == [""]


def test_what_a_gone_pipeline_published_is_emptied(house: House) -> None:
    house.begin(WITHOUT_TWIN)
    house.build()
    assert house.topics()["edge/gw1/pipe/twin/status"] == b""
    assert "twin" not in house.hall.dispatcher.facts


def test_a_model_topic_stays_where_another_pipeline_runs_it(house: House) -> None:
    house.begin(WITHOUT_TWIN)
    house.build()
    assert "edge/gw1/model/tiny-surface/installed" not in house.topics()


def test_an_open_part_of_a_gone_pipeline_is_unsure(house: House) -> None:
    house.hall.dispatcher.expect_part(PartSeen("sure", "p1", 1e9, 1e9))
    house.begin(FILE[: FILE.index("[[pipeline]]")] + LIFE)
    house.build()
    verdict = json.loads(house.topics()["part/verdict"])
    assert (verdict["part"], verdict["verdict"], verdict["reasons"]) == ("p1", "unsure", ["no_answer"])


LEFT_FAST = WITHOUT_TWIN.replace('"sure", "fast"', '"sure"')


def without_fast() -> str:
    camera = LEFT_FAST.index('[[camera]]\nid = "fast"')
    return LEFT_FAST[:camera] + LEFT_FAST[LEFT_FAST.index("[[pipeline]]") :]


def test_what_came_of_a_source_that_leaves_is_judged_before_the_switch(house: House) -> None:
    hall = house.hall
    hall.dispatcher.expect_part(PartSeen("fast", "p1", hall.wall.now_s, hall.wall.now_s))
    ended, present = house.begin(without_fast())
    hall.publish("fast", part="p1")
    house.build()
    assert ended == []
    hall.dispatcher.feed()
    present.send(protocol.encode(protocol.Done(1, (protocol.Outcome("surface", verdict="ok"),), 1.0)))
    hall.dispatcher.poll()
    hall.dispatcher.poll()
    assert [reason for _, reason in ended] == [""]
    assert json.loads(house.topics()["part/verdict"])["verdict"] == "ok"
    assert hall.dropped("fast", "source_gone") == 0


def test_inputs_stay_unread_while_a_source_leaves(house: House) -> None:
    house.begin(without_fast())
    house.hall.publish("fast", part="p1")
    house.build()
    house.hall.publish("fast", part="p2")
    assert (len(house.hall.intake.mailboxes["fast"]), house.hall.intake.wants_pause()) == (1, True)


def test_a_worker_that_dies_while_a_source_leaves_costs_no_input(house: House) -> None:
    hall = house.hall
    hall.dispatcher.expect_part(PartSeen("fast", "p1", hall.wall.now_s, hall.wall.now_s))
    ended, present = house.begin(without_fast())
    beside = hall.keeper.worker
    hall.publish("fast", part="p1")
    hall.dispatcher.feed()
    house.build()
    present.close()
    hall.dispatcher.poll()
    hall.keeper.take_request()
    for name in ("surface", "twin"):
        hall.say(Building(name), Built(name, "e", None))
    hall.say(READY)
    hall.dispatcher.feed()
    hall.say(protocol.Done(1, (protocol.Outcome("surface", verdict="ok"),), 1.0))
    hall.dispatcher.poll()
    hall.keeper.worker = beside
    hall.dispatcher.poll()
    assert [reason for _, reason in ended] == [""]
    assert json.loads(house.topics()["part/verdict"])["verdict"] == "ok"


def test_sources_are_read_again_when_the_change_fails(house: House) -> None:
    house.begin(without_fast())
    house.hall.publish("fast", part="p0")
    house.build()
    house.hall.publish("fast", part="p1")
    house.hall.keeper.worker.close()
    house.hall.dispatcher.poll()
    assert (len(house.hall.intake.mailboxes["fast"]), house.hall.intake.wants_pause()) == (2, False)


def test_a_pipeline_that_failed_does_not_stand_in_the_way_of_other_changes(house: House) -> None:
    house.hall.dispatcher.lineup._drop("twin", "its golden outputs differ")
    ended, _ = house.begin(FILE + LIFE)
    assert [plan.name for plan in house.load.pipelines] == ["surface", "life"]
    house.build()
    assert [reason for _, reason in ended] == [""]


def test_a_model_change_that_waits_for_a_reload_is_made_under_the_new_configuration(house: House) -> None:
    house.begin(FILE.replace('"sure", "fast"', '"sure"'))
    house.hall.dispatcher.swap({"surface": house.hall.models["surface"]})
    house.build()
    house.hall.dispatcher.poll()
    house.hall.dispatcher.poll()
    by_name = {plan.name: plan for plan in house.hall.keeper.take_request().pipelines}
    assert [source.id for source in by_name["surface"].sources] == ["sure"]


def test_a_bundle_that_was_activated_beside_is_built(house: House) -> None:
    house.hall.store.install(read_bundle(image_bundle(release=2, version="2.0.0"), TRUSTED), activate=True)
    ended, _ = house.begin(FILE)
    house.build()
    ((text, _),) = ended
    assert "surface runs tiny-surface 2.0.0 (was 1.0.0), twin runs tiny-surface 2.0.0" in text


def test_a_stopped_pipeline_stays_stopped_over_a_reload(house: House) -> None:
    house.hall.dispatcher.lineup.stop("twin")
    house.hall.dispatcher.poll()
    house.hall.dispatcher.poll()
    house.load = house.hall.keeper.take_request()
    house.build()
    house.begin(FILE + LIFE)
    assert [plan.name for plan in house.load.pipelines] == ["surface", "life"]


def test_messages_carry_the_new_digest_afterwards(house: House) -> None:
    house.reload(FILE + "[outbox]\ndrain_per_s = 7.0\n")
    assert house.hall.desk._gateway.config_sha256 != "c" * 64
    assert house.hall.desk._gateway.boot_id == "boot-1"
