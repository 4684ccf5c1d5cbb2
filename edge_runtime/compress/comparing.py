"""``compress diff``: what differs between two bundles, two reports, or one of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edge_runtime.bundle.folder import read_limited
from edge_runtime.bundle.manifest import Manifest
from edge_runtime.bundle.reader import MAX_BUNDLE_BYTES, read_unverified
from edge_runtime.compress.report.folder import read_record
from edge_runtime.compress.report.record import Pair, Record

Fact = str | float | bool | None
#: Compared as one: a histogram of numbers says nothing to a person.
_WHOLE = frozenset({"calibration_sketch", "golden", "inputs", "outputs", "preprocessing", "models"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that differs.

    Attributes
    ----------
    key : str
        Its path, such as ``metric.recall.crack.int8``.
    first, second : str, float, bool or None
        On either side; None where it is not told.
    overlap : bool or None
        Of metrics: whether their 95 % intervals overlap, so that the difference may be chance.
    """

    key: str
    first: Fact
    second: Fact
    overlap: bool | None = None

    def sentence(self) -> str:
        """Word it for a person."""
        change = ""
        if _is_number(self.first) and _is_number(self.second):
            change = f" ({self.second - self.first:+.6g})"  # type: ignore[operator]  # both are numbers
        if self.overlap is not None:
            change += ", intervals overlap" if self.overlap else ", intervals do not overlap"
        return f"{self.key}: {_word(self.first)} -> {_word(self.second)}{change}"


def compare(first: Path, second: Path) -> tuple[Difference, ...]:
    """Compare two results.

    Parameters
    ----------
    first, second : Path
        Each a ``*.edgebundle`` (its signature is not checked), a report's folder or its ``report.json``.

    Returns
    -------
    differences : tuple of Difference
        By key; between a bundle and a report only what both can tell. Times are left out.

    Raises
    ------
    BundleError, CalibrationError, HostEnvironmentError
        If one of them cannot be read.
    """
    left, right = _read(first), _read(second)
    keys = left.keys() | right.keys() if _is_report(first) == _is_report(second) else left.keys() & right.keys()
    found = []
    for key in sorted(keys):
        old, new = left.get(key, _NOTHING), right.get(key, _NOTHING)
        if old[0] != new[0]:
            found.append(Difference(key, old[0], new[0], _overlap(old[1], new[1])))
    return tuple(found)


Interval = tuple[float, float] | None
Facts = dict[str, tuple[Fact, Interval]]
_NOTHING: tuple[Fact, Interval] = (None, None)


def _is_report(path: Path) -> bool:
    return path.is_dir() or path.suffix == ".json"


def _read(path: Path) -> Facts:
    if _is_report(path):
        return dict(_record_facts(read_record(path)))
    return dict(_manifest_facts(read_unverified(read_limited(path, MAX_BUNDLE_BYTES)).manifest))


def _manifest_facts(manifest: Manifest) -> Iterator[tuple[str, tuple[Fact, Interval]]]:
    """Give what a manifest tells."""
    tree = msgspec.to_builtins(manifest)
    tree.pop("metrics", None)
    quantization = tree.pop("quantization")
    for key in ("macs", "parameters", "integer_macs_pct", "integer_weight_bytes_pct"):
        yield f"model.{key}", (quantization.pop(key, 0), None)
    yield from _flat("quantization", quantization)
    yield from _flat("origin", tree.pop("provenance", {}))
    for name, member in tree.pop("members").items():
        if name == "model.tflite":
            yield "model.int8_bytes", (member["size_bytes"], None)
        yield f"member.{name}", (member["sha256"], None)
    for side, metrics in (("float", manifest.metrics.before), ("int8", manifest.metrics.after)):
        for each in metrics:
            interval = None if each.low is None or each.high is None else (each.low, each.high)
            yield _metric_key(each.name, each.slice, side), (each.value, interval)
    for key, value in tree.items():
        yield from _flat(key, value)


def _record_facts(record: Record) -> Iterator[tuple[str, tuple[Fact, Interval]]]:
    """Give what a report tells."""
    for key in ("name", "version", "release", "task"):
        yield key, (getattr(record, key), None)
    yield from _flat("labels", list(record.labels))
    yield from _flat("model", msgspec.to_builtins(record.model))
    yield from _flat("decision", record.decision)
    yield from _flat("origin", record.origin)
    for pairs, prefix in ((record.metrics, "metric"), (record.slices, "slice"), (record.verdicts, "verdict")):
        yield from _pair_facts(pairs, prefix)
    for line in record.lines:
        yield f"line.{line.key}{'.' if line.subject else ''}{line.subject}", (line.status, None)
    for damage in record.damage:
        for side, value in (("float", damage.before), ("int8", damage.after)):
            yield f"damage.{damage.kind} {damage.strength:g}.{side}", (value.value, None)
    yield "n_flipped", (record.n_flipped, None)
    yield "budget met", (record.is_met, None)
    if record.bundle is not None:
        yield "bundle.sha256", (record.bundle.sha256, None)


def _pair_facts(pairs: tuple[Pair, ...], prefix: str) -> Iterator[tuple[str, tuple[Fact, Interval]]]:
    for pair in pairs:
        for side, value in (("float", pair.before), ("int8", pair.after)):
            interval = None if value.low is None or value.high is None else (value.low, value.high)
            yield _metric_key(pair.name, pair.slice, side, prefix), (value.value, interval)


def _metric_key(name: str, part: str, side: str, prefix: str = "metric") -> str:
    return ".".join(word for word in (prefix, name, part, side) if word)


def _flat(path: str, value: Any) -> Iterator[tuple[str, tuple[Fact, Interval]]]:  # noqa: ANN401 - any JSON value
    """Give the leaves of a tree, some branches as one."""
    if path in _WHOLE or isinstance(value, list | tuple):
        yield path, (msgspec.json.encode(value, order="deterministic").decode(), None)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{path}.{key}", inner)
    else:
        yield path, (value, None)


def _overlap(first: Interval, second: Interval) -> bool | None:
    """Whether two intervals overlap; None where one is missing."""
    if first is None or second is None:
        return None
    return first[0] <= second[1] and second[0] <= first[1]


def _is_number(value: Fact) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _word(value: Fact) -> str:
    """Write a fact, shortened where it is long."""
    text = "nothing" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - a line of a terminal
