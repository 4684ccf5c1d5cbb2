"""Commands that take a pipeline out of service and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.daemon import protocol
from edge_runtime.daemon.commands import Promise
from edge_runtime.daemon.models import load_model
from edge_runtime.daemon.protocol import Building, Built, Refused
from edge_runtime.daemon.stopping import STOPPED_PIPELINE, Switchboard, restore_stopped
from edge_runtime.errors import PayloadFormatError
from edge_runtime.messages import PipeStart, PipeStop
from tests.unit.daemon.dispatchers import CONFIG, Hall


class Switches:
    """A switchboard in a hall whose worker stands."""

    def __init__(self, folder: Path) -> None:
        self.hall = Hall(folder)
        self.hall.stand_up()
        self.board = Switchboard(
            self.hall.dispatcher.lineup,
            self.hall.journal,
            lambda: CONFIG,
            lambda config, pipeline: load_model(config, pipeline, self.hall.store),
            now=self.hall.clock.monotonic,
        )

    def stop(self, name: str) -> str:
        text = self.board.orders()["pipe/stop"](PipeStop(issuer="ann", id="c1", pipeline=name))
        assert isinstance(text, str)
        return text

    def start(self, name: str) -> list[tuple[str, str]]:
        promise = self.board.orders()["pipe/start"](PipeStart(issuer="ann", id="c2", pipeline=name))
        assert isinstance(promise, Promise)
        ended: list[tuple[str, str]] = []
        promise.then(lambda *words: ended.append(words))
        return ended

    def take_request(self) -> list[str]:
        self.hall.dispatcher.poll()
        self.hall.dispatcher.poll()
        return [plan.name for plan in self.hall.keeper.take_request().pipelines]

    def build(self, *names: str) -> None:
        for name in names:
            self.hall.say(Building(name), Built(name, "e", None))
        self.hall.say(protocol.Ready(()))

    def stored(self) -> dict[str, bytes]:
        self.hall.journal.flush(0.0, force=True)
        return self.hall.outbox.load_state(STOPPED_PIPELINE)


@pytest.fixture
def switches(tmp_path: Path) -> Iterator[Switches]:
    switches = Switches(tmp_path)
    yield switches
    switches.hall.close()


def test_a_stop_is_kept_for_the_next_start(switches: Switches) -> None:
    switches.stop("twin")
    assert restore_stopped(switches.stored(), CONFIG.pipelines, switches.hall.journal, now=0.0) == {"twin"}


def test_a_pipeline_that_is_gone_is_not_kept_as_stopped(switches: Switches) -> None:
    switches.stop("twin")
    names = restore_stopped(switches.stored(), CONFIG.pipelines[:1], switches.hall.journal, now=0.0)
    assert (names, switches.stored()) == (set(), {})


def test_a_second_stop_does_nothing(switches: Switches) -> None:
    switches.stop("twin")
    assert switches.stop("twin") == "twin is stopped already"


def test_a_start_is_answered_when_the_pipeline_runs(switches: Switches) -> None:
    switches.stop("twin")
    switches.take_request()
    switches.build("surface")
    ended = switches.start("twin")
    assert (ended, switches.take_request()) == ([], ["surface", "twin"])
    switches.build("surface", "twin")
    assert ended == [("started twin with tiny-surface 1.0.0", "")]
    assert switches.stored() == {}


def test_a_start_right_after_a_stop_runs_the_pipeline(switches: Switches) -> None:
    switches.stop("twin")
    ended = switches.start("twin")
    switches.take_request()
    switches.build("surface")
    switches.take_request()
    switches.build("surface", "twin")
    assert [reason for _, reason in ended] == [""]
    assert switches.hall.dispatcher.lineup.runs("twin")


def test_a_start_that_fails_is_answered_with_the_reason(switches: Switches) -> None:
    switches.stop("twin")
    switches.take_request()
    switches.build("surface")
    ended = switches.start("twin")
    switches.take_request()
    switches.hall.say(Building("twin"), Refused("twin", "why"))
    assert ended == [('twin does not run: "twin" is refused: why', "swap_failed")]


def test_a_start_of_what_runs_does_nothing(switches: Switches) -> None:
    assert switches.start("twin") == [("twin runs already", "")]


def test_a_pipeline_that_failed_can_be_started(switches: Switches) -> None:
    switches.hall.dispatcher.lineup._drop("twin", "it failed")
    ended = switches.start("twin")
    switches.take_request()
    switches.build("surface", "twin")
    assert [reason for _, reason in ended] == [""]


def test_a_pipeline_that_is_not_configured_is_refused(switches: Switches) -> None:
    with pytest.raises(PayloadFormatError, match="no pipeline nobody; there are surface, twin"):
        switches.stop("nobody")
