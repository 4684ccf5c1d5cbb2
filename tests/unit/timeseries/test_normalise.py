"""Finding and applying normalisations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_runtime.bundle.manifest import Channel, Normalisation, Quantization, Regimes, TensorSpec, WindowPreprocessing
from edge_runtime.errors import BundleFormatError
from edge_runtime.timeseries.normalise import (
    Normaliser,
    WindowPreprocessor,
    assign_regimes,
    fit_normalisation,
    fit_regimes,
)

CHANNELS = (Channel("load"), Channel("temperature"))


def readings(n: int = 400) -> Any:
    random = np.random.default_rng(11)
    load = random.choice([0.0, 50.0, 100.0], n)
    return np.stack([load + random.normal(0, 0.1, n), 20 + load + random.normal(0, 1 + load / 50, n)], axis=1)


def plain(normalisation: Normalisation | None = None) -> WindowPreprocessing:
    return WindowPreprocessing(CHANNELS, 4, 1, 10.0, normalisation or Normalisation("none", ((0, 0),), ((1, 1),)))


def tensor(dtype: Any = "int8", shape: tuple[int, ...] = (1, 4, 2), zero_point: int = 0) -> TensorSpec:
    quantization = None if dtype == "float32" else Quantization((0.5,), (zero_point,))
    return TensorSpec(name="window", dtype=dtype, shape=shape, quantization=quantization)


def test_zscore_gives_mean_zero_and_deviation_one() -> None:
    out = Normaliser(fit_normalisation(readings(), "zscore"), 2)(readings().astype(np.float32))
    np.testing.assert_allclose([out.mean(axis=0), out.std(axis=0)], [[0, 0], [1, 1]], atol=1e-5)


def test_minmax_gives_minus_one_to_one() -> None:
    out = Normaliser(fit_normalisation(readings(), "minmax"), 2)(readings().astype(np.float32))
    np.testing.assert_allclose([out.min(axis=0), out.max(axis=0)], [[-1, -1], [1, 1]], atol=1e-5)


def test_robust_is_not_moved_by_outliers() -> None:
    values = np.concatenate([np.linspace(0, 4, 401), [1e9] * 3])[:, None]
    fitted = fit_normalisation(values, "robust")
    np.testing.assert_allclose([fitted.centre, fitted.scale], [[[2.0]], [[2.0]]], rtol=0.02)


def test_robust_scale_of_a_channel_that_rarely_changes_is_its_deviation() -> None:
    values = np.array([[0.0]] * 99 + [[10.0]])
    np.testing.assert_allclose(fit_normalisation(values, "robust").scale, [[values.std()]])


def test_none_changes_nothing() -> None:
    samples = readings().astype(np.float32)
    np.testing.assert_array_equal(Normaliser(fit_normalisation(readings(), "none"), 2)(samples), samples)


@pytest.mark.parametrize("method", ["zscore", "minmax", "robust"])
def test_channel_that_never_changes_gets_scale_one(method: Any) -> None:
    fitted = fit_normalisation(np.full((30, 1), 0.1), method)
    assert fitted.scale == ((1.0,),)


def test_samples_that_are_not_finite_are_left_out_of_the_fit() -> None:
    values = readings()
    dirty = np.concatenate([values, [[np.nan, 1e30], [np.inf, 0.0]]])
    assert fit_normalisation(dirty, "zscore") == fit_normalisation(values, "zscore")


@pytest.mark.parametrize("values", [np.empty((0, 2)), np.full((3, 2), np.nan), np.zeros(4)])
def test_fit_without_samples_is_refused(values: Any) -> None:
    with pytest.raises(ValueError, match=r"sample"):
        fit_normalisation(values, "zscore")


def test_each_regime_is_normalised_by_its_own_numbers() -> None:
    values = readings()
    regimes = fit_regimes(values, (0,), 3)
    normaliser = Normaliser(fit_normalisation(values, "zscore", regimes=regimes), 2)
    samples = values.astype(np.float32)
    member = assign_regimes(samples, regimes)
    for regime in range(3):
        out = normaliser(samples[member == regime])
        np.testing.assert_allclose([out.mean(axis=0), out.std(axis=0)], [[0, 0], [1, 1]], atol=1e-4)


def test_sample_between_two_regimes_belongs_to_the_first() -> None:
    regimes = Regimes((0,), (1.0,), ((1.0,), (3.0,)))
    normaliser = Normaliser(Normalisation("zscore", ((0.0,), (100.0,)), ((1.0,), (1.0,)), regimes), 1)
    assert normaliser(np.array([[2.0]], np.float32)).item() == 2.0


def test_regimes_are_found_where_the_machine_runs() -> None:
    regimes = fit_regimes(readings(), (0,), 3)
    loads = np.array(regimes.centroids)[:, 0] * regimes.spread[0]
    np.testing.assert_allclose(loads, [0, 50, 100], atol=0.1)


def test_no_more_regimes_are_found_than_there_are_points() -> None:
    assert len(fit_regimes(np.array([[1.0], [2.0], [2.0]]), (0,), 5).centroids) == 2


def test_regime_without_a_sample_gets_the_numbers_of_all() -> None:
    regimes = Regimes((0,), (1.0,), ((0.0,), (1e6,)))
    fitted = fit_normalisation(readings(), "zscore", regimes=regimes)
    assert fitted.centre[1] == fit_normalisation(readings(), "zscore").centre[0]


def test_regimes_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot find"):
        fit_regimes(np.full((2, 1), np.nan), (0,), 2)


def test_clip_bounds_the_result() -> None:
    normaliser = Normaliser(Normalisation("zscore", ((0.0,),), ((1.0,),), clip=3.0), 1)
    assert normaliser(np.array([[9.0], [-9.0], [2.0]], np.float32)).ravel().tolist() == [3.0, -3.0, 2.0]


def test_integer_tensor_holds_the_codes_of_the_float_one() -> None:
    window = np.array([[0.25, -0.25], [0.75, 1e9], [-1e9, np.nan], [3.0, 0.1]], np.float32)
    codes = WindowPreprocessor(plain(), tensor(zero_point=5))(window)
    assert codes.tolist() == [[[6, 4], [7, 127], [-128, 5], [11, 5]]]


def test_int16_tensor_keeps_finer_codes() -> None:
    window = np.full((4, 2), 1000.0, np.float32)
    assert np.unique(WindowPreprocessor(plain(), tensor("int16"))(window)).tolist() == [2000]


def test_float_tensor_holds_normalised_values() -> None:
    window = np.arange(8, dtype=np.float32).reshape(4, 2)
    normalisation = Normalisation("zscore", ((1.0, 2.0),), ((2.0, 4.0),))
    out = WindowPreprocessor(plain(normalisation), tensor("float32"))(window)
    np.testing.assert_array_equal(out[0], (window - [1, 2]) / [2, 4])


def test_window_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        WindowPreprocessor(plain(), tensor())(np.zeros((5, 2), np.float32))


def test_output_of_another_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match="expected an output"):
        WindowPreprocessor(plain(), tensor()).fill_into(np.zeros((4, 2), np.float32), np.empty((1, 4, 2), np.uint8))


@pytest.mark.parametrize(
    "normalisation",
    [
        Normalisation("zscore", ((0.0,),), ((1.0,),)),
        Normalisation("zscore", ((0.0, 0.0),), ((1.0, 0.0),)),
        Normalisation("zscore", ((0.0, 0.0),), ((1.0, 1e-60),)),
        Normalisation("zscore", ((0.0, 1e60),), ((1.0, 1.0),)),
        Normalisation("zscore", ((0.0, 0.0),) * 2, ((1.0, 1.0),) * 2),
        Normalisation("zscore", ((0.0, 0.0),), ((1.0, 1.0),), clip=0.0),
        Normalisation("zscore", ((0.0, 0.0),), ((1.0, 1.0),), Regimes((2,), (1.0,), ((0.0,),))),
        Normalisation("zscore", ((0.0, 0.0),), ((1.0, 1.0),), Regimes((0,), (0.0,), ((0.0,),))),
        Normalisation("zscore", ((0.0, 0.0),), ((1.0, 1.0),), Regimes((0,), (1.0, 1.0), ((0.0,),))),
        Normalisation("zscore", ((0.0, 0.0),), ((1.0, 1.0),), Regimes((0,), (1.0,), ((0.0,), (1.0,)))),
    ],
)
def test_normalisation_that_contradicts_itself_is_refused(normalisation: Normalisation) -> None:
    with pytest.raises(BundleFormatError, match="normalisation"):
        WindowPreprocessor(plain(normalisation), tensor())


@pytest.mark.parametrize(
    "spec",
    [
        tensor(shape=(1, 2, 4)),
        tensor(shape=(4, 2)),
        tensor("int32"),
        tensor(zero_point=200),
        TensorSpec(name="window", dtype="int8", shape=(1, 4, 2)),
    ],
)
def test_preprocessing_that_does_not_fit_the_model_is_refused(spec: TensorSpec) -> None:
    with pytest.raises(BundleFormatError, match="window"):
        WindowPreprocessor(plain(), spec)
