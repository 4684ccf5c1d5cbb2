"""``edge-runtime record`` and ``replay FILE`` with a real broker."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.daemon_rig import COMMAND, Consumer, Daemon, Publisher, until
from tests.integration.factory_inputs import picture
from tests.integration.mosquitto import Mosquitto

pytestmark = pytest.mark.broker

FRAME = "plant/cam/cam1/frame"
N_MESSAGES = 30


class Listener(Consumer):
    """Keeps what the plant publishes, with its user properties."""

    def _connected(self, client: Any, userdata: Any, flags: Any, code: Any, properties: Any) -> None:
        client.on_subscribe = lambda *_: self._up.set()  # only then is nothing missed
        client.subscribe("plant/#", qos=1)

    def _take(self, _client: Any, _userdata: Any, message: Any) -> None:
        properties = tuple(getattr(message.properties, "UserProperty", ()))
        self.heard.append((message.topic, bytes(message.payload), message.qos, properties))

    def __init__(self, broker: Mosquitto) -> None:
        self.heard: list[tuple[Any, ...]] = []
        super().__init__(broker, "listener")


def run(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, check=False, timeout=60)


def test_session_is_recorded_until_interrupted_and_played_as_it_was(tmp_path: Path, mosquitto: Mosquitto) -> None:
    config = Daemon(tmp_path / "gateway", mosquitto.port).config
    out = tmp_path / "session.edgerec"
    with subprocess.Popen(
        [*COMMAND, "record", str(config), "--out", str(out), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as recorder:
        assert recorder.stderr is not None
        assert recorder.stderr.readline().startswith(b"recording plant/cam/cam1/frame, ")
        time.sleep(0.5)
        publisher, listener = Publisher(mosquitto, "plant"), Listener(mosquitto)
        for number in range(N_MESSAGES):
            publisher.publish(FRAME, picture(number), part=f"p{number}", ts_ms=number, qos=1)
        try:
            until(lambda: len(listener.heard) == N_MESSAGES, "all messages", within_s=30)
            time.sleep(0.5)
            recorder.send_signal(signal.SIGINT)
            told = json.loads(recorder.communicate(timeout=20)[0])
        finally:
            recorder.kill()
    assert (recorder.returncode, told["messages"], told["bytes"]) == (0, N_MESSAGES, out.stat().st_size)
    sent, listener.heard = listener.heard, []
    played = run("replay", out, "--broker", f"127.0.0.1:{mosquitto.port}", "--speed", 0, "--json")
    until(lambda: len(listener.heard) == N_MESSAGES, "all messages once more")
    publisher.close()
    listener.close()
    assert json.loads(played.stdout) == {"messages": N_MESSAGES, "late_s": 0.0, "truncated": False}
    assert listener.heard == sent


def test_recording_ends_after_its_duration(tmp_path: Path, mosquitto: Mosquitto) -> None:
    config = Daemon(tmp_path / "gateway", mosquitto.port).config
    done = run("record", config, "--out", tmp_path / "a", "--duration", 0.3, "--topics", "plant/#")
    assert (done.returncode, b"a: 0 messages" in done.stderr) == (0, True)


def test_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    config = Daemon(tmp_path / "gateway", 1).config
    (tmp_path / "exists").write_bytes(b"precious")
    assert run("record", config, "--out", tmp_path / "exists").returncode == 5
    assert (tmp_path / "exists").read_bytes() == b"precious"
