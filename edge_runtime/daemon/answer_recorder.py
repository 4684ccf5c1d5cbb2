"""Golden answers on their way into the bundle store: the daemon does not wait while another program holds it."""

from __future__ import annotations

from collections.abc import Callable

from edge_runtime.bundle.reader import Bundle
from edge_runtime.bundle.store import BundleStore
from edge_runtime.daemon import protocol
from edge_runtime.daemon.models import record_answers
from edge_runtime.errors import BundleError, HostEnvironmentError, StoreBusyError

_EVERY_S = 0.5


class AnswerRecorder:
    """Records what models answered, at once or as soon as the store is free.

    Parameters
    ----------
    store : BundleStore
        One that does not wait.
    clock : callable
        Monotonic, s.
    """

    def __init__(self, store: BundleStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._waiting: dict[tuple[str, str], tuple[Bundle, protocol.Answers, Callable[[str], None]]] = {}
        self._next = 0.0

    def record(self, bundle: Bundle, answers: protocol.Answers, failed: Callable[[str], None]) -> None:
        """Record answers, or keep them for ``poll`` where another program holds the store.

        Parameters
        ----------
        bundle : Bundle
            Whose answers they are.
        answers : Answers
            What it answered here.
        failed : callable
            Takes the reason where they cannot be recorded.

        Raises
        ------
        BundleError
            If other answers are recorded already.
        """
        key = (bundle.digest, answers.engine)
        try:
            record_answers(self._store, bundle, answers)
        except StoreBusyError:
            self._waiting[key] = (bundle, answers, failed)
            self._next = self._clock() + _EVERY_S
        except HostEnvironmentError as error:
            failed(str(error))

    def poll(self) -> None:
        """Try again what waits."""
        if not self._waiting or self._clock() < self._next:
            return
        waiting, self._waiting = self._waiting, {}
        for bundle, answers, failed in waiting.values():
            try:
                self.record(bundle, answers, failed)
            except BundleError as error:
                failed(str(error))
