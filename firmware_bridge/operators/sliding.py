"""How far an output may run into the input that it is computed from, for operators that go over an image in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Geometry:
    """Window, steps and padding of a sliding operator."""

    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    pad_top: int
    pad_left: int

    def values(self) -> dict[str, int]:
        """Fields of the C parameter struct."""
        return {
            "kernel_h": self.kernel_h,
            "kernel_w": self.kernel_w,
            "stride_h": self.stride_h,
            "stride_w": self.stride_w,
            "dilation_h": self.dilation_h,
            "dilation_w": self.dilation_w,
            "pad_top": self.pad_top,
            "pad_left": self.pad_left,
        }


def slide_distance(
    window: Geometry, source: tuple[int, ...], target: tuple[int, ...], *, per_channel: bool = False
) -> int:
    """Return how many bytes before the input an output may begin although it overlaps it.

    Output pixels are written in order; before pixel ``p`` is complete nothing may be overwritten that pixel ``p`` or a
    later one reads.

    Parameters
    ----------
    window : Geometry
        Of the operator.
    source, target : tuple of int
        Shapes, NHWC, int8.
    per_channel : bool
        Each output channel reads only its own input channel, and the kernel may go over the image once per channel:
        the distance is a whole number of pixels, and the one that is used must be, too.

    Returns
    -------
    distance : int
        At least 0.

    Examples
    --------
    >>> slide_distance(Geometry(1, 1, 1, 1, 1, 1, 0, 0), (1, 4, 4, 8), (1, 4, 4, 8))
    8
    """
    batches, out_h, out_w, out_channels = target
    rows = np.maximum(np.arange(out_h) * window.stride_h - window.pad_top, 0)
    columns = np.maximum(np.arange(out_w) * window.stride_w - window.pad_left, 0)
    first = (rows[:, None] * source[2] + np.minimum(columns, source[2] - 1)[None, :]) * source[3]
    image = source[1] * source[2] * source[3]
    needed = (np.arange(batches)[:, None] * image + np.minimum(first.reshape(1, -1), image)).reshape(-1)
    from_here = np.minimum.accumulate(needed[::-1])[::-1]
    written = (np.arange(needed.size) + 1) * out_channels
    distance = max(0, int((written - from_here).max()))
    return -(-distance // source[3]) * source[3] if per_channel else distance
