"""The broker in memory keeps the contract of a session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edge_runtime.config import BrokerSettings
from edge_runtime.mqtt.interface import BrokerSession, Outgoing, SessionCallbacks
from edge_runtime.mqtt.memory import MemoryBroker, MemorySession
from tests.contract.broker_session_contract import SessionContract


class MemoryWorld:
    """Everything happens at once."""

    def __init__(self) -> None:
        self._broker = MemoryBroker()

    def session(
        self, client_id: str, callbacks: SessionCallbacks, will: Outgoing | None, **settings: Any
    ) -> BrokerSession:
        return MemorySession(self._broker, BrokerSettings(client_id=client_id, **settings), callbacks, will=will)

    def await_true(self, condition: Callable[[], object]) -> None:
        assert condition()

    def settle(self) -> None:
        """There is nothing to wait for."""

    def stop_broker(self) -> None:
        self._broker.go_down()

    def start_broker(self, *sessions: BrokerSession) -> None:
        self._broker.come_up()
        for session in sessions:
            assert isinstance(session, MemorySession)
            session.reconnect()


class TestMemoryBroker(SessionContract):
    """All of the contract, in memory."""

    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld()
