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
    """Send log lines to standard error: time (UTC), level, module, then key=value fields.

    Under systemd's journal, which keeps times itself and bounds what it keeps, a line begins with its priority instead.
    """
    handler = logging.StreamHandler(sys.stderr)
    if _is_journal(os.environ.get("JOURNAL_STREAM", ""), sys.stderr.fileno()):
        handler.setFormatter(_JournalFormatter("%(name)s %(message)s"))
    else:
        shape = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s"
        formatter = logging.Formatter(shape, "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])


class _JournalFormatter(logging.Formatter):
    """Begins every line with ``<priority>`` as ``sd-daemon(3)`` has it, so that a trace stays with its message."""

    _PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))

    def format(self, record: logging.LogRecord) -> str:
        priority = next((number for level, number in self._PRIORITIES if record.levelno >= level), 7)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def _is_journal(stream: str, descriptor: int) -> bool:
    """Whether ``JOURNAL_STREAM`` (device:inode) names the file behind a descriptor."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"
