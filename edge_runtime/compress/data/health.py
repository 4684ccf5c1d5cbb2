"""Health of the data of a build: what an engineer should know before trusting what they prove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
from msgspec import Struct

from edge_runtime.bundle.manifest import Preprocessing, WindowPreprocessing
from edge_runtime.compress.data.drift import ChannelStatistics, compare, measure_channels
from edge_runtime.compress.data.duplicates import Leak, Prints, count_copies, find_leak, fingerprint
from edge_runtime.compress.dataset import Dataset

#: Population stability index above which a channel has drifted, beyond what chance gives so many samples.
PSI_LIMIT: Final = 0.25
#: Share of values at the end of a range from which a channel is saturated.
SATURATED: Final = 0.05
_FEW: Final = 100
_UNBALANCED: Final = 20.0
_COPIES: Final = 0.05


class Problem(Struct, frozen=True):
    """Something about the data that an engineer should know.

    ``word`` is stable: ``[data] accept`` names it. An ``error`` ends a build unless it is accepted.
    """

    severity: Literal["error", "warning"]
    word: str
    text: str


class ChannelHealth(Struct, frozen=True):
    """One channel of the calibration data, and how far the evaluation data are from it."""

    name: str
    low: float
    high: float
    mean: float
    std: float
    at_low: float  #: share of values at the lower end of the range: 0, or the sensor's low
    at_high: float  #: at the upper end: 255, or the sensor's high
    psi: float | None = None  #: population stability index over ten equal parts of the calibration data
    ks: float | None = None  #: greatest distance of the two distributions


class SetHealth(Struct, frozen=True):
    """One set."""

    n: int
    sha256: str
    classes: dict[str, int]
    copies: int  #: exact copies inside the set
    groups: int = 0
    rows: dict[str, int] = {}  #: what happened to rows of tables


class LeakHealth(Struct, frozen=True):
    """Evaluation samples that another set holds too."""

    other: str
    exact: int
    near: int
    idle: int
    searched_near: int  #: evaluation samples that were compared for near copies
    examples: tuple[tuple[str, str, str], ...]


class DataHealth(Struct, frozen=True):
    """Everything that was found."""

    sets: dict[str, SetHealth]
    channels: tuple[ChannelHealth, ...]
    leaks: tuple[LeakHealth, ...] = ()
    problems: tuple[Problem, ...] = ()

    def errors(self, accept: Sequence[str]) -> list[Problem]:
        """Give the errors that are not accepted."""
        return [each for each in self.problems if each.severity == "error" and each.word not in accept]


def examine(
    sets: Mapping[str, Dataset],
    preprocessing: Preprocessing | None,
    *,
    labels: Sequence[str] = (),
    max_leak: float = 0.01,
    max_near_leak: float = 1.0,
) -> DataHealth:
    """Look at the data of a build.

    Parameters
    ----------
    sets : mapping of str to Dataset
        ``calibration``, ``evaluation`` and ``training``, or one of them alone under any name; the first is described
        channel by channel.
    preprocessing : Preprocessing or None
        Names and ranges of the channels of windows.
    labels : sequence of str
        Of classes; empty where ``y`` is no class.
    max_leak, max_near_leak : float, 0..1
        Share of evaluation samples that may be in another set exactly, and nearly, before it is an error.

    Returns
    -------
    health : DataHealth
    """
    first, *_ = sets.values()
    evaluation = sets.get("evaluation")
    ours = measure_channels(first.x, preprocessing)
    theirs = None
    if evaluation is not None and evaluation is not first:
        theirs = measure_channels(evaluation.x, preprocessing)
    channels = tuple(_channel(mine, None if theirs is None else theirs[index]) for index, mine in enumerate(ours))
    prints = {name: fingerprint(data.x) for name, data in sets.items()}
    described = {name: _describe(data, labels, prints[name]) for name, data in sets.items()}
    found = [problem for name, health in described.items() for problem in _set_problems(name, health)]
    found += _class_problems(described)
    found += _channel_problems(channels, ours, theirs, preprocessing)
    leaks = []
    for name, data in sets.items():
        if evaluation is None or data is evaluation:
            continue
        leak = find_leak(evaluation, data, prints["evaluation"], prints[name])
        leaks.append(LeakHealth(name, leak.exact, leak.near, leak.idle, leak.searched_near, leak.examples))
        found += _leak_problems(name, leak, max_leak, max_near_leak)
        found += _group_problems(name, data, evaluation)
    ordered = sorted(found, key=lambda problem: problem.severity != "error")
    return DataHealth(described, channels, tuple(leaks), tuple(ordered))


def _describe(data: Dataset, labels: Sequence[str], prints: Prints) -> SetHealth:
    classes: dict[str, int] = {}
    if labels and data.y is not None and data.y.ndim == 1 and data.y.dtype.kind in "iub":
        counts = np.bincount(data.y[data.y >= 0], minlength=len(labels))
        names = [*labels, *(str(index) for index in range(len(labels), len(counts)))]
        classes = dict(zip(names, counts.tolist(), strict=True))
    groups = 0 if data.groups is None else len(np.unique(data.groups))
    return SetHealth(len(data), data.digest, classes, count_copies(prints), groups, dict(data.counts))


def _set_problems(name: str, health: SetHealth) -> list[Problem]:
    found = []
    if name in {"calibration", "evaluation"} and health.n < _FEW:
        what = "ranges may miss what the line will show" if name == "calibration" else "intervals will be wide"
        found.append(Problem("warning", "few_samples", f"{name}: {health.n} samples; {what}"))
    if health.copies > _COPIES * health.n:
        text = f"{name}: {health.copies} of {health.n} samples are copies of another one of the set"
        found.append(Problem("warning", "copies", text))
    present = {label: count for label, count in health.classes.items() if count}
    single = [label for label, count in present.items() if count == 1]
    if single:
        text = f"{name}: one single sample of {', '.join(single)}: nothing can be said about it"
        found.append(Problem("warning", "single_sample", text))
    if len(present) > 1 and max(present.values()) > _UNBALANCED * min(present.values()):
        rare, common = min(present, key=present.__getitem__), max(present, key=present.__getitem__)
        text = f'{name}: {present[common]} samples of "{common}" for {present[rare]} of "{rare}"'
        found.append(Problem("warning", "unbalanced", text))
    return found


def _class_problems(described: Mapping[str, SetHealth]) -> list[Problem]:
    """Compare which classes the sets have."""
    evaluation, calibration = described.get("evaluation"), described.get("calibration")
    if evaluation is None or calibration is None:
        return []
    found = []
    absent = [label for label, count in evaluation.classes.items() if not count]
    if absent:
        text = f"evaluation: no sample of {', '.join(absent)}: its recall is not proved"
        found.append(Problem("warning", "class_not_evaluated", text))
    missing = [label for label, count in evaluation.classes.items() if count and calibration.classes.get(label) == 0]
    if missing:
        text = (
            f"calibration: no sample of {', '.join(missing)}, which the evaluation data have: ranges are found without"
            " it, and it is the class that suffers"
        )
        found.append(Problem("error", "class_not_calibrated", text))
    return found


def _channel(mine: ChannelStatistics, other: ChannelStatistics | None) -> ChannelHealth:
    psi, ks = (None, None) if other is None else compare(mine, other)
    return ChannelHealth(
        mine.name,
        _short(mine.low),
        _short(mine.high),
        _short(mine.mean),
        _short(mine.std),
        round(mine.at_low, 6),
        round(mine.at_high, 6),
        None if psi is None else round(psi, 4),
        None if ks is None else round(ks, 4),
    )


def _channel_problems(
    channels: Sequence[ChannelHealth],
    ours: Sequence[ChannelStatistics],
    theirs: Sequence[ChannelStatistics] | None,
    preprocessing: Preprocessing | None,
) -> list[Problem]:
    found = []
    windows = isinstance(preprocessing, WindowPreprocessing)
    for index, channel in enumerate(channels):
        other = None if theirs is None else theirs[index]
        if channel.low == channel.high:
            moves = other is not None and other.high > other.low
            text = f"{channel.name}: always {channel.low:g} in the calibration data"
            text += f", {other.low:g} to {other.high:g} in evaluation" if moves and other is not None else ""
            found.append(Problem("error" if moves else "warning", "constant_channel", text))
            continue
        for share, place in ((channel.at_low, "lower"), (channel.at_high, "upper")):
            if share > SATURATED:
                end = "its range" if windows else "0..255"
                text = f"{channel.name}: {share:.1%} of the values stand at the {place} end of {end}"
                found.append(Problem("warning", "saturated", text))
        if other is not None and channel.psi is not None:
            chance = 18 * (1 / ours[index].n_independent + 1 / other.n_independent)
            if channel.psi > PSI_LIMIT + chance:
                text = (
                    f"{channel.name}: evaluation data are distributed otherwise (PSI {channel.psi:.2f}, KS"
                    f" {channel.ks:.2f}; mean {channel.mean:g} and {other.mean:.6g})"
                )
                found.append(Problem("warning", "drift", text))
    return found


def _leak_problems(name: str, leak: Leak, max_leak: float, max_near_leak: float) -> list[Problem]:
    found = []
    for kind, count, limit in (("exact", leak.exact, max_leak), ("near", leak.exact + leak.near, max_near_leak)):
        if not count or (kind == "near" and not leak.near):
            continue
        over = count > limit * leak.n
        what = "are" if kind == "exact" else "are, or nearly are,"
        pair = next(((ours, other) for how, ours, other in leak.examples if how == kind), ("", ""))
        text = f"{count} of {leak.n} evaluation samples {what} in the {name} data too, as {pair[0]} = {pair[1]}"
        word = "exact_duplicates" if kind == "exact" else "near_duplicates"
        if over:
            key = "max_leak" if kind == "exact" else "max_near_leak"
            text += f" ([data] {key} = {limit:g})"
        found.append(Problem("error" if over else "warning", word, text))
    return found


def _group_problems(name: str, data: Dataset, evaluation: Dataset) -> list[Problem]:
    if data.groups is None or evaluation.groups is None:
        return []
    common = sorted(set(data.groups.astype(str).tolist()) & set(evaluation.groups.astype(str).tolist()))
    if not common:
        return []
    text = f"{len(common)} groups are in the {name} and in the evaluation data: {', '.join(common[:5])}"
    return [Problem("warning", "groups_shared", text)]


def _short(value: float) -> float:
    """Round to six digits: a report is read, not computed with."""
    return float(f"{value:.6g}")


def as_text(health: DataHealth, accept: Sequence[str] = ()) -> list[str]:
    """Write what was found in lines for a person.

    Parameters
    ----------
    health : DataHealth
        What ``examine`` gave.
    accept : sequence of str
        Words of errors that are known and fine.

    Returns
    -------
    lines : list of str
    """
    lines = []
    for name, each in health.sets.items():
        line = f"{name}: {each.n} samples"
        line += f" in {each.groups} groups" if each.groups else ""
        if each.classes:
            line += "; " + ", ".join(f"{label} {count}" for label, count in each.classes.items())
        lines.append(line + (f"; {each.copies} copies" if each.copies else ""))
        skipped = {word: count for word, count in each.rows.items() if word != "samples"}
        if skipped:
            told = ", ".join(f"{word} {count}" for word, count in skipped.items())
            lines.append(f"  of {each.rows.get('samples', 0)} rows: {told}")
    lines += _channel_table(health.channels)
    for leak in health.leaks:
        near = (
            f"{leak.near} of {leak.searched_near} nearly"
            if leak.searched_near
            else "near ones not looked for (few values per sample)"
        )
        idle = f", {leak.idle} standing still" if leak.idle else ""
        lines.append(f"evaluation samples that are in {leak.other} too: {leak.exact} exactly, {near}{idle}")
        lines += [f"  {kind}: {ours} = {other}" for kind, ours, other in leak.examples]
    for problem in health.problems:
        word = "accepted" if problem.word in accept else problem.severity.upper()
        lines.append(f"{word} {problem.word}: {problem.text}")
    return lines


def _channel_table(channels: Sequence[ChannelHealth]) -> list[str]:
    width = max([7, *(len(each.name) for each in channels)])
    lines = [f"{'channel':<{width}} {'low':>10} {'high':>10} {'mean':>10} {'std':>10} at low at high   PSI    KS"]
    for each in channels:
        drift = "    -     -" if each.psi is None else f"{each.psi:5.2f} {each.ks:5.2f}"
        lines.append(
            f"{each.name:<{width}} {each.low:10.5g} {each.high:10.5g} {each.mean:10.5g} {each.std:10.5g}"
            f" {each.at_low:6.1%} {each.at_high:7.1%} {drift}"
        )
    return lines


def as_tree(health: DataHealth) -> dict[str, Any]:
    """Give what a bundle's provenance keeps of it: no names of files."""
    tree: dict[str, Any] = {
        "sets": {
            name: {"n": each.n, "classes": each.classes, "copies": each.copies} for name, each in health.sets.items()
        },
        "leaks": {leak.other: {"exact": leak.exact, "near": leak.near, "idle": leak.idle} for leak in health.leaks},
        "drift": {each.name: {"psi": each.psi, "ks": each.ks} for each in health.channels if each.psi is not None},
        "problems": sorted({problem.word for problem in health.problems}),
    }
    return tree
