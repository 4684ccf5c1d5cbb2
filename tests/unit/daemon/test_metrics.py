"""What is counted, as Prometheus reads it."""

from __future__ import annotations

import re

from edge_runtime.daemon.metrics import Metrics


def names(metrics: Metrics) -> set[str]:
    return set(re.findall(r"^# TYPE (\S+) ", metrics.text().decode(), re.MULTILINE))


def test_a_drop_is_counted_by_source_and_reason() -> None:
    metrics = Metrics()
    metrics.drop("cam1", "overtaken")
    metrics.drop("cam1", "overtaken")
    assert b'edge_dropped_total{reason="overtaken",source="cam1"} 2.0' in metrics.text()


def test_two_daemons_in_one_process_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.drop("cam1", "overtaken")
    assert b"cam1" not in second.text()


def test_every_name_begins_alike_and_says_its_unit_or_that_it_is_a_count() -> None:
    assert all(re.fullmatch(r"edge(_[a-z]+)+", name) for name in names(Metrics()))
