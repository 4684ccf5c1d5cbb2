"""Fills the figures of a model's card: from its manifest, and from running the bundle as a gateway does."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterable
from pathlib import Path

from edge_runtime.bundle.manifest import Metric
from edge_runtime.bundle.reader import Bundle, read_bundle
from edge_runtime.bundle.signature import TrustedKeys, parse_public_key

ROOT = Path(__file__).resolve().parent
BEGIN, END = "<!-- figures: written by models/card.py -->", "<!-- end of figures -->"


def open_released(name: str) -> Bundle:
    """Read a bundle of this folder with the released key."""
    key = ROOT / "keys" / "release.pub.pem"
    trusted = TrustedKeys([parse_public_key(key.read_bytes(), key.name)])
    return read_bundle((ROOT / name / f"{name}.edgebundle").read_bytes(), trusted)


def metric_rows(before: Iterable[Metric], after: Iterable[Metric]) -> list[str]:
    """Write the manifest's metrics as rows of a table."""
    rows = ["| figure | float | int8 | 95 % interval (int8) | n |", "|---|---|---|---|---|"]
    for old, new in zip(before, after, strict=True):
        name = f"{new.name} ({new.slice})" if new.slice else new.name
        rows.append(f"| {name} | {old.value:.4f} | {new.value:.4f} | {new.low:.4f} to {new.high:.4f} | {new.n} |")
    return rows


def facts(bundle: Bundle) -> str:
    """Say in one line how large and how integer a bundle is."""
    manifest = bundle.manifest
    provenance, quantization = manifest.provenance, manifest.quantization
    return (
        f"Bundle {len(bundle.data)} bytes; model {provenance['int8_model_kb']} kB int8, "
        f"{provenance['float_model_kb']} kB float; {quantization.parameters} parameters, {quantization.macs} "
        f"multiply-accumulates, {quantization.integer_macs_pct:g} % of them integer."
    )


def main() -> None:
    """Write the figures of one model into its card."""
    name = sys.argv[1]
    bundle = open_released(name)
    rows = [facts(bundle), "", *metric_rows(bundle.manifest.metrics.before, bundle.manifest.metrics.after)]
    proof = runpy.run_path(str(ROOT / name / "prove.py"))["prove"](bundle)
    path = ROOT / name / "CARD.md"
    head, _, rest = path.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    path.write_text(f"{head}{BEGIN}\n" + "\n".join([*rows, "", *proof]) + f"\n{END}{tail}")
    print("\n".join([*rows, "", *proof]))


if __name__ == "__main__":
    main()
