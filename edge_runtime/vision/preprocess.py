"""A frame to the input tensor of a model: the one function for calibration, evaluation and the device."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import ImagePreprocessing, TensorSpec
from edge_runtime.errors import BundleFormatError, PayloadFormatError
from edge_runtime.kernels import geometry, image, quantize

Pixels = npt.NDArray[np.uint8]

#: Exact halves go away from zero, as TFLite's reference quantization of float input does; for every engine.
TIES: Final = "away"

_GEOMETRY: Final = {"stretch": geometry.stretch, "letterbox": geometry.letterbox, "crop": geometry.crop}
#: For each colour of the model and number of channels of the frame: the frame's channel of each model channel.
_ORDER: Final[dict[tuple[str, int], tuple[int, ...]]] = {
    ("rgb", 3): (2, 1, 0),
    ("bgr", 3): (0, 1, 2),
    ("gray", 3): (0,),
    ("rgb", 1): (0, 0, 0),
    ("bgr", 1): (0, 0, 0),
    ("gray", 1): (0,),
}
#: Frame sizes whose resampling is kept worked out.
_MAX_SIZES: Final = 8


class ImagePreprocessor:
    """Turn frames into the input tensor that a bundle's manifest describes.

    Resize, colour order or luma, ``(byte - mean) / std`` per channel, and the tensor's code, with the arithmetic
    of ``docs/formats/preprocessing.md``. A grey frame for a colour model is repeated in each channel.

    Parameters
    ----------
    preprocessing : ImagePreprocessing
        What the manifest says.
    tensor : TensorSpec
        The model's input: float32, int8, uint8 or int16, of shape (1, height, width, channels).

    Raises
    ------
    BundleFormatError
        If ``preprocessing`` and ``tensor`` do not fit together.
    """

    def __init__(self, preprocessing: ImagePreprocessing, tensor: TensorSpec) -> None:
        self.preprocessing = preprocessing
        self.tensor = tensor
        n_channels = 1 if preprocessing.colour == "gray" else 3
        shape = (1, preprocessing.resize.height, preprocessing.resize.width, n_channels)
        if tuple(tensor.shape) != shape:
            raise BundleFormatError(
                f'preprocessing gives {shape} (batch, height, width, channels), but input "{tensor.name}" is '
                f"{tuple(tensor.shape)}: correct the preprocessing's resize and colour"
            )
        self._shape = shape
        self._dtype = np.dtype(tensor.dtype)
        self._tables = _byte_tables(preprocessing, tensor, n_channels)
        self._resamplers: dict[tuple[int, int, int], image.Resampler] = {}

    def __call__(self, pixels: Pixels) -> npt.NDArray[Any]:
        """Give the input tensor of one frame.

        Parameters
        ----------
        pixels : uint8, shape (height, width, 3) or (height, width)
            Blue, green, red; or grey.

        Returns
        -------
        tensor : dtype and shape of the TensorSpec
            A new array.

        Raises
        ------
        PayloadFormatError
            If ``pixels`` is no such frame.
        """
        out = np.empty(self._shape, self._dtype)
        self.fill_into(pixels, out)
        return out

    def fill_into(self, pixels: Pixels, out: npt.NDArray[Any]) -> None:
        """Write the input tensor of one frame into memory that is used again.

        Parameters
        ----------
        pixels : uint8, shape (height, width, 3) or (height, width)
            Blue, green, red; or grey. C-contiguous frames are not copied.
        out : dtype and shape of the TensorSpec, C-contiguous
            Written, every element.

        Raises
        ------
        PayloadFormatError
            If ``pixels`` is no such frame.
        ValueError
            If ``out`` has another shape or is not contiguous.
        TypeError
            If ``out`` has another dtype.
        """
        if out.shape != self._shape:
            raise ValueError(f"expected an output of shape {self._shape}, got {out.shape}")
        resampler = self._resampler(pixels)
        resampler.fill(np.ascontiguousarray(pixels), self._tables, self.preprocessing.resize.pad, out[0])

    def _resampler(self, pixels: Pixels) -> image.Resampler:
        """Give the resampler of this frame's size; the last few sizes are kept."""
        n_channels = 1 if pixels.ndim == 2 else pixels.shape[-1]  # noqa: PLR2004 - height, width
        order = _ORDER.get((self.preprocessing.colour, n_channels))
        if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or order is None or 0 in pixels.shape:
            raise PayloadFormatError(
                f"a frame is uint8 (height, width, 3) or (height, width), got {pixels.dtype} {pixels.shape}",
                reason="frame_shape",
            )
        height, width = pixels.shape[:2]
        if max(height, width) > geometry.MAX_SIDE_PX:
            raise PayloadFormatError(
                f"a frame is at most {geometry.MAX_SIDE_PX} px high and wide, got {height} x {width}",
                reason="frame_shape",
            )
        key = (height, width, n_channels)
        resampler = self._resamplers.pop(key, None)
        if resampler is None:
            resize = self.preprocessing.resize
            rectangles = _GEOMETRY[resize.mode](height, width, resize.height, resize.width)
            resampler = image.Resampler(rectangles, n_channels, resize.interpolation, order)
            if len(self._resamplers) >= _MAX_SIZES:
                self._resamplers.pop(next(iter(self._resamplers)))
        self._resamplers[key] = resampler
        return resampler


def _byte_tables(preprocessing: ImagePreprocessing, tensor: TensorSpec, n_channels: int) -> npt.NDArray[Any]:
    """Work out the code of every byte of every channel."""
    mean, std = preprocessing.mean, preprocessing.std
    if len(mean) != n_channels or len(std) != n_channels:
        raise BundleFormatError(
            f"preprocessing has {len(mean)} means and {len(std)} deviations for {n_channels} channels "
            f"({preprocessing.colour}): give one per channel"
        )
    dtype = tensor.dtype
    scale, zero_point = 1.0, 0
    if dtype not in ("float32", "int8", "uint8", "int16"):
        raise BundleFormatError(f'input "{tensor.name}" is {dtype}: frames become float32, int8, uint8 or int16')
    if dtype != "float32":
        quantization = tensor.quantization
        if quantization is None or len(quantization.scale) != 1 or len(quantization.zero_point) != 1:
            raise BundleFormatError(f'input "{tensor.name}" is {dtype} and needs one scale and one zero point')
        scale, zero_point = quantization.scale[0], quantization.zero_point[0]
    try:
        rows = [quantize.byte_table(m, s, dtype, scale, zero_point, ties=TIES) for m, s in zip(mean, std, strict=True)]
    except ValueError as error:
        raise BundleFormatError(f'preprocessing of input "{tensor.name}": {error}') from error
    return np.stack(rows)
