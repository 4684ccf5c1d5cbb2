"""Keep the engines' chatter off standard error without losing a real message."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)

_STANDARD_ERROR = 2
_CHATTER = re.compile(rb"(INFO|VERBOSE): ")
_lock = threading.Lock()


def without_chatter(text: bytes) -> bytes:
    r"""Leave out the lines that an engine writes only to inform.

    Parameters
    ----------
    text : bytes
        What was written to standard error.

    Returns
    -------
    text : bytes
        Warnings, errors and everything unknown, unchanged.

    Examples
    --------
    >>> without_chatter(b"INFO: Created delegate for CPU.\nERROR: no\n")
    b'ERROR: no\n'
    """
    return b"".join(line for line in text.splitlines(keepends=True) if _CHATTER.match(line) is None)


@contextmanager
def quiet_engine() -> Iterator[None]:
    """Hold back what native code writes to standard error inside the block.

    Informative lines go to the log at debug level; everything else is written out when the block ends. The text is held
    in memory, because a sandboxed worker may write no file.
    """
    with _lock, os.fdopen(os.memfd_create("engine-stderr", os.MFD_CLOEXEC), "w+b") as held:
        try:
            original = os.dup(_STANDARD_ERROR)
        except OSError:  # standard error is closed: there is nothing to hold back
            yield
            return
        os.dup2(held.fileno(), _STANDARD_ERROR)
        try:
            yield
        finally:
            os.dup2(original, _STANDARD_ERROR)
            os.close(original)
            held.seek(0)
            text = held.read()
            rest = without_chatter(text)
            if rest:
                os.write(_STANDARD_ERROR, rest)
            elif text:
                logger.debug("event=engine_chatter text=%r", text)
