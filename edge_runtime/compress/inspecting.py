"""``compress inspect``: what a model file holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.compress.coverage import Coverage, measure_coverage
from edge_runtime.compress.foundry import Foundry
from edge_runtime.errors import UnsupportedModelError

MAX_TFLITE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found: of a Keras model its description, of a TFLite model its coverage."""

    path: Path
    description: dict[str, Any] | None = None
    coverage: Coverage | None = None

    def as_json(self) -> dict[str, Any]:
        """Give everything as plain values."""
        if self.description is not None:
            return {"path": str(self.path), **self.description}
        assert self.coverage is not None
        return {
            "path": str(self.path),
            "macs": self.coverage.macs,
            "integer_macs_pct": self.coverage.integer_macs_pct,
            "integer_weight_bytes_pct": self.coverage.integer_weight_bytes_pct,
            "parameters": self.coverage.parameters,
            "operators": [
                {"index": each.index, "name": each.name, "macs": each.macs, "integer": each.integer}
                for each in self.coverage.operators
            ],
        }

    def as_text(self) -> str:
        """Give a table for a person."""
        if self.description is not None:
            layers = self.description["layers"]
            rows = [f"  {each['class']:<24} {each['name']:<32} {each['parameters']:>10}" for each in layers]
            total = f"{self.path}: {self.description['parameters']} parameters in {len(layers)} layers"
            return "\n".join([total, *rows])
        assert self.coverage is not None
        rows = [
            f"  {each.index:>4} {each.name:<32} {each.macs:>12} MACs  {'integer' if each.integer else 'float'}"
            for each in self.coverage.operators
        ]
        total = (
            f"{self.path}: {self.coverage.macs} MACs, {self.coverage.parameters} weights; integer:"
            f" {self.coverage.integer_macs_pct:.1f} % of MACs,"
            f" {self.coverage.integer_weight_bytes_pct:.1f} % of weight bytes"
        )
        return "\n".join([total, *rows])


def inspect_model(path: Path) -> Inspection:
    """Look into a model file.

    Parameters
    ----------
    path : Path
        ``.keras`` or ``.h5`` (read in a child process), or ``.tflite``.

    Returns
    -------
    inspection : Inspection
        What it holds.

    Raises
    ------
    UnsupportedModelError
        If the ending is another, or the file is too large or not such a model.
    """
    ending = path.suffix.lower()
    if ending in {".keras", ".h5"}:
        with Foundry() as foundry:
            return Inspection(path, description=foundry.run("describe", {"model": str(path)}))
    if ending == ".tflite":
        if path.stat().st_size > MAX_TFLITE_BYTES:
            raise UnsupportedModelError(f"{path}: larger than {MAX_TFLITE_BYTES} bytes")
        return Inspection(path, coverage=measure_coverage(path.read_bytes()))
    raise UnsupportedModelError(f'{path}: "{ending}" is not read by this release; .keras, .h5 and .tflite are')
