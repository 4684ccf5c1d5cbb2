"""The ``edge-firmware`` command: emit, verify and plan. Imports that cost time stand inside the commands."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edge_runtime import __version__
from edge_runtime.terminal import print_json, run_command

_PATH = click.Path(path_type=Path)  # whether it is there is told when it is opened, with exit code 5


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edge-firmware")
def group() -> None:
    """Turn an int8 .tflite model or a bundle into standalone C99, and prove that it computes the same."""


_TARGET = click.option("--target", default="generic", show_default=True, help="Device class the memory is planned for.")
_RAM = click.option("--ram-kb", type=click.IntRange(1, 1 << 20), help="RAM of the device in KiB, if not the class's.")


@group.command()
@click.argument("model", type=_PATH)
@click.option("--out", required=True, type=_PATH, help="Directory to write; made if absent.")
@_TARGET
@_RAM
@click.option("--name", default=None, help="Prefix of all public C names; default: from the file's name.")
@click.option("--trust", default=None, type=_PATH, help="Public key (PEM) that must have signed a bundle.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def emit(
    model: Path, out: Path, target: str, ram_kb: int | None, name: str | None, trust: Path | None, as_json: bool
) -> None:
    """Write MODEL (.tflite or bundle) as C: model.c, model.h, kernels, golden vectors, CMake fragment, README."""
    from firmware_bridge.build import emit_source  # noqa: PLC0415 - not needed for --help
    from firmware_bridge.directory import write_directory  # noqa: PLC0415
    from firmware_bridge.naming import check_name, name_from  # noqa: PLC0415
    from firmware_bridge.source import read_source  # noqa: PLC0415
    from firmware_bridge.targets import find_target  # noqa: PLC0415

    device = find_target(target, ram_kb)
    checked = check_name(name) if name is not None else None
    source = read_source(model, trust)
    if source.warning:
        click.echo(f"warning: {source.warning}", err=True)
    emission, golden = emit_source(source, device, checked or name_from(source.name))
    if not golden:
        click.echo("warning: no golden vectors: tflite-micro is not installed, or the input is too large", err=True)
    write_directory(out, source, emission, golden)
    manifest, footprint = emission.manifest, emission.footprint
    if as_json:
        print_json(
            {
                "directory": str(out),
                "name": manifest.name,
                "target": manifest.target,
                "arena_bytes": manifest.arena_bytes,
                "arena_lower_bound": manifest.arena_lower_bound,
                "state_bytes": manifest.state_bytes,
                "constant_bytes": manifest.constant_bytes,
                "macs": manifest.macs,
                "kernels": list(manifest.kernels),
                "flash_bytes": footprint.flash_bytes if footprint else None,
                "kernel_bytes": footprint.kernel_bytes if footprint else None,
                "stack_bytes": footprint.stack_bytes if footprint else None,
                "golden": [vectors.source for vectors in golden],
            }
        )
        return
    click.echo(f"{out}: {manifest.name} for {manifest.target}")
    click.echo(f"  arena {manifest.arena_bytes} bytes (lower bound {manifest.arena_lower_bound})")
    click.echo(f"  state {manifest.state_bytes} bytes, weights and tables {manifest.constant_bytes} bytes")
    if footprint:
        click.echo(f"  flash {footprint.flash_bytes} bytes, of which kernels {footprint.kernel_bytes}")
        click.echo(f"  stack {footprint.stack_bytes} bytes ({footprint.compiler.split(' -')[0]})")
    click.echo(f"  {manifest.macs} MACs, kernels {', '.join(manifest.kernels)}")


@group.command()
@click.argument("directory", type=_PATH)
@click.option(
    "--on",
    "places",
    multiple=True,
    help="host, unicorn-m0plus, unicorn-m4, m0plus, m3, m4, m33, m55, rv32; repeatable.",
)
@click.option("--inputs", default=64, show_default=True, type=click.IntRange(1, 4096), help="Seeded inputs.")
@click.option("--seed", default=0, show_default=True, help="For the seeded inputs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def verify(directory: Path, places: tuple[str, ...], inputs: int, seed: int, as_json: bool) -> int:
    """Compare what emit wrote to DIRECTORY with its golden vectors and with tflite-micro."""
    from firmware_bridge.report import verification_json, verification_text  # noqa: PLC0415 - not needed for --help
    from firmware_bridge.verify import require_agreement, verify_directory  # noqa: PLC0415

    chosen = places or ("host",)
    if sys.stderr.isatty():
        with click.progressbar(length=len(chosen), label="verifying", file=sys.stderr) as bar:
            verification = verify_directory(
                directory, chosen, seeded=inputs, seed=seed, on_progress=lambda _: bar.update(1)
            )
    else:
        verification = verify_directory(directory, chosen, seeded=inputs, seed=seed)
    if as_json:
        print_json(verification_json(verification))
    else:
        click.echo(verification_text(verification))
    require_agreement(verification)
    return 0


@group.command()
@click.argument("model", type=_PATH)
@_TARGET
@_RAM
@click.option("--trust", default=None, type=_PATH, help="Public key (PEM) that must have signed a bundle.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def plan(model: Path, target: str, ram_kb: int | None, trust: Path | None, as_json: bool) -> None:
    """Show what MODEL needs of a target's RAM, where everything lies and what is live at the peak."""
    from firmware_bridge.build import prepare  # noqa: PLC0415 - not needed for --help
    from firmware_bridge.plan import check_fits  # noqa: PLC0415
    from firmware_bridge.report import plan_json, plan_text  # noqa: PLC0415
    from firmware_bridge.source import read_source  # noqa: PLC0415
    from firmware_bridge.targets import find_target  # noqa: PLC0415

    device = find_target(target, ram_kb)
    prepared = prepare(read_source(model, trust).model, device)
    if as_json:
        print_json(plan_json(prepared))
    else:
        click.echo(plan_text(prepared))
    check_fits(prepared.plan, device)


def main() -> None:
    """Run the command and end the process with its exit code."""
    sys.exit(run_command(group))
