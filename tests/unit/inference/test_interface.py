"""Arrays are held to a model's inputs."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.bundle.manifest import TensorSpec
from edge_runtime.errors import TensorMismatchError
from edge_runtime.inference.interface import require_match

SPECS = (TensorSpec(name="a", dtype="int8", shape=(1, 2)), TensorSpec(name="b", dtype="float32", shape=()))


def test_arrays_that_fit_pass() -> None:
    require_match(SPECS, [np.zeros((1, 2), np.int8), np.zeros((), np.float32)])


def test_second_input_is_named_when_it_is_the_one_that_differs() -> None:
    with pytest.raises(TensorMismatchError, match=r'input "b": expected float32 \(\), got float32 \(1,\)'):
        require_match(SPECS, [np.zeros((1, 2), np.int8), np.zeros(1, np.float32)])


def test_wrong_count_is_refused() -> None:
    with pytest.raises(TensorMismatchError, match="takes 2 inputs, got 1"):
        require_match(SPECS, [np.zeros((1, 2), np.int8)])
