"""A bundle's bytes from where a command says: the fleet's retained topic, a file on the gateway, or an https URL.

Runs in the installer's process. Nothing is looked at before its size and its digest are what was announced.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import ssl
import stat
import threading
import time
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from typing import IO

import msgspec

from edge_runtime.bundle.archive import ARCHIVE_MAGIC
from edge_runtime.bundle.reader import MAX_BUNDLE_BYTES
from edge_runtime.config import BrokerSettings
from edge_runtime.errors import (
    BrokerError,
    BundleFormatError,
    BundleIntegrityError,
    EdgeRuntimeError,
    HostEnvironmentError,
)
from edge_runtime.mqtt.interface import Incoming, SessionCallbacks, Subscription
from edge_runtime.mqtt.session import Session

#: The source that stands for ``<root>/fleet/bundle/<sha256>``.
FLEET = "fleet"
_HTTPS = "https://"
_CHUNK_BYTES = 1 << 16
_LONGEST_SILENCE_S = 30.0


class NoArchiveError(BundleFormatError):
    """A file is no bundle at all, whatever its digest is."""


def source_fault(source: str) -> str:
    """Say why a source cannot be used; empty where it can.

    Examples
    --------
    >>> source_fault("fleet"), source_fault("https://depot/m.edgebundle"), source_fault("/media/usb/m.edgebundle")
    ('', '', '')
    >>> source_fault("http://depot/m.edgebundle")
    'a source is "fleet", an absolute path on the gateway, or an https:// URL'
    """
    if source == FLEET or source.startswith((_HTTPS, "/")):
        return ""
    return 'a source is "fleet", an absolute path on the gateway, or an https:// URL'


def fetch_bundle(source: str, sha256: str, *, broker: BrokerSettings, topic: str, timeout_s: float) -> bytes:
    """Get a bundle's bytes.

    Parameters
    ----------
    source : str
        As ``source_fault`` accepts it.
    sha256 : str
        Digest that the bytes must have.
    broker : BrokerSettings
        Of the gateway; a session of its own is made and left again.
    topic : str
        The fleet's topic of this digest.
    timeout_s : float
        For all of it.

    Returns
    -------
    data : bytes
        With this digest, ``MAX_BUNDLE_BYTES`` at most; not verified otherwise.

    Raises
    ------
    HostEnvironmentError, BrokerError
        If it cannot be had.
    BundleFormatError
        If it is too large.
    BundleIntegrityError
        If it has another digest.
    """
    if source == FLEET:
        data = fetch_retained(broker, topic, timeout_s=timeout_s)
    elif source.startswith(_HTTPS):
        data = fetch_https(source, timeout_s=timeout_s)
    else:
        data = read_file(Path(source))
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        # Its own digest is not told: a short secret in a file could be guessed from it.
        raise BundleIntegrityError(f"its bytes have another digest than {sha256[:16]}..., which was announced")
    return data


def read_file(path: Path) -> bytes:
    """Read a regular file within the limit, if it begins as an archive does.

    Neither a device nor a pipe is opened, which alone may have effects, and nothing is told of a file of another kind.

    Raises
    ------
    HostEnvironmentError
        If there is none, or it cannot be read.
    BundleFormatError
        If it is too large.
    NoArchiveError
        If it is no archive.
    """
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(place).st_mode):
                raise HostEnvironmentError(f"{path}: no regular file")
            descriptor = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        finally:
            os.close(place)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(len(ARCHIVE_MAGIC))
            if data != ARCHIVE_MAGIC:
                raise NoArchiveError(f"{path}: no bundle")
            data += file.read(MAX_BUNDLE_BYTES + 1 - len(data))
    except OSError as error:
        raise HostEnvironmentError(f"{path}: cannot be read: {error.strerror or error}") from error
    _require_size(len(data))
    return data


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows a redirection only to another https URL."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Refuse to leave the encrypted link."""
        if not newurl.startswith(_HTTPS):
            raise urllib.error.HTTPError(newurl, code, "it leads away from https", Message(), fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch_https(url: str, *, timeout_s: float) -> bytes:
    """Get a URL, whose server the system's authorities know.

    A thread waits for the server, byte by byte if it likes; nobody waits for that thread beyond the time limit. It ends
    with the installer's process.

    Raises
    ------
    HostEnvironmentError
        If it is not https, the server cannot be reached or trusted, answers with an error, or takes too long.
    BundleFormatError
        If it is too large.
    """
    if not url.startswith(_HTTPS):
        raise HostEnvironmentError("only https:// URLs are fetched")
    until = time.monotonic() + timeout_s
    came: list[bytes | EdgeRuntimeError] = []

    def download() -> None:
        try:
            came.append(_download(url, until))
        except EdgeRuntimeError as error:
            came.append(error)
        except (OSError, http.client.HTTPException, ValueError) as error:  # URLError is an OSError
            came.append(HostEnvironmentError(f"the URL cannot be fetched: {error}"))

    thread = threading.Thread(target=download, name="download", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not came:
        raise HostEnvironmentError(f"the server took longer than {timeout_s:g} s")
    if isinstance(came[0], EdgeRuntimeError):
        raise came[0]
    return came[0]


def _download(url: str, until: float) -> bytes:
    """Get a URL until a time, monotonic in s."""
    context = ssl.create_default_context()
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _OnlyHttps())
    silence_s = max(0.001, min(until - time.monotonic(), _LONGEST_SILENCE_S))
    with opener.open(url, timeout=silence_s) as answer:
        announced = answer.headers.get("Content-Length", "")[:20]
        if announced:
            _require_size(int(announced))
        data = bytearray()
        while chunk := answer.read1(_CHUNK_BYTES):
            data += chunk
            _require_size(len(data))
            if time.monotonic() > until:
                raise HostEnvironmentError("the server took too long")
        if announced and len(data) != int(announced):
            raise HostEnvironmentError(f"the server announced {announced} bytes and sent {len(data)}")
    return bytes(data)


def fetch_retained(broker: BrokerSettings, topic: str, *, timeout_s: float) -> bytes:
    """Get what a topic retains, over a session that lasts as long as that takes.

    It is not the session of alarms: sixteen megabytes on a thin link would hold their acknowledgements up.

    Parameters
    ----------
    broker : BrokerSettings
        Of the gateway; the client id is that with ``-fleet`` behind it.
    topic : str
        Where the bundle is retained.
    timeout_s : float
        For the link and the message.

    Raises
    ------
    BrokerError
        If the broker cannot be reached or refuses the topic.
    HostEnvironmentError
        If nothing came.
    BundleFormatError
        If what came is too large.
    """
    own = msgspec.structs.replace(
        broker, client_id=f"{broker.client_id}-fleet", session_expiry_s=0, max_payload_bytes=MAX_BUNDLE_BYTES
    )
    done = threading.Event()
    came: list[bytes | BrokerError | BundleFormatError] = []

    def take(what: bytes | BrokerError | BundleFormatError) -> None:
        came.append(what)
        done.set()

    def receive(message: Incoming) -> None:
        if message.topic == topic and message.payload:
            take(message.payload)

    callbacks = SessionCallbacks(
        on_message=receive,
        on_refused=lambda _filter, error: take(error),
        on_dropped=lambda _topic, _reason: take(_too_large()),
    )
    session = Session(own, callbacks, subscriptions=[Subscription(topic, 1)])
    session.start()
    try:
        until = time.monotonic() + timeout_s
        session.wait_connected(timeout_s)
        done.wait(max(0.0, until - time.monotonic()))
    finally:
        session.stop(flush_s=0.0)
    if not came:
        raise HostEnvironmentError(
            f"nothing came on {topic} within {timeout_s:g} s; publish the bundle there, retained"
        )
    if isinstance(came[0], bytes):
        return came[0]
    raise came[0]


def _require_size(n_bytes: int) -> None:
    if n_bytes > MAX_BUNDLE_BYTES:
        raise _too_large()


def _too_large() -> BundleFormatError:
    return BundleFormatError(f"larger than the {MAX_BUNDLE_BYTES} bytes that a bundle may have")
