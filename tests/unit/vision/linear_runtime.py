"""A small real Runtime for tests: one linear layer in float64, quantized at both ends as its TensorSpecs say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import Quantization, TensorSpec
from edge_runtime.errors import InvocationError
from edge_runtime.inference.interface import Array, EngineIdentity, ModelInterface, require_match


def real(spec: TensorSpec, codes: Array) -> npt.NDArray[np.float64]:
    """The real values of a tensor."""
    if spec.quantization is None:
        return codes.astype(np.float64)
    values: npt.NDArray[np.float64] = spec.quantization.scale[0] * (
        codes.astype(np.float64) - spec.quantization.zero_point[0]
    )
    return values


def coded(spec: TensorSpec, values: npt.NDArray[np.float64]) -> Array:
    """The tensor that stands for real values."""
    if spec.quantization is None:
        return values.astype(spec.dtype)
    codes = np.rint(values / spec.quantization.scale[0]) + spec.quantization.zero_point[0]
    limits = np.iinfo(spec.dtype)
    clipped: Array = np.clip(codes, limits.min, limits.max).astype(spec.dtype)
    return clipped


class LinearRuntime:
    """``outputs = weights @ inputs.ravel() + bias``."""

    def __init__(
        self, source: TensorSpec, target: TensorSpec, weights: npt.NDArray[Any], bias: Sequence[float]
    ) -> None:
        self._interface = ModelInterface((source,), (target,))
        self._weights = np.asarray(weights, np.float64)
        self._bias = np.asarray(bias, np.float64)
        self.inputs: list[Array] = []

    @property
    def interface(self) -> ModelInterface:
        """One input, one output."""
        return self._interface

    @property
    def identity(self) -> EngineIdentity:
        """This double."""
        return EngineIdentity("linear", "1", "any")

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Multiply and add; NaN is refused as an engine's wrapper does."""
        require_match(self._interface.inputs, inputs)
        self.inputs.append(inputs[0].copy())
        source, target = self._interface.inputs[0], self._interface.outputs[0]
        values = self._weights @ real(source, inputs[0]).reshape(-1) + self._bias
        if not np.isfinite(values).all():
            raise InvocationError("the model gave NaN or infinity")
        return (coded(target, values.reshape(target.shape)),)

    def close(self) -> None:
        """Nothing is held."""


def spec(name: str, dtype: Any, shape: tuple[int, ...], scale: float | None = None, zero_point: int = 0) -> TensorSpec:
    """A TensorSpec, quantized per tensor where a scale is given."""
    quantization = None if scale is None else Quantization((scale,), (zero_point,))
    return TensorSpec(name=name, dtype=dtype, shape=shape, quantization=quantization)
