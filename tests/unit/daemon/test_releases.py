"""New models: ordered, installed, tried, promoted, sent back; and all of it after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edge_runtime.bundle.durable import Disk
from edge_runtime.bundle.folder import StoreFolder
from edge_runtime.daemon.installing import Progress
from edge_runtime.daemon.release_book import RELEASE
from edge_runtime.daemon.rollout import Compared
from edge_runtime.messages import ModelPromote, ModelRollback
from tests.unit.daemon.workshops import CONFIG, DIGESTS, MODEL, Workshop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    """Everything around the releases of a gateway."""
    made = Workshop(tmp_path)
    yield made
    made.outbox.close()


@pytest.fixture
def eager(tmp_path: Path) -> Iterator[Workshop]:
    """The same, where models are promoted by themselves."""
    rollout = msgspec.structs.replace(CONFIG.rollout, auto_promote=True)
    made = Workshop(tmp_path, msgspec.structs.replace(CONFIG, rollout=rollout))
    yield made
    made.outbox.close()


def test_order_is_fetched(shop: Workshop) -> None:
    reply = shop.command("model/install", sha256=DIGESTS[2], source="/media/m.edgebundle")
    (task,) = shop.installer.tasks
    assert (reply.ok, task.model, task.sha256, task.source) == (True, MODEL, DIGESTS[2], "/media/m.edgebundle")
    assert shop.candidates[-1].state == "fetching"


def test_progress_is_told(shop: Workshop) -> None:
    shop.command("model/install", sha256=DIGESTS[2])
    shop.say(Progress(state="verifying", version="1.0.0", release=2))
    assert (shop.candidates[-1].state, shop.candidates[-1].release) == ("verifying", 2)


def test_refusal_is_told_with_its_word(shop: Workshop) -> None:
    shop.command("model/install", sha256=DIGESTS[2])
    shop.say(Progress(state="refused", word="signature", reason="nobody knows the signer"))
    assert (shop.candidates[-1].state, shop.candidates[-1].reason) == (
        "refused",
        "signature: nobody knows the signer",
    )


def test_refused_model_is_not_promoted(shop: Workshop) -> None:
    shop.command("model/install", sha256=DIGESTS[2])
    shop.say(Progress(state="refused", word="signature", reason="why"))
    assert shop.command("model/promote", sha256=DIGESTS[2]).reason == "not_ready"


def test_stored_model_is_tried_in_the_shadow(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    assert (shop.lanes[0].releases, shop.rollouts[-1].stage, shop.rollouts[-1].share) == ({"surface": 2}, "shadow", 0.0)
    assert (shop.rollouts[-1].from_sha256, shop.rollouts[-1].to_sha256) == (DIGESTS[1], DIGESTS[2])
    assert shop.active() == 1


def test_canary_is_told_with_its_share(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.reach("canary")
    assert (shop.rollouts[-1].stage, shop.rollouts[-1].share) == ("canary", 0.1)


def test_passed_trial_waits_for_a_person(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.reach("waiting")
    assert (shop.worker.asked, shop.lanes[0].closed, shop.release.course) == ([], True, "waiting")


def test_passed_trial_is_promoted_by_itself_where_that_is_configured(eager: Workshop) -> None:
    eager.put(1, active=True)
    eager.arrive(2)
    eager.reach("waiting")
    eager.releases.poll()
    assert eager.worker.asked == [{"surface": 2}]


def test_promotion_is_active_only_when_the_worker_runs_it(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.command("model/promote", sha256=DIGESTS[2])
    before = shop.active()
    shop.worker.finish()
    assert (before, shop.active(), shop.rollouts[-1].stage, shop.rollouts[-1].share) == (1, 2, "promoted", 1.0)


def test_probation_has_the_old_model_beside_it(shop: Workshop) -> None:
    shop.promote()
    assert (shop.lanes[-1].releases, shop.trial.stage) == ({"surface": 1}, "probation")


def test_promotion_that_the_worker_refuses_leaves_all_as_it_was(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.command("model/promote", sha256=DIGESTS[2])
    shop.worker.finish("it died")
    assert (shop.active(), shop.rollouts[-1].stage, shop.rollouts[-1].reason) == (1, "rolled_back", "swap: it died")


def test_store_that_another_program_holds_delays_the_switch_and_nothing_else(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.command("model/promote", sha256=DIGESTS[2])
    with StoreFolder(shop.store.root, Disk()).changing():
        shop.worker.finish()
        shop.releases.poll()
        before = (shop.active(), shop.release.course, list(shop.worker.asked))
    shop.releases.poll()
    assert before == (1, "promoting", [{"surface": 2}])
    assert (shop.active(), shop.release.course, shop.worker.asked) == (2, "probation", [{"surface": 2}])


def test_passed_probation_is_told(shop: Workshop) -> None:
    shop.promote()
    shop.reach("promoted")
    assert (shop.rollouts[-1].stage, "passed its probation" in shop.rollouts[-1].reason) == ("promoted", True)


def test_failed_probation_goes_back(shop: Workshop) -> None:
    shop.promote()
    shop.fail()
    deciding = shop.rollouts[-1].share
    shop.worker.finish()
    assert (shop.worker.asked[-1], shop.active(), deciding) == ({"surface": 1}, 1, 1.0)
    assert (shop.rollouts[-1].stage, shop.rollouts[-1].share, shop.rollouts[-1].reason) == (
        "rolled_back",
        0.0,
        "errors: too many",
    )


def test_model_that_was_sent_back_is_told_in_health_and_as_an_alarm(shop: Workshop) -> None:
    shop.promote()
    shop.fail()
    assert (shop.releases.book.troubles, shop.alarms) == ((f"model_rolled_back:{MODEL}",), {f"model.{MODEL}": True})


def test_next_order_clears_the_alarm(shop: Workshop) -> None:
    shop.promote()
    shop.fail()
    shop.worker.finish()
    shop.command("model/install", sha256=DIGESTS[3])
    assert (shop.releases.book.troubles, shop.alarms) == ((), {f"model.{MODEL}": False})


def test_failed_trial_leaves_the_worker_alone(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.fail()
    assert (shop.worker.asked, shop.active(), shop.rollouts[-1].stage) == ([], 1, "rolled_back")
    assert shop.lanes[0].closed


def test_what_the_gateway_does_by_itself_is_on_the_audit_trail(eager: Workshop) -> None:
    eager.put(1, active=True)
    eager.arrive(2)
    eager.reach("waiting")
    eager.releases.poll()
    eager.worker.finish()
    eager.fail()
    assert [(type(command), text) for command, text in eager.recorded] == [
        (ModelPromote, "it passed its trial"),
        (ModelRollback, f"{DIGESTS[2][:12]}: errors: too many"),
    ]


def test_what_a_person_orders_is_not_recorded_twice(shop: Workshop) -> None:
    shop.promote()
    shop.command("model/rollback")
    assert shop.recorded == []


def test_roll_back_is_tried_again_when_the_worker_does_not_come(shop: Workshop) -> None:
    shop.promote()
    shop.fail()
    shop.worker.finish("no memory")
    shop.hands.now_s += 2.0
    shop.releases.poll()
    shop.worker.finish()
    assert (shop.worker.asked[-2:], shop.release.course) == ([{"surface": 1}] * 2, "rolled_back")


def bundle_file(shop: Workshop, release: int) -> Path:
    """Where the store keeps a release."""
    return shop.store.root / "bundles" / f"{DIGESTS[release]}.edgebundle"


def test_roll_back_waits_for_a_file_that_is_gone(shop: Workshop) -> None:
    shop.promote()
    data = bundle_file(shop, 1).read_bytes()
    bundle_file(shop, 1).unlink()
    shop.fail()
    without = (list(shop.worker.asked), shop.release.course)
    bundle_file(shop, 1).write_bytes(data)
    shop.hands.now_s += 2.0
    shop.releases.poll()
    shop.worker.finish()
    assert without == ([{"surface": 2}], "going_back")
    assert (shop.active(), shop.release.course) == (1, "rolled_back")


def test_promotion_that_the_store_refuses_goes_back(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.command("model/promote", sha256=DIGESTS[2])
    bundle_file(shop, 2).unlink()
    shop.worker.finish()
    shop.worker.finish()
    assert (shop.worker.asked[-1], shop.active(), shop.release.reason.startswith("store: ")) == (
        {"surface": 1},
        1,
        True,
    )


def test_probation_goes_on_without_the_old_models_file(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.command("model/promote", sha256=DIGESTS[2])
    bundle_file(shop, 1).unlink()
    shop.worker.finish()
    assert (shop.trial.stage, len(shop.lanes)) == ("probation", 1)


def test_file_that_is_gone_before_its_trial_is_waited_for_longer_and_longer(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.command("model/install", sha256=DIGESTS[2])
    shop.put(2)
    bundle_file(shop, 2).unlink()
    shop.say(Progress(state="stored", version="1.0.0", release=2))
    shop.hands.now_s += 0.5
    shop.releases.poll()
    shop.put(2)
    shop.hands.now_s += 11.0
    shop.releases.poll()
    assert shop.trial.stage == "shadow"


def test_pipeline_that_fails_on_probation_goes_back(shop: Workshop) -> None:
    shop.promote()
    shop.releases.pipeline_changed("surface", "failed", "golden outputs differ")
    shop.releases.poll()
    assert (shop.worker.asked[-1], shop.release.reason) == ({"surface": 1}, "failed: golden outputs differ")


def test_worker_that_grows_on_probation_goes_back(shop: Workshop) -> None:
    shop.promote()
    shop.worker.worker_bytes = 1 << 40
    shop.hands.now_s += 1.0
    shop.releases.poll()
    assert shop.release.reason.startswith("memory: ")


def test_first_model_of_a_pipeline_waits_for_a_person(shop: Workshop) -> None:
    shop.arrive(2)
    assert (shop.lanes, shop.release.course, shop.release.reason) == (
        [],
        "waiting",
        "nothing is in use to compare it with",
    )


def test_first_model_that_fails_has_nothing_to_go_back_to(shop: Workshop) -> None:
    shop.arrive(2)
    shop.command("model/promote", sha256=DIGESTS[2])
    shop.worker.finish()
    shop.fail()
    assert (shop.active(), "no release before it" in shop.rollouts[-1].reason) == (2, True)


def test_model_without_a_pipeline_is_only_activated(tmp_path: Path) -> None:
    shop = Workshop(tmp_path, msgspec.structs.replace(CONFIG, pipelines=()))
    shop.arrive(2)
    shop.command("model/promote", sha256=DIGESTS[2])
    assert (shop.active(), shop.worker.asked, shop.release.course) == (2, [], "promoted")
    shop.outbox.close()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Workshop]:
    """A gateway that runs two models, of which the second is on trial behind the first."""
    other = msgspec.structs.replace(CONFIG.pipelines[0], id="other", bundle="tiny-other")
    made = Workshop(tmp_path, msgspec.structs.replace(CONFIG, pipelines=(*CONFIG.pipelines, other)))
    made.put(1, active=True)
    made.put(1, active=True, name="tiny-other")
    made.arrive(2)
    sha256 = made.put(2, name="tiny-other")
    made.command("model/install", model="tiny-other", sha256=sha256)
    made.say(Progress(state="stored", version="1.0.0", release=2))
    yield made
    made.outbox.close()


def test_second_model_waits_for_the_end_of_the_first_trial(two: Workshop) -> None:
    before = [lane.releases for lane in two.lanes]
    two.reach("waiting")
    two.releases.poll()
    assert (before, two.lanes[-1].releases) == ([{"surface": 2}], {"other": 2})


def test_trial_without_inputs_makes_room_for_another_and_comes_again(two: Workshop) -> None:
    for _ in range(2):
        two.hands.now_s += 61.0
        two.releases.poll()
        two.releases.poll()
    assert [lane.releases for lane in two.lanes] == [{"surface": 2}, {"other": 2}, {"surface": 2}]


def test_trial_with_inputs_goes_on(two: Workshop) -> None:
    for _ in range(3):
        two.trial.compare(Compared())
        two.hands.now_s += 59.0
        two.releases.poll()
    assert len(two.lanes) == 1


def test_promotion_of_another_model_takes_the_place_of_a_trial(two: Workshop) -> None:
    other = two.releases.book.find("tiny-other")
    assert other is not None
    two.command("model/promote", model="tiny-other", sha256=other.sha256)
    two.worker.finish()
    assert (two.lanes[0].closed, two.trial.stage, two.release.course) == (True, "probation", "shadow")


def test_inputs_pass_when_nothing_is_tried(shop: Workshop) -> None:
    assert (shop.releases.filenos(), shop.releases.due_in(0.0)) == ([], None)


# Commands


def test_source_that_is_not_encrypted_is_refused(shop: Workshop) -> None:
    assert shop.command("model/install", sha256=DIGESTS[2], source="http://depot/m").reason == "bad_source"


def test_model_in_use_is_not_installed_again(shop: Workshop) -> None:
    sha256 = shop.put(1, active=True)
    reply = shop.command("model/install", sha256=sha256)
    assert (reply.ok, shop.installer.tasks) == (True, [])


def test_second_order_of_the_same_bundle_changes_nothing(shop: Workshop) -> None:
    for _ in range(2):
        shop.command("model/install", sha256=DIGESTS[2])
    assert len(shop.installer.tasks) == 1


def test_order_of_another_bundle_waits_its_turn(shop: Workshop) -> None:
    shop.command("model/install", sha256=DIGESTS[2])
    assert shop.command("model/install", sha256=DIGESTS[3]).reason == "busy"


def test_order_during_a_probation_is_refused(shop: Workshop) -> None:
    shop.promote()
    assert shop.command("model/install", sha256=DIGESTS[3]).reason == "busy"


def test_order_during_a_trial_ends_the_trial(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.arrive(3)
    assert (shop.lanes[0].closed, shop.lanes[-1].releases) == (True, {"surface": 3})


def test_bundle_that_was_rolled_back_is_not_taken_again(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.fail()
    assert shop.command("model/install", sha256=DIGESTS[2]).reason == "rolled_back"


def test_bundle_that_was_rolled_back_is_remembered_behind_another_one(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.fail()
    shop.command("model/install", sha256=DIGESTS[3])
    shop.say(Progress(state="refused", word="unreachable", reason="nobody there"))
    assert shop.command("model/install", sha256=DIGESTS[2]).reason == "rolled_back"


def test_person_may_try_a_bundle_again_by_saying_so(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.fail()
    reply = shop.command("model/install", sha256=DIGESTS[2], again=True)
    assert (reply.ok, len(shop.installer.tasks)) == (True, 2)


def test_promotion_of_nothing_is_refused(shop: Workshop) -> None:
    assert shop.command("model/promote", sha256=DIGESTS[2]).reason == "unknown_candidate"


def test_promotion_of_another_digest_is_refused(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    assert shop.command("model/promote", sha256=DIGESTS[3]).reason == "digest_mismatch"


def test_promotion_of_what_was_rolled_back_is_refused(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.fail()
    assert shop.command("model/promote", sha256=DIGESTS[2]).reason == "rolled_back"


def test_second_promotion_changes_nothing(shop: Workshop) -> None:
    shop.promote()
    assert (shop.command("model/promote", sha256=DIGESTS[2]).ok, len(shop.worker.asked)) == (True, 1)


def test_person_ends_a_trial(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    reply = shop.command("model/rollback")
    assert (reply.ok, shop.active(), shop.lanes[0].closed, shop.releases.book.troubles) == (True, 1, True, ())


def test_person_goes_back_from_a_probation(shop: Workshop) -> None:
    shop.promote()
    shop.command("model/rollback")
    shop.worker.finish()
    assert (shop.active(), shop.rollouts[-1].reason, shop.releases.book.troubles) == (1, "rolled back by ann", ())


def test_person_goes_to_a_named_release(shop: Workshop) -> None:
    for release in (1, 2, 3):
        shop.put(release, active=True)
    shop.command("model/rollback", release=1)
    shop.worker.finish()
    assert (shop.active(), shop.worker.asked) == (1, [{"surface": 1}])


def test_roll_back_never_leads_to_what_was_sent_back(shop: Workshop) -> None:
    shop.promote()
    shop.fail()
    shop.worker.finish()
    reply = shop.command("model/rollback")
    assert (reply.reason, shop.active()) == ("unknown_release", 1)


def test_roll_back_passes_over_what_was_sent_back(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.put(2, active=True)
    shop.arrive(3)
    shop.command("model/promote", sha256=DIGESTS[3])
    shop.worker.finish()
    shop.fail()
    shop.worker.finish()
    shop.command("model/rollback")
    shop.worker.finish()
    assert shop.active() == 1


def test_release_that_was_sent_back_runs_again_when_a_person_names_it(shop: Workshop) -> None:
    shop.promote()
    shop.fail()
    shop.worker.finish()
    shop.command("model/rollback", release=2)
    shop.worker.finish()
    there = shop.active()
    shop.command("model/rollback")
    shop.worker.finish()
    assert (there, shop.active()) == (2, 1)


def test_going_to_a_release_that_was_never_here_is_refused(shop: Workshop) -> None:
    shop.put(1, active=True)
    assert shop.command("model/rollback", release=9).reason == "unknown_release"


def test_order_during_a_roll_back_is_refused(shop: Workshop) -> None:
    shop.promote()
    shop.command("model/rollback")
    assert shop.command("model/rollback").reason == "busy"


# After a kill


def test_fetching_begins_anew_after_a_kill(shop: Workshop) -> None:
    shop.command("model/install", sha256=DIGESTS[2])
    shop.restart()
    assert [task.sha256 for task in shop.installer.tasks] == [DIGESTS[2]]


def test_trial_begins_anew_after_a_kill(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.reach("canary")
    shop.restart()
    assert (shop.trial.stage, shop.rollouts[-1].stage, len(shop.lanes)) == ("shadow", "shadow", 2)


def test_promotion_goes_on_after_a_kill(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.command("model/promote", sha256=DIGESTS[2])
    shop.restart()
    assert (shop.worker.asked, shop.release.course) == ([{"surface": 2}], "promoting")


def test_kill_between_switch_and_record_leads_to_the_probation(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.command("model/promote", sha256=DIGESTS[2])
    shop.store.activate(MODEL, 2)
    shop.restart()
    assert (shop.worker.asked, shop.trial.stage, shop.release.from_release) == ([], "probation", 1)


def test_probation_begins_anew_after_a_kill(shop: Workshop) -> None:
    shop.promote()
    shop.restart()
    assert (shop.trial.stage, shop.trial.n_compared, shop.lanes[-1].releases) == ("probation", 0, {"surface": 1})


def test_roll_back_ends_after_a_kill(shop: Workshop) -> None:
    shop.promote()
    shop.fail()
    shop.store.activate(MODEL, 2)  # as if the kill came before the store's switch
    shop.restart()
    shop.worker.finish()
    assert (shop.active(), shop.release.course) == (1, "rolled_back")


def test_waiting_model_still_waits_after_a_kill(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.reach("waiting")
    shop.restart()
    before = (list(shop.worker.asked), shop.release.course)
    assert (before, shop.command("model/promote", sha256=DIGESTS[2]).ok) == (([], "waiting"), True)


def test_alarm_stands_after_a_kill(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.arrive(2)
    shop.fail()
    shop.alarms.clear()
    shop.restart()
    assert (shop.alarms, shop.releases.book.troubles) == ({f"model.{MODEL}": True}, (f"model_rolled_back:{MODEL}",))


def test_everything_is_told_to_a_new_broker(shop: Workshop) -> None:
    shop.promote()
    shop.candidates.clear()
    shop.rollouts.clear()
    shop.releases.book.say_all()
    assert ([each.state for each in shop.candidates], [each.stage for each in shop.rollouts]) == (
        ["ready"],
        ["promoted"],
    )


def test_record_that_cannot_be_read_is_forgotten(shop: Workshop) -> None:
    shop.outbox.commit([], {f"{RELEASE}{MODEL}": b"{"})
    shop.restart()
    assert shop.releases.book.find(MODEL) is None


def test_bundle_that_rots_before_its_trial_is_rolled_back(shop: Workshop) -> None:
    shop.put(1, active=True)
    shop.command("model/install", sha256=DIGESTS[2])
    shop.put(2)
    path = shop.store.root / "bundles" / f"{DIGESTS[2]}.edgebundle"
    path.write_bytes(path.read_bytes()[:-1])
    shop.say(Progress(state="stored", version="1.0.0", release=2))
    assert (shop.release.course, shop.release.reason.startswith("refused: ")) == ("rolled_back", True)


def test_close_ends_what_runs_beside(shop: Workshop) -> None:
    shop.promote()
    shop.releases.close()
    assert shop.lanes[-1].closed
