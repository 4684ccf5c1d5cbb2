"""What holds for every life of a desk that is killed and begun anew from what is on disk."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.config import Alarms, AlertRule, Pipeline
from edge_runtime.messages import Alert
from tests.unit.daemon.offices import BAD, GOOD, Office
from tests.unit.daemon.outboxes import Hands, open_outbox

CAMERAS = ("cam1", "cam2", "cam3", "cam4")
PIPELINE = Pipeline(
    id="surface",
    kind="inspection",
    bundle="b",
    cameras=CAMERAS,
    rules=(AlertRule(clear_after=1, severity="low"),),
    verdict="none",
)
SETTINGS = Alarms(flood_n=2, flood_window_s=20.0)

Deed = tuple[str, str, float]
deeds = st.lists(
    st.tuples(
        st.sampled_from(["again", "again", "bad", "good", "ack", "shelve", "one_shot", "unshelve", "drift", "wait"]),
        st.sampled_from(CAMERAS),
        st.sampled_from([0.5, 2.0, 15.0]),  # s that pass after it
    ),
    max_size=25,
)


@dataclass
class Life:
    """A desk, its disk and its clock."""

    folder: Path
    wall: Hands = field(default_factory=Hands)
    is_drifting: bool = False

    def __post_init__(self) -> None:
        self.outbox = open_outbox(self.folder, clock=self.wall)
        self.begin()

    def begin(self) -> None:
        """Begin from what is on disk."""
        self.office = Office(self.outbox, self.wall, PIPELINE, self.outbox.load_state(""), settings=SETTINGS)

    def last_of(self, camera: str) -> str:
        found = [alert.alert_id for alert in self.office.alerts if alert.camera == camera]
        return found[-1] if found else "nobody"

    def live(self, deed: Deed, *, killed: bool) -> None:
        name, camera, seconds = deed
        self.wall.now_s += 0.01
        if killed:
            self.begin()
        desk = self.office.desk
        if name in {"again", "bad", "good"}:
            for finding in {"again": (GOOD, BAD), "bad": (BAD,), "good": (GOOD,)}[name]:
                self.office.see(finding, camera=camera)
        elif name == "ack":
            desk.acknowledge(self.last_of(camera))
        elif name in {"shelve", "one_shot"}:
            desk.shelve(self.last_of(camera), duration_s=10.0, one_shot=name == "one_shot")
        elif name == "unshelve":
            desk.unshelve(self.last_of(camera))
        elif name == "drift":
            self.is_drifting = not self.is_drifting
            desk.set_system("drift", active=self.is_drifting, text="drift")
        self.wall.now_s += seconds
        desk.tick()
        self.office.journal.flush(0.0, force=True)

    def told(self) -> list[Alert]:
        return self.office.alerts

    def end(self) -> None:
        self.outbox.close()


def story(alerts: list[Alert]) -> list[tuple[object, ...]]:
    """What consumers hear, without names and numbers that differ from run to run."""
    return [
        (each.event_type, each.key, each.active, each.acked, each.shelved, each.flooded, each.count, each.timestamp_ms)
        for each in alerts
    ]


@settings(max_examples=30)
@given(deeds, st.sets(st.integers(0, 25)))
def test_a_kill_between_two_commits_changes_nothing_that_is_told(lives: list[Deed], kills: set[int]) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        steady, killed = Life(Path(one)), Life(Path(other))
        for index, deed in enumerate(lives):
            steady.live(deed, killed=False)
            killed.live(deed, killed=index in kills)
        assert story(killed.told()) == story(steady.told())
        assert killed.office.desk.summary() == steady.office.desk.summary()
        steady.end()
        killed.end()


@settings(max_examples=30)
@given(deeds)
def test_the_retained_states_are_those_of_the_alarms_that_stand_or_are_shelved(lives: list[Deed]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        life = Life(Path(folder))
        for deed in lives:
            life.live(deed, killed=False)
        last: dict[str, Alert] = {alert.key: alert for alert in life.told()}
        for key, alert in last.items():
            stands = alert.active or not alert.acked or alert.shelved
            assert bool(life.office.events(f"alert/state/{key}")[-1]) == stands
        life.end()
