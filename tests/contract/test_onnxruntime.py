"""onnxruntime satisfies the contract of engines."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.errors import InvocationError, ModelLoadError
from tests.contract.runtime_contract import RuntimeContract


class TestOnnxruntime(RuntimeContract):
    engine = "onnxruntime"
    format = "onnx"
    max_steps = 1

    def test_weights_in_another_file_are_refused(self) -> None:
        with pytest.raises(ModelLoadError, match="weights"):
            self.open("external_weights")

    def test_dtype_that_the_runtime_does_not_carry_is_refused_by_name(self) -> None:
        with pytest.raises(ModelLoadError, match='input "x" is tensor'):
            self.open("double_abs")

    def test_output_whose_size_depends_on_the_input_is_an_error(self) -> None:
        runtime = self.open("changing_shape")
        assert runtime.run([np.array([[0.0, 1.0]], np.float32)])[0].shape == (2, 1)
        with pytest.raises(InvocationError, match=r'"places" came out with shape \(2, 2\) instead of \(2, 1\)'):
            runtime.run([np.ones((1, 2), np.float32)])

    def test_initial_state_of_an_lstm_is_zero(self) -> None:
        (hidden,) = self.open("recurrent_float").run([np.zeros((1, 4, 2), np.float32)])
        assert not hidden.any()
