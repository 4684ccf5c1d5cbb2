"""The child process in which TensorFlow works: converters crash, and an import of it costs seconds.

One child serves several jobs of a build, so that the import is paid once. A job is a name and files in a folder of its
own; a child that dies is a clear error, and the next job gets a new one.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

import msgspec

from edge_runtime.errors import ConversionError, UnsupportedModelError

_LINE_BYTES = 1 << 20


class Reply(msgspec.Struct, frozen=True):
    """What the child answers: a result, or the kind and text of an error."""

    result: dict[str, Any] = {}
    error: str = ""
    text: str = ""


class Foundry:
    """Runs jobs in a child process.

    Parameters
    ----------
    timeout_s : float
        For one job.
    """

    def __init__(self, *, timeout_s: float = 1800.0) -> None:
        self._timeout_s = timeout_s
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, job: str, arguments: Mapping[str, object]) -> dict[str, Any]:
        """Run one job.

        Parameters
        ----------
        job : str
            Name of a function of ``edge_runtime.compress.jobs``.
        arguments : mapping
            Plain values; arrays and models travel as files.

        Returns
        -------
        result : dict
            Plain values.

        Raises
        ------
        UnsupportedModelError
            If the model cannot take the method; the text names the layer.
        ConversionError
            If the converter refuses, crashes or hangs.
        """
        child = self._child or self._start()
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(msgspec.json.encode({"job": job, "arguments": dict(arguments)}) + b"\n")
            child.stdin.flush()
            line = self._read_line(child, job)
        except BrokenPipeError:
            line = b""
        if not line:
            raise ConversionError(f"{job}: {self._cause_of_death(child)}")
        reply = msgspec.json.decode(line, type=Reply)
        if reply.error == "unsupported":
            raise UnsupportedModelError(reply.text)
        if reply.error:
            raise ConversionError(reply.text)
        return reply.result

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
                if pipe is not None:
                    with suppress(OSError):  # what was not flushed into a dead child
                        pipe.close()
            self._child = None

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "KERAS_BACKEND": "tensorflow",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1",
        }
        self._child = subprocess.Popen(
            [sys.executable, "-m", "edge_runtime.compress.jobs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        return self._child

    def _read_line(self, child: subprocess.Popen[bytes], job: str) -> bytes:
        """Wait for the answer, for so long at most."""
        assert child.stdout is not None
        ready, _, _ = select.select([child.stdout], [], [], self._timeout_s)
        if not ready:
            self.close()
            raise ConversionError(f"{job}: no answer after {self._timeout_s:g} s; the model may be too large for it")
        return child.stdout.readline(_LINE_BYTES)

    def _cause_of_death(self, child: subprocess.Popen[bytes]) -> str:
        """Say how the child ended."""
        status = child.wait()
        self.close()
        if status < 0:
            with suppress(ValueError):
                return (
                    f"the converter crashed ({signal.Signals(-status).name}); the model holds something it cannot take"
                )
        return f"the converter ended with status {status}; the model holds something it cannot take"
