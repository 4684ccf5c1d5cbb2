"""``compress profile``: what a model costs on this machine, and where its work lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edge_runtime.bundle.folder import read_limited
from edge_runtime.bundle.reader import MAX_BUNDLE_BYTES, read_bundle
from edge_runtime.bundle.signature import TrustedKeys
from edge_runtime.compress.coverage import Coverage, measure_coverage
from edge_runtime.compress.footprint import Footprint, measure_footprint
from edge_runtime.errors import BundleSignatureError
from edge_runtime.inference.opening import Format

_TFLITE = ".tflite"


@dataclass(frozen=True, slots=True)
class Profile:
    """One model file.

    Attributes
    ----------
    member : str
        The file, or the member of a bundle.
    size_bytes : int
        Of the file.
    footprint : Footprint
        Time and memory here.
    coverage : Coverage or None
        Its operators that multiply; None for ONNX.
    """

    member: str
    size_bytes: int
    footprint: Footprint
    coverage: Coverage | None

    def as_json(self) -> dict[str, Any]:
        """Give it for machines."""
        operators = () if self.coverage is None else self.coverage.operators
        return {
            "member": self.member,
            "size_bytes": self.size_bytes,
            **msgspec.to_builtins(self.footprint),
            "operators": [
                {"index": each.index, "name": each.name, "macs": each.macs, "integer": each.integer}
                for each in operators
            ],
        }

    def as_text(self) -> str:
        """Give it for a person."""
        cost = self.footprint
        lines = [
            f"{self.member}: {self.size_bytes} bytes on {cost.engine}, one thread",
            f"  latency p50 {cost.p50_ms:.3f} ms, p95 {cost.p95_ms:.3f} ms ({cost.n_timed} runs)",
            f"  load {cost.load_ms:.1f} ms, resident memory {cost.peak_kb:.0f} KiB",
        ]
        if self.coverage is not None and self.coverage.macs:
            lines.append("  operators that multiply (the engine does not tell their times):")
            for each in self.coverage.operators:
                share = 100 * each.macs / self.coverage.macs
                kind = "integer" if each.integer else "FLOAT"
                lines.append(f"  {each.index:>4} {each.name:<28} {each.macs:>12} MACs {share:5.1f} %  {kind}")
        return "\n".join(lines)


def profile_file(path: Path, trusted: TrustedKeys | None) -> tuple[Profile, ...]:
    """Measure a model, or every model in a bundle.

    Parameters
    ----------
    path : Path
        ``.tflite``, ``.onnx``, or a bundle; each model runs in a child process.
    trusted : TrustedKeys or None
        Whose bundles are run; not needed for a bare model.

    Returns
    -------
    profiles : tuple of Profile
        The model of the bundle first, then its float reference where it has one.

    Raises
    ------
    HostEnvironmentError
        If the file cannot be read.
    BundleError, ModelLoadError, InvocationError
        If it is no model, or does not run here.
    """
    data = read_limited(path, MAX_BUNDLE_BYTES)
    if path.suffix in {_TFLITE, ".onnx"}:
        return (_profile(path.name, data, "tflite" if path.suffix == _TFLITE else "onnx"),)
    if trusted is None:
        raise BundleSignatureError(f"{path}: a bundle is run only when its signer is trusted; name the key with --key")
    bundle = read_bundle(data, trusted)
    found = [_profile(each.member, bundle.members[each.member], each.format) for each in bundle.manifest.models]
    found += [
        _profile(name, bundle.members[name], "tflite") for name in ("aux/reference.tflite",) if name in bundle.members
    ]
    return tuple(found)


def _profile(member: str, model: bytes, model_format: Format) -> Profile:
    coverage = measure_coverage(model) if model_format == "tflite" else None
    return Profile(member, len(model), measure_footprint(model, model_format), coverage)
