"""``edge-runtime backup``, ``restore``, ``state``: a gateway kept, put back, made readable for an older release."""

from __future__ import annotations

from pathlib import Path

import click

from edge_runtime.terminal import print_json

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEW = click.Path(dir_okay=False, path_type=Path)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


@click.command()
@click.argument("config", type=_FILE)
@click.option("--out", type=_NEW, required=True, help="The file to write; it must not exist.")
@_json
def backup(config: Path, out: Path, as_json: bool) -> None:
    """Write outbox, bundles, trusted keys and configuration of the gateway of CONFIG into one file.

    The daemon may run. Passwords and private keys are not in it: the configuration only names their files.
    """
    from edge_runtime.daemon.backup import back_up  # noqa: PLC0415 - not needed for --help

    done = back_up(config, out)
    if as_json:
        print_json(done.as_json())
    else:
        click.echo(
            f"{out}: {len(done.contents.files)} files of gateway {done.contents.gateway}, {done.n_unsent} unsent"
        )


@click.command()
@click.argument("file", type=_FILE)
@click.option(
    "--to", "config", type=_NEW, required=True, help="The gateway's configuration; written where there is none."
)
@click.option("--force", is_flag=True, help="Move state that is there aside, into state_dir/replaced-<time>.")
@_json
def restore(file: Path, config: Path, force: bool, as_json: bool) -> None:
    """Put the backup FILE back. The daemon must not run.

    Events that were sent since the backup was made go out once more, with the event_id that they had.
    """
    from edge_runtime.daemon.restoring import restore as put_back  # noqa: PLC0415 - not needed for --help

    done = put_back(file, config, force=force)
    if as_json:
        print_json(done.as_json())
        return
    click.echo(f"gateway {done.gateway}: {done.n_unsent} unsent events and {done.n_bundles} bundles are back")
    if done.replaced is not None:
        click.echo(f"what was there lies in {done.replaced}", err=True)
    if not done.config_written:
        click.echo(f"{config} was there and stays; the backup's configuration was not used", err=True)


@click.group()
def state() -> None:
    """Make the gateway's state readable for an older release."""


@state.command()
@click.argument("config", type=_FILE)
@click.option(
    "--schema", type=click.IntRange(1), required=True, help="What the older release knows; it says so itself."
)
@_json
def downgrade(config: Path, schema: int, as_json: bool) -> None:
    """Write the outbox of CONFIG so that a release with an older SCHEMA opens it. The daemon must not run.

    Do this with the newer release, before the older one is installed. What the older one cannot send is marked as sent.
    """
    from edge_runtime.config import load_config  # noqa: PLC0415 - not needed for --help
    from edge_runtime.daemon.downgrading import downgrade as lower  # noqa: PLC0415 - not needed for --help

    done = lower(Path(load_config(config).gateway.state_dir), schema)
    if as_json:
        print_json(done.as_json())
    else:
        click.echo(str(done))
