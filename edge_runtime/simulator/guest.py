"""A session beside the gateway's: the same broker under a name of its own, and nothing that the broker keeps."""

from __future__ import annotations

import secrets

from msgspec.structs import replace

from edge_runtime.config import BrokerSettings
from edge_runtime.errors import UsageError
from edge_runtime.mqtt.interface import SessionCallbacks
from edge_runtime.mqtt.session import Session

_MAX_PORT = 65_535


def guest_session(broker: BrokerSettings, word: str, callbacks: SessionCallbacks | None = None) -> Session:
    """Make a session; it is not started.

    Parameters
    ----------
    broker : BrokerSettings
        Of the gateway, or of ``broker_at``.
    word : str
        Part of the client id.
    callbacks : SessionCallbacks, optional
        Whom to tell.

    Returns
    -------
    session : Session
        With the gateway's credentials.
    """
    name = f"{broker.client_id or 'edge-runtime'}-{word}-{secrets.token_hex(3)}"
    return Session(replace(broker, client_id=name, session_expiry_s=0), callbacks or SessionCallbacks())


def broker_at(address: str) -> BrokerSettings:
    """Read ``HOST`` or ``HOST:PORT`` of a broker without login.

    Raises
    ------
    UsageError
        If it is neither.

    Examples
    --------
    >>> broker_at("localhost:1884").port
    1884
    """
    host, _, port = address.rpartition(":") if address.count(":") == 1 else (address, "", "1883")
    if not host or not port.isdigit() or not 0 < int(port) <= _MAX_PORT:
        raise UsageError(f"{address!r} is no broker: write HOST or HOST:PORT")
    return BrokerSettings(host=host, port=int(port))
