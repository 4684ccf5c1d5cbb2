"""Compile every kernel, or load it from the cache, before the first frame comes."""

from __future__ import annotations

from edge_runtime.kernels import image, quantize, window


def warm_up() -> None:
    """Compile or load every kernel for every dtype that it is used with.

    The worker calls it at its start: the first frame then waits for no compiler. It takes a few tenths of a second
    with a filled cache and several seconds with an empty one.
    """
    quantize.warm_up()
    image.warm_up()
    window.warm_up()
