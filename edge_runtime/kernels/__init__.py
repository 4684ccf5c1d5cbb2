"""Loops over arrays, compiled; they import nothing of ours."""

from __future__ import annotations


def warm_up() -> None:
    """Compile or load every kernel for every dtype that it is used with.

    The worker calls it at its start: the first frame then waits for no compiler. It takes some tenths of a second
    with a filled cache and several seconds with an empty one.
    """
    from edge_runtime.kernels import image, quantize, window  # noqa: PLC0415 - the package alone loads no compiler

    quantize.warm_up()
    image.warm_up()
    window.warm_up()
