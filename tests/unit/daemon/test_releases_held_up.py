"""New models where the store cannot be written, files are gone, and other models are tried at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edge_runtime.bundle.durable import Disk as RealDisk
from edge_runtime.bundle.durable import replace_durably
from edge_runtime.daemon.installing import Progress
from edge_runtime.daemon.release_book import Release
from tests.unit.daemon.workshops import CONFIG, DIGESTS, MODEL, Workshop

OTHER = "tiny-other"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    """Everything around the releases of a gateway."""
    made = Workshop(tmp_path)
    yield made
    made.outbox.close()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Workshop]:
    """A gateway that runs two models."""
    other = msgspec.structs.replace(CONFIG.pipelines[0], id="other", bundle=OTHER)
    made = Workshop(tmp_path, msgspec.structs.replace(CONFIG, pipelines=(*CONFIG.pipelines, other)))
    made.put(1, active=True, name=OTHER)
    yield made
    made.outbox.close()


class Disk:
    """The store's disk, which may be full."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.full = False

        def write(disk: RealDisk, path: Path, data: bytes) -> None:
            if self.full:
                raise OSError(28, "No space left on device")
            replace_durably(disk, path, data)

        patch.setattr("edge_runtime.bundle.folder.replace_durably", write)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A disk with room, until a test takes it."""
    return Disk(monkeypatch)


def wait(shop: Workshop, seconds: float) -> None:
    """Let time pass, in turns of ten seconds."""
    for _ in range(int(seconds / 10)):
        shop.hands.now_s += 10.0
        shop.releases.poll()


def bring_other(shop: Workshop) -> str:
    """Have a second release of the other model stored, by command; gives its digest."""
    sha256 = shop.put(2, name=OTHER)
    shop.command("model/install", model=OTHER, sha256=sha256)
    shop.say(Progress(state="stored", version="1.0.0", release=2))
    return sha256


def other(shop: Workshop) -> Release:
    """What is remembered of the other model."""
    found = shop.releases.book.find(OTHER)
    assert found is not None
    return found


def test_worker_goes_back_also_where_the_store_cannot_be_written(shop: Workshop, disk: Disk) -> None:
    shop.promote()
    disk.full = True
    shop.fail()
    shop.worker.finish()
    wait(shop, 60)
    assert (shop.worker.asked[-1], len(shop.worker.asked), shop.release.course) == ({"surface": 1}, 2, "going_back")


def test_store_follows_once_it_can_be_written(shop: Workshop, disk: Disk) -> None:
    shop.promote()
    disk.full = True
    shop.fail()
    shop.worker.finish()
    disk.full = False
    wait(shop, 10)
    assert (shop.active(), shop.release.course, len(shop.worker.asked)) == (1, "rolled_back", 2)


def test_nothing_is_promoted_where_the_store_cannot_be_written(shop: Workshop, disk: Disk) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    disk.full = True
    reply = shop.command("model/promote", sha256=DIGESTS[2])
    assert (reply.ok, shop.worker.asked, shop.release.course, shop.lanes[0].closed) == (False, [], "shadow", False)


def test_promotion_whose_store_fills_up_goes_back(shop: Workshop, disk: Disk) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.command("model/promote", sha256=DIGESTS[2])
    disk.full = True
    shop.worker.finish()
    shop.worker.finish()
    assert (shop.worker.asked[-1], shop.active(), shop.release.course) == ({"surface": 1}, 1, "rolled_back")


def test_way_back_that_failed_goes_on_beside_another_trial(two: Workshop) -> None:
    two.promote()
    two.fail()
    bring_other(two)
    two.worker.finish("no memory")
    two.releases.poll()
    tried = two.lanes[-1].releases
    wait(two, 10)
    two.worker.finish()
    assert (tried, two.release.course, two.active()) == ({"other": 2}, "rolled_back", 1)


def test_way_back_that_cannot_go_on_holds_no_other_model_up(two: Workshop) -> None:
    two.promote()
    (two.store.root / "bundles" / f"{DIGESTS[1]}.edgebundle").unlink()
    two.fail()
    bring_other(two)
    wait(two, 60)
    assert (two.release.course, other(two).course) == ("going_back", "shadow")


def test_promotion_that_a_kill_cut_short_goes_on_beside_a_trial(two: Workshop) -> None:
    two.put(1, active=True)
    two.arrive(2)
    bring_other(two)
    two.command("model/promote", model=OTHER, sha256=other(two).sha256)
    two.restart()
    assert (two.worker.asked, two.release.model) == ([{"other": 2}], MODEL)


def crowd(shop: Workshop, n: int) -> list[bool]:
    """Order so many models, of which none comes."""
    return [shop.command("model/install", model=f"m{number}", sha256=f"{number:064x}").ok for number in range(n)]


def test_model_that_is_being_promoted_is_never_forgotten(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.command("model/promote", sha256=DIGESTS[2])
    taken = crowd(shop, 64)
    shop.worker.finish()
    assert (sum(taken), taken[-1], shop.release.course) == (63, False, "probation")


def test_order_beyond_what_is_remembered_is_refused_with_its_word(shop: Workshop) -> None:
    crowd(shop, 64)
    assert shop.command("model/install", sha256=DIGESTS[2]).reason == "too_many_models"


def test_model_that_was_refused_makes_room(shop: Workshop) -> None:
    crowd(shop, 64)
    shop.say(Progress(state="refused", word="unreachable", reason="nobody there"))
    reply = shop.command("model/install", sha256=DIGESTS[2])
    assert (reply.ok, shop.releases.book.find("m0")) == (True, None)


def test_model_that_a_pipeline_runs_is_remembered_after_its_end(shop: Workshop) -> None:
    shop.promote()
    shop.reach("promoted")
    assert (crowd(shop, 64)[-1], shop.release.course) == (False, "promoted")
