"""The device application on an emulated Cortex-M4 board."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.boards import BOARDS, missing_tools
from firmware_bridge.conformance.example import example_model
from firmware_bridge.device import run_device
from firmware_bridge.packet import DeviceFinding
from firmware_bridge.reference import run_reference
from tests.integration.firmware_bridge.places import require, require_host

pytestmark = pytest.mark.compiler


@pytest.fixture(scope="module")
def findings() -> list[DeviceFinding]:
    require_host()
    require(missing_tools(BOARDS["m4"]))
    return run_device()


def test_every_window_gives_one_packet_in_order(findings: list[DeviceFinding]) -> None:
    assert [finding.sequence for finding in findings] == list(range(16))


def test_fault_of_the_stub_is_found(findings: list[DeviceFinding]) -> None:
    assert [finding.label for finding in findings] == [1] * 8 + [0] * 8


def test_shares_are_those_of_the_reference_for_the_sent_features(findings: list[DeviceFinding]) -> None:
    records = [(np.array([finding.features], np.int8),) for finding in findings]
    expected = [int(output[0].max()) + 128 for output in run_reference(example_model(), records)]
    assert [round(finding.score * 255.0) for finding in findings] == expected
