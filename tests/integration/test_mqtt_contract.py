"""A session with a real mosquitto keeps the contract of a session, at both versions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from edge_runtime.mqtt.interface import BrokerSession, Outgoing, SessionCallbacks
from edge_runtime.mqtt.session import Session
from tests.contract.broker_session_contract import SessionContract
from tests.integration.mosquitto import Mosquitto

pytestmark = pytest.mark.broker


class RealWorld:
    """Things take time, and are waited for."""

    def __init__(self, broker: Mosquitto, protocol: str) -> None:
        self._broker = broker
        self._protocol = protocol

    def session(
        self, client_id: str, callbacks: SessionCallbacks, will: Outgoing | None, **settings: Any
    ) -> BrokerSession:
        return Session(self._broker.settings(client_id, protocol=self._protocol, **settings), callbacks, will=will)

    def await_true(self, condition: Callable[[], object]) -> None:
        give_up_at = time.monotonic() + 8
        while not condition():
            assert time.monotonic() < give_up_at, "it did not happen in time"
            time.sleep(0.005)

    def settle(self) -> None:
        time.sleep(0.05)

    def stop_broker(self) -> None:
        self._broker.stop()

    def start_broker(self, *sessions: BrokerSession) -> None:
        self._broker.start()


class TestMqtt5(SessionContract):
    """All of the contract with MQTT 5."""

    @pytest.fixture
    def world(self, mosquitto: Mosquitto) -> RealWorld:
        return RealWorld(mosquitto, "5")


class TestMqtt311(SessionContract):
    """All of the contract with MQTT 3.1.1, where the broker's own limit stands for the receive-maximum."""

    @pytest.fixture
    def world(self, mosquitto_factory: Callable[..., Mosquitto]) -> RealWorld:
        return RealWorld(mosquitto_factory(options=("max_inflight_messages 3",)), "3.1.1")
