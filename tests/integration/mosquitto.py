"""A real mosquitto on a free loopback port, to be started, stopped, killed and started again."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from edge_runtime.config import BrokerSettings, Tls
from tests.integration.certificates import Certificates


def find(program: str) -> str | None:
    """Path of a program of the mosquitto packages; Debian keeps the broker where users' paths do not look."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Mosquitto:
    """One broker with a folder, a port and options that stay the same over restarts."""

    def __init__(
        self,
        folder: Path,
        *,
        persistence: bool = True,
        certificates: Certificates | None = None,
        client_certificate: bool = False,
        users: dict[str, str] | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.certificates = certificates
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f"user {getpass.getuser()}", f"listener {self.port} 127.0.0.1", "max_queued_messages 0", *options]
        if persistence:
            lines += ["persistence true", f"persistence_location {folder}/"]
            lines += ["autosave_on_changes true", "autosave_interval 1"]
        if certificates is not None:
            lines += [f"cafile {certificates.ca_file}", f"certfile {certificates.server_file}"]
            lines += [f"keyfile {certificates.server_key_file}"]
            lines += [f"require_certificate {str(client_certificate).lower()}"]
        if users is not None:
            lines += ["allow_anonymous false", f"password_file {self._write_users(users)}"]
        else:
            lines += ["allow_anonymous true"]
        self._config = folder / "mosquitto.conf"
        self._config.write_text("\n".join(lines) + "\n")

    def _write_users(self, users: dict[str, str]) -> Path:
        """Write the broker's password file, hashed by its own tool."""
        path = self.folder / "users"
        path.write_text("".join(f"{name}:{password}\n" for name, password in users.items()))
        path.chmod(0o600)
        tool = find("mosquitto_passwd")
        assert tool is not None
        subprocess.run([tool, "-U", str(path)], check=True)
        return path

    def settings(self, client_id: str, **changes: Any) -> BrokerSettings:
        """Settings of a session with this broker, with short waits."""
        given = {"reconnect_min_s": 0.05, "reconnect_max_s": 0.2, "connect_timeout_s": 3.0, **changes}
        if self.certificates is not None:
            given.setdefault("tls", Tls(ca_file=str(self.certificates.ca_file)))
        return BrokerSettings(port=self.port, client_id=client_id, **given)

    def start(self) -> None:
        """Start, and return when the port answers."""
        program = find("mosquitto")
        assert program is not None
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([program, "-c", str(self._config)], stdout=log, stderr=log)
        give_up_at = time.monotonic() + 10
        while time.monotonic() < give_up_at:
            if self._process.poll() is not None:
                raise AssertionError((self.folder / "mosquitto.log").read_text())
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("mosquitto does not answer")

    def stop(self) -> None:
        """Stop in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill without warning."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop in good order and start."""
        self.stop()
        self.start()

    def suspend(self) -> None:
        """Let it hang."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        """Send a signal and wait for the end."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
        self._process.wait(timeout=10)
        self._process = None
