"""The child process of the probe: ``python -m edge_runtime.inference.probe_child TASK RESULT MEMORY CPU_S WALL_S``.

It limits itself before it imports anything large, reads its task from one open file and writes its answer into
another. Whatever the model does, it does it here.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Sequence

MAX_RESULT_BYTES = 64 << 20


def main(arguments: Sequence[str]) -> int:
    """Limit this process, then do the task.

    Parameters
    ----------
    arguments : sequence of str
        Two file descriptors, bytes of address space, seconds of CPU, seconds on the wall.

    Returns
    -------
    status : int
        0 when an answer was written, also a refusal.
    """
    task_fd, result_fd, address_space_bytes, cpu_s, wall_s = (int(argument) for argument in arguments)
    signal.alarm(wall_s)  # the parent kills before; this is for the child of a parent that is gone
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (address_space_bytes, address_space_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_RESULT_BYTES, MAX_RESULT_BYTES))
    from edge_runtime.inference.measuring import answer  # noqa: PLC0415 - only once the limits hold

    with os.fdopen(task_fd, "rb") as file:
        task = file.read()
    with os.fdopen(result_fd, "wb") as file:
        file.write(answer(task))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
