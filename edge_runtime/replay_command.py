"""``edge-runtime record`` and ``replay``: MQTT sessions to a file and back, and single alarms through their model."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge_runtime.config import BrokerSettings, Config
    from edge_runtime.daemon.replaying import Replayed

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_CONFIG = click.Path(dir_okay=False, path_type=Path)
_DEFAULT = Path("gateway.toml")
_CONNECT_S = 15.0
_MEGABYTE = 1_000_000


@click.command()
@click.argument("config", type=_CONFIG, default=_DEFAULT)
@click.option("--out", type=_CONFIG, required=True, help="The new file; it is not overwritten.")
@click.option("--duration", type=click.FloatRange(min=0, min_open=True), help="Seconds; until Ctrl-C without it.")
@click.option("--topics", multiple=True, help="Topic filter, any number; by default the sources' of CONFIG.")
@click.option("--max-mb", type=click.FloatRange(min=0.1), default=1000.0, show_default=True, help="End at this size.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output at the end.")
def record(
    config: Path, out: Path, duration: float | None, topics: tuple[str, ...], max_mb: float, as_json: bool
) -> None:
    """Write what sources publish into a file, beside the daemon, which is not disturbed.

    CONFIG (gateway.toml) names the broker and the sources.
    """
    from edge_runtime.config import load_config  # noqa: PLC0415 - not needed for --help
    from edge_runtime.simulator.guest import guest_session  # noqa: PLC0415 - not needed for --help
    from edge_runtime.simulator.recorder import Recorder  # noqa: PLC0415 - not needed for --help
    from edge_runtime.terminal import print_json  # noqa: PLC0415 - not needed for --help

    settings = load_config(config)
    filters = _filters(settings, topics)
    recorder = Recorder(lambda callbacks: guest_session(settings.broker, "recorder", callbacks), filters)
    done = recorder.record(
        out,
        own=f"{settings.gateway.root}/{settings.gateway.id}",
        duration_s=duration,
        max_bytes=round(max_mb * _MEGABYTE),
        stop=_ended(),
        on_start=lambda: click.echo(f"recording {', '.join(filters)}; Ctrl-C ends it", err=True),
    )
    if as_json:
        print_json({"messages": done.n_messages, "bytes": done.n_bytes, "dropped": done.n_dropped, "full": done.full})
        return
    why = f"; it may grow no further (--max-mb {max_mb:g})" if done.full else ""
    dropped = f", {done.n_dropped} not delivered" if done.n_dropped else ""
    click.echo(f"{out}: {done.n_messages} messages, {done.n_bytes} bytes{dropped}{why}", err=True)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What ``replay`` was asked for."""

    what: str | None
    config: Path | None
    alert_file: Path | None
    evidence_file: Path | None
    broker: str | None
    speed: float
    as_json: bool


@click.command()
@click.argument("what", required=False)
@click.argument("config", type=_CONFIG, required=False)
@click.option("--alert-file", type=_FILE, help="The alarm's event as it was received, instead of an alert id.")
@click.option("--evidence-file", type=_FILE, help="Its picture or window.cbor as it was received.")
@click.option("--broker", help="Play a recording to HOST[:PORT] instead of the broker of CONFIG.")
@click.option(
    "--speed", type=click.FloatRange(min=0), default=1.0, show_default=True, help="Of a recording; 0: without pauses."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def replay(**wish: object) -> int:
    """Compute an alert once more, or play a recording.

    WHAT is an alert_id: its stored input goes to the release that judged it, and the scores are compared. The outbox of
    CONFIG (gateway.toml) is only read, also while the daemon runs. With --alert-file and --evidence-file, what a
    consumer received is taken instead of WHAT. Exit code 0: the same to the bit; 3: different; 4: the release is gone
    or refused.

    Or WHAT is a file of "edge-runtime record": its messages are published at their distance in time.
    """
    return _replay(_Wish(**wish))  # type: ignore[arg-type] # click has checked the types


def _replay(wish: _Wish) -> int:
    """Find out what is meant."""
    from edge_runtime.errors import UsageError  # noqa: PLC0415 - not needed for --help

    if wish.alert_file is not None and wish.evidence_file is not None:
        return _replay_files(wish, wish.alert_file, wish.evidence_file)
    if wish.alert_file is not None or wish.evidence_file is not None:
        raise UsageError("--alert-file and --evidence-file belong together")
    if wish.what is None:
        raise UsageError("name an alert or a recording: edge-runtime replay ALERT_ID|FILE CONFIG.toml")
    if Path(wish.what).is_file():
        return _play(wish, Path(wish.what))
    if "/" in wish.what or "." in wish.what:
        raise UsageError(f"{wish.what}: no such recording, and no alert_id")
    return _replay_stored(wish, wish.what)


def _replay_stored(wish: _Wish, alert_id: str) -> int:
    """Replay an alarm that the outbox keeps."""
    from edge_runtime.config import load_config  # noqa: PLC0415 - not needed for --help
    from edge_runtime.daemon.past_alarm import from_outbox  # noqa: PLC0415 - not needed for --help
    from edge_runtime.daemon.replaying import replay_alarm  # noqa: PLC0415 - not needed for --help

    settings = load_config(wish.config or _DEFAULT)
    past = from_outbox(Path(settings.gateway.state_dir) / "outbox.sqlite", alert_id)
    return _tell(replay_alarm(settings, past), as_json=wish.as_json)


def _replay_files(wish: _Wish, alert_file: Path, evidence_file: Path) -> int:
    """Replay an alarm that a consumer kept."""
    from edge_runtime.config import load_config  # noqa: PLC0415 - not needed for --help
    from edge_runtime.daemon.past_alarm import from_files  # noqa: PLC0415 - not needed for --help
    from edge_runtime.daemon.replaying import replay_alarm  # noqa: PLC0415 - not needed for --help

    settings = load_config(Path(wish.what) if wish.what else _DEFAULT)
    return _tell(replay_alarm(settings, from_files(alert_file, evidence_file)), as_json=wish.as_json)


def _tell(replayed: Replayed, *, as_json: bool) -> int:
    """Print the result and give its exit code."""
    from edge_runtime.terminal import print_json  # noqa: PLC0415 - not needed for --help

    if as_json:
        print_json(replayed.as_json())
    else:
        click.echo(replayed.as_text())
    return replayed.exit_code


def _play(wish: _Wish, file: Path) -> int:
    """Publish a recording."""
    from edge_runtime.simulator.guest import guest_session  # noqa: PLC0415 - not needed for --help
    from edge_runtime.simulator.playback import recorded_messages  # noqa: PLC0415 - not needed for --help
    from edge_runtime.simulator.publisher import SessionPublisher  # noqa: PLC0415 - not needed for --help
    from edge_runtime.simulator.recording import RecordingReader  # noqa: PLC0415 - not needed for --help
    from edge_runtime.simulator.running import run_messages  # noqa: PLC0415 - not needed for --help
    from edge_runtime.terminal import print_json  # noqa: PLC0415 - not needed for --help

    reader = RecordingReader.open(file)
    broker = _broker(wish)
    stop = _ended()
    session = guest_session(broker, "player")
    session.start()
    try:
        session.wait_connected(_CONNECT_S)
        publisher = SessionPublisher(session, envelope=broker.protocol != "5")
        sent = run_messages(recorded_messages(reader), publisher, speed=wish.speed, stop=stop)
        session.flush(_CONNECT_S)
    finally:
        session.stop()
    if wish.as_json:
        print_json({"messages": sent.messages, "late_s": round(sent.late_s, 3), "truncated": reader.truncated})
    else:
        cut = "; the recording's end is cut off" if reader.truncated else ""
        click.echo(f"{sent.messages} messages sent, at most {sent.late_s:.2f} s behind their time{cut}", err=True)
    return 0


def _broker(wish: _Wish) -> BrokerSettings:
    """Give the broker that a recording is played to; everything that a recording holds may go there."""
    from msgspec.structs import replace  # noqa: PLC0415 - not needed for --help

    from edge_runtime.config import load_config  # noqa: PLC0415 - not needed for --help
    from edge_runtime.simulator.guest import broker_at  # noqa: PLC0415 - not needed for --help
    from edge_runtime.simulator.recording import MAX_RECORD_BYTES  # noqa: PLC0415 - not needed for --help

    broker = load_config(wish.config or _DEFAULT).broker if wish.broker is None else broker_at(wish.broker)
    return replace(broker, max_payload_bytes=max(broker.max_payload_bytes, MAX_RECORD_BYTES))


def _filters(config: Config, topics: tuple[str, ...]) -> tuple[str, ...]:
    """Give the topics to record."""
    from edge_runtime.errors import UsageError  # noqa: PLC0415 - not needed for --help
    from edge_runtime.topic_filters import filter_fault  # noqa: PLC0415 - not needed for --help

    for topic in topics:
        fault = filter_fault(topic)
        if fault is not None:
            raise UsageError(f"--topics {topic!r}: {fault}")
    sources = [camera.topic for camera in config.cameras]
    sources += [topic for sensor in config.sensors for topic in sensor.topics]
    found = topics or tuple(dict.fromkeys(sources))
    if not found:
        raise UsageError("the configuration has no sources; name topics with --topics")
    return found


def _ended() -> threading.Event:
    """Give an event that Ctrl-C and SIGTERM set: what is done so far is then ended in order."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
