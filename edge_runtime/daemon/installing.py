"""The process that takes a bundle from its source into the store: fetch, verify, probe, store; it activates nothing.

It is apart from the supervisor because it waits for networks, holds a whole bundle in memory, and reads what strangers
wrote. Killed at any point it leaves the store as it was or with the bundle in it; doing it again does no harm.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from edge_runtime.bundle.reader import Bundle, read_bundle
from edge_runtime.bundle.store import BundleStore
from edge_runtime.config import BrokerSettings
from edge_runtime.daemon.fetching import NoArchiveError, fetch_bundle
from edge_runtime.daemon.sandbox import die_with_parent
from edge_runtime.errors import (
    AccuracyGateError,
    BrokerError,
    BundleCompatibilityError,
    BundleFormatError,
    BundleIntegrityError,
    BundleRollbackError,
    BundleSignatureError,
    EdgeRuntimeError,
    HostEnvironmentError,
    InferenceError,
)

_NICENESS = 5
_REASON_LENGTH = 1500


class InstallTask(Struct, frozen=True, kw_only=True):
    """What to install, from where, and into which store."""

    model: str
    sha256: str
    source: str
    topic: str
    store: str
    broker: BrokerSettings
    timeout_s: float


class Progress(Struct, frozen=True, kw_only=True):
    """How far it is: one line of JSON on standard output. ``stored`` and ``refused`` are the last one.

    ``word`` is the stable word of a refusal.
    """

    state: str
    version: str = ""
    release: int = 0
    word: str = ""
    reason: str = ""


#: The stable word of a refusal after the bytes are there, by the error that says it; the first that fits.
WORDS: tuple[tuple[type[EdgeRuntimeError], str], ...] = (
    (BundleSignatureError, "signature"),
    (BundleIntegrityError, "integrity"),
    (BundleRollbackError, "older"),
    (BundleFormatError, "format"),
    (BundleCompatibilityError, "golden"),
    (AccuracyGateError, "limits"),
    (InferenceError, "probe"),
    (HostEnvironmentError, "host"),
)


def main() -> int:
    """Read a task from standard input, carry it out, and say on standard output how far it is."""
    parent = os.getppid()
    die_with_parent()
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=InstallTask)
    if os.getppid() != parent:
        return 1
    os.nice(_NICENESS)
    install(task, _say)
    return 0


def install(task: InstallTask, say: Callable[[Progress], None]) -> None:
    """Take a bundle through the whole order of the contract, up to the store.

    Parameters
    ----------
    task : InstallTask
        What and where.
    say : callable
        Takes every step; the last is ``stored`` or ``refused``.
    """
    say(Progress(state="fetching"))
    try:
        data = fetch_bundle(task.source, task.sha256, broker=task.broker, topic=task.topic, timeout_s=task.timeout_s)
    except (HostEnvironmentError, BrokerError) as error:
        say(_refused("unreachable", error))
        return
    except BundleFormatError as error:
        say(_refused("format" if isinstance(error, NoArchiveError) else "too_large", error))
        return
    except BundleIntegrityError as error:
        say(_refused("digest", error))
        return
    say(Progress(state="verifying"))
    _verify(task, data, say)


def _verify(task: InstallTask, data: bytes, say: Callable[[Progress], None]) -> None:
    """Signature, digests, release, probe, golden outputs, limits, store."""
    store = BundleStore(Path(task.store))
    bundle: Bundle | None = None
    try:
        bundle = read_bundle(data, store.trust.keys())
        manifest = bundle.manifest
        if manifest.name != task.model:
            say(Progress(state="refused", word="other_model", reason=f'the bundle is of "{manifest.name}"'))
            return
        say(Progress(state="verifying", version=manifest.version, release=manifest.release))
        # Engines are loaded for a bundle that is signed and new, and for no other.
        from edge_runtime.inference.loading import store_bundle  # noqa: PLC0415 - heavy

        store_bundle(bundle, store)
    except EdgeRuntimeError as error:
        word = next((word for kind, word in WORDS if isinstance(error, kind)), "internal")
        say(_refused(word, error, bundle))
        return
    say(Progress(state="stored", version=manifest.version, release=manifest.release))


def _refused(word: str, error: EdgeRuntimeError, bundle: Bundle | None = None) -> Progress:
    """Say why not."""
    version, release = ("", 0) if bundle is None else (bundle.manifest.version, bundle.manifest.release)
    reason = str(error)[:_REASON_LENGTH]
    return Progress(state="refused", word=word, reason=reason, version=version, release=release)


def _say(progress: Progress) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(progress) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
