"""Fixtures of the tests with a real broker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.certificates import Certificates, make_certificates
from tests.integration.mosquitto import Mosquitto, find


class MosquittoFactory:
    """Starts brokers with given options; all are ended with the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.started: list[Mosquitto] = []

    def __call__(self, **options: Any) -> Mosquitto:
        broker = Mosquitto(self._folder / f"mosquitto-{len(self.started)}", **options)
        self.started.append(broker)
        broker.start()
        return broker


@pytest.fixture
def mosquitto_factory(tmp_path: Path) -> Iterator[MosquittoFactory]:
    """Make brokers with options of :class:`Mosquitto`; a skip explains itself where there is no mosquitto."""
    if find("mosquitto") is None or find("mosquitto_passwd") is None:
        message = "mosquitto is not installed; this test needs it and is left out (apt-get install mosquitto)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    factory = MosquittoFactory(tmp_path)
    yield factory
    for broker in factory.started:
        broker.kill()


@pytest.fixture
def mosquitto(mosquitto_factory: MosquittoFactory) -> Mosquitto:
    """A broker with persistence and without passwords."""
    return mosquitto_factory()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority, a server's and a client's certificate."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))
