"""Compiling and running emitted C on this machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from edge_runtime.errors import FirmwareError, HostEnvironmentError
from firmware_bridge.manifest import FirmwareManifest
from firmware_bridge.runner import HOST_MAIN, decode_outputs, encode_commands, runner_source
from firmware_bridge.samples import Record

WARNINGS: Final = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror")
SANITIZERS: Final = ("-fsanitize=undefined,address", "-fno-sanitize-recover=all")
COMPILE_TIMEOUT_S: Final = 300.0
RUN_TIMEOUT_S: Final = 600.0


def run_tool(command: Sequence[str], *, stdin: bytes = b"", timeout_s: float = RUN_TIMEOUT_S) -> bytes:
    """Run a program and return its standard output.

    Raises
    ------
    FirmwareError
        When it fails or takes too long; the message carries the end of its standard error.
    HostEnvironmentError
        When it is not installed.
    """
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout_s, check=False)  # noqa: S603
    except FileNotFoundError as error:
        raise HostEnvironmentError(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise FirmwareError(f"{Path(command[0]).name} did not finish within {timeout_s:.0f} s") from error
    if done.returncode != 0:
        tail = "\n".join(done.stderr.decode(errors="replace").strip().splitlines()[-12:])
        raise FirmwareError(f"{Path(command[0]).name} ended with {done.returncode}: {tail}")
    return done.stdout


def host_compiler() -> str | None:
    """Return the path of a C compiler of this machine, None when there is none."""
    return shutil.which("gcc") or shutil.which("clang") or shutil.which("cc")


def model_sources(directory: Path, manifest: FirmwareManifest) -> list[str]:
    """Paths of the C files of an emitted directory."""
    return [str(directory / "model.c"), *(str(directory / "kernels" / f"{kernel}.c") for kernel in manifest.kernels)]


def build_host(directory: Path, manifest: FirmwareManifest, work: Path, *, sanitize: bool) -> Path:
    """Compile an emitted directory with its runner for this machine.

    Parameters
    ----------
    directory : Path
        Where ``model.c`` is.
    manifest : FirmwareManifest
        Of that directory.
    work : Path
        For the program.
    sanitize : bool
        With the undefined-behaviour and address sanitizers.

    Returns
    -------
    program : Path
        The executable.

    Raises
    ------
    FirmwareError
        When a file does not compile without a warning.
    HostEnvironmentError
        When there is no compiler.
    """
    compiler = host_compiler()
    if compiler is None:
        raise HostEnvironmentError("no C compiler found; install gcc or clang")
    runner, main, program = work / "runner.c", work / "main.c", work / "program"
    runner.write_text(runner_source(manifest), encoding="utf-8")
    main.write_text(HOST_MAIN, encoding="utf-8")
    command = [compiler, *WARNINGS, "-O2", *(SANITIZERS if sanitize else ())]
    command += [f"-I{directory}", *model_sources(directory, manifest), str(runner), str(main), "-o", str(program)]
    run_tool(command, timeout_s=COMPILE_TIMEOUT_S)
    return program


def run_host(
    program: Path, manifest: FirmwareManifest, records: Sequence[Record], resets: Collection[int]
) -> list[Record]:
    """Run records through a program of ``build_host``.

    Raises
    ------
    FirmwareError
        When the program fails, leaves its memory or writes something unexpected.
    """
    data = run_tool([str(program)], stdin=encode_commands(records, resets))
    try:
        return decode_outputs(manifest, data, len(records))
    except ValueError as error:
        raise FirmwareError(str(error)) from error
