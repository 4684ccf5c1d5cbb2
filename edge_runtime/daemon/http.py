"""The gateway's small HTTP server: metrics for Prometheus, readiness for whoever starts things in order."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from edge_runtime.errors import HostEnvironmentError

_log = logging.getLogger(__name__)

#: What a path answers with: status, content type, body.
Answer = tuple[HTTPStatus, str, bytes]
_PATIENCE_S = 5.0
#: Connections at a time; more are closed at once, so that a flood takes neither threads nor descriptors.
_CONNECTIONS = 32
_NO_DESCRIPTOR_S = 0.1


class _Server(ThreadingMixIn, TCPServer):
    """The standard library's HTTP server asks the name service for its own name; a plant may have none."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 2 * _CONNECTIONS

    def __init__(self, listen: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in listen else socket.AF_INET
        self._room = threading.Semaphore(_CONNECTIONS)
        super().__init__((listen, port), handler)

    def get_request(self) -> tuple[socket.socket, object]:
        """Accept; where no descriptor is left, wait a moment before the next look at the same waiting client."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(_NO_DESCRIPTOR_S)
            raise

    def verify_request(self, request: object, client_address: object) -> bool:  # noqa: ARG002 - the base names them
        """Whether there is room for another connection."""
        return self._room.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as the base has it
        """Serve a connection, then make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base names it
        """Pass over clients that went away; log what is our fault."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            _log.exception("stage=sending an http request from %s failed", client_address)


class HttpServer:
    """Serves a fixed set of paths from its own threads.

    Parameters
    ----------
    listen : str
        Address; loopback unless the configuration says otherwise.
    port : int
        TCP port, 0 for any free one.
    pages : mapping of str to callable
        What each path answers.

    Raises
    ------
    HostEnvironmentError
        If the port is taken or not permitted.
    """

    def __init__(self, listen: str, port: int, pages: dict[str, Callable[[], Answer]]) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = _PATIENCE_S

            def do_GET(self) -> None:
                page = pages.get(self.path.partition("?")[0])
                if page is None:
                    status, kind, body = HTTPStatus.NOT_FOUND, "text/plain", b"not here\n"
                else:
                    status, kind, body = page()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Stay quiet: requests are no events of the plant."""

        try:
            self._server = _Server(listen, port, Handler)
        except OSError as error:
            raise HostEnvironmentError(
                f"http cannot listen on {listen}:{port}: {error.strerror};"
                " choose another [http] listen or port, or port 0 for any"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        if self._thread.is_alive():  # else there is no loop to end, and waiting for it would never return
            self._server.shutdown()
        self._server.server_close()
