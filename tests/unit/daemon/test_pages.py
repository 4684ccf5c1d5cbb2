"""What the gateway answers over HTTP."""

from __future__ import annotations

import pytest

from edge_runtime.daemon.http import Answer
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.pages import pages


def answer(path: str, *, ready: bool = True, health: bytes = b"{}") -> Answer:
    return pages(Metrics(), lambda: ready, lambda: health)[path]()


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
def test_readiness_is_a_status(ready: bool, status: int) -> None:
    assert answer("/ready", ready=ready)[0] == status


def test_health_is_the_last_report_as_it_was_published() -> None:
    assert answer("/health", health=b'{"ok":false}') == (200, "application/json", b'{"ok":false}')


def test_health_is_not_there_before_the_first_report() -> None:
    assert answer("/health", health=b"")[0] == 503


def test_metrics_are_in_the_exposition_format() -> None:
    _, kind, body = answer("/metrics")
    assert kind.startswith("text/plain; version=0.0.4")
    assert b"# TYPE edge_inputs_total counter" in body
