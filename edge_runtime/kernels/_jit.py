"""The one Numba import: how every kernel is compiled.

Compiled code is cached on disk. Numba looks for a place in this order: the directory in ``NUMBA_CACHE_DIR``, the
``__pycache__`` beside the source, the user's cache directory. A package that is installed read-only, run by a user
without a home, has only the first: the launcher of the worker process sets ``NUMBA_CACHE_DIR`` before it starts the
worker. Where no place is writable the kernels still run and are compiled again at every start.

The cache knows that a function is stale by the date and size of its own file only. So kernels that call each other
stand in one file, and whoever keeps a cache directory over an upgrade puts the version into its name.

What is loaded from the cache is executed: the directory belongs to the service's user, and nobody else may write there.

With ``NUMBA_DISABLE_JIT=1``, and on machines for which there is no Numba (32-bit ARM), a kernel is the plain Python
function: same results, many times slower.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

try:
    import numba
except ImportError:
    numba = None

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that only loops over arrays.

    Nopython, cached on disk, GIL released, fast-math off: NaN and infinity keep their meaning. Division by zero
    follows IEEE 754 instead of raising, and integers wrap, as in C.

    Parameters
    ----------
    function : callable
        Takes arrays and scalars of fixed dtypes, all contiguous; checks nothing.

    Returns
    -------
    compiled : callable
        Compiles at its first call for each combination of dtypes, or loads that from the cache.
    """
    if numba is None or numba.config.DISABLE_JIT:
        return _interpreted(function)
    compiled: Callable[P, R]
    try:
        compiled = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")(function)
    except RuntimeError as error:
        logger.warning('event=kernel_cache_unavailable kernel=%s reason="%s"', function.__name__, error)
        compiled = numba.njit(nogil=True, fastmath=False, error_model="numpy")(function)
    return compiled


def compiles_during(work: Callable[[], None]) -> bool:
    """Do some work and tell whether anything was compiled for it, rather than loaded from the cache.

    Parameters
    ----------
    work : callable
        Such as a warm-up.

    Returns
    -------
    compiled : bool
        Always False where kernels are plain Python functions.
    """
    if numba is None or numba.config.DISABLE_JIT:
        work()
        return False
    from numba.core import event  # noqa: PLC0415 - belongs to the one Numba import

    with event.install_recorder("numba:compile") as recorder:
        work()
    return bool(recorder.buffer)


def _interpreted(function: Callable[P, R]) -> Callable[P, R]:
    """Run a kernel as Python with the arithmetic of compiled code: no warnings on overflow or NaN."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return run


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give a view that a kernel cannot write to.

    Numba compiles apart for read-only arrays, and arrays made over received bytes are read-only: with this at the
    door of every kernel there is one compiled form for both.
    """
    view = array.view()
    view.flags.writeable = False
    return view
