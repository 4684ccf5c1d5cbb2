"""One verdict per part, whatever happens to its pictures.

Pure: the caller gives times and learns what to publish. A part is opened by the first frame that names it, decided
when every camera that looks at it has answered or its deadline has passed, and remembered so that a picture that is
delivered twice does not make a second verdict.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Iterable
from dataclasses import dataclass, field

import msgspec

from edge_runtime.messages import Verdict

#: How many decided parts are remembered.
_REMEMBERED = 20_000
#: Of two words about one part the graver counts, whatever their order.
_GRAVITY: dict[Verdict, int] = {"ok": 0, "unsure": 1, "ng": 2}
#: Why a part is unsure that no camera has answered for.
NO_ANSWER = "no_answer"


@dataclass(frozen=True, slots=True)
class PartRule:
    """How a pipeline judges parts.

    Attributes
    ----------
    cameras : frozenset of str
        Cameras that must all answer for a part; empty when the first one decides.
    deadline_s : float
        After the first frame of a part; then it is decided with what is there.
    reuse_s : float
        A frame that was taken so long after a part's verdict, or before it, shows another part of the same name.
    """

    cameras: frozenset[str]
    deadline_s: float
    reuse_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Decided:
    """The verdict on a part.

    Attributes
    ----------
    pipeline, part : str
        Whose.
    verdict : {"ok", "ng", "unsure"}
        ``ng`` if any camera says so, else ``unsure`` if any is unsure or missing or none has answered, else ``ok``.
    reasons : tuple of str
        Labels behind ``ng``, or why it is ``unsure``.
    opened_at : float, s
        Wall clock at which the first frame arrived.
    waited_s : float
        From then to the decision, monotonic.
    late : bool
        Whether the deadline had passed.
    camera : str or None
        The camera that decided, where one did.
    score : float or None
        The highest fault score; None when inspection failed.
    taken_at : float or None, s
        Wall clock that the source gave the part's first frame; None where it told none.
    """

    pipeline: str
    part: str
    verdict: Verdict
    reasons: tuple[str, ...]
    opened_at: float
    waited_s: float
    late: bool
    camera: str | None
    score: float | None
    taken_at: float | None = None


class PartState(msgspec.Struct, frozen=True):
    """An open part as it is checkpointed: its cameras' words must outlive the process that acknowledged their frames.

    ``opened_at`` and ``at`` are wall clock, s; the answers are by camera.
    """

    opened_at: float
    at: float
    answers: dict[str, tuple[Verdict, tuple[str, ...], float | None]]


@dataclass(slots=True)
class _Open:
    opened_at: float
    at: float
    since: float
    due: float
    answers: dict[str, tuple[Verdict, tuple[str, ...], float | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Seen:
    """When a decided part was seen: wall clock, and monotonic where this run saw it arrive."""

    at: float
    since: float | None


class PartBook:
    """The parts of all inspecting pipelines.

    Parameters
    ----------
    decided : iterable of (pipeline, part, at)
        Parts whose verdict is in the outbox already, and when they were seen (wall clock, s).
    """

    def __init__(self, decided: Iterable[tuple[str, str, float]] = ()) -> None:
        self._open: dict[tuple[str, str], _Open] = {}
        self._decided: OrderedDict[tuple[str, str], _Seen] = OrderedDict(
            ((pipeline, part), _Seen(at, None)) for pipeline, part, at in decided
        )

    def is_decided(self, pipeline: str, part: str) -> bool:
        """Whether a verdict on the part exists."""
        return (pipeline, part) in self._decided

    def expect(
        self,
        pipeline: str,
        part: str,
        rule: PartRule,
        *,
        now: float,
        wall: float,
        at: float | None = None,
        again: bool = False,
    ) -> None:
        """Open a part at its first frame, so that it gets a verdict even if nothing ever comes of the frame.

        Parameters
        ----------
        pipeline, part : str
            Whose.
        rule : PartRule
            Sets the deadline.
        now : float, s
            Monotonic.
        wall : float, s
            Wall clock, UTC.
        at : float, s, optional
            Wall clock at which the frame was taken; ``wall`` by default. Far from a verdict of the same name, it
            shows another part: trays and counters are used again. Where it is the time of arrival, monotonic times
            are compared, since the wall clock may be set in between.
        again : bool
            Whether the broker says that it delivers the frame once more. Of such a frame the time of arrival says
            nothing: without a time of its source it shows the part that was decided.
        """
        key = (pipeline, part)
        taken_at = wall if at is None else at
        seen = self._decided.get(key)
        if seen is not None:
            by_arrival = taken_at == wall and seen.since is not None
            apart_s = now - seen.since if by_arrival and seen.since is not None else taken_at - seen.at
            is_copy = again and taken_at == wall
            if abs(apart_s) > rule.reuse_s and not is_copy:
                del self._decided[key]
                seen = None
        if seen is None and key not in self._open:
            self._open[key] = _Open(wall, taken_at, now, now + rule.deadline_s)

    def state(self, pipeline: str, part: str) -> PartState | None:
        """Give what is to be checkpointed of a part; None when it is not open or nobody has answered."""
        part_open = self._open.get((pipeline, part))
        if part_open is None or not part_open.answers:
            return None
        return PartState(part_open.opened_at, part_open.at, dict(part_open.answers))

    def restore(self, pipeline: str, part: str, state: PartState, rule: PartRule, *, now: float) -> None:
        """Go on with a part that an earlier run left open; its deadline begins anew."""
        answers = dict(state.answers)
        self._open[pipeline, part] = _Open(state.opened_at, state.at, now, now + rule.deadline_s, answers)

    def answer(
        self,
        pipeline: str,
        part: str,
        camera: str,
        rule: PartRule,
        *,
        verdict: Verdict,
        reasons: tuple[str, ...],
        score: float | None,
        now: float,
    ) -> Decided | None:
        """Take one camera's word on a part; of several pictures by one camera the gravest counts.

        Returns
        -------
        decided : Decided or None
            None while cameras are missing, or when the part is decided already.
        """
        part_open = self._open.get((pipeline, part))
        if part_open is None:
            return None
        before = part_open.answers.get(camera)
        if before is None or _GRAVITY[before[0]] < _GRAVITY[verdict]:
            part_open.answers[camera] = (verdict, reasons, score)
        if rule.cameras <= part_open.answers.keys():
            return self._decide(pipeline, part, part_open, missing=(), now=now)
        return None

    def overdue(self, rules: dict[str, PartRule], *, now: float) -> list[Decided]:
        """Decide every part whose deadline has passed: ``unsure`` when cameras are missing and none says ``ng``."""
        due = [(key, part_open) for key, part_open in self._open.items() if now >= part_open.due]
        decided = []
        for (pipeline, part), part_open in due:
            missing = tuple(sorted(rules[pipeline].cameras - part_open.answers.keys()))
            decided.append(self._decide(pipeline, part, part_open, missing=missing, now=now))
        return decided

    def shift(self, offset_s: float, *, before_s: float, since_s: float = float("-inf")) -> None:
        """Correct the wall clock times that lie between two times which the clock now shows to be wrong."""
        for part_open in self._open.values():
            part_open.opened_at += offset_s * (since_s <= part_open.opened_at < before_s)
            part_open.at += offset_s * (since_s <= part_open.at < before_s)
        for key, seen in self._decided.items():
            if since_s <= seen.at < before_s:
                self._decided[key] = _Seen(seen.at + offset_s, seen.since)

    def close(self, pipelines: Container[str], rules: dict[str, PartRule], *, now: float) -> list[Decided]:
        """Decide every open part of pipelines that will hear nothing more, as if its deadline had passed."""
        return [
            self._decide(
                *key, part_open, missing=tuple(sorted(rules[key[0]].cameras - part_open.answers.keys())), now=now
            )
            for key, part_open in list(self._open.items())
            if key[0] in pipelines
        ]

    def next_due(self) -> float | None:
        """Monotonic time of the next deadline, s; None when no part is open."""
        return min((part_open.due for part_open in self._open.values()), default=None)

    def _decide(self, pipeline: str, part: str, part_open: _Open, *, missing: tuple[str, ...], now: float) -> Decided:
        del self._open[(pipeline, part)]
        arrived = part_open.since if part_open.at == part_open.opened_at else None
        self._decided[(pipeline, part)] = _Seen(part_open.at, arrived)
        while len(self._decided) > _REMEMBERED:
            self._decided.popitem(last=False)
        verdicts = {answer[0] for answer in part_open.answers.values()}
        verdict: Verdict = "ng" if "ng" in verdicts else "unsure" if missing or verdicts != {"ok"} else "ok"
        deciding = [(camera, answer) for camera, answer in part_open.answers.items() if answer[0] == verdict]
        reasons = [reason for _, answer in deciding for reason in answer[1]]
        if verdict == "unsure":
            reasons += [f"missing:{camera}" for camera in missing]
            reasons += [] if reasons else [NO_ANSWER]
        scores = [answer[2] for answer in part_open.answers.values() if answer[2] is not None]
        return Decided(
            pipeline,
            part,
            verdict,
            tuple(dict.fromkeys(reasons)),
            part_open.opened_at,
            now - part_open.since,
            now >= part_open.due,
            deciding[0][0] if len(deciding) == 1 else None,
            max(scores, default=None),
            None if part_open.at == part_open.opened_at else part_open.at,
        )
