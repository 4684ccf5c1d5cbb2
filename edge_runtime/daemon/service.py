"""What the daemon tells the service manager that started it (systemd's ``sd_notify`` protocol).

One datagram per word, to the socket that ``NOTIFY_SOCKET`` names; without it nothing is told. The protocol is
specified in ``sd_notify(3)``, the watchdog in ``sd_watchdog_enabled(3)``.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

_log = logging.getLogger(__name__)

_LONGEST_S = 3600.0
_DEFAULT_S = 10.0
_STATUS_LENGTH = 200


class ServiceManager:
    """The daemon's side of ``sd_notify``.

    A word that cannot be delivered is dropped: a manager that does not listen must not hold the daemon up.

    Parameters
    ----------
    address : str
        Path of the manager's datagram socket, ``@`` first for an abstract one; empty when nobody asks.
    watchdog_s : float or None, s
        The manager kills a daemon that is silent so long; None when it does not watch.
    """

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if address else None
        if self._socket is not None:
            self._socket.setblocking(False)
        self._every_s = _DEFAULT_S if watchdog_s is None else watchdog_s / 3
        self._watched = watchdog_s is not None
        self._due = 0.0
        self._mute = False

    def ready(self) -> None:
        """Say that start-up is over."""
        self._say("READY=1")

    def reloading(self, monotonic_s: float) -> None:
        """Say that the configuration is read again; ``ready`` ends it."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={round(monotonic_s * 1e6)}")

    def stopping(self) -> None:
        """Say that the daemon leaves."""
        self._say("STOPPING=1")

    def due_in(self, now: float) -> float | None:
        """Seconds until ``alive`` should be called again; None when nobody listens."""
        return None if self._socket is None else max(0.0, self._due - now)

    def alive(self, now: float, status: str) -> None:
        """Say that the main loop turns, three times per watchdog interval, and how things are.

        Parameters
        ----------
        now : float, s
            Monotonic.
        status : str
            One line for ``systemctl status``; cut at 200 characters.
        """
        if self._socket is None or now < self._due:
            return
        self._due = now + self._every_s
        line = " ".join(status.split())[:_STATUS_LENGTH]
        self._say(f"STATUS={line}" + ("\nWATCHDOG=1" if self._watched else ""))

    def close(self) -> None:
        """Give the descriptor back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _say(self, words: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(words.encode(), self._address)
        except OSError as error:
            if not self._mute:
                _log.warning("stage=starting the service manager cannot be told: %s", error)
            self._mute = True
        else:
            self._mute = False


def find_service_manager(environment: Mapping[str, str], pid: int) -> ServiceManager:
    """Read from a process's environment whether a service manager listens.

    Parameters
    ----------
    environment : mapping of str to str
        ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` are read.
    pid : int
        This process: a watchdog that was set for another one is not ours.

    Returns
    -------
    manager : ServiceManager
        A silent one where nobody listens.

    Examples
    --------
    >>> find_service_manager({}, 1).due_in(0.0) is None
    True
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return ServiceManager()
    return ServiceManager(address, _watchdog_s(environment, pid))


def _watchdog_s(environment: Mapping[str, str], pid: int) -> float | None:
    """Read the watchdog's interval; None where there is none, or where it is meant for another process."""
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    try:
        interval_s = int(environment.get("WATCHDOG_USEC", "")) / 1e6
    except ValueError:
        return None
    return min(interval_s, _LONGEST_S) if interval_s > 0 else None


def forget_service_manager() -> None:
    """Keep child processes from speaking to the manager in the daemon's name."""
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        os.environ.pop(name, None)
