"""``edge-runtime simulate``: a small factory, or recordings, as live MQTT traffic."""

from __future__ import annotations

import secrets
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge_runtime.simulator.line import TimedMessage

_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_CONNECT_S = 15.0


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line."""

    host: str
    port: int
    protocol: str
    duration: float
    seed: int | None
    speed: float
    cameras: int
    machines: int
    parts_per_s: float
    defect_share: float
    failing_share: float
    difficulty: float
    sensor_format: str
    images: Path | None
    csv: Path | None
    topic: str | None
    rate: float
    columns: str
    block: int
    loop: bool
    as_json: bool


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Broker.")
@click.option("--port", default=1883, show_default=True, help="Its port.")
@click.option("--protocol", type=click.Choice(["5", "3.1.1"]), default="5", show_default=True, help="MQTT version.")
@click.option("--duration", default=60.0, show_default=True, help="Seconds of the line's own time.")
@click.option("--seed", type=int, help="Any number; drawn and printed without it.")
@click.option("--speed", default=1.0, show_default=True, help="Times real time; 0 for as fast as possible.")
@click.option("--cameras", default=2, show_default=True, help="Cameras over the line.")
@click.option("--machines", default=6, show_default=True, help="Machines with sensors.")
@click.option("--parts-per-s", default=3.0, show_default=True, help="Parts in front of each camera.")
@click.option("--defect-share", default=0.3, show_default=True, help="Share of faulty parts.")
@click.option("--failing-share", default=0.6, show_default=True, help="Share of machine lives that end in a failure.")
@click.option("--difficulty", default=0.5, show_default=True, type=click.FloatRange(0, 1), help="Of pictures and wear.")
@click.option("--sensor-format", type=click.Choice(["f32", "json"]), default="f32", show_default=True)
@click.option("--images", type=_DIRECTORY, help="Play this folder of JPEG or PNG files instead, byte for byte.")
@click.option("--csv", type=_FILE, help="Play this table of sensor rows instead.")
@click.option("--topic", help="Where recordings go, such as plant/cam/cam1/frame.")
@click.option("--rate", default=2.0, show_default=True, help="Pictures or rows per second of a recording.")
@click.option("--columns", default="", help="Columns of the table, by comma; all without it.")
@click.option("--block", default=1, show_default=True, help="Rows per message.")
@click.option("--loop", is_flag=True, help="Play the folder again and again.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output at the end.")
def simulate(**values: object) -> None:
    """Publish a small factory with known truth, or a recording, as live MQTT traffic.

    The truth about parts and machines is published on plant/truth/... beside it. Without --images or --csv, cameras
    publish on plant/cam/<camera>/frame and machines on plant/sensor/<asset>/telemetry.
    """
    _simulate(Options(**values))  # type: ignore[arg-type] # click has checked the types


def _simulate(options: Options) -> None:
    from edge_runtime.config import BrokerSettings  # noqa: PLC0415 - not needed for --help
    from edge_runtime.mqtt.session import Session  # noqa: PLC0415 - not needed for --help
    from edge_runtime.simulator.publisher import SessionPublisher  # noqa: PLC0415 - not needed for --help
    from edge_runtime.simulator.running import run_messages  # noqa: PLC0415 - not needed for --help
    from edge_runtime.terminal import print_json  # noqa: PLC0415 - not needed for --help

    messages = _messages(options)
    session = Session(
        BrokerSettings(
            host=options.host,
            port=options.port,
            protocol="5" if options.protocol == "5" else "3.1.1",
            client_id=f"simulator-{secrets.token_hex(4)}",
            session_expiry_s=0,
        )
    )
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    session.start()
    try:
        session.wait_connected(_CONNECT_S)
        publisher = SessionPublisher(session, envelope=options.protocol != "5")
        sent = run_messages(messages, publisher, speed=options.speed, stop=stop)
        session.flush(_CONNECT_S)
    finally:
        session.stop()
    if options.as_json:
        print_json({"messages": sent.messages, "late_s": round(sent.late_s, 3)})
    else:
        click.echo(f"{sent.messages} messages sent, at most {sent.late_s:.2f} s behind their time", err=True)


def _messages(options: Options) -> Iterator[TimedMessage]:
    from edge_runtime.errors import UsageError  # noqa: PLC0415 - not needed for --help
    from edge_runtime.simulator import line, playback  # noqa: PLC0415 - not needed for --help

    start_ms = time.time_ns() // 1_000_000
    if options.images is not None and options.csv is not None:
        raise UsageError("--images and --csv exclude each other: start one simulate for each")
    if options.images is not None:
        topic = options.topic or "plant/cam/cam1/frame"
        return playback.picture_messages(
            options.images, topic=topic, rate_hz=options.rate, start_ms=start_ms, loop=options.loop
        )
    if options.csv is not None:
        columns = [name.strip() for name in options.columns.split(",") if name.strip()]
        values = playback.read_table(options.csv, columns)
        return playback.table_messages(
            values,
            topic=options.topic or "plant/sensor/machine1/telemetry",
            rate_hz=options.rate,
            block=options.block,
            start_ms=start_ms,
            as_json=options.sensor_format == "json",
        )
    seed = line.live_seed(secrets.randbelow(1 << 30) if options.seed is None else options.seed)
    click.echo(f"seed {seed}", err=True)
    try:
        settings = line.LineSettings(
            seed=seed,
            n_cameras=options.cameras,
            n_machines=options.machines,
            parts_per_s=options.parts_per_s,
            defect_share=options.defect_share,
            failing_share=options.failing_share,
            difficulty=options.difficulty,
            sensor_format="json" if options.sensor_format == "json" else "f32",
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    return line.line_messages(settings, start_ms=start_ms, duration_s=options.duration)
