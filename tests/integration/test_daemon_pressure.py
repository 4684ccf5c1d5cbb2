"""More comes than can be worked on: what may wait waits at the broker, what may be dropped is dropped and counted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.daemon_rig import Plant, running_plant, settle, until
from tests.integration.factory_inputs import picture, samples

pytestmark = pytest.mark.broker

FLOOD = 1500
GROWTH_BYTES = 24 << 20
FAST = 150
PSS_BYTES = 250 << 20
HEAVY = ("cv2", "llvmlite", "numba", "ai_edge_litert", "onnxruntime", "tensorflow")


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A plant for all tests of this module."""
    with running_plant(tmp_path_factory.mktemp("pressure")) as running:
        yield running


def processed(plant: Plant, source: str) -> float:
    """Inputs of a source that the worker finished."""
    return plant.daemon.metric("edge_processed_total", source=source)


@pytest.fixture(scope="module")
def flooded(plant: Plant) -> tuple[Plant, int]:
    """Thousands of sensor blocks came at once; gives the supervisor's largest growth in bytes, too."""
    supervisor = psutil.Process(plant.daemon.pid)
    for _ in range(20):
        plant.publisher.publish("plant/sensor/press2", b"[[1,2,3,4]]")
    until(lambda: processed(plant, "press2") == 20, "the daemon is warm")
    before = largest = supervisor.memory_info().rss
    first_ms = round(time.time() * 1000) - 86_400_000
    raw = samples(1).tobytes()
    for number in range(FLOOD):
        plant.publisher.publish("plant/sensor/press1", raw, ts_ms=first_ms + 1000 * number)
    give_up_at = time.monotonic() + 60
    while processed(plant, "press1") < FLOOD and time.monotonic() < give_up_at:
        largest = max(largest, supervisor.memory_info().rss)
        time.sleep(0.05)
    return plant, largest - before


def test_flood_at_qos_1_is_worked_off_to_the_last_message(flooded: tuple[Plant, int]) -> None:
    plant, _ = flooded
    assert processed(plant, "press1") == FLOOD


def test_flood_at_qos_1_is_not_dropped(flooded: tuple[Plant, int]) -> None:
    plant, _ = flooded
    assert "edge_dropped_total{" not in plant.daemon.page("metrics")[1]


def test_flood_at_qos_1_does_not_let_memory_grow(flooded: tuple[Plant, int]) -> None:
    _, growth = flooded
    assert growth < GROWTH_BYTES


def test_supervisor_has_no_engine_and_no_compiler_in_its_memory(flooded: tuple[Plant, int]) -> None:
    plant, _ = flooded
    mapped = Path(f"/proc/{plant.daemon.pid}/maps").read_text()
    assert [name for name in HEAVY if name in mapped] == []


def test_worker_has_them(flooded: tuple[Plant, int]) -> None:
    plant, _ = flooded
    mapped = Path(f"/proc/{plant.daemon.worker_pid()}/maps").read_text()
    assert all(name in mapped for name in ("cv2", "llvmlite", "ai_edge_litert"))


def test_memory_of_all_processes_stays_within_the_budget(flooded: tuple[Plant, int]) -> None:
    plant, _ = flooded
    family = [psutil.Process(plant.daemon.pid), *psutil.Process(plant.daemon.pid).children(recursive=True)]
    assert sum(process.memory_full_info().pss for process in family) < PSS_BYTES


@pytest.fixture(scope="module")
def overtaken(plant: Plant) -> Plant:
    """A camera at QoS 0 sent frames faster than they can be looked at."""
    large = [picture(number, height=900, width=1200) for number in range(8)]
    for number in range(FAST):
        plant.publisher.publish("plant/cam/fast/frame", large[number % 8], qos=0, part=f"fast-{number}", seq=number)
    until(lambda: received(plant) > 0, "frames come")
    settle(lambda: (received(plant), len(fast_verdicts(plant))))
    return plant


def received(plant: Plant) -> int:
    """Frames of the fast camera that came; the broker may drop some of them."""
    return int(plant.daemon.metric("edge_inputs_total", source="fast"))


def fast_verdicts(plant: Plant) -> dict[str, str]:
    """Verdicts on the fast camera's parts."""
    return {part: given[0]["verdict"] for part, given in plant.consumer.verdicts().items() if part.startswith("fast-")}


def test_frames_that_were_overtaken_are_counted(overtaken: Plant) -> None:
    dropped = overtaken.daemon.dropped("fast", "overtaken")
    assert dropped > 0
    assert processed(overtaken, "fast") + dropped == received(overtaken)


def test_last_frame_wins(overtaken: Plant) -> None:
    last = max(int(part.removeprefix("fast-")) for part in fast_verdicts(overtaken))
    (verdict,) = overtaken.consumer.verdicts()[f"fast-{last}"]
    assert verdict["score"] is not None, "the last frame was not looked at"


def test_part_whose_frame_was_overtaken_is_unsure(overtaken: Plant) -> None:
    given = overtaken.consumer.verdicts()
    unsure = [
        given[part][0]["reasons"] for part in fast_verdicts(overtaken) if given[part][0]["reasons"] == ["overtaken"]
    ]
    assert len(unsure) == overtaken.daemon.dropped("fast", "overtaken")


@pytest.mark.slow
def test_full_outbox_makes_inputs_wait_and_goes_on_emptying(tmp_path: Path) -> None:
    settings = "[outbox]\nmax_bytes = 1048576\nretention_s = 0\ndrain_per_s = 40"
    long_name = "x" * 110
    with running_plant(tmp_path, settings=settings) as plant:
        for number in range(1700):
            plant.publisher.publish("plant/cam/cam1/frame", picture(4), part=f"{number}-{long_name}")
        plant.publisher.flush(within_s=60)
        until(lambda: is_waiting(plant), "inputs wait", within_s=60)
        before = plant.daemon.metric("edge_published_total")
        until(lambda: plant.daemon.metric("edge_published_total") > before + 100, "it empties", within_s=30)


def is_waiting(plant: Plant) -> bool:
    """Whether frames came, and none of them is worked on for a while."""
    before = processed(plant, "cam1")
    time.sleep(0.7)
    return 1000 < before == processed(plant, "cam1")
