"""What every engine must satisfy. One class; a subclass per engine says how its models are opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from edge_runtime.errors import InvocationError, ModelLoadError, TensorMismatchError
from edge_runtime.inference.interface import Array, Runtime
from edge_runtime.inference.opening import Format, engine_status, open_runtime

MODELS = Path(__file__).resolve().parents[1] / "golden" / "models"
WEIGHTS_SEED = 20240501


def image_twin(image: Array) -> Array:
    """Compute the image model in double precision."""
    rng = np.random.default_rng(WEIGHTS_SEED)
    weights = rng.integers(-127, 128, (3, 192), dtype=np.int8).astype(np.float64) / 1024
    bias = rng.integers(-200, 200, 3, dtype=np.int32).astype(np.float64) / 65536
    logits = weights @ (image.astype(np.float64).ravel() / 64) + bias
    powers = np.exp(logits - logits.max())
    codes: Array = np.clip(np.rint(powers / powers.sum() * 256) - 128, -128, 127)
    return codes.reshape(1, 3)


class RuntimeContract:
    """The behaviour that the rest of the runtime builds on."""

    engine: ClassVar[str]
    format: ClassVar[Format]
    #: How far integer results may lie from exact arithmetic: logits are rounded to 1/16 inside the TFLite twin.
    max_steps: ClassVar[int] = 5

    def open(self, name: str) -> Runtime:
        return open_runtime(self.file(name), self.format, engine=self.engine)

    def file(self, name: str) -> bytes:
        return (MODELS / f"{name}.{self.format}").read_bytes()

    def images(self, n: int = 8) -> list[Array]:
        rng = np.random.default_rng(11)
        return [rng.integers(-128, 128, (1, 8, 8, 3), dtype=np.int8) for _ in range(n)]

    def windows(self, n: int = 4) -> list[Array]:
        rng = np.random.default_rng(12)
        return [rng.normal(size=(1, 4, 2)).astype(np.float32) for _ in range(n)]

    def test_engine_works_here(self) -> None:
        assert engine_status(self.engine).reason == ""

    def test_identity_names_engine_version_and_instruction_set(self) -> None:
        identity = self.open("image_int8").identity
        assert identity.engine == self.engine
        assert identity.version[0].isdigit()
        assert "-" in identity.instruction_set

    def test_interface_is_read_from_the_model(self) -> None:
        interface = self.open("image_int8").interface
        assert [(spec.name, spec.dtype, spec.shape) for spec in interface.inputs] == [("image", "int8", (1, 8, 8, 3))]
        assert [(spec.name, spec.dtype, spec.shape) for spec in interface.outputs] == [("scores", "int8", (1, 3))]

    def test_outputs_have_the_dtype_and_shape_of_the_interface(self) -> None:
        runtime = self.open("image_int8")
        (output,) = runtime.run(self.images(1))
        assert (output.dtype, output.shape) == (np.dtype(np.int8), (1, 3))

    def test_results_agree_with_exact_arithmetic(self) -> None:
        runtime = self.open("image_int8")
        distances = [np.abs(runtime.run([image])[0] - image_twin(image)).max() for image in self.images()]
        assert max(distances) <= self.max_steps

    def test_equal_input_gives_equal_bits(self) -> None:
        runtime = self.open("image_int8")
        images = self.images()
        first = [runtime.run([image])[0].tobytes() for image in images]
        assert [runtime.run([image])[0].tobytes() for image in images] == first

    def test_two_runtimes_give_equal_bits(self) -> None:
        images = self.images()
        first, second = self.open("image_int8"), self.open("image_int8")
        assert [first.run([each])[0].tobytes() for each in images] == [
            second.run([each])[0].tobytes() for each in images
        ]

    def test_outputs_belong_to_the_caller(self) -> None:
        runtime = self.open("image_int8")
        images = self.images(2)
        (kept,) = runtime.run([images[0]])
        before = kept.copy()
        runtime.run([images[1]])
        np.testing.assert_array_equal(kept, before)

    def test_inputs_are_left_as_they_are(self) -> None:
        runtime = self.open("image_int8")
        (image,) = self.images(1)
        before = image.copy()
        runtime.run([image])
        np.testing.assert_array_equal(image, before)

    def test_state_never_reaches_the_next_window(self) -> None:
        runtime = self.open("recurrent_float")
        first, second = self.windows(2)
        alone = runtime.run([first])[0].tobytes()
        runtime.run([second])
        assert runtime.run([first])[0].tobytes() == alone

    def test_window_alone_equals_the_window_in_a_fresh_runtime(self) -> None:
        used = self.open("recurrent_float")
        windows = self.windows()
        results = [used.run([window])[0].tobytes() for window in windows]
        assert results == [self.open("recurrent_float").run([window])[0].tobytes() for window in windows]

    def test_strided_input_gives_the_same_result(self) -> None:
        runtime = self.open("image_int8")
        (image,) = self.images(1)
        strided = np.repeat(image, 2, axis=2)[:, :, ::2, :]
        assert not strided.flags.c_contiguous
        assert runtime.run([strided])[0].tobytes() == runtime.run([image])[0].tobytes()

    @pytest.mark.parametrize("dtype", ["uint8", "float32", "int16", "bool"])
    def test_wrong_dtype_is_refused_by_name(self, dtype: str) -> None:
        with pytest.raises(TensorMismatchError, match=f'"image": expected int8 .*, got {dtype}'):
            self.open("image_int8").run([np.zeros((1, 8, 8, 3), dtype)])

    @pytest.mark.parametrize("shape", [(8, 8, 3), (1, 8, 8, 4), (2, 8, 8, 3), (1, 192), (0,)])
    def test_wrong_shape_is_refused_by_name(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(TensorMismatchError, match='"image": expected'):
            self.open("image_int8").run([np.zeros(shape, np.int8)])

    def test_foreign_byte_order_is_refused(self) -> None:
        with pytest.raises(TensorMismatchError, match='"window"'):
            self.open("recurrent_float").run([np.zeros((1, 4, 2), ">f4")])

    @pytest.mark.parametrize("count", [0, 2])
    def test_wrong_number_of_inputs_is_refused(self, count: int) -> None:
        with pytest.raises(TensorMismatchError, match="takes 1 inputs"):
            self.open("image_int8").run([np.zeros((1, 8, 8, 3), np.int8)] * count)

    def test_runtime_works_after_a_refusal(self) -> None:
        runtime = self.open("image_int8")
        (image,) = self.images(1)
        expected = runtime.run([image])[0].tobytes()
        with pytest.raises(TensorMismatchError):
            runtime.run([image.astype(np.float32)])
        assert runtime.run([image])[0].tobytes() == expected

    def test_output_that_is_not_a_number_is_an_error(self) -> None:
        with pytest.raises(InvocationError, match="not finite"):
            self.open("logarithm_float").run([np.array([[-1.0, 1.0]], np.float32)])

    def test_infinite_output_is_an_error(self) -> None:
        with pytest.raises(InvocationError, match="not finite"):
            self.open("logarithm_float").run([np.array([[0.0, 1.0]], np.float32)])

    def test_unknown_operator_is_refused_by_name(self) -> None:
        with pytest.raises(ModelLoadError, match=r"(?i)secret"):
            self.open("custom_operator")

    @pytest.mark.parametrize("data", [b"", b"x", b"\x00" * 1000, b"TFL3" * 100])
    def test_bytes_that_are_no_model_are_refused(self, data: bytes) -> None:
        with pytest.raises(ModelLoadError):
            open_runtime(data, self.format, engine=self.engine)

    def test_closed_runtime_is_not_run(self) -> None:
        runtime = self.open("image_int8")
        runtime.close()
        with pytest.raises(InvocationError, match="closed"):
            runtime.run(self.images(1))

    def test_nothing_is_written_to_standard_error(self, capfd: Any) -> None:
        self.open("image_int8").run(self.images(1))
        assert capfd.readouterr().err == ""


class QuantizedContract(RuntimeContract):
    """What engines must satisfy whose model files state quantization parameters."""

    def test_quantization_parameters_are_read_from_the_model(self) -> None:
        interface = self.open("image_int8").interface
        facts = [spec.quantization for spec in (*interface.inputs, *interface.outputs)]
        assert [(each.scale, each.zero_point) for each in facts if each is not None] == [
            ((1 / 64,), (0,)),
            ((1 / 256,), (-128,)),
        ]
