"""From a judged artifact to what its report says."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from edge_runtime import __version__
from edge_runtime.bundle.manifest import Decision, Metric
from edge_runtime.compress.artifact import Artifact
from edge_runtime.compress.attribution import AttributionMaps, mean_correlation
from edge_runtime.compress.costs import cost_per_sample, mean_cost, rates
from edge_runtime.compress.description import provenance
from edge_runtime.compress.footprint import Footprint
from edge_runtime.compress.outcomes import Floats, Outcomes
from edge_runtime.compress.reliability import calibration_error, reliability
from edge_runtime.compress.report.record import (
    SCHEMA,
    Bin,
    BundleFacts,
    Cost,
    Damage,
    DataFacts,
    Flips,
    Map,
    ModelFacts,
    Pair,
    Record,
    Timings,
    Value,
)
from edge_runtime.compress.report.samples import show_differing
from edge_runtime.compress.slices import slice_figures
from edge_runtime.compress.statistics import Figure, mcnemar_exact
from edge_runtime.errors import CalibrationError

_MAPS_SHOWN = 6


def gather(artifact: Artifact, bundle: BundleFacts | None) -> Record:
    """Write down everything that a build measured.

    Parameters
    ----------
    artifact : Artifact
        Judged.
    bundle : BundleFacts or None
        What was written; None when the budget is not met.

    Returns
    -------
    record : Record
        The same for the same inputs, but for ``timings``.
    """
    recipe, coverage, outcomes, found = artifact.recipe, artifact.coverage, artifact.answers, artifact.examination
    assert coverage is not None
    calibration, evaluation = artifact.calibration_set, artifact.evaluation_set
    metric = "accuracy" if artifact.metric == "recall_min" else artifact.metric
    n_flipped, flipped = show_differing(outcomes, evaluation, recipe.data.colour)
    bins, calibration_pair, notes = _reliability(outcomes)
    slices, more = _slices(outcomes, metric)
    correlation = mean_correlation(found.maps)
    return Record(
        schema=SCHEMA,
        name=recipe.bundle.name,
        version=recipe.bundle.version,
        release=recipe.bundle.release,
        task=recipe.model.task,
        tool=f"compress {__version__}",
        metric=artifact.metric,
        model=ModelFacts(
            len(artifact.float32),
            len(artifact.int8),
            coverage.macs,
            coverage.parameters,
            round(coverage.integer_macs_pct, 3),
            round(coverage.integer_weight_bytes_pct, 3),
        ),
        data=DataFacts(len(calibration), calibration.digest, len(evaluation), evaluation.digest),
        metrics=(*map(_pair_of_metrics, artifact.before, artifact.after), *calibration_pair),
        lines=tuple(line for line in artifact.lines if not line.is_timed),
        decision=_plain(artifact.decision),
        n_flipped=n_flipped,
        flipped=flipped,
        bundle=bundle,
        labels=artifact.labels,
        decision_before=None if artifact.decision_before is None else _plain(artifact.decision_before),
        flips=_flips(outcomes),
        confusion_before=_confusion(outcomes, outcomes.before),
        confusion_after=_confusion(outcomes, outcomes.after),
        slices=slices,
        verdicts=_verdicts(artifact),
        bins_before=bins[0],
        bins_after=bins[1],
        damage=tuple(
            Damage(each.kind, each.strength, _value(each.before), _value(each.after), _value(each.drop))
            for each in found.corruption
        ),
        attribution=None if correlation is None else _value(correlation),
        maps=tuple(map(_map, found.maps[:_MAPS_SHOWN])),
        notes=(*notes, *more),
        origin=provenance(artifact),
        timings=_timings(artifact),
    )


def _value(found: Figure) -> Value:
    """Write a figure down."""
    value = round(found.value, 6)
    if not all(map(math.isfinite, found.interval)):
        return Value(value, n=found.n)
    return Value(value, round(found.interval[0], 6), round(found.interval[1], 6), found.n)


def _pair_of_metrics(before: Metric, after: Metric) -> Pair:
    old, new = (Value(each.value, each.low, each.high, each.n) for each in (before, after))
    return Pair(name=after.name, slice=after.slice, before=old, after=new)


def _plain(decision: Decision) -> dict[str, Any]:
    return dict(msgspec.to_builtins(decision))


def _slices(outcomes: Outcomes, metric: str) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """Give the metric of every part of every slice, and say of which slices there is none and why."""
    pairs, notes = [], []
    for column, values in sorted(outcomes.slices.items()):
        try:
            found = slice_figures(replace(outcomes, slices={column: values}), metric)
        except CalibrationError as error:
            notes.append(f"no figures by {column}: {error}")
            continue
        pairs += [
            Pair(
                name=metric,
                slice=f"{each.column}={each.value}",
                before=_value(each.before),
                after=_value(each.after),
                drop=_value(each.drop),
            )
            for each in found
        ]
    return tuple(pairs), tuple(notes)


def _flips(outcomes: Outcomes) -> Flips | None:
    """Count the samples that only one model got right."""
    if not outcomes.classifies:
        return None
    before, after = outcomes.hits(outcomes.before), outcomes.hits(outcomes.after)
    lost, won = int((before & ~after).sum()), int((after & ~before).sum())
    return Flips(lost, won, float(f"{mcnemar_exact(lost, won):.4g}"))


def _confusion(outcomes: Outcomes, outputs: Floats) -> tuple[tuple[int, ...], ...]:
    """Count what was said of each true label: rows are the truth."""
    if not outcomes.classifies:
        return ()
    n = len(outcomes.labels)
    pairs = outcomes.y.astype(np.intp) * n + outcomes.said(outputs)
    counts: npt.NDArray[np.intp] = np.bincount(pairs, minlength=n * n).reshape(n, n)
    return tuple(tuple(int(count) for count in row) for row in counts)


def _reliability(
    outcomes: Outcomes,
) -> tuple[tuple[tuple[Bin, ...], tuple[Bin, ...]], tuple[Pair, ...], tuple[str, ...]]:
    """Give the calibration of probabilities, or say why there is none."""
    if not outcomes.classifies:
        return ((), ()), (), ()
    bins, errors = [], []
    try:
        for outputs in (outcomes.before, outcomes.after):
            scores, hits = outcomes.probabilities(outputs), outcomes.hits(outputs)
            bins.append(
                tuple(
                    Bin(
                        round(each.low, 6),
                        round(each.high, 6),
                        each.n,
                        round(each.confidence, 6),
                        round(each.accuracy, 6),
                    )
                    for each in reliability(scores, hits)
                )
            )
            errors.append(_value(calibration_error(scores, hits, outcomes.groups)))
    except CalibrationError as error:
        return ((), ()), (), (f"no calibration of probabilities: {error}",)
    return (bins[0], bins[1]), (Pair(name="calibration error", before=errors[0], after=errors[1]),), ()


def _verdicts(artifact: Artifact) -> tuple[Pair, ...]:
    """Give how often verdicts go wrong and what they cost, each model with its own decision."""
    outcomes, costs = artifact.answers, artifact.recipe.costs
    if not outcomes.decides:
        return ()
    faulty = outcomes.faulty()
    try:
        said = [outcomes.verdicts(after=which) for which in (False, True)]
    except CalibrationError:
        return ()
    old, new = (rates(each, faulty, outcomes.groups) for each in said)
    rows = [("missed faults", old.miss, new.miss), ("false alarms", old.false_alarm, new.false_alarm)]
    rows.append(("unsure", old.unsure, new.unsure))
    if costs is not None:
        first, second = (mean_cost(cost_per_sample(each, faulty, costs), outcomes.groups) for each in said)
        rows.append(("cost per sample", first, second))
    return tuple(Pair(name=name, before=_value(first), after=_value(second)) for name, first, second in rows)


def _map(maps: AttributionMaps) -> Map:
    def rows(values: npt.NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(round(float(value), 6) for value in row) for row in values)

    correlation = None if maps.correlation is None else round(maps.correlation, 6)
    return Map(maps.sample, rows(maps.before), rows(maps.after), correlation)


def _timings(artifact: Artifact) -> Timings:
    """Give time and memory, as far as they were measured."""

    def plain(footprint: Footprint | None) -> Cost | None:
        if footprint is None:
            return None
        return Cost(
            round(footprint.p50_ms, 4),
            round(footprint.p95_ms, 4),
            footprint.n_timed,
            round(footprint.load_ms, 3),
            round(footprint.peak_kb, 1),
        )

    found = artifact.examination
    return Timings(
        int8=plain(found.footprint),
        float32=plain(found.float_footprint),
        engine="" if found.footprint is None else found.footprint.engine,
        lines=tuple(line for line in artifact.lines if line.is_timed),
    )
