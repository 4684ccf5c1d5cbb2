"""New models over MQTT, on a running line: good ones come into use without a loss, bad ones are refused or go back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_runtime.bundle.manifest import Limits
from tests.bundles import STRANGER, window_bundle
from tests.integration.daemon_rig import until
from tests.integration.rollout_rig import MODEL, SHADOW_INPUTS, Line, running_line
from tests.integration.trap_bundles import Trap, trap_bundle

pytestmark = pytest.mark.broker

_GOAL_S = 5.0


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """One line for all tests: whatever was ordered before, it runs."""
    with running_line(tmp_path_factory.mktemp("rollout")) as running:
        yield running


@pytest.fixture(autouse=True)
def dark(line: Line) -> None:
    """Begin with dark pictures, on which every model is sound."""
    line.bright = False


def goes_on(line: Line) -> bool:
    """Whether parts are judged by the release in use, and machines still raise alarms."""
    parts = line.next_parts(3)
    before = len(line.consumer.all_of("alert/event"))
    versions = line.versions_of(parts)

    def alerted() -> bool:
        line.measure()
        return any(each["pipeline"] == "life" for each in line.consumer.all_of("alert/event")[before:])

    until(alerted, "an alert of a machine", within_s=20)
    return versions == [f"{line.active()}.0.0"] * 3


REFUSED: dict[str, tuple[Callable[[int], bytes], str]] = {
    "signed by a stranger": (lambda release: trap_bundle("sound", release=release, key=STRANGER), "signature"),
    "older than installed": (lambda _release: trap_bundle("sound", release=1), "older"),
    "of another name": (lambda release: trap_bundle("sound", release=release, name="tiny-other"), "other_model"),
    "with other golden outputs": (lambda release: trap_bundle("sound", release=release, golden_shift=0.5), "golden"),
    "slower than its limit": (
        lambda release: trap_bundle("sound", release=release, limits=Limits(latency_ms_p95=1e-6)),
        "limits",
    ),
    "larger than its limit": (
        lambda release: trap_bundle("sound", release=release, limits=Limits(ram_kb=1e-3)),
        "limits",
    ),
    "no bundle at all": (lambda _release: b"PK\x03\x04" + bytes(200), "format"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bundle_is_refused_with_its_word(line: Line, kind: str) -> None:
    make, word = REFUSED[kind]
    before = line.active()
    refused = line.wait_for_candidate(line.order(make(line.next_release())), "refused")
    assert (refused["reason"].partition(":")[0], line.active()) == (word, before)


def test_bytes_of_another_digest_are_refused(line: Line) -> None:
    digest = line.order(trap_bundle("sound", release=line.next_release()), sha256="0" * 64)
    assert line.wait_for_candidate(digest, "refused")["reason"].startswith("digest: ")


def test_file_that_is_not_there_is_refused(line: Line) -> None:
    digest = line.order(b"", source="/nowhere/model.edgebundle", sha256="1" * 64)
    assert line.wait_for_candidate(digest, "refused")["reason"].startswith("unreachable: ")


def test_decisions_go_on_beside_refused_bundles(line: Line) -> None:
    digest = line.order(trap_bundle("sound", release=line.next_release(), key=STRANGER))
    went_on = goes_on(line)
    line.wait_for_candidate(digest, "refused")
    assert went_on


def test_monitor_is_tried_in_the_shadow_and_has_no_canary(line: Line) -> None:
    data = window_bundle(release=2, version="2.0.0")
    digest = line.order(data, model="tiny-life")
    line.wait_for_rollout(digest, "shadow", model="tiny-life")

    def passed() -> bool:
        line.measure()
        said = line.consumer.all_of("model/tiny-life/rollout")
        return bool(said) and said[-1]["reason"].startswith("it passed")

    until(passed, "the end of the trial", within_s=30)
    (*_, last) = line.consumer.all_of("model/tiny-life/rollout")
    compared = line.daemon.metric("edge_trial_inputs_total", model="tiny-life", result="agreed")
    assert (last["stage"], last["share"], compared >= SHADOW_INPUTS) == ("shadow", 0.0, True)


FAILS: dict[Trap, tuple[str, ...]] = {
    "crash": ("crashed",),
    "nan": ("errors",),
    "wrong": ("disagreement",),
    "slow": ("latency",),
    "hang": ("hung",),
    "hungry": ("memory", "errors", "crashed", "hung"),
}


@pytest.mark.parametrize("trap", FAILS)
def test_bad_model_never_leaves_the_shadow(line: Line, trap: Trap) -> None:
    before = line.active()
    digest = line.order(trap_bundle(trap, release=line.next_release()))
    line.wait_for_rollout(digest, "shadow")
    line.bright = True
    told = line.wait_for_rollout(digest, "rolled_back")
    line.bright = False
    assert told["reason"].partition(":")[0] in FAILS[trap]
    assert (line.active(), goes_on(line)) == (before, True)


@pytest.mark.parametrize(
    "trap",
    [
        "crash",
        "wrong",
        "slow",
        pytest.param("nan", marks=pytest.mark.long),
        pytest.param("hungry", marks=pytest.mark.long),
        pytest.param("hang", marks=pytest.mark.long),
    ],
)
def test_bad_model_that_a_person_promoted_goes_back_within_five_seconds(line: Line, trap: Trap) -> None:
    before = line.active()
    digest = line.order(trap_bundle(trap, release=line.next_release()))
    line.wait_for_candidate(digest, "ready")
    assert line.promote(digest)["ok"]
    line.wait_for_rollout(digest, "promoted")
    line.bright = True
    exceeded = line.wait_for_rollout(digest, "rolled_back", share=1.0)
    line.bright = False
    back = line.wait_for_rollout(digest, "rolled_back", share=0.0)
    assert back["reason"].partition(":")[0] in FAILS[trap]
    assert back["timestamp_ms"] - exceeded["timestamp_ms"] < 1000 * _GOAL_S
    assert (line.active(), goes_on(line)) == (before, True)


def test_model_that_was_sent_back_is_told_everywhere(line: Line) -> None:
    digest = line.order(trap_bundle("wrong", release=line.next_release()))
    line.wait_for_rollout(digest, "shadow")
    line.bright = True
    line.wait_for_rollout(digest, "rolled_back")
    until(lambda: f"model_rolled_back:{MODEL}" in json.loads(line.consumer.retained["health"])["reasons"], "a reason")
    until(lambda: f"alert/state/system.model.{MODEL}" in line.consumer.retained, "a system alarm")
    answer = line.consumer.reply(line.consumer.command("model/install", model=MODEL, sha256=digest))
    assert (answer["ok"], answer["reason"]) == (False, "rolled_back")


def test_good_model_comes_into_use_without_a_loss(line: Line, tmp_path: Path) -> None:
    release = line.next_release()
    data = trap_bundle("sound", release=release)
    file = tmp_path / "good.edgebundle"
    file.write_bytes(data)
    begun = len(line.shown)
    digest = line.order(data, source=str(file))
    line.wait_for_rollout(digest, "canary", share=0.5)
    line.wait_for_rollout(digest, "canary", share=0.0)
    assert line.promote(digest)["ok"]
    until(
        lambda: "passed its probation" in line.wait_for_rollout(digest, "promoted")["reason"],
        "the end of the probation",
        within_s=30,
    )
    parts = [part for part, _ in line.shown[begun:]]
    versions = line.versions_of(parts)
    verdicts = line.consumer.verdicts()
    assert {len(verdicts[part]) for part in parts} == {1}
    assert {verdicts[part][0]["verdict"] for part in parts} == {"ok"}
    assert (versions[-1], line.active()) == (f"{release}.0.0", release)
    canary = versions[: versions.index(f"{release}.0.0") + 20]
    assert len(set(canary)) == 2  # while some were judged by the new one, others were by the old one


def test_person_goes_back_to_the_release_before(line: Line) -> None:
    before = line.active()
    digest = line.order(trap_bundle("sound", release=line.next_release()))
    line.wait_for_candidate(digest, "ready")
    line.promote(digest)
    line.wait_for_rollout(digest, "promoted")
    answer = line.consumer.reply(line.consumer.command("model/rollback", model=MODEL, release=None))
    line.wait_for_rollout(digest, "rolled_back", share=0.0)
    assert (answer["ok"], line.active(), goes_on(line)) == (True, before, True)
