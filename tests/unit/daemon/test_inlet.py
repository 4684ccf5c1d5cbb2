"""What the session of inputs says about itself; the session is never started."""

from __future__ import annotations

import pytest

from edge_runtime.config import BrokerSettings
from edge_runtime.daemon.complaints import Complaints
from edge_runtime.daemon.inlet import Inlet
from edge_runtime.daemon.intake import Notice
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.errors import BrokerAuthorizationError
from tests.unit.daemon.dispatchers import picture
from tests.unit.daemon.test_intake import Door, message

REFUSED = BrokerAuthorizationError("the broker refuses the subscription")


class Gate(Inlet):
    """An inlet that keeps what it told the main loop."""

    def __init__(self) -> None:
        self.door = Door()
        self.told: list[Notice | None] = []
        super().__init__(
            BrokerSettings(client_id="gw1"),
            self.door,
            notify=self.told.append,
            metrics=Metrics(),
            complaints=Complaints(lambda: 0.0),
        )


@pytest.fixture
def gate() -> Gate:
    return Gate()


def test_inputs_come_under_a_name_of_their_own(gate: Gate) -> None:
    assert gate._session._settings.client_id == "gw1-in"


def test_a_missing_link_is_a_reason(gate: Gate) -> None:
    assert gate.troubles == ("inputs_disconnected",)


def test_a_refused_subscription_names_its_source_once(gate: Gate) -> None:
    gate._refused("in/sure", REFUSED)
    gate._refused("in/sure", REFUSED)
    assert gate.troubles[1:] == ("not_subscribed:sure",)


def test_a_refusal_holds_as_long_as_the_broker_keeps_the_session(gate: Gate) -> None:
    gate._refused("in/sure", REFUSED)
    gate._arrived(present=True)
    kept = gate.troubles[1:]
    gate._arrived(present=False)
    assert (kept, gate.troubles[1:]) == (("not_subscribed:sure",), ())


def test_a_subscription_that_is_granted_later_is_no_trouble_any_more(gate: Gate) -> None:
    gate._refused("in/sure", REFUSED)
    gate._granted("in/sure")
    assert gate.troubles[1:] == ()


@pytest.mark.parametrize(("present", "n_waiting"), [(True, 0), (False, 1)], ids=["kept", "forgotten"])
def test_inputs_of_the_old_link_stay_only_where_the_broker_forgot_them(
    gate: Gate, present: bool, n_waiting: int
) -> None:
    gate.door.take(message("sure", picture()))
    gate._arrived(present=present)
    assert len(gate.door.mailboxes["sure"]) == n_waiting
