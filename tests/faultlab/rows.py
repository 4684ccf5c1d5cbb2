"""Every row of the table, in the order of the page."""

from __future__ import annotations

from tests.faultlab import (
    broker_faults,
    clock_faults,
    disk_faults,
    host_faults,
    input_faults,
    link_faults,
    process_faults,
)
from tests.faultlab.table import FAULTS

__all__ = [
    "FAULTS",
    "broker_faults",
    "clock_faults",
    "disk_faults",
    "host_faults",
    "input_faults",
    "link_faults",
    "process_faults",
]
