"""``edge-runtime demo``."""

from __future__ import annotations

import secrets
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge_runtime.config import BrokerSettings
    from edge_runtime.demo.stage import Stage
    from edge_runtime.demo.summary import Summary
    from edge_runtime.demo.tally import Tally
    from edge_runtime.mqtt.session import Session

_PATIENCE_S = 30.0
_DRAIN_S = 5.0


@click.command()
@click.option("--duration", default=60.0, show_default=True, help="Seconds that the line runs.")
@click.option("--seed", type=int, help="Of the line, any number; drawn and printed without it.")
@click.option("--headless", is_flag=True, help="Nothing but the summary.")
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object on standard output.")
@click.option(
    "--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep configuration, state and logs here."
)
def demo(duration: float, seed: int | None, headless: bool, as_json: bool, keep: Path | None) -> int:
    """Watch a small factory: a broker, a simulated line, the daemon with two models, alerts as they happen.

    Ends with a table that compares verdicts and alarms with the truth, and with two trivial rules on the same stream.
    Exit code 3 when recall or precision is below 0.95 or an event was lost.
    """
    from edge_runtime.simulator.line import LineSettings, live_seed  # noqa: PLC0415 - not needed for --help
    from edge_runtime.terminal import print_json  # noqa: PLC0415 - not needed for --help

    line = LineSettings(seed=live_seed(secrets.randbelow(1 << 30) if seed is None else seed))
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    with tempfile.TemporaryDirectory(prefix="edge-demo-") as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        summary = _play(folder, line, duration, quiet=headless)
    if as_json:
        print_json(summary.as_json())
    if not as_json or not headless:
        click.echo("\n" + summary.as_text(), err=as_json)
    return summary.exit_code


def _interrupt(_number: int, _frame: object) -> None:
    """Take down what was set up, as after Ctrl-C."""
    raise KeyboardInterrupt


def _play(folder: Path, line: object, duration: float, *, quiet: bool) -> Summary:
    """Run everything once."""
    from edge_runtime.config import BrokerSettings  # noqa: PLC0415 - not needed for --help
    from edge_runtime.demo.board import Board  # noqa: PLC0415 - not needed for --help
    from edge_runtime.demo.stage import GATEWAY, Stage  # noqa: PLC0415 - not needed for --help
    from edge_runtime.demo.summary import summarize  # noqa: PLC0415 - not needed for --help
    from edge_runtime.demo.tally import Tally  # noqa: PLC0415 - not needed for --help
    from edge_runtime.mqtt.interface import Subscription  # noqa: PLC0415 - not needed for --help
    from edge_runtime.simulator.baselines import fit_brightness  # noqa: PLC0415 - not needed for --help
    from edge_runtime.simulator.line import LineSettings  # noqa: PLC0415 - not needed for --help

    assert isinstance(line, LineSettings)
    began_at = time.monotonic()
    board = Board(quiet=quiet, is_terminal=sys.stderr.isatty())
    tally = Tally(f"edge/{GATEWAY}", fit_brightness(line.difficulty, defect_share=line.defect_share))
    stage = Stage(folder, line)
    session = None
    try:
        board.say(f"seed {line.seed}; starting an MQTT broker on port {stage.broker_port}")
        stage.start_broker()
        board.say("installing surface-defect and machine-failure: signature, digests, probe, golden outputs")
        stage.install_models()
        settings = BrokerSettings(port=stage.broker_port, protocol="3.1.1", client_id="demo-board", session_expiry_s=0)
        session = _listen(settings, tally)
        session.subscribe([Subscription(f"edge/{GATEWAY}/#", 1), Subscription("plant/#", 1)])
        session.start()
        session.wait_connected(_PATIENCE_S)
        online_s = _start_daemon(stage, tally)
        board.say(f"the daemon is online after {online_s:.2f} s; the line starts")
        stage.start_line(duration)
        board.watch(tally, lambda: stage.is_over("line") or stage.is_over("daemon"), duration)
        _drain(tally)
        metrics = stage.metrics()
        stage.stop("daemon")
        committed = stage.committed_events()
        _settle(tally, committed)
        return summarize(tally, metrics, committed, online_s=online_s, seed=line.seed, began_at=began_at)
    finally:
        if session is not None:
            session.stop(flush_s=0.5)
        stage.close()


def _listen(settings: BrokerSettings, tally: Tally) -> Session:
    """Make the consumer's session: it takes each message, then acknowledges it."""
    from edge_runtime.mqtt.interface import Incoming, SessionCallbacks  # noqa: PLC0415 - not needed for --help
    from edge_runtime.mqtt.session import Session  # noqa: PLC0415 - not needed for --help

    def take(message: Incoming) -> None:
        tally.take(message)
        session.acknowledge(message.token)

    session = Session(settings, SessionCallbacks(on_message=take))
    return session


def _start_daemon(stage: Stage, tally: Tally) -> float:
    """Start the daemon and wait until both models run."""
    from edge_runtime.errors import HostEnvironmentError  # noqa: PLC0415 - not needed for --help

    began = time.monotonic()
    stage.start_daemon()
    while tally.running != {"surface", "machines"}:
        stage.is_over("daemon")
        tally.changed.wait(0.02)
        tally.changed.clear()
        if time.monotonic() - began > _PATIENCE_S:
            log = (stage.folder / "daemon.log").read_text(errors="replace")[-2000:]
            raise HostEnvironmentError(f"the daemon did not come up within {_PATIENCE_S:g} s:\n{log}")
    return time.monotonic() - began


def _drain(tally: Tally) -> None:
    """Give the last parts the time to be judged."""
    until = time.monotonic() + _DRAIN_S
    while time.monotonic() < until and tally.truths.keys() - tally.verdicts.keys():
        time.sleep(0.05)


def _settle(tally: Tally, committed: set[str]) -> None:
    """Let the last events arrive that the daemon sent before it stopped."""
    until = time.monotonic() + _DRAIN_S
    while time.monotonic() < until and committed - tally.event_ids:
        time.sleep(0.05)
