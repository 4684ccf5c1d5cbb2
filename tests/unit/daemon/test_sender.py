"""The way out: refusals, pauses, order, and a disk that refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.outbox import Outbox, Outgoing, Priority
from edge_runtime.daemon.sender import Sender
from edge_runtime.errors import HostEnvironmentError


@dataclass
class Broker:
    """Takes messages; refuses some topics."""

    refuses: set[str] = field(default_factory=set)
    taken: list[str] = field(default_factory=list)
    too_long: set[str] = field(default_factory=set)
    tickets: dict[int, str] = field(default_factory=dict)

    payloads: list[bytes] = field(default_factory=list)

    def publish(self, topic: str, payload: bytes, _retain: bool) -> int | None:
        self.payloads.append(payload)
        if topic in self.too_long:
            raise ValueError("longer than the session takes")
        ticket = len(self.tickets) + 1
        self.tickets[ticket] = topic
        return ticket


@dataclass
class Office:
    """A sender with a real outbox, a broker and a clock of its own."""

    outbox: Outbox
    broker: Broker
    now: float = 100.0
    answered: int = 0

    def __post_init__(self) -> None:
        clock = Clock(wall=lambda: self.now, monotonic=lambda: self.now)
        self.sender = Sender(self.outbox, self.broker.publish, clock=clock, drain_per_s=1e6, in_flight=64)
        self.sender.connected()

    def commit(self, *topics: str) -> None:
        count = self.outbox.depth
        events = [
            Outgoing(f"{count + index:026d}", "alert", count + index + 1, Priority.ALERT, topic, b"{}")
            for index, topic in enumerate(topics)
        ]
        self.outbox.commit(events, {})

    def turn(self, seconds: float = 0.5) -> None:
        """Let time pass, pump, and answer everything as the broker does."""
        self.now += seconds
        self.sender.pump()
        for ticket, topic in self.broker.tickets.items():
            if ticket > self.answered:
                self.answered = ticket
                if topic in self.broker.refuses:
                    self.sender.failed(ticket)
                else:
                    self.broker.taken.append(topic)
                    self.sender.acknowledged(ticket)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    outbox = Outbox(tmp_path / "outbox.sqlite", boot_id="b")
    yield Office(outbox, Broker())
    outbox.close()


def test_refused_events_do_not_hold_up_the_others(office: Office) -> None:
    office.broker.refuses = {"no"}
    office.commit(*["no"] * 70, *["yes"] * 5)
    for _ in range(6):
        office.turn()
    assert office.broker.taken == ["yes"] * 5
    assert office.sender.n_refused == 70


def test_a_refused_event_arrives_when_the_broker_takes_it_again(office: Office) -> None:
    office.broker.refuses = {"no"}
    office.commit("no")
    office.turn()
    office.broker.refuses = set()
    for _ in range(10):
        office.turn(seconds=2.0)
    assert office.broker.taken == ["no"]
    assert office.outbox.depth == 0
    assert office.sender.n_refused == 0


def test_an_event_that_the_session_cannot_take_is_refused_not_fatal(office: Office) -> None:
    office.broker.too_long = {"long"}
    office.commit("long", "yes")
    office.turn()
    office.turn()
    assert office.broker.taken == ["yes"]
    assert office.sender.n_refused == 1


def test_a_live_alarm_goes_before_events_that_are_sent_again(office: Office) -> None:
    office.commit("old1", "old2")
    office.turn()
    office.turn()
    assert office.outbox.resend("b", "alert", 1) == 2
    office.outbox.commit([Outgoing("Z" * 26, "alert", 9, Priority.ALERT, "new", b"{}")], {})
    office.turn()
    office.turn()
    assert office.broker.taken[2:] == ["new", "old1", "old2"]


def test_evidence_is_sent_as_it_is(office: Office) -> None:
    office.outbox.commit([Outgoing("e1", "", 0, Priority.EVIDENCE, "e", b"\xff\xd8 picture")], {})
    office.turn()
    assert office.broker.payloads == [b"\xff\xd8 picture"]


def test_held_events_are_not_sent_and_nothing_is_due_for_them(office: Office) -> None:
    office.outbox.commit([Outgoing("h1", "alert", 1, Priority.ALERT, "t", b"{}", held=True)], {})
    office.turn()
    assert office.broker.taken == []
    assert office.sender.due_in(office.now) is None


def test_evidence_that_is_dropped_while_it_is_refused_is_refused_no_longer(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite", boot_id="b", evidence_max_bytes=1000)
    office = Office(outbox, Broker(refuses={"e"}))
    outbox.commit([Outgoing("e1", "", 0, Priority.EVIDENCE, "e", bytes(600))], {})
    office.turn()
    assert office.sender.n_refused == 1
    outbox.commit([Outgoing("e2", "", 0, Priority.EVIDENCE, "f", bytes(600))], {})
    office.turn()
    assert (office.sender.n_refused, office.broker.taken) == (0, ["f"])
    outbox.close()


@dataclass
class Keeper:
    """A broker that keeps the last value of a topic, and refuses some payloads."""

    sender: Sender | None = None
    refuses: set[bytes] = field(default_factory=set)
    kept: dict[str, bytes] = field(default_factory=dict)
    answers: list[tuple[int, str, bytes]] = field(default_factory=list)
    n_tickets: int = 0

    def publish(self, topic: str, payload: bytes, _retain: bool) -> int | None:
        word = msgspec.json.decode(payload)["word"].encode() if payload else b""
        self.n_tickets += 1
        self.answers.append((self.n_tickets, topic, word))
        return self.n_tickets

    def answer(self, n: int = 100) -> None:
        """Answer the oldest publishes."""
        assert self.sender is not None
        due, self.answers = self.answers[:n], self.answers[n:]
        for ticket, topic, word in due:
            if word in self.refuses:
                self.sender.failed(ticket)
            else:
                self.kept[topic] = word
                self.sender.acknowledged(ticket)


@dataclass
class Gateway:
    """A sender with one retained topic; may be started again."""

    folder: Path
    keeper: Keeper
    now: float = 100.0
    n: int = 0

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.outbox = Outbox(self.folder / "outbox.sqlite", boot_id="b", retention_s=0.0, clock=lambda: self.now)
        clock = Clock(wall=lambda: self.now, monotonic=lambda: self.now)
        self.sender = self.keeper.sender = Sender(
            self.outbox, self.keeper.publish, clock=clock, drain_per_s=1e6, in_flight=64
        )
        self.keeper.answers = []
        self.sender.connected()

    def say(self, *words: bytes, held: bool = False) -> None:
        for word in words:
            self.n += 1
            payload = b'{"word":"' + word + b'"}' if word else b""
            event = Outgoing(f"e{self.n}", "", 0, Priority.ALERT, "state/k", payload, retain=True, held=held)
            self.outbox.commit([event], {})

    def pump(self, seconds: float) -> None:
        self.now += seconds
        self.sender.pump()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path, Keeper())
    yield gateway
    gateway.outbox.close()


def settle(gateway: Gateway) -> None:
    """Let the broker take everything, and let the time of all retries pass."""
    gateway.keeper.refuses = set()
    for _ in range(30):
        gateway.keeper.answer()
        gateway.pump(1.0)
        gateway.outbox.purge()


def test_a_refused_value_never_replaces_a_later_one_of_its_topic(gateway: Gateway) -> None:
    gateway.keeper.refuses = {b"active"}
    gateway.say(b"active")
    gateway.pump(0.1)
    gateway.keeper.answer()
    gateway.say(b"")
    gateway.pump(0.1)
    gateway.keeper.answer()
    settle(gateway)
    assert gateway.keeper.kept == {"state/k": b""}
    assert (gateway.outbox.depth, gateway.sender.n_refused) == (0, 0)


def test_a_refused_value_is_not_offered_while_a_later_one_is_on_its_way(gateway: Gateway) -> None:
    gateway.keeper.refuses = {b"active"}
    gateway.say(b"active")
    gateway.pump(0.1)
    gateway.keeper.answer()
    gateway.say(b"")
    gateway.pump(0.1)
    gateway.pump(9.0)
    settle(gateway)
    assert gateway.keeper.kept == {"state/k": b""}


def test_a_value_that_is_refused_after_a_later_one_was_taken_is_refused_no_longer(gateway: Gateway) -> None:
    gateway.keeper.refuses = {b"active"}
    gateway.say(b"active", b"")
    gateway.pump(0.1)
    gateway.keeper.answers.reverse()
    gateway.keeper.answer(1)
    gateway.pump(0.2)
    gateway.keeper.answer(1)
    gateway.pump(0.2)
    assert (gateway.outbox.depth, gateway.sender.n_refused, gateway.sender.n_waiting) == (0, 0, 0)


def test_a_refused_value_is_replaced_over_a_restart_too(gateway: Gateway) -> None:
    gateway.keeper.refuses = {b"active"}
    gateway.say(b"active", b"")
    gateway.pump(0.1)
    gateway.keeper.answer()
    gateway.sender.finish()
    gateway.outbox.purge()
    gateway.outbox.close()
    gateway.start()
    settle(gateway)
    assert gateway.keeper.kept == {"state/k": b""}


def test_a_restart_before_the_answer_was_written_down_sends_both_values_in_their_order(gateway: Gateway) -> None:
    gateway.keeper.refuses = {b"active"}
    gateway.say(b"active", b"")
    gateway.pump(0.1)
    gateway.keeper.answer()
    gateway.outbox.close()
    gateway.start()
    gateway.pump(0.1)
    gateway.keeper.refuses = set()
    settle(gateway)
    assert gateway.keeper.kept == {"state/k": b""}


def test_a_refused_value_arrives_where_no_later_one_is(gateway: Gateway) -> None:
    gateway.keeper.refuses = {b"active"}
    gateway.say(b"", b"active")
    gateway.pump(0.1)
    gateway.keeper.answer()
    settle(gateway)
    assert gateway.keeper.kept == {"state/k": b"active"}


def test_a_held_value_never_replaces_a_later_one(gateway: Gateway) -> None:
    gateway.say(b"active", held=True)
    gateway.say(b"")
    gateway.pump(0.1)
    settle(gateway)
    gateway.outbox.restamp(1000, boot_id="b")
    settle(gateway)
    assert (gateway.keeper.kept, gateway.outbox.depth, gateway.outbox.ready) == ({"state/k": b""}, 0, 0)


def test_what_waits_is_what_could_not_be_handed_over_yet(office: Office) -> None:
    assert office.sender.n_waiting == 0
    office.commit("a", "b")
    assert office.sender.n_waiting == 2
    office.turn()
    assert office.sender.n_waiting == 0


@pytest.mark.parametrize("jump_s", [0.0, 3600.0, -3600.0, -1e9], ids=str)
def test_what_happened_while_the_broker_was_away_is_buffered_whatever_the_clock_shows(
    tmp_path: Path, jump_s: float
) -> None:
    wall = 1.8e9
    outbox = Outbox(tmp_path / "outbox.sqlite", boot_id="b", clock=lambda: wall)
    office = Office(outbox, Broker())
    office.sender.disconnected()
    office.commit("away")
    wall += jump_s
    office.sender.connected()
    office.commit("live")
    wall -= 2 * jump_s
    office.turn()
    assert [msgspec.json.decode(payload)["buffered"] for payload in office.broker.payloads] == [True, False]
    outbox.close()


def test_an_event_on_a_link_that_broke_goes_again_at_once_on_the_next(office: Office) -> None:
    office.commit("a")
    office.sender.pump()
    office.answered = 1
    office.sender.lost(1)
    assert office.sender.n_refused == 0
    office.sender.disconnected()
    office.sender.connected()
    office.turn(seconds=0.0)
    assert office.broker.taken == ["a"]


def break_links(office: Office, poison: str, *, turns: int = 200) -> None:
    """Hang up whenever a topic comes, with everything that was on its way, and be there again at once."""
    for _ in range(turns):
        office.now += 0.1
        office.sender.pump()
        new = [ticket for ticket in office.broker.tickets if ticket > office.answered]
        office.answered = max([office.answered, *new])
        if poison in [office.broker.tickets[ticket] for ticket in new]:
            for ticket in new:
                office.sender.lost(ticket)
            office.sender.disconnected()
            office.sender.connected()
        else:
            for ticket in new:
                office.broker.taken.append(office.broker.tickets[ticket])
                office.sender.acknowledged(ticket)


def test_an_event_that_ends_every_link_does_not_hold_up_the_others(office: Office) -> None:
    office.commit("a", "poison", *["b"] * 20)
    break_links(office, "poison")
    assert sorted(office.broker.taken) == ["a", *["b"] * 20]
    assert office.sender.n_refused == 1


def test_an_event_that_ended_links_arrives_when_the_broker_takes_it(office: Office) -> None:
    office.commit("a", "poison", "b")
    break_links(office, "poison")
    break_links(office, "nothing")
    assert sorted(office.broker.taken) == ["a", "b", "poison"]
    assert office.sender.n_refused == 0


def test_when_a_refused_event_is_taken_the_other_refused_ones_follow_at_once(office: Office) -> None:
    office.broker.refuses = {"no", "never"}
    office.commit("no")
    for _ in range(20):
        office.turn(seconds=1.0)
    office.commit("never")
    office.turn()
    office.broker.refuses = set()
    office.turn(seconds=2.0)
    office.turn(seconds=0.1)
    assert sorted(office.broker.taken) == ["never", "no"]


def test_a_refused_event_is_offered_again_within_eight_seconds_however_often_it_was(office: Office) -> None:
    office.broker.refuses = {"no"}
    office.commit("no")
    for _ in range(100):
        office.turn(seconds=1.0)
    office.broker.refuses = set()
    office.turn(seconds=8.0)
    assert office.broker.taken == ["no"]


def test_what_was_on_its_way_when_the_link_went_is_sent_again_after_it(office: Office) -> None:
    office.commit("a")
    office.sender.pump()
    office.sender.disconnected()
    assert not office.sender.acknowledged(1)
    office.answered = 1
    office.sender.connected()
    office.turn()
    assert office.broker.taken == ["a"]
    assert len(office.broker.payloads) == 2


def test_a_word_about_a_message_of_somebody_else_changes_nothing(office: Office) -> None:
    office.sender.failed(99)
    assert not office.sender.acknowledged(99)
    assert office.sender.n_refused == 0


def test_a_link_that_takes_nothing_more_ends_the_turn(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office.sender, "_publish", lambda *_: None)
    office.commit("a", "b")
    assert office.sender.pump() == 0
    assert office.sender.n_waiting == 2


def test_the_next_event_is_due_when_the_rate_allows_it(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite", boot_id="b")
    broker, now = Broker(), [100.0]
    clock = Clock(wall=lambda: now[0], monotonic=lambda: now[0])
    sender = Sender(outbox, broker.publish, clock=clock, drain_per_s=2.0, in_flight=64)
    sender.connected()
    office = Office(outbox, broker)
    office.sender = sender
    office.commit("a", "b", "c")
    assert sender.pump() == 1
    assert sender.due_in(now[0]) == pytest.approx(0.5)
    now[0] += 0.5
    assert sender.pump() == 1
    outbox.close()


def test_acknowledgements_are_due_to_be_written_down(office: Office) -> None:
    office.commit("a", "b")
    office.sender.pump()
    office.sender.acknowledged(1)
    assert office.sender.due_in(office.now) == 0.0
    office.sender.pump()
    assert office.sender.due_in(office.now) is None
    office.sender.acknowledged(2)
    assert office.sender.due_in(office.now) == pytest.approx(0.1)


def test_the_end_writes_down_what_arrived_at_once(office: Office) -> None:
    office.commit("a")
    office.turn(0.0)
    office.sender.finish()
    assert office.outbox.depth == 0


def test_a_disk_that_refuses_at_the_end_is_told(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise HostEnvironmentError("disk full")

    office.commit("a")
    office.turn(0.0)
    monkeypatch.setattr(office.outbox, "mark_acknowledged", refuse)
    office.sender.finish()
    assert office.sender.fault == "disk full"


def test_a_disk_that_refuses_pauses_the_sending_for_a_second(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise HostEnvironmentError("disk full")

    office.commit("a")
    with monkeypatch.context() as patch:
        patch.setattr(office.outbox, "unsent", refuse)
        office.turn()
    assert office.sender.fault == "disk full"
    office.turn(0.5)
    assert office.broker.taken == []
    office.turn(0.6)
    assert (office.broker.taken, office.sender.fault) == (["a"], "")


def test_an_outbox_that_cannot_be_read_when_the_link_stands_is_a_fault(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> int:
        raise HostEnvironmentError("disk I/O error")

    monkeypatch.setattr(Outbox, "last_id", property(refuse))
    office.sender.connected()
    assert office.sender.fault == "disk I/O error"


def test_an_event_that_is_no_json_is_left_out_and_the_others_go(office: Office) -> None:
    office.commit("a", "b")
    office.outbox._database.execute("UPDATE event SET payload = x'ff00' WHERE topic = 'a'")
    office.outbox._database.commit()
    for _ in range(3):
        office.turn(1.1)
    assert office.broker.taken == ["b"]
    assert office.outbox.mendings[0].salvaged.n_lost == 1


def test_another_rate_holds_from_now_on(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite", boot_id="b", clock=lambda: 100.0)
    office = Office(outbox, Broker())
    office.sender.set_rate(2.0)
    office.commit(*(f"t{number}" for number in range(20)))
    office.turn(10.0)
    assert len(office.broker.tickets) <= 2
    outbox.close()
