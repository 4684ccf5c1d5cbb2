"""Which model is blamed for a worker that is lost, a pipeline that fails, and memory that grows after a promotion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edge_runtime.config import Camera, Pipeline
from edge_runtime.daemon.installing import Progress
from edge_runtime.daemon.intake import Item
from edge_runtime.mqtt.codec import FramePayload
from edge_runtime.mqtt.image_header import ImageHeader
from tests.unit.daemon.workshops import CONFIG, DIGESTS, MODEL, Workshop

OTHER = "tiny-other"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    """A gateway that runs two models, each on a camera of its own; release 2 of the first is on probation."""
    config = msgspec.structs.replace(
        CONFIG,
        cameras=(*CONFIG.cameras, Camera(id="cam2", topic="in/cam2", format="jpeg")),
        pipelines=(*CONFIG.pipelines, Pipeline(id="other", kind="inspection", bundle=OTHER, cameras=("cam2",))),
    )
    made = Workshop(tmp_path, config)
    made.put(1, active=True, name=OTHER)
    made.promote()
    yield made
    made.outbox.close()


def picture(number: int, source: str = "cam") -> Item:
    payload = FramePayload(source, b"", ImageHeader("jpeg", 1, 1, 3), 0.0, 0.0, from_source=True, part=None, seq=None)
    return Item(number, source, payload, None, 0.0)


def lose(shop: Workshop, *items: Item | None, reason: str = "crashed") -> str:
    """Lose the worker on inputs; gives the course after that."""
    for item in items:
        shop.releases.worker_lost(reason, item)
        shop.releases.poll()
    return shop.release.course


def bring_other(shop: Workshop) -> str:
    """Have a second release of the other model stored, by command; gives its digest."""
    sha256 = shop.put(2, name=OTHER)
    shop.command("model/install", model=OTHER, sha256=sha256)
    shop.say(Progress(state="stored", version="1.0.0", release=2))
    return sha256


def test_worker_that_is_lost_on_two_inputs_sends_the_model_back(shop: Workshop) -> None:
    courses = [lose(shop, picture(1)), lose(shop, picture(2))]
    assert (courses, shop.release.reason) == (["probation", "going_back"], "crashed: its process was lost (crashed)")


def test_input_that_is_tried_twice_counts_once(shop: Workshop) -> None:
    assert lose(shop, picture(1), picture(1)) == "probation"


def test_worker_that_is_lost_on_anothers_input_is_no_fault_of_the_model(shop: Workshop) -> None:
    assert lose(shop, picture(1, "cam2"), picture(2, "cam2"), None, None) == "probation"


def test_worker_that_grew_twice_sends_the_model_back(shop: Workshop) -> None:
    assert lose(shop, None, None, reason="grew") == "going_back"


def test_losses_are_remembered_over_a_kill(shop: Workshop) -> None:
    lose(shop, picture(1))
    shop.restart()
    assert lose(shop, picture(1)) == "going_back"


def test_losses_are_remembered_over_a_reload(shop: Workshop) -> None:
    lose(shop, picture(1))
    shop.releases.reconfigure(shop.with_rollout(probation_inputs=7), ())
    shop.releases.poll()
    assert lose(shop, picture(2)) == "going_back"


@pytest.mark.parametrize("how", ["kill", "reload"])
def test_memory_before_the_promotion_is_remembered(shop: Workshop, how: str) -> None:
    if how == "kill":
        shop.restart()
    else:
        shop.releases.reconfigure(shop.with_rollout(probation_inputs=7), ())
        shop.releases.poll()
    shop.worker.worker_bytes = 1 << 40
    shop.hands.now_s += 1.0
    shop.releases.poll()
    assert shop.release.reason.startswith("memory: ")


def test_reload_that_changes_nothing_for_a_model_leaves_its_trial_alone(shop: Workshop) -> None:
    trial = shop.trial
    fewer = msgspec.structs.replace(shop.config, pipelines=shop.config.pipelines[:1])
    shop.releases.reconfigure(fewer, ())
    shop.releases.poll()
    assert (shop.trial is trial, shop.lanes[-1].closed) == (True, False)


def test_reload_that_changes_a_models_camera_begins_its_trial_again(shop: Workshop) -> None:
    trial = shop.trial
    cameras = (Camera(id="cam", topic="in/cam", format="png"), *shop.config.cameras[1:])
    shop.releases.reconfigure(msgspec.structs.replace(shop.config, cameras=cameras), ())
    shop.releases.poll()
    assert (shop.trial is trial, shop.trial.stage) == (False, "probation")


def test_second_model_is_not_promoted_during_a_probation(shop: Workshop) -> None:
    sha256 = bring_other(shop)
    reply = shop.command("model/promote", model=OTHER, sha256=sha256)
    assert (reply.ok, reply.reason, MODEL in reply.text, len(shop.worker.asked)) == (False, "change_running", True, 1)


def test_second_model_is_promoted_after_the_probation(shop: Workshop) -> None:
    sha256 = bring_other(shop)
    shop.reach("promoted")
    assert shop.command("model/promote", model=OTHER, sha256=sha256).ok


def test_second_model_is_not_promoted_before_the_first_has_switched(shop: Workshop) -> None:
    shop.reach("promoted")
    shop.arrive(3)
    sha256 = bring_other(shop)
    shop.command("model/promote", sha256=DIGESTS[3])
    assert shop.command("model/promote", model=OTHER, sha256=sha256).reason == "change_running"


def test_pipeline_that_fails_while_another_model_is_tried_sends_its_model_back(shop: Workshop) -> None:
    bring_other(shop)
    for _ in range(8):
        shop.hands.now_s += 10.0
        shop.releases.poll()
    tried = shop.lanes[-1].releases
    shop.releases.pipeline_changed("surface", "failed", "golden outputs differ")
    shop.releases.poll()
    assert (tried, shop.release.course) == ({"other": 2}, "going_back")


def test_pipeline_that_failed_before_its_probation_began_counts(shop: Workshop) -> None:
    shop.commit()
    shop.begin()
    shop.releases.pipeline_changed("surface", "failed", "it died twice")
    shop.releases.poll()
    shop.releases.poll()
    assert (shop.release.course, shop.release.reason) == ("going_back", "failed: it died twice")


def test_pipeline_of_another_model_that_fails_is_no_fault_of_the_model(shop: Workshop) -> None:
    shop.releases.pipeline_changed("other", "failed", "it died twice")
    shop.releases.poll()
    assert shop.release.course == "probation"
