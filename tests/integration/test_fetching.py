"""A bundle's bytes: from a file, over https, and from the fleet's retained topic; limits first, then the digest."""

from __future__ import annotations

import hashlib
import os
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from edge_runtime.bundle.reader import MAX_BUNDLE_BYTES
from edge_runtime.config import BrokerSettings
from edge_runtime.daemon.fetching import NoArchiveError, fetch_bundle, fetch_https, fetch_retained, read_file
from edge_runtime.errors import (
    BrokerError,
    BundleFormatError,
    BundleIntegrityError,
    HostEnvironmentError,
)
from tests.integration.certificates import make_certificates
from tests.integration.mosquitto import Mosquitto, free_port

DATA = b"PK\x03\x04" + b"a bundle" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()
NO_BROKER = BrokerSettings(client_id="gw1", port=1, reconnect_min_s=0.05, reconnect_max_s=0.1)


class Depot(BaseHTTPRequestHandler):
    """Serves a bundle, and everything that a bad server may do instead."""

    def do_GET(self) -> None:
        where = self.path.strip("/")
        if where == "moved":
            self.send_response(302)
            self.send_header("Location", "/good")
            self.end_headers()
        elif where == "astray":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1/good")
            self.end_headers()
        elif where == "announced":
            self.send_response(200)
            self.send_header("Content-Length", str(MAX_BUNDLE_BYTES + 1))
            self.end_headers()
        elif where == "endless":
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(40):
                    self.wfile.write(bytes(1 << 20))
            except OSError:
                pass
        elif where in {"slow", "slower"}:
            self._trickle(headers=where == "slow")
        elif where == "good":
            self.send_response(200)
            self.send_header("Content-Length", str(len(DATA)))
            self.end_headers()
            self.wfile.write(DATA)
        elif where == "cut":
            self.send_response(200)
            self.send_header("Content-Length", str(len(DATA)))
            self.end_headers()
            self.wfile.write(DATA[:100])
        else:
            self.send_error(404)

    def _trickle(self, *, headers: bool) -> None:
        """Send a byte now and then, never so late that a silence is noticed."""
        if headers:
            self.send_response(200)
            self.send_header("Content-Length", "60")
            self.end_headers()
        try:
            for _ in range(60):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.1)
        except OSError:
            pass

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Be quiet."""


@pytest.fixture(scope="module")
def depot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An https server whose authority this process trusts."""
    files = make_certificates(tmp_path_factory.mktemp("tls"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Depot)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server_file, files.server_key_file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(files.ca_file))
        yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_url_is_fetched(depot: str) -> None:
    fetched = fetch_bundle(f"{depot}/good", SHA256, broker=NO_BROKER, topic="t", timeout_s=5)
    assert fetched == DATA


def test_redirection_to_https_is_followed(depot: str) -> None:
    assert fetch_https(f"{depot}/moved", timeout_s=5) == DATA


@pytest.mark.parametrize("where", ["astray", "nowhere", "cut"])
def test_url_that_gives_no_bundle_is_an_error_of_the_host(depot: str, where: str) -> None:
    with pytest.raises(HostEnvironmentError):
        fetch_bundle(f"{depot}/{where}", SHA256, broker=NO_BROKER, topic="t", timeout_s=5)


@pytest.mark.parametrize("where", ["announced", "endless"])
def test_url_that_gives_too_much_is_refused(depot: str, where: str) -> None:
    with pytest.raises(BundleFormatError, match="larger"):
        fetch_https(f"{depot}/{where}", timeout_s=5)


@pytest.mark.parametrize("where", ["slow", "slower"])
def test_server_that_trickles_does_not_hold_beyond_the_limit(depot: str, where: str) -> None:
    begun = time.monotonic()
    with pytest.raises(HostEnvironmentError, match=r"longer than 0\.5 s|too long"):
        fetch_https(f"{depot}/{where}", timeout_s=0.5)
    assert time.monotonic() - begun < 4.0


def test_server_that_nobody_vouches_for_is_refused(depot: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(HostEnvironmentError, match=r"(?i)certificate"):
        fetch_https(f"{depot}/good", timeout_s=5)


def test_url_that_is_not_encrypted_is_not_fetched() -> None:
    with pytest.raises(HostEnvironmentError, match="https"):
        fetch_https("http://127.0.0.1/good", timeout_s=5)


def test_server_that_is_not_there_is_an_error_of_the_host() -> None:
    with pytest.raises(HostEnvironmentError):
        fetch_https(f"https://127.0.0.1:{free_port()}/good", timeout_s=5)


def test_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.edgebundle"
    path.write_bytes(DATA)
    assert fetch_bundle(str(path), SHA256, broker=NO_BROKER, topic="t", timeout_s=5) == DATA


def test_bytes_of_another_digest_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.edgebundle"
    path.write_bytes(DATA)
    with pytest.raises(BundleIntegrityError, match="was announced"):
        fetch_bundle(str(path), "0" * 64, broker=NO_BROKER, topic="t", timeout_s=5)


def test_digest_of_a_file_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "m.edgebundle"
    path.write_bytes(DATA)
    with pytest.raises(BundleIntegrityError) as refusal:
        fetch_bundle(str(path), "0" * 64, broker=NO_BROKER, topic="t", timeout_s=5)
    assert SHA256[:8] not in str(refusal.value)


def test_file_that_is_no_archive_is_refused_also_with_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(b"hunter2\n")
    with pytest.raises(NoArchiveError):
        fetch_bundle(str(path), hashlib.sha256(b"hunter2\n").hexdigest(), broker=NO_BROKER, topic="t", timeout_s=5)


def test_large_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.edgebundle"
    with path.open("wb") as file:
        file.write(DATA)
        file.truncate(MAX_BUNDLE_BYTES + 1)
    with pytest.raises(BundleFormatError, match="larger"):
        read_file(path)


def test_pipe_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(HostEnvironmentError, match="no regular file"):
        read_file(tmp_path / "pipe")


@pytest.mark.parametrize("path", ["/nowhere/m", "/", "/dev/zero", "/proc/self/mem"])
def test_what_is_no_file_is_an_error_of_the_host(path: str) -> None:
    with pytest.raises((HostEnvironmentError, BundleFormatError)):
        read_file(Path(path))


@pytest.mark.broker
def test_retained_bundle_is_fetched_and_the_session_left(mosquitto: Mosquitto) -> None:
    retain(mosquitto, "edge/fleet/bundle/x", DATA)
    assert fetch_retained(mosquitto.settings("gw1"), "edge/fleet/bundle/x", timeout_s=5) == DATA


@pytest.mark.broker
def test_topic_without_a_bundle_is_given_up(mosquitto: Mosquitto) -> None:
    with pytest.raises(HostEnvironmentError, match="publish the bundle there"):
        fetch_retained(mosquitto.settings("gw1"), "edge/fleet/bundle/y", timeout_s=0.5)


@pytest.mark.broker
def test_retained_bundle_that_is_too_large_is_refused(mosquitto: Mosquitto) -> None:
    retain(mosquitto, "edge/fleet/bundle/z", bytes(MAX_BUNDLE_BYTES + (1 << 20)))
    with pytest.raises((BundleFormatError, HostEnvironmentError)):
        fetch_retained(mosquitto.settings("gw1"), "edge/fleet/bundle/z", timeout_s=2)


def test_broker_that_is_not_there_is_an_error_of_the_broker() -> None:
    with pytest.raises(BrokerError):
        fetch_retained(NO_BROKER, "edge/fleet/bundle/x", timeout_s=0.5)


def retain(broker: Mosquitto, topic: str, payload: bytes) -> None:
    """Leave a message with the broker."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.publish(topic, payload, qos=1, retain=True).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()
