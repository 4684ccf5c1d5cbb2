"""The worker beside the one in use: what it is told, what it takes, and what becomes of its slots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.config import Config
from edge_runtime.daemon import protocol
from edge_runtime.daemon.intake import Item
from edge_runtime.daemon.keeper import Event, Lost, WorkerLimits
from edge_runtime.daemon.models import load_models
from edge_runtime.daemon.ring import Ring
from edge_runtime.daemon.trial_lane import TrialLane
from edge_runtime.mqtt.codec import FramePayload
from edge_runtime.mqtt.image_header import ImageHeader
from tests.unit.daemon.workshops import CONFIG, Workshop


class QuietKeeper:
    """A keeper without processes: it takes tasks and says what a test lets it say."""

    def __init__(
        self,
        ring: Ring,
        orders: Callable[[], protocol.Load],
        formats: tuple[str, ...],
        limits: WorkerLimits,
    ) -> None:
        self.ring, self.orders, self.formats, self.limits = ring, orders, formats, limits
        self.tasks: list[Any] = []
        self.events: list[Event] = []
        self.pids: tuple[int, ...] = ()
        self.closed = False

    @property
    def has_room(self) -> bool:
        return self.ring.has_room

    def submit(self, task: Any) -> None:
        self.tasks.append(task)

    def poll(self) -> list[Event]:
        events, self.events = self.events, []
        return events

    def filenos(self) -> list[int]:
        return [7]

    def close(self) -> None:
        self.closed = True


class Stand:
    """A lane on a quiet keeper."""

    def __init__(self, folder: Path, config: Config = CONFIG) -> None:
        self.shop = Workshop(folder, config)
        self.shop.put(1, active=True)
        models, _ = load_models(config, self.shop.store)
        made: list[QuietKeeper] = []

        def keeper(*parts: Any) -> Any:
            made.append(QuietKeeper(*parts))
            return made[0]

        self.lane = TrialLane(config, models, (b"key",), clock=lambda: 0.0, make_keeper=keeper)
        self.keeper = made[0]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """A lane that ends with the test."""
    made = Stand(tmp_path)
    yield made
    made.lane.close()
    made.shop.outbox.close()


def frame(number: int, *, source: str = "cam", size: int = 100) -> Item:
    header = ImageHeader("jpeg", 1, 1, 3)
    payload = FramePayload(source, bytes([number]) * size, header, 1.0, 1.0, from_source=True, part=f"p{number}")
    return Item(number, source, payload, None, 0.0)


def test_its_worker_builds_the_other_models_with_empty_windows(stand: Stand) -> None:
    load = stand.keeper.orders()
    assert ([plan.name for plan in load.pipelines], load.states, load.trusted) == (["surface"], {}, (b"key",))
    assert (stand.keeper.formats, stand.lane.pipelines, stand.lane.sources) == (
        ("tflite",),
        frozenset({"surface"}),
        frozenset({"cam"}),
    )


def test_its_memory_is_bounded_by_the_rollouts_limit(stand: Stand) -> None:
    assert stand.keeper.limits.memory_bytes == CONFIG.rollout.memory_limit_mb << 20


def test_copy_is_handed_over(stand: Stand) -> None:
    taken = stand.lane.offer(frame(5))
    (task,) = stand.keeper.tasks
    assert (taken, task.id, task.n_bytes, task.part) == (True, 5, 100, "p5")


def test_input_of_another_source_is_not_taken(stand: Stand) -> None:
    assert (stand.lane.offer(frame(1, source="other")), stand.keeper.tasks) == (False, [])


def test_input_beyond_a_slot_is_not_taken(stand: Stand) -> None:
    assert not stand.lane.offer(frame(1, size=CONFIG.worker.slot_bytes + 1))


def test_third_input_at_a_time_is_not_taken(stand: Stand) -> None:
    assert [stand.lane.offer(frame(number)) for number in range(3)] == [True, True, False]


def test_answer_gives_a_slot_back(stand: Stand) -> None:
    for number in range(2):
        stand.lane.offer(frame(number))
    stand.keeper.events = [protocol.Done(0, (), 1.0)]
    said = stand.lane.poll()
    assert (said, stand.lane.offer(frame(3)), stand.lane.offer(frame(4))) == ([protocol.Done(0, (), 1.0)], True, False)


def test_lost_worker_gives_all_slots_back(stand: Stand) -> None:
    for number in range(2):
        stand.lane.offer(frame(number))
    stand.keeper.events = [Lost("crashed", 0, (1,))]
    stand.lane.poll()
    assert [stand.lane.offer(frame(number)) for number in (5, 6)] == [True, True]


def test_launcher_that_is_gone_is_nothing_to_it(stand: Stand) -> None:
    stand.keeper.pids = (1 << 22,)
    assert (stand.lane.poll(), stand.lane.pids, stand.lane.filenos()) == ([], (1 << 22,), [7])


def test_end_ends_its_processes(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.lane.close()
    stand.shop.outbox.close()
    assert stand.keeper.closed
