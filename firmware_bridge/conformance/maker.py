"""A graph in the making: tensors, operators, and random choices that are often at a limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from firmware_bridge.model import Operator, Option, Quantization, Tensor


class GraphMaker:
    """Grows one graph; every method that adds an operator returns the index of its output tensor.

    Parameters
    ----------
    dice : numpy.random.Generator
        All choices come from it.
    """

    def __init__(self, dice: np.random.Generator) -> None:
        self.dice = dice
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []

    def pick(self, *choices: int) -> int:
        """Return one of the values."""
        return int(choices[int(self.dice.integers(len(choices)))])

    def tensor(
        self,
        shape: Sequence[int],
        dtype: str = "int8",
        quantization: Quantization | None = None,
        data: npt.NDArray[np.generic] | None = None,
        *,
        variable: bool = False,
    ) -> int:
        """Add a tensor."""
        index = len(self.tensors)
        self.tensors.append(Tensor(index, f"t{index}", dtype, tuple(shape), quantization, data, variable))
        return index

    def operator(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], options: Mapping[str, Option] | None = None
    ) -> None:
        """Add an operator."""
        index = len(self.operators)
        self.operators.append(Operator(index, name, tuple(inputs), tuple(outputs), dict(options or {})))

    def zero_point(self) -> int:
        """Return a zero point, often at a limit."""
        return self.pick(-128, 127, 0, -1, int(self.dice.integers(-128, 128)))

    def code(self, scale: float | None = None) -> Quantization:
        """Return a per-tensor quantization of an int8 tensor."""
        size = float(np.float32(self.dice.uniform(0.005, 0.2) if scale is None else scale))
        return Quantization((size,), (self.zero_point(),), 0)

    def shape(self, index: int) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return self.tensors[index].shape

    def scale(self, index: int) -> float:
        """Return a tensor's scale."""
        found = self.tensors[index].quantization
        return 1.0 if found is None else found.scale[0]

    def quantization(self, index: int) -> Quantization | None:
        """Return a tensor's quantization."""
        return self.tensors[index].quantization

    def constant(self, values: npt.NDArray[np.generic], quantization: Quantization | None = None) -> int:
        """Add a constant."""
        return self.tensor(values.shape, values.dtype.name, quantization, values)

    def weights(self, shape: tuple[int, ...], axis: int, *, per_channel: bool) -> tuple[int, list[float]]:
        """Add random int8 weights; returns the tensor and its scales."""
        extreme = self.dice.random() < 0.2  # noqa: PLR2004 - one in five saturates
        values = self.dice.choice([-127, 127], shape) if extreme else self.dice.integers(-127, 128, shape)
        count = shape[axis] if per_channel else 1
        scales = [float(np.float32(s)) for s in self.dice.uniform(0.001, 0.02, count)]
        quantization = Quantization(tuple(scales), (0,) * count, axis if per_channel else 0)
        return self.constant(values.astype(np.int8), quantization), scales

    def bias(self, source: int, scales: Sequence[float], channels: int) -> int:
        """Add a bias with the scale that the reference demands."""
        product = [float(np.float32(self.scale(source)) * np.float32(scale)) for scale in scales]
        values = self.dice.integers(-20000, 20000, channels).astype(np.int32)
        return self.constant(values, Quantization(tuple(product), (0,) * len(product), 0))

    def result_scale(self, source: int, scales: Sequence[float], depth: int) -> float:
        """Return an output scale: usually one that uses the range, sometimes so fine that shifts become positive."""
        typical = self.scale(source) * max(scales) * 70.0 * 70.0 * float(np.sqrt(depth)) / 60.0
        factor = float(self.dice.choice([1.0, 1.0, 1.0, 0.3, 3.0, 0.00002]))
        return max(typical * factor, 1e-6)

    def activation(self) -> int:
        """Return a fused activation: none, RELU, RELU_N1_TO_1 or RELU6."""
        return self.pick(0, 0, 1, 2, 3)
