"""How every command ends and speaks: exit codes, results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Sequence

import click

from edge_runtime.errors import EdgeRuntimeError, HostEnvironmentError

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
        return _leave_quietly()
    except OSError as error:
        click.echo(f"error: {error.strerror or error}" + (f": {error.filename}" if error.filename else ""), err=True)
        return HostEnvironmentError.exit_code
    return result if isinstance(result, int) else 0


def _leave_quietly() -> int:
    """End without a word: whoever read our output has gone, and the interpreter must not flush into the void."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def print_json(value: object) -> None:
    """Write one JSON object to standard output, for machines."""
    click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def configure_logging(*, verbose: bool = False) -> None:
    """Send log lines to standard error: time (UTC), level, module, then key=value fields."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
