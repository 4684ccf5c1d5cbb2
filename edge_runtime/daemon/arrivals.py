"""Bundles that were ordered, one after the other into the store; how far each is stands in the release book."""

from __future__ import annotations

import logging
from collections.abc import Callable

from msgspec.structs import replace

from edge_runtime.config import Config
from edge_runtime.daemon.commands import audit
from edge_runtime.daemon.installer import Installer
from edge_runtime.daemon.installing import InstallTask, Progress
from edge_runtime.daemon.release_book import Release, ReleaseBook

_log = logging.getLogger(__name__)

_RETRY_S = 1.0


class Arrivals:
    """Installs what the book says is to be fetched; a killed process begins that anew at its next start.

    Parameters
    ----------
    config : Config
        Store, broker, time-outs.
    book : ReleaseBook
        What is ordered.
    installer : Installer
        Does it, in a process of its own.
    fleet_topic : callable
        Gives the fleet's topic of a digest.
    clock : callable
        Monotonic, s.
    """

    def __init__(
        self,
        config: Config,
        book: ReleaseBook,
        installer: Installer,
        *,
        fleet_topic: Callable[[str], str],
        clock: Callable[[], float],
    ) -> None:
        self._config = config
        self._book = book
        self._installer = installer
        self._fleet_topic = fleet_topic
        self._clock = clock
        self._present = ("", "")
        self._not_before = 0.0

    def poll(self) -> None:
        """Take what the installer says, and begin what waits."""
        for progress in self._installer.poll():
            self._take(progress)
        self.begin_due()

    def filenos(self) -> list[int]:
        """Descriptors that become readable when ``poll`` has something to do."""
        return self._installer.filenos()

    def drop(self, model: str) -> None:
        """End the installation of a name."""
        if self._present[0] == model:
            self.close()

    def close(self) -> None:
        """End the installer; what it was at stays in the book."""
        self._installer.close()
        self._present = ("", "")

    def begin_due(self) -> None:
        """Begin the next installation."""
        if self._installer.busy or self._clock() < self._not_before:
            return
        waiting = next((each for each in self._book if each.state in {"fetching", "verifying"}), None)
        if waiting is not None:
            self._begin(waiting)

    def _begin(self, release: Release) -> None:
        task = InstallTask(
            model=release.model,
            sha256=release.sha256,
            source=release.source,
            topic=self._fleet_topic(release.sha256),
            store=self._config.bundles.store,
            broker=self._config.broker,
            timeout_s=self._config.rollout.fetch_timeout_s,
        )
        try:
            self._installer.start(task)
        except OSError as error:
            _log.warning("stage=processing a bundle cannot be installed now: %s", error)
            self._not_before = self._clock() + _RETRY_S
        else:
            self._present = (release.model, release.sha256)

    def _take(self, progress: Progress) -> None:
        """Keep how far an installation is."""
        model, sha256 = self._present
        release = self._book.find(model)
        if release is None or release.sha256 != sha256:
            return
        version, number = progress.version or release.version, progress.release or release.release
        release = replace(release, version=version, release=number)
        if progress.state == "stored":
            audit.info("event=model_stored model=%s sha256=%s", model, sha256)
            self._book.change_state(replace(release, state="ready"))
        elif progress.state == "refused":
            reason = f"{progress.word}: {progress.reason}"
            audit.info("event=model_refused model=%s sha256=%s reason=%r", model, sha256, reason)
            self._book.change_state(replace(release, state="refused", refusal=reason))
        else:
            self._book.change_state(replace(release, state="fetching" if progress.state == "fetching" else "verifying"))
