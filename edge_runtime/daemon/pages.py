"""What the gateway's HTTP server answers."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from edge_runtime.daemon.http import Answer
from edge_runtime.daemon.metrics import Metrics


def pages(metrics: Metrics, ready: Callable[[], bool]) -> dict[str, Callable[[], Answer]]:
    """Give the paths and what they answer.

    Parameters
    ----------
    metrics : Metrics
        For ``/metrics``.
    ready : callable
        For ``/ready``: whether the broker is there and the worker takes inputs.
    """

    def show_metrics() -> Answer:
        return HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", metrics.text()

    def show_ready() -> Answer:
        if ready():
            return HTTPStatus.OK, "text/plain", b"ready\n"
        return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", b"not ready\n"

    return {"/metrics": show_metrics, "/ready": show_ready}
