"""What holds for every life of a gateway whose clock is unset, set, jumps, and whose daemon and machine restart."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.daemon.machines import YEAR_2026, Machine, Run

HOLD_S = 20.0
_TURN_S = 0.25

deeds = st.lists(
    st.one_of(
        st.just(("alarm", 0.0)),
        st.just(("alarm", 0.0)),
        st.tuples(st.just("live"), st.sampled_from([0.5, 3.0, 9.0, 30.0])),
        st.tuples(st.just("unset"), st.sampled_from([0.0, 12.0, 1.6e9])),
        st.just(("set", YEAR_2026)),
        st.tuples(st.just("jump"), st.sampled_from([3600.0, -3600.0])),
        st.just(("kill", 0.0)),
        st.just(("reboot", 0.0)),
    ),
    max_size=30,
)


@dataclass
class Life:
    """A gateway from its first start on, and what really happened when."""

    folder: Path
    machine: Machine = field(init=False)
    run: Run = field(init=False)
    taken: dict[str, tuple[str, float]] = field(default_factory=dict)  # by event: start of the machine, time since
    expected_ms: dict[str, float] = field(default_factory=dict)  # of events that were corrected
    n_runs: int = 0
    lasting_s: float = 0.0

    def __post_init__(self) -> None:
        self.machine = Machine(self.folder)
        self._start()

    def _start(self) -> None:
        self.n_runs += 1
        self.run = Run(self.machine, f"run{self.n_runs}", hold_s=HOLD_S)

    @property
    def is_set(self) -> bool:
        return self.machine.wall_s > 1_735_689_600.0

    def held(self) -> set[str]:
        rows = self.run.outbox._database.execute("SELECT event_id FROM event WHERE held = 1").fetchall()
        return {row[0] for row in rows}

    def live(self, deed: tuple[str, float]) -> None:
        name, value = deed
        if name == "alarm":
            event_id = self.run.raise_alarm()
            self.taken[event_id] = (self.machine.kernel, self.machine.up_s)
        elif name in {"set", "unset"}:
            self.machine.set_clock(value + self.machine.up_s)
        elif name == "jump" and self.is_set:
            self.machine.wall_s += value
        elif name == "live":
            self.machine.live(value)
        elif name in {"kill", "reboot"}:
            self.run.end()
            if name == "reboot":
                self.machine.reboot()
            self._start()
        before = self.held()
        self.run.turn(_TURN_S)
        if self.is_set:
            for event_id in before:
                kernel, up_s = self.taken[event_id]
                if kernel == self.machine.kernel:
                    self.expected_ms[event_id] = (self.machine.wall_s - self.machine.up_s + up_s) * 1000


@settings(max_examples=40)
@given(deeds)
def test_no_event_is_lost_or_held_for_too_long_and_times_are_corrected(lives: list[tuple[str, float]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        life = Life(Path(folder))
        for deed in lives:
            life.live(deed)
            held = life.held()
            assert not (held and life.is_set)
            for event_id in held:
                kernel, up_s = life.taken[event_id]
                assert kernel == life.machine.kernel
                assert life.machine.up_s - up_s < HOLD_S
        life.live(("set", YEAR_2026))
        sent = life.run.sent()
        assert [event["event_id"] for event in sent] == list(life.taken)
        for event in sent:
            if event["event_id"] in life.expected_ms:
                assert abs(event["timestamp_ms"] - life.expected_ms[event["event_id"]]) <= 1
                assert event["clock"] != "unset"
        life.run.end()


@settings(max_examples=40)
@given(deeds)
def test_the_lasting_clock_goes_on_and_never_runs_ahead(lives: list[tuple[str, float]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        life = Life(Path(folder))
        began, last, n_lived = life.run.lasting.now(), life.run.lasting.now(), 0.0
        for name, value in lives:
            life.live((name, value))
            n_lived += _TURN_S + (value if name == "live" else 0.0)
            now = life.run.lasting.now()
            # over a start of the machine it goes on from the last mark, and the loop stood still for 30 s at the most
            assert now >= last - (91.0 if name == "reboot" else 1e-3)
            assert now - began <= n_lived + 1e-3
            last = now
        life.run.end()
