"""The broker refuses what is retained, and takes it later without a new connection."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.faultlab.broker_faults import answering
from tests.faultlab.lab import Lab
from tests.faultlab.table import PLAIN
from tests.integration.daemon_rig import until

pytestmark = [pytest.mark.broker, pytest.mark.slow]
_PUBACK = 0x40


def test_what_the_broker_refused_of_a_greeting_is_said_again_on_the_same_link(tmp_path: Path) -> None:
    with Lab(tmp_path, PLAIN) as lab:
        ended = threading.Event()
        lab.proxy.rewrite("down", lambda: answering(_PUBACK, 0x87, ended=ended))
        until(lambda: "events_refused" in lab.daemon.health().get("reasons", ()), "events are refused", within_s=20)
        ended.set()
        n_accepted, n_births = lab.proxy.n_accepted, len(lab.consumer.all_of("birth"))
        until(lambda: len(lab.consumer.all_of("birth")) > n_births, "another birth", within_s=20)
        assert lab.proxy.n_accepted == n_accepted
