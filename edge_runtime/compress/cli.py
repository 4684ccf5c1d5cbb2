"""The ``compress`` command. Imports that cost time stand inside the commands, so that ``--help`` is instant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from edge_runtime import __version__
from edge_runtime.terminal import print_json, run_command

if TYPE_CHECKING:
    from edge_runtime.bundle.signature import TrustedKeys

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_DATA = click.Path(exists=True, path_type=Path)
_NEW = click.Path(dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="compress")
def group() -> None:
    """Turn a float model, data and a budget into a proven, signed int8 bundle, or say loudly why not."""


def _trust(key: Path) -> TrustedKeys:
    """Trust one public key."""
    from edge_runtime.bundle.folder import read_limited  # noqa: PLC0415 - not needed for --help
    from edge_runtime.bundle.reader import MAX_BUNDLE_BYTES  # noqa: PLC0415 - not needed for --help
    from edge_runtime.bundle.signature import TrustedKeys, parse_public_key  # noqa: PLC0415 - not needed for --help

    return TrustedKeys([parse_public_key(read_limited(key, MAX_BUNDLE_BYTES), str(key))])


def _say(text: str) -> None:
    click.echo(text, err=True)


@group.command("build")
@click.argument("recipe", type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def build_command(recipe: Path, as_json: bool) -> None:
    """Build the bundle that RECIPE (TOML) describes; exit 3 when its budget is not met."""
    from msgspec import to_builtins  # noqa: PLC0415 - not needed for --help

    from edge_runtime.compress.pipeline import build  # noqa: PLC0415 - not needed for --help
    from edge_runtime.compress.recipe import load_recipe  # noqa: PLC0415 - not needed for --help

    built = build(load_recipe(recipe), say=_say)
    facts = built.manifest.quantization
    if not as_json:
        coverage = (
            f"integer: {facts.integer_macs_pct:g} % of MACs, {facts.integer_weight_bytes_pct:g} % of weight bytes"
        )
        click.echo(f"{built.path}: {built.size_bytes} bytes, sha256 {built.sha256}\n{coverage}")
        return
    artifact = built.artifact
    print_json(
        {
            "bundle": str(built.path),
            "sha256": built.sha256,
            "size_bytes": built.size_bytes,
            "model_bytes": len(artifact.int8),
            "float_model_bytes": len(artifact.float32),
            "integer_macs_pct": facts.integer_macs_pct,
            "integer_weight_bytes_pct": facts.integer_weight_bytes_pct,
            "latency_ms": {
                "int8_p50": artifact.latency and artifact.latency.p50_ms,
                "float_p50": artifact.float_latency and artifact.float_latency.p50_ms,
            },
            "budget": [to_builtins(line) for line in artifact.lines],
            "report": artifact.recipe.output.report,
            "metrics": [
                {
                    "name": old.name,
                    "slice": old.slice,
                    "float": old.value,
                    "int8": new.value,
                    "low": new.low,
                    "high": new.high,
                    "n": new.n,
                }
                for old, new in zip(artifact.before, artifact.after, strict=True)
            ],
            "data": msgspec.to_builtins(artifact.health),
        }
    )


@group.command()
@click.argument("model", type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def inspect(model: Path, as_json: bool) -> None:
    """Show what MODEL (.keras, .h5 or .tflite) holds: layers, parameters, and what is integer."""
    from edge_runtime.compress.inspecting import inspect_model  # noqa: PLC0415 - not needed for --help

    found = inspect_model(model)
    if as_json:
        print_json(found.as_json())
    else:
        click.echo(found.as_text())


@group.command()
@click.argument("model", type=_FILE)
@click.option("--calibration", type=_DATA, required=True, help="NPZ with x as the model takes it, or pictures.")
@click.option("--out", type=_NEW, required=True, help="The .tflite file to write.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def quantize(model: Path, calibration: Path, out: Path, as_json: bool) -> None:
    """Quantize MODEL (.keras or .h5) to full int8 TFLite; x is float32, as the model takes it."""
    from edge_runtime.compress.quantizing import quantize_file  # noqa: PLC0415 - not needed for --help

    coverage, size = quantize_file(model, calibration, out, say=_say)
    if as_json:
        print_json(
            {
                "out": str(out),
                "size_bytes": size,
                "macs": coverage.macs,
                "integer_macs_pct": coverage.integer_macs_pct,
                "integer_weight_bytes_pct": coverage.integer_weight_bytes_pct,
            }
        )
        return
    click.echo(
        f"{out}: {size} bytes, integer: {coverage.integer_macs_pct:g} % of MACs,"
        f" {coverage.integer_weight_bytes_pct:g} % of weight bytes"
    )


@group.group("data")
def data_group() -> None:
    """Look at calibration and evaluation data before a build does."""


@data_group.command("check")
@click.argument("source", type=_DATA)
@click.option("--against", type=_DATA, help="Evaluation data, where SOURCE is no recipe.")
@click.option(
    "--size", default="128x128", show_default=True, help="HEIGHTxWIDTH of pictures, where SOURCE is no recipe."
)
@click.option(
    "--files", default="*", show_default=True, help="Which files of a folder count, where SOURCE is no recipe."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def check_data(source: Path, against: Path | None, size: str, files: str, as_json: bool) -> None:
    """Check the data of SOURCE, a recipe (.toml) or data in any format: balance, copies, ranges, drift, leaks.

    Exit 5 when a build would refuse the data.
    """
    from edge_runtime.compress.data.checking import check_files, check_recipe, refuse  # noqa: PLC0415 - not for --help
    from edge_runtime.compress.data.health import as_text  # noqa: PLC0415 - not needed for --help

    if source.suffix == ".toml":
        health, accept = check_recipe(source, say=_say)
    else:
        health, accept = check_files(source, against, size=size, files=files), ()
    if as_json:
        print_json(msgspec.to_builtins(health))
    else:
        click.echo("\n".join(as_text(health, accept)))
    refuse(health, accept)


@group.command()
@click.argument("run_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The report itself, as JSON, on standard output.")
def report(run_dir: Path, as_json: bool) -> None:
    """Draw RUN_DIR's report.html again from its report.json; exit 3 when the budget was not met."""
    from edge_runtime.compress.report.folder import read_record, write_report  # noqa: PLC0415 - not needed for --help

    record = read_record(run_dir)
    page = write_report(run_dir, record)
    if as_json:
        click.echo((run_dir / "report.json").read_text(), nl=False)
    else:
        for line in (*record.lines, *record.timings.lines):
            click.echo(f"{line.status:<9}{line.sentence()}")
        click.echo(f"report: {page}")
    if not record.is_met:
        raise click.exceptions.Exit(3)


@group.command()
@click.argument("first", type=click.Path(exists=True, path_type=Path))
@click.argument("second", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def diff(first: Path, second: Path, as_json: bool) -> None:
    """Show what differs between FIRST and SECOND: bundles, or folders of reports."""
    from edge_runtime.compress.comparing import compare  # noqa: PLC0415 - not needed for --help

    found = compare(first, second)
    if as_json:
        each = [{"key": d.key, "first": d.first, "second": d.second, "overlap": d.overlap} for d in found]
        print_json({"equal": not found, "differences": each})
    else:
        click.echo("\n".join(each.sentence() for each in found) or "no difference")


@group.command()
@click.argument("bundle", type=_FILE)
@click.option("--key", type=_FILE, help="Public key (PEM) of the signer; not needed for a bare model.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def profile(bundle: Path, key: Path | None, as_json: bool) -> None:
    """Measure BUNDLE (or a .tflite or .onnx file) here: latency, memory, and where its work lies."""
    from edge_runtime.compress.profiling import profile_file  # noqa: PLC0415 - not needed for --help

    found = profile_file(bundle, None if key is None else _trust(key))
    if as_json:
        print_json({"models": [each.as_json() for each in found]})
    else:
        click.echo("\n".join(each.as_text() for each in found))


@group.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.option("--name", default="signing", show_default=True, help="The files are NAME.pem and NAME.pub.pem.")
def keygen(folder: Path, name: str) -> None:
    """Make an Ed25519 key pair: NAME.pem stays secret, NAME.pub.pem goes to the gateways."""
    from edge_runtime.bundle.signature import generate_key, key_id, save_private_key, save_public_key  # noqa: PLC0415

    key = generate_key()
    folder.mkdir(parents=True, exist_ok=True)
    save_private_key(key, folder / f"{name}.pem")
    save_public_key(key, folder / f"{name}.pub.pem")
    click.echo(f"key {key_id(key.public_key())}: {folder / name}.pem (secret), {folder / name}.pub.pem")


@group.command()
@click.argument("bundle", type=_FILE)
@click.option("--key", type=_FILE, required=True, help="Public key (PEM) of the signer.")
def verify(bundle: Path, key: Path) -> None:
    """Check BUNDLE's signature, digests and contents, then run its golden inputs in a child process."""
    from edge_runtime.bundle.folder import read_limited  # noqa: PLC0415 - not needed for --help
    from edge_runtime.bundle.reader import MAX_BUNDLE_BYTES, read_bundle  # noqa: PLC0415 - not needed for --help
    from edge_runtime.inference.probe import probe_bundle  # noqa: PLC0415 - not needed for --help

    found = read_bundle(read_limited(bundle, MAX_BUNDLE_BYTES), _trust(key))
    report = probe_bundle(found)
    identity = report.probe.identity
    click.echo(
        f"{found.manifest.name} {found.manifest.version} release {found.manifest.release}: signed by {found.key_id};"
        f" golden outputs {report.verdict.rule} on {identity.engine} {identity.version} {identity.instruction_set}"
    )


def main() -> None:
    """Entry point of the console scripts ``compress`` and ``edge-compress``."""
    sys.exit(run_command(group))


if __name__ == "__main__":
    main()
