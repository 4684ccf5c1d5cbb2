"""The process that workers are forked from: it has paid for imports and compiled kernels, so a new one stands at once.

It holds no model, no input and no thread. It listens on one socket; each request carries a channel and a memory file
with the worker's orders. ``SIGCHLD`` is ignored so that the kernel collects dead workers.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import traceback
from typing import NoReturn, get_args

from edge_runtime.daemon.ring import RingView
from edge_runtime.daemon.sandbox import die_with_parent

_BIG_IMAGE_PIXELS = 1 << 28


def main(arguments: list[str]) -> int:
    """Serve fork requests until the supervisor closes the socket.

    Parameters
    ----------
    arguments : list of str
        Control descriptor, ring descriptor, number of slots, bytes per slot, memory limit in bytes, and the engine
        formats to import, such as ``tflite,onnx``. ``again`` behind them after a first start.
    """
    control_fd, ring_fd, n_slots, slot_bytes, memory_limit = (int(word) for word in arguments[:5])
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    compiled = _import_engines(arguments[5].split(","))
    if compiled and "again" not in arguments:
        # The compiler leaves a hundred megabytes behind; the next start loads what it made.
        os.execv(sys.executable, [sys.executable, "-m", "edge_runtime.daemon.launcher", *arguments, "again"])  # noqa: S606
    gc.collect()
    gc.freeze()  # collections in a worker then leave the pages alone that it shares with this process
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    control = socket.socket(fileno=control_fd)
    control.send(b"up")
    launcher = os.getpid()
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, 16, 2)
        if not request:
            return 0
        pid = os.fork()
        if pid == 0:
            control.close()
            _be_worker(descriptors, (ring_fd, n_slots, slot_bytes), memory_limit, launcher)
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(str(pid).encode())


def _import_engines(formats: list[str]) -> bool:
    """Load everything that a worker uses, so that forked ones share its pages and import nothing in the sandbox.

    Returns
    -------
    compiled : bool
        Whether kernels had to be compiled.
    """
    # OpenCV reads this once, at its import.
    os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(_BIG_IMAGE_PIXELS)
    import cv2  # noqa: PLC0415 - heavy, and only after the line above

    from edge_runtime.daemon import worker  # noqa: F401, PLC0415 - heavy, and forked workers share it
    from edge_runtime.inference.opening import Format, choose_engine  # noqa: PLC0415 - heavy
    from edge_runtime.kernels import warm_up  # noqa: PLC0415 - heavy
    from edge_runtime.kernels._jit import compiles_during  # noqa: PLC0415 - heavy

    cv2.setNumThreads(0)
    for model_format in get_args(Format):
        if model_format in formats:
            choose_engine(model_format)
    return compiles_during(warm_up)


def _be_worker(descriptors: list[int], ring: tuple[int, int, int], memory_limit: int, launcher: int) -> NoReturn:
    """Be a worker until the channel closes; nothing that the launcher wanted done at its end is done here."""
    status = 1
    try:
        status = _work(descriptors, RingView(*ring), memory_limit, launcher)
    finally:
        try:
            if sys.exc_info()[1] is not None:
                traceback.print_exc()
        finally:
            os._exit(status)


def _work(descriptors: list[int], ring: RingView, memory_limit: int, launcher: int) -> int:
    """Serve, unless the launcher is gone already and could not take this process along."""
    from edge_runtime.daemon.worker import serve  # noqa: PLC0415 - loaded already

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    die_with_parent()
    if os.getppid() != launcher:
        return 1
    channel, orders = descriptors
    return serve(socket.socket(fileno=channel), orders, ring, memory_limit)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
