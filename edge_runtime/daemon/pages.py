"""What the gateway's HTTP server answers."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from edge_runtime.daemon.http import Answer
from edge_runtime.daemon.metrics import Metrics


def pages(metrics: Metrics, ready: Callable[[], bool], health: Callable[[], bytes]) -> dict[str, Callable[[], Answer]]:
    """Give the paths and what they answer.

    Parameters
    ----------
    metrics : Metrics
        For ``/metrics``.
    ready : callable
        For ``/ready``: whether the broker is there and the worker takes inputs.
    health : callable
        For ``/health``: the last health report as JSON, also while no broker can be told; empty before the first.
    """

    def show_metrics() -> Answer:
        return HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", metrics.text()

    def show_ready() -> Answer:
        if ready():
            return HTTPStatus.OK, "text/plain", b"ready\n"
        return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", b"not ready\n"

    def show_health() -> Answer:
        report = health()
        return (HTTPStatus.OK if report else HTTPStatus.SERVICE_UNAVAILABLE), "application/json", report

    return {"/metrics": show_metrics, "/ready": show_ready, "/health": show_health}
