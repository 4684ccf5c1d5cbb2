"""Record the sessions of ``tests/recordings``: a line and two machines, with what goes wrong in plants.

``python tools/make_recordings.py`` needs mosquitto. Afterwards ``UPDATE_GOLDEN=1 python -m pytest
tests/integration/test_recordings.py`` writes what is expected of them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from tests.integration.daemon_rig import COMMAND, Daemon, Publisher  # noqa: E402 - the project must be on the path first
from tests.integration.factory_inputs import as_json, picture, samples  # noqa: E402 - the same
from tests.integration.mosquitto import Mosquitto  # noqa: E402 - the same

RECORDINGS = PROJECT / "tests" / "recordings"
STARTS_MS = 1_790_000_000_000
N_PARTS, N_BLOCKS = 40, 40
_PAUSE_S = 0.02


def publish_line(publisher: Publisher) -> None:
    """Forty parts; a picture that is cut off, one of another format, one that comes twice."""
    for number in range(N_PARTS):
        told = {"part": f"p{number}", "ts_ms": STARTS_MS + 500 * number, "seq": number}
        encoded = picture(number, height=60, width=80)
        if number == 7:
            encoded = encoded[: len(encoded) // 2]
        publisher.publish("plant/cam/cam1/frame", encoded, wait=True, **told)
        if number % 8 == 5:
            publisher.publish("plant/cam/cam1/frame", encoded, wait=True, **told)
        if number % 4 == 0:
            ending = ".jpg" if number == 12 else ".png"
            other = picture(100 + number, ending=ending, height=24, width=32)
            publisher.publish("plant/cam/cam2/frame", other, wait=True, **{**told, "part": f"q{number}"})
        time.sleep(_PAUSE_S)


def publish_machines(publisher: Publisher) -> None:
    """Blocks of a second each; broken values, a hole of a minute, a late block, one that comes twice, and no number."""
    for number in range(N_BLOCKS):
        at_ms = STARTS_MS + 1000 * number + (60_000 if number >= 25 else 0)
        block = samples(number)
        if number == 10:
            block[3, 1], block[4, 2] = np.nan, np.inf
        publisher.publish("plant/sensor/press1", block.tobytes(), wait=True, ts_ms=at_ms, seq=number)
        if number == 15:
            publisher.publish("plant/sensor/press1", block.tobytes(), wait=True, ts_ms=at_ms, seq=number)
        if number == 20:
            publisher.publish("plant/sensor/press1", b"123", wait=True, ts_ms=at_ms)
        publisher.publish("plant/sensor/press2", as_json(samples(500 + number), at_ms), wait=True)
        time.sleep(_PAUSE_S)


def record(name: str, publish: Callable[[Publisher], None], folder: Path) -> None:
    """Record what is published."""
    path = RECORDINGS / f"{name}.edgerec"
    path.unlink(missing_ok=True)
    broker = Mosquitto(folder / f"mosquitto-{name}")
    broker.start()
    try:
        sources = (RECORDINGS / f"{name}.toml").read_text()
        config = Daemon(folder / name, broker.port, sources).config
        command = [*COMMAND, "record", str(config), "--out", str(path)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as recorder:
            assert recorder.stderr is not None
            print(recorder.stderr.readline().strip(), file=sys.stderr)
            time.sleep(1.0)  # the broker has the subscriptions
            publisher = Publisher(broker, "plant")
            publish(publisher)
            publisher.close()
            time.sleep(1.0)
            recorder.terminate()
            print(recorder.stderr.read().strip(), file=sys.stderr)
    finally:
        broker.kill()


def main() -> int:
    """Record both."""
    with tempfile.TemporaryDirectory() as folder:
        record("line", publish_line, Path(folder))
        record("machine", publish_machines, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
