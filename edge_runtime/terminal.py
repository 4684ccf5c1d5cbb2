"""How every command ends and speaks: exit codes, results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence

import click

from edge_runtime.errors import EdgeRuntimeError

_INTERRUPTED = 130


def run_command(command: click.Command, arguments: Sequence[str] | None = None) -> int:
    """Run a click command and translate how it ended into an exit code.

    Parameters
    ----------
    command : click.Command
        The command or group.
    arguments : sequence of str, optional
        The process's own by default.

    Returns
    -------
    exit_code : int
        0 done, 130 interrupted, else as the error says; a bug of ours leaves its trace and 1.
    """
    try:
        result = command.main(None if arguments is None else list(arguments), standalone_mode=False)
    except click.exceptions.Exit as leaving:
        return int(leaving.exit_code)
    except click.ClickException as error:
        error.show(sys.stderr)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return _INTERRUPTED
    except EdgeRuntimeError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; there is nobody to tell
        return 0
    return result if isinstance(result, int) else 0


def print_json(value: object) -> None:
    """Write one JSON object to standard output, for machines."""
    click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def configure_logging(*, verbose: bool = False) -> None:
    """Send log lines to standard error: time, level, module, then key=value fields."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
