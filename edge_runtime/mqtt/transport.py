"""The way to the broker: a TCP or TLS socket, and the password, from what the configuration names."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from edge_runtime.config import BrokerSettings, Tls
from edge_runtime.errors import BrokerAuthorizationError, BrokerConnectionError

_MAX_PASSWORD_BYTES = 65_535


def read_password(password_file: str | None) -> str | None:
    """Read the first line of a password file.

    Parameters
    ----------
    password_file : str or None
        Its path; None when there is no password.

    Returns
    -------
    password : str or None
        Without the end of the line.

    Raises
    ------
    BrokerAuthorizationError
        If the file cannot be read, or is empty.
    """
    if password_file is None:
        return None
    try:
        with Path(password_file).open("rb") as file:
            line = file.readline(_MAX_PASSWORD_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerAuthorizationError(f"the password file {password_file} cannot be read: {error}") from error
    password = line.rstrip("\r\n")
    if not password:
        raise BrokerAuthorizationError(f"the first line of the password file {password_file} is empty")
    return password


def make_tls_context(tls: Tls | None) -> ssl.SSLContext | None:
    """Build the TLS context that the configuration asks for.

    Parameters
    ----------
    tls : Tls or None
        None for plain TCP.

    Returns
    -------
    context : ssl.SSLContext or None
        TLS 1.2 or newer; the broker's name and certificate are checked unless ``insecure``.

    Raises
    ------
    BrokerConnectionError
        If a file cannot be read or is no PEM file of its kind.
    """
    if tls is None:
        return None
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(path for path in (tls.ca_file, tls.cert_file, tls.key_file) if path)
        raise BrokerConnectionError(f"a file of [broker.tls] cannot be used ({files}): {error}") from error
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def connect_socket(settings: BrokerSettings) -> socket.socket:
    """Connect TCP, and TLS where it is configured.

    Parameters
    ----------
    settings : BrokerSettings
        Host, port, time-outs and TLS.

    Returns
    -------
    sock : socket.socket or ssl.SSLSocket
        Connected; small packets leave at once, and bytes that stay unconfirmed for ``tcp_user_timeout_s`` end it.

    Raises
    ------
    BrokerConnectionError
        If the broker cannot be reached, or TLS fails.
    """
    where = f"{settings.host}:{settings.port}"
    context = make_tls_context(settings.tls)
    try:
        plain = socket.create_connection((settings.host, settings.port), timeout=settings.connect_timeout_s)
    except (OSError, UnicodeError) as error:
        raise BrokerConnectionError(f"the broker at {where} cannot be reached: {error}") from error
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(settings.tcp_user_timeout_s * 1000))
        if context is None:
            return plain
        return context.wrap_socket(plain, server_hostname=settings.host)
    except (OSError, ValueError) as error:
        plain.close()
        raise BrokerConnectionError(f"TLS with the broker at {where} failed: {error}; see [broker.tls]") from error
