"""The ``edge-runtime`` command. Imports that cost time stand inside the commands, so that ``--help`` is instant."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import click

from edge_runtime import __version__
from edge_runtime.backup_command import backup, restore, state
from edge_runtime.demo.command import demo
from edge_runtime.replay_command import record, replay
from edge_runtime.simulator.command import simulate
from edge_runtime.terminal import configure_logging, print_json, run_command

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEW = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edge-runtime")
def group() -> None:
    """Run verified int8 models on camera frames and sensor streams, and publish alerts over MQTT."""


@group.command()
@click.argument("config", type=_FILE)
@click.option("--verbose", is_flag=True, help="Log every detail.")
def run(config: Path, verbose: bool) -> None:
    """Run the daemon until SIGTERM or Ctrl-C."""
    configure_logging(verbose=verbose)
    from edge_runtime.daemon.supervisor import run_daemon  # noqa: PLC0415 - not needed for --help

    run_daemon(config)


@group.command()
@click.argument("config", type=_FILE)
@click.option("--offline", is_flag=True, help="Leave the broker alone.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def check(config: Path, offline: bool, as_json: bool) -> int:
    """Validate configuration, bundles and broker without starting anything."""
    from edge_runtime.daemon.checking import check_gateway  # noqa: PLC0415 - not needed for --help

    report = check_gateway(config, with_broker=not offline)
    if as_json:
        print_json(report.as_json())
    else:
        click.echo(report.as_text())
    return report.exit_code


@group.command()
@click.argument("config", type=_FILE, required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def doctor(config: Path | None, as_json: bool) -> int:
    """Examine this machine: packages, engines, sandbox, clock, disk and, with CONFIG, the gateway."""
    from edge_runtime.daemon.checking import examine_machine  # noqa: PLC0415 - not needed for --help

    report = examine_machine(config)
    if as_json:
        print_json(report.as_json())
    else:
        click.echo(report.as_text())
    return report.exit_code


_config = click.argument("config", type=click.Path(dir_okay=False, path_type=Path), default=Path("gateway.toml"))


@group.command()
@_config
@click.option("--json", "as_json", is_flag=True, help="The payloads themselves, one a line.")
def watch(config: Path, as_json: bool) -> None:
    """Print alerts and bad verdicts of the gateway of CONFIG (gateway.toml) as they come."""
    from edge_runtime.config import load_config  # noqa: PLC0415 - not needed for --help
    from edge_runtime.daemon.watching import watch as follow  # noqa: PLC0415 - not needed for --help

    follow(load_config(config), as_json=as_json, stop=threading.Event())


@group.command()
@_config
@click.option("--every", default=2.0, show_default=True, help="Seconds between two pictures.")
@click.option("--once", is_flag=True, help="One picture, then end.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output; implies --once.")
def top(config: Path, every: float, once: bool, as_json: bool) -> None:
    """Show state, health, alarms and pipelines of the gateway of CONFIG (gateway.toml)."""
    from edge_runtime.config import load_config  # noqa: PLC0415 - not needed for --help
    from edge_runtime.daemon.watching import look  # noqa: PLC0415 - not needed for --help

    settings = load_config(config)
    while True:
        picture = look(settings, every)
        if as_json:
            print_json(picture.as_json())
            return
        if sys.stdout.isatty() and not once:
            click.clear()
        click.echo(picture.as_text())
        if once:
            return


@group.command()
@_config
@click.option("--last", default=100, show_default=True, type=click.IntRange(1), help="How many, the newest.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on standard output.")
def audit(config: Path, last: int, as_json: bool) -> None:
    """Show which commands the gateway of CONFIG (gateway.toml) was given, by whom, and what became of them."""
    from edge_runtime.config import load_config  # noqa: PLC0415 - not needed for --help
    from edge_runtime.daemon.trail import read_trail  # noqa: PLC0415 - not needed for --help

    for entry in read_trail(Path(load_config(config).gateway.state_dir), last=last):
        if as_json:
            print_json(entry.as_json())
        else:
            click.echo(entry.line())


@group.group()
def bundle() -> None:
    """Install, list, verify and roll back models."""


_store = click.option(
    "--store", type=_NEW, default=Path("bundles"), show_default=True, help="Folder of installed bundles."
)


@bundle.command("install")
@click.argument("file", type=_FILE)
@_store
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def bundle_install(file: Path, store: Path, as_json: bool) -> None:
    """Verify FILE, try it in a child process, and switch to it."""
    from edge_runtime.bundle.store import BundleStore  # noqa: PLC0415 - not needed for --help
    from edge_runtime.inference.loading import install_bundle  # noqa: PLC0415 - not needed for --help

    done = install_bundle(_read_bundle_file(file), BundleStore(store))
    before = None if done.replaced is None else done.replaced.release
    name, release = done.bundle.manifest.name, done.stored.release
    if as_json:
        print_json({"name": name, "release": release, "sha256": done.stored.sha256, "replaced_release": before})
    else:
        instead = "" if before is None else f", in place of {before}"
        click.echo(f"{name}: release {release} is active{instead}; a daemon that runs takes it at its next reload")


@bundle.command("list")
@_store
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def bundle_list(store: Path, as_json: bool) -> None:
    """Show every release that was installed."""
    from edge_runtime.bundle.store import BundleStore  # noqa: PLC0415 - not needed for --help

    rows = BundleStore(store).list()
    if as_json:
        print_json(
            [
                {
                    "name": row.name,
                    "release": row.stored.release,
                    "version": row.stored.version,
                    "sha256": row.stored.sha256,
                    "active": row.active,
                    "present": row.present,
                }
                for row in rows
            ]
        )
        return
    for row in rows:
        mark = "*" if row.active else " "
        gone = "" if row.present else "  (file removed to save room)"
        click.echo(
            f"{mark} {row.name:<24} release {row.stored.release:<6} {row.stored.version:<12}"
            f" {row.stored.sha256[:12]}{gone}"
        )
    if not rows:
        click.echo('nothing is installed; "edge-runtime bundle install FILE" installs a bundle', err=True)


@bundle.command("verify")
@click.argument("file", type=_FILE)
@_store
def bundle_verify(file: Path, store: Path) -> None:
    """Check FILE's signature, digests and contents against the keys trusted here."""
    from edge_runtime.bundle.reader import read_bundle  # noqa: PLC0415 - not needed for --help
    from edge_runtime.bundle.store import BundleStore  # noqa: PLC0415 - not needed for --help

    found = read_bundle(_read_bundle_file(file), BundleStore(store).trust.keys())
    manifest = found.manifest
    click.echo(
        f"{manifest.name} {manifest.version} release {manifest.release}: signed by {found.key_id}, {found.digest}"
    )


@bundle.command("rollback")
@click.argument("name")
@click.option("--release", type=int, help="Which; by default the one before.")
@click.option("--file", type=_FILE, help="Give the file again, where it was removed to save room.")
@_store
def bundle_rollback(name: str, release: int | None, file: Path | None, store: Path) -> None:
    """Go back to a release that was installed before; it is verified and probed again."""
    from edge_runtime.bundle.store import BundleStore  # noqa: PLC0415 - not needed for --help
    from edge_runtime.inference.loading import install_bundle, roll_back  # noqa: PLC0415 - not needed for --help

    if file is None:
        done = roll_back(name, BundleStore(store), release=release)
    else:
        done = install_bundle(_read_bundle_file(file), BundleStore(store), by_hand=True)
    name = done.bundle.manifest.name
    click.echo(f"{name}: release {done.stored.release} is active; a daemon that runs takes it at its next reload")


def _read_bundle_file(file: Path) -> bytes:
    """Read a file that is no larger than a bundle may be."""
    from edge_runtime.bundle.folder import read_limited  # noqa: PLC0415 - not needed for --help
    from edge_runtime.bundle.reader import MAX_BUNDLE_BYTES  # noqa: PLC0415 - not needed for --help

    return read_limited(file, MAX_BUNDLE_BYTES)


@bundle.group("trust")
def bundle_trust() -> None:
    """Say whose bundles are accepted."""


@bundle_trust.command("add")
@click.argument("key", type=_FILE)
@_store
def bundle_trust_add(key: Path, store: Path) -> None:
    """Accept bundles signed by the public key KEY (PEM)."""
    from edge_runtime.bundle.store import BundleStore  # noqa: PLC0415 - not needed for --help

    click.echo(f"trusted: {BundleStore(store).trust.add(_read_bundle_file(key), str(key))}")


@bundle_trust.command("list")
@_store
def bundle_trust_list(store: Path) -> None:
    """Show the ids of the trusted keys."""
    from edge_runtime.bundle.store import BundleStore  # noqa: PLC0415 - not needed for --help

    for key_id in BundleStore(store).trust.keys().key_ids:
        click.echo(key_id)


@bundle_trust.command("remove")
@click.argument("key_id")
@_store
def bundle_trust_remove(key_id: str, store: Path) -> None:
    """Accept bundles by KEY_ID no longer."""
    from edge_runtime.bundle.store import BundleStore  # noqa: PLC0415 - not needed for --help

    BundleStore(store).trust.remove(key_id)


group.add_command(simulate)
group.add_command(backup)
group.add_command(restore)
group.add_command(state)
group.add_command(demo)
group.add_command(record)
group.add_command(replay)


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run_command(group))


if __name__ == "__main__":
    main()
