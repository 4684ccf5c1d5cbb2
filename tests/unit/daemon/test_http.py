"""The small HTTP server, over loopback."""

from __future__ import annotations

import http.client
import logging
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from http import HTTPStatus

import pytest

from edge_runtime.daemon.http import Answer, HttpServer
from edge_runtime.errors import HostEnvironmentError


def page() -> Answer:
    return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain; version=0.0.4", b"not ready\n"


def broken() -> Answer:
    raise ValueError("a page that fails")


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    server = HttpServer("127.0.0.1", 0, {"/ready": page, "/broken": broken})
    server.start()
    yield server
    server.close()


def ask(server: HttpServer, path: str, method: str = "GET") -> tuple[int, str | None, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type"), response.read()


def test_a_page_is_answered_with_its_status_and_type(server: HttpServer) -> None:
    assert ask(server, "/ready") == (503, "text/plain; version=0.0.4", b"not ready\n")


def test_a_query_does_not_change_the_page(server: HttpServer) -> None:
    assert ask(server, "/ready?verbose=1")[0] == 503


@pytest.mark.parametrize("path", ["/", "/ready/", "/../etc/passwd", "/nothing"])
def test_any_other_path_is_not_here(server: HttpServer, path: str) -> None:
    assert ask(server, path)[0] == 404


def test_nothing_can_be_posted(server: HttpServer) -> None:
    assert ask(server, "/ready", "POST")[0] == 501


def test_a_page_that_fails_is_logged_and_the_next_one_answered(
    server: HttpServer, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        ask(server, "/broken")
    assert ask(server, "/ready")[0] == 503
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_client_that_goes_away_is_not_logged(
    server: HttpServer, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.send(b"GET /rea")
    ask(server, "/ready")
    assert (caplog.records, capsys.readouterr().err) == ([], "")


def test_a_port_that_is_taken_is_named(server: HttpServer) -> None:
    with pytest.raises(HostEnvironmentError, match=rf"127\.0\.0\.1:{server.port}: Address already in use; choose"):
        HttpServer("127.0.0.1", server.port, {})


def test_a_server_that_never_started_can_be_closed() -> None:
    HttpServer("127.0.0.1", 0, {}).close()


def test_an_address_of_the_sixth_version_is_understood() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 on this machine")
    with pytest.raises(HostEnvironmentError, match="2001:db8::1"):
        HttpServer("2001:db8::1", 0, {})


def test_a_flood_of_silent_connections_is_closed_and_makes_room_when_it_ends(server: HttpServer) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5)) for _ in range(40)]
        assert held[-1].recv(1) == b""
    give_up_at = time.monotonic() + 5
    while time.monotonic() < give_up_at:
        with suppress(OSError, http.client.HTTPException):
            assert ask(server, "/ready")[0] == 503
            return
    raise AssertionError("there is no room again")
