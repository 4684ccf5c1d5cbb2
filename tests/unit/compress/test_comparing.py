"""What differs between two results is told by name, and nothing else."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edge_runtime.compress.comparing import Difference, compare
from edge_runtime.compress.lines import Line
from edge_runtime.compress.report.folder import write_report
from edge_runtime.compress.report.record import SCHEMA, Cost, DataFacts, ModelFacts, Pair, Record, Timings, Value
from edge_runtime.errors import CalibrationError, EdgeRuntimeError
from tests.bundles import image_bundle

LINE = Line(key="max_drop", text="", value=0.0, goal=0.01, at_most=True, status="met")
RECORD = Record(
    schema=SCHEMA,
    name="net",
    version="1.0.0",
    release=1,
    task="classification",
    tool="compress",
    metric="accuracy",
    model=ModelFacts(400, 100, 1000, 90, 100.0, 100.0),
    data=DataFacts(10, "aa", 100, "bb"),
    metrics=(Pair(name="recall", slice="crack", before=Value(0.9, 0.8, 0.95, 9), after=Value(0.9, 0.8, 0.95, 9)),),
    lines=(LINE,),
    decision={"thresholds": {"crack": {"raise_at": 0.5}}},
    n_flipped=0,
    flipped=(),
)


def reports(folder: Path, other: Record) -> tuple[Difference, ...]:
    for name, record in (("a", RECORD), ("b", other)):
        write_report(folder / name, record)
    return compare(folder / "a", folder / "b")


def test_a_report_does_not_differ_from_itself_whatever_it_took(tmp_path: Path) -> None:
    assert reports(tmp_path, msgspec.structs.replace(RECORD, timings=Timings(int8=Cost(1.0, 2.0, 9, 1.0, 80.0)))) == ()


def test_metrics_thresholds_and_lines_that_differ_are_named(tmp_path: Path) -> None:
    worse = Pair(name="recall", slice="crack", before=Value(0.9, 0.8, 0.95, 9), after=Value(0.6, 0.5, 0.7, 9))
    missed = msgspec.structs.replace(LINE, status="missed")
    decision = {"thresholds": {"crack": {"raise_at": 0.4}}}
    found = reports(tmp_path, msgspec.structs.replace(RECORD, metrics=(worse,), lines=(missed,), decision=decision))
    assert [each.sentence() for each in found] == [
        "budget met: True -> False",
        "decision.thresholds.crack.raise_at: 0.5 -> 0.4 (-0.1)",
        "line.max_drop: met -> missed",
        "metric.recall.crack.int8: 0.9 -> 0.6 (-0.3), intervals do not overlap",
    ]


def test_what_only_one_side_tells_is_named(tmp_path: Path) -> None:
    (found,) = reports(tmp_path, msgspec.structs.replace(RECORD, lines=()))
    assert found.sentence() == "line.max_drop: met -> nothing"


def test_bundles_are_compared_by_what_their_manifests_say(tmp_path: Path) -> None:
    for name, release in (("a", 1), ("b", 3)):
        (tmp_path / f"{name}.edgebundle").write_bytes(image_bundle(release=release))
    found = compare(tmp_path / "a.edgebundle", tmp_path / "b.edgebundle")
    assert [each.sentence() for each in found] == ["release: 1 -> 3 (+2)"]


def test_a_bundle_and_a_report_are_compared_in_what_both_tell(tmp_path: Path) -> None:
    write_report(tmp_path / "a", RECORD)
    (tmp_path / "b.edgebundle").write_bytes(image_bundle())
    keys = {each.key for each in compare(tmp_path / "a", tmp_path / "b.edgebundle")}
    assert "name" in keys
    assert "n_flipped" not in keys


def test_something_else_is_refused(tmp_path: Path) -> None:
    write_report(tmp_path / "a", RECORD)
    (tmp_path / "b.edgebundle").write_bytes(b"junk")
    with pytest.raises(EdgeRuntimeError):
        compare(tmp_path / "a", tmp_path / "b.edgebundle")
    (tmp_path / "c.json").write_bytes(b"junk")
    with pytest.raises(CalibrationError):
        compare(tmp_path / "a", tmp_path / "c.json")
