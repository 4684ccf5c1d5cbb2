"""What the gateway remembers about new models: kept in the outbox's state table, told on retained topics."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.rollout import ENDED, Stage
from edge_runtime.messages import Digest, Identifier, ModelCandidate, ModelRollout

_log = logging.getLogger(__name__)

#: Key prefix in the outbox's state table; the model's name follows.
RELEASE = "release/"
#: Names that are remembered; another one is refused while none of them has ended.
MODELS_KEPT = 64
_ROLLED_BACK_KEPT = 64
_TEXT_LENGTH = 2000

CandidateState = Literal["fetching", "verifying", "ready", "refused"]
#: ``""`` as long as no trial has begun; ``promoting`` and ``going_back`` until the worker runs what was decided.
Course = Stage | Literal["", "promoting", "going_back"]
_TOLD: dict[str, Literal["shadow", "canary", "promoted", "rolled_back"]] = {
    "shadow": "shadow",
    "canary": "canary",
    "probation": "promoted",
    "promoted": "promoted",
    "going_back": "rolled_back",
    "rolled_back": "rolled_back",
}


class Release(Struct, frozen=True, kw_only=True):
    """The last new model under one name, from its order to its end.

    ``course`` is how far its rollout is, ``told`` the stage that was told before it began to wait for a person.
    ``automatic`` says that it was sent back by a limit, not by a person. ``rolled_back`` holds digests of this name
    that are not taken again unasked. ``p95_ms`` is the processor time of the model before, 95th percentile, and
    ``before_bytes`` what the worker took with it, 0 if unknown; ``n_lost`` counts inputs on which the worker was lost
    during the probation.
    """

    model: Identifier
    sha256: Digest
    source: str = "fleet"
    issuer: str = ""
    state: CandidateState
    version: str = ""
    release: int = 0
    refusal: str = ""
    state_ms: int = 0
    course: Course = ""
    told: Literal["shadow", "canary"] = "shadow"
    share: float = 0.0
    reason: str = ""
    course_ms: int = 0
    automatic: bool = False
    from_sha256: str | None = None
    from_release: int | None = None
    p95_ms: float = 0.0
    before_bytes: int = 0
    n_lost: int = 0
    rolled_back: tuple[str, ...] = ()

    @property
    def is_sent_back(self) -> bool:
        """Whether a limit, and not a person, sent it back."""
        return self.automatic and self.state == "ready" and self.course in {"going_back", "rolled_back"}

    @property
    def has_ended(self) -> bool:
        """Whether nothing happens to it any more."""
        return self.state == "refused" or (self.state == "ready" and self.course in ENDED)

    def as_candidate(self) -> ModelCandidate:
        """Write what is retained on ``model/<m>/candidate``."""
        return ModelCandidate(
            model=self.model,
            version=self.version,
            release=self.release,
            sha256=self.sha256,
            state=self.state,
            reason=self.refusal[:_TEXT_LENGTH],
            timestamp_ms=self.state_ms,
        )

    def as_rollout(self) -> ModelRollout | None:
        """Write what is retained on ``model/<m>/rollout``; None as long as no trial has begun."""
        if not self.course:
            return None
        return ModelRollout(
            model=self.model,
            stage=_TOLD.get(self.course, self.told),
            share=self.share,
            from_sha256=self.from_sha256,
            to_sha256=self.sha256,
            reason=self.reason[:_TEXT_LENGTH],
            timestamp_ms=self.course_ms,
        )


@dataclass(frozen=True, slots=True)
class Told:
    """Whom changes are told.

    Attributes
    ----------
    candidate, rollout : callable
        Take what is retained.
    alarm : callable
        Takes the word of a system alarm, whether its cause holds, and a sentence.
    stage : callable
        Takes a model and the stage that it reached.
    """

    candidate: Callable[[ModelCandidate], None]
    rollout: Callable[[ModelRollout], None]
    alarm: Callable[[str, bool, str], None]
    stage: Callable[[str, str], None] = lambda _model, _stage: None


class ReleaseBook:
    """Every model that was ever ordered over MQTT, the last release of each.

    Parameters
    ----------
    stored : mapping of str to bytes
        What an earlier run kept, by key; what cannot be read is forgotten, and logged.
    journal : Journal
        Keeps it.
    told : Told
        Whom changes are told.
    clock : Clock
        Both clocks.
    """

    def __init__(self, stored: Mapping[str, bytes], journal: Journal[object], told: Told, clock: Clock) -> None:
        self._journal = journal
        self._told = told
        self._clock = clock
        self._releases: dict[str, Release] = {}
        for key, value in stored.items():
            try:
                release = msgspec.json.decode(value, type=Release)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                _log.error("stage=processing %s cannot be read and is forgotten: %s", key, error)
            else:
                self._releases[release.model] = release

    def __iter__(self) -> Iterator[Release]:
        return iter(tuple(self._releases.values()))

    def find(self, model: str) -> Release | None:
        """Give the last release of a name."""
        return self._releases.get(model)

    @property
    def troubles(self) -> tuple[str, ...]:
        """Models that a limit sent back, as reasons for health, until another is ordered or promoted."""
        return tuple(f"model_rolled_back:{each.model}" for each in self if each.is_sent_back)

    def change_state(self, release: Release) -> None:
        """Keep and tell a new state of an installation."""
        changed = replace(release, state_ms=self._now_ms())
        self._keep(changed)
        self._told.candidate(changed.as_candidate())
        self._say_alarm(changed)

    def change_course(self, release: Release, course: Course, reason: str, *, share: float = 0.0) -> None:
        """Keep and tell a new course of a rollout."""
        changed = replace(release, course=course, reason=reason, share=share, course_ms=self._now_ms())
        _log.info("event=model_%s model=%s sha256=%s reason=%r", course, changed.model, changed.sha256[:12], reason)
        self._keep(changed)
        self._told.stage(changed.model, course)
        self._say_course(changed)
        self._say_alarm(changed)

    def keep(self, release: Release) -> None:
        """Keep figures of which nobody is told."""
        self._keep(release)

    def make_room(self, model: str, used: Collection[str]) -> bool:
        """Have room for a model; of too many, the one whose rollout ended and that was ordered first is forgotten.

        Parameters
        ----------
        model : str
            That is to be remembered.
        used : collection of str
            Models that a pipeline runs, which are never forgotten.

        Returns
        -------
        room : bool
            False where all that is remembered is still needed.
        """
        while model not in self._releases and len(self._releases) >= MODELS_KEPT:
            ended = (each for each in self if each.has_ended and each.model not in used)
            oldest = next(ended, None)
            if oldest is None:
                return False
            del self._releases[oldest.model]
            self._journal.set_state(RELEASE + oldest.model, None, now=self._clock.monotonic())
            self._told.alarm(f"model.{oldest.model}", False, f"model {oldest.model} is forgotten")
        return True

    def say_all(self) -> None:
        """Say everything that is retained."""
        for release in self:
            self._told.candidate(release.as_candidate())
            self._say_course(release)

    def remind(self) -> None:
        """Say anew which alarms stand."""
        for release in self:
            self._say_alarm(release)

    def _keep(self, release: Release) -> None:
        """Remember a release with the next commit."""
        release = replace(release, rolled_back=release.rolled_back[-_ROLLED_BACK_KEPT:])
        self._releases[release.model] = release
        now = self._clock.monotonic()
        self._journal.set_state(RELEASE + release.model, msgspec.json.encode(release), now=now)

    def _say_course(self, release: Release) -> None:
        rollout = release.as_rollout()
        if rollout is not None:
            self._told.rollout(rollout)

    def _say_alarm(self, release: Release) -> None:
        """Raise or clear the system alarm of a model."""
        text = f"model {release.model} release {release.release} was rolled back: {release.reason}"
        self._told.alarm(f"model.{release.model}", release.is_sent_back, text)

    def _now_ms(self) -> int:
        return round(self._clock.wall() * 1000)
