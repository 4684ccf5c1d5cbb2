"""``edge-runtime replay``: an alarm's input through its model once more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge_runtime.daemon.replaying import Replayed

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("what", required=False)
@click.argument("config", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--alert-file", type=_FILE, help="The alarm's event as it was received, instead of an alert id.")
@click.option("--evidence-file", type=_FILE, help="Its picture or window.cbor as it was received.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def replay(
    what: str | None, config: Path | None, alert_file: Path | None, evidence_file: Path | None, as_json: bool
) -> int:
    """Give the stored input of the alert WHAT (an alert_id) to the release that judged it, and compare the scores.

    CONFIG (gateway.toml) names the outbox, which is only read, also while the daemon runs, and the bundles. With
    --alert-file and --evidence-file, what a consumer received is taken instead: edge-runtime replay CONFIG --alert-file
    FILE --evidence-file FILE. Exit code 0: the same to the bit; 3: different; 4: the release is gone or refused.
    """
    from edge_runtime.errors import UsageError  # noqa: PLC0415 - not needed for --help

    if alert_file is not None and evidence_file is not None:
        return _replay_files(alert_file, evidence_file, Path(what or "gateway.toml"), as_json=as_json)
    if alert_file is not None or evidence_file is not None:
        raise UsageError("--alert-file and --evidence-file belong together")
    if what is None:
        raise UsageError("name an alert: edge-runtime replay ALERT_ID CONFIG.toml")
    return _replay_stored(what, config or Path("gateway.toml"), as_json=as_json)


def _replay_stored(alert_id: str, config: Path, *, as_json: bool) -> int:
    """Replay an alarm that the outbox keeps."""
    from edge_runtime.config import load_config  # noqa: PLC0415 - not needed for --help
    from edge_runtime.daemon.past_alarm import from_outbox  # noqa: PLC0415 - not needed for --help
    from edge_runtime.daemon.replaying import replay_alarm  # noqa: PLC0415 - not needed for --help

    settings = load_config(config)
    past = from_outbox(Path(settings.gateway.state_dir) / "outbox.sqlite", alert_id)
    return _tell(replay_alarm(settings, past), as_json=as_json)


def _replay_files(alert_file: Path, evidence_file: Path, config: Path, *, as_json: bool) -> int:
    """Replay an alarm that a consumer kept."""
    from edge_runtime.config import load_config  # noqa: PLC0415 - not needed for --help
    from edge_runtime.daemon.past_alarm import from_files  # noqa: PLC0415 - not needed for --help
    from edge_runtime.daemon.replaying import replay_alarm  # noqa: PLC0415 - not needed for --help

    return _tell(replay_alarm(load_config(config), from_files(alert_file, evidence_file)), as_json=as_json)


def _tell(replayed: Replayed, *, as_json: bool) -> int:
    """Print the result and give its exit code."""
    from edge_runtime.terminal import print_json  # noqa: PLC0415 - not needed for --help

    if as_json:
        print_json(replayed.as_json())
    else:
        click.echo(replayed.as_text())
    return replayed.exit_code
