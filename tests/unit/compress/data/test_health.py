"""What is said about data, and what ends a build."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.bundle.manifest import Channel, Normalisation, WindowPreprocessing
from edge_runtime.compress.data.checking import refuse
from edge_runtime.compress.data.drift import compare, measure_channels
from edge_runtime.compress.data.health import DataHealth, as_text, as_tree, examine
from edge_runtime.compress.dataset import Dataset
from edge_runtime.errors import CalibrationError

Array = npt.NDArray[Any]
STEPS = WindowPreprocessing(
    channels=(Channel(name="pressure", low=0.0, high=10.0), Channel(name="current")),
    length=10,
    hop=10,
    rate_hz=0,
    normalisation=Normalisation(method="none", centre=((0.0, 0.0),), scale=((1.0, 1.0),)),
)


def windows(n: int, seed: int, level: float = 5.0) -> Array:
    return (level + np.random.default_rng(seed).normal(size=(n, 10, 2))).astype(np.float32)


def words(calibration: Dataset, evaluation: Dataset, **changes: Any) -> dict[str, str]:
    health = look(calibration, evaluation, **changes)
    return {problem.word: problem.severity for problem in health.problems}


def look(calibration: Dataset, evaluation: Dataset, **changes: Any) -> DataHealth:
    sets = {"calibration": calibration, "evaluation": evaluation}
    return examine(sets, STEPS, **{"labels": ("ok", "ng"), **changes})


def data(n: int, seed: int, *, ng: int | None = None, **changes: Any) -> Dataset:
    y = np.zeros(n, np.intp)
    y[: n // 2 if ng is None else ng] = 1
    return Dataset(**{"x": windows(n, seed), "y": y, **changes})


def test_good_data_have_no_problem() -> None:
    assert not words(data(300, 1), data(300, 2))


def test_a_class_that_is_evaluated_but_not_calibrated_is_an_error() -> None:
    assert words(data(300, 1, ng=0), data(300, 2)) == {"class_not_calibrated": "error"}


def test_unlabelled_calibration_data_say_nothing_of_classes() -> None:
    assert not words(data(300, 1, y=None), data(300, 2))


@pytest.mark.parametrize(
    ("ng", "expected"),
    [(1, {"single_sample", "unbalanced"}), (0, {"class_not_evaluated"}), (10, {"unbalanced"})],
)
def test_rare_classes_are_named(ng: int, expected: set[str]) -> None:
    assert set(words(data(300, 1), data(300, 2, ng=ng))) == expected


def test_few_samples_are_told() -> None:
    assert words(data(50, 1), data(300, 2)) == {"few_samples": "warning"}


def test_copies_inside_a_set_are_told() -> None:
    x = windows(300, 1)
    assert words(data(300, 1, x=np.concatenate([x[:200], x[:100]])), data(300, 2)) == {"copies": "warning"}


@pytest.mark.parametrize(("shared", "severity"), [(3, "warning"), (4, "error")])
def test_more_than_a_hundredth_of_exact_copies_ends_a_build(shared: int, severity: str) -> None:
    known, x = data(300, 1), windows(300, 2)
    x[:shared] = known.x[:shared]
    assert words(known, data(300, 2, x=x)) == {"exact_duplicates": severity}


def test_near_copies_end_a_build_where_the_recipe_says_so() -> None:
    known, x = data(300, 1), windows(300, 2)
    x[:10] = known.x[:10] + np.float32(0.001)
    assert words(known, data(300, 2, x=x)) == {"near_duplicates": "warning"}
    assert words(known, data(300, 2, x=x), max_near_leak=0.02) == {"near_duplicates": "error"}


def test_a_sensor_that_only_moves_in_evaluation_is_an_error() -> None:
    still = windows(300, 1)
    still[..., 1] = 3
    found = words(data(300, 1, x=still), data(300, 2))
    assert found["constant_channel"] == "error"
    also = windows(300, 2)
    also[..., 1] = 3
    assert words(data(300, 1, x=still), data(300, 2, x=also)) == {"constant_channel": "warning"}


def test_values_at_the_end_of_a_sensors_range_are_told() -> None:
    high = windows(300, 1)
    high[:30, :, 0] = 10
    assert "saturated" in words(data(300, 1, x=high), data(300, 2))


def test_drift_is_told_with_its_channel() -> None:
    moved = windows(300, 2)
    moved[..., 1] += 1.5
    health = look(data(300, 1), data(300, 2, x=moved))
    assert [problem.word for problem in health.problems] == ["drift"]
    assert health.problems[0].text.startswith("current: ")
    assert health.channels[0].psi is not None
    assert health.channels[0].psi < 0.1


def test_groups_of_the_same_name_in_two_sets_are_told() -> None:
    groups = np.arange(300) // 10
    assert words(data(300, 1, groups=groups), data(300, 2, groups=groups)) == {"groups_shared": "warning"}


def test_saturated_pictures_are_told_by_colour() -> None:
    x = np.random.default_rng(0).integers(1, 255, (200, 16, 16, 3), dtype=np.uint8)
    x[:, :4, :, 0] = 255
    health = examine({"data": Dataset(x, None)}, None)
    assert [(each.word, each.text.split(":")[0]) for each in health.problems] == [("saturated", "red")]


def test_what_is_accepted_does_not_end_a_build() -> None:
    health = look(data(300, 1, ng=0), data(300, 2))
    refuse(health, ["class_not_calibrated"])
    with pytest.raises(CalibrationError, match=r'accept = \["class_not_calibrated"\]'):
        refuse(health, [])
    assert any(line.startswith("accepted class_not_calibrated") for line in as_text(health, ["class_not_calibrated"]))


def test_the_provenance_names_no_file() -> None:
    known = data(300, 1, names=[f"secret{index}" for index in range(300)])
    health = look(known, data(300, 2, x=known.x.copy()))
    assert "secret" in "\n".join(as_text(health))
    assert "secret" not in str(as_tree(health))


def test_bytes_and_reals_are_measured_alike() -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    x[..., 1] //= 2
    counted = measure_channels(x, None)[:3]
    measured = measure_channels(x.astype(np.float32).reshape(40, 64, 3), None)
    for one, other in zip(counted, measured, strict=True):
        assert (one.low, one.high) == (other.low, other.high)
        assert np.isclose([one.mean, one.std], [other.mean, other.std]).all()
        assert max(compare(one, other)) < 0.01


def test_equal_distributions_have_no_distance_and_parted_ones_the_greatest() -> None:
    low, high = (measure_channels(windows(300, 1, level), None)[0] for level in (0.0, 100.0))
    assert compare(low, low) == (0.0, 0.0)
    psi, ks = compare(low, high)
    assert ks == 1.0
    assert psi > 2
