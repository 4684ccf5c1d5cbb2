"""One verdict per part, whatever the order of frames, answers and deadlines."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.daemon.parts import Decided, PartBook, PartRule
from edge_runtime.messages import Verdict

CAMERAS = ("cam1", "cam2", "cam3")
PARTS = ("p1", "p2", "p3")
PIPELINE = "surface"
VERDICTS: tuple[Verdict, ...] = ("ok", "ng", "unsure")

frames = st.tuples(st.just("frame"), st.sampled_from(PARTS))
answers = st.tuples(st.just("answer"), st.sampled_from(PARTS), st.sampled_from(CAMERAS), st.sampled_from(VERDICTS))
waits = st.tuples(st.just("wait"), st.floats(0.0, 3.0))
stories = st.lists(frames | answers | waits, max_size=50)
policies = st.sampled_from([frozenset[str](), frozenset({"cam1"}), frozenset({"cam1", "cam2"}), frozenset(CAMERAS)])


@dataclass
class Line:
    """A line with one inspecting pipeline; the supervisor looks for overdue parts after each step."""

    rule: PartRule
    now: float = 0.0
    book: PartBook = field(default_factory=PartBook)
    opened: dict[str, float] = field(default_factory=dict)
    said: dict[str, list[tuple[str, Verdict]]] = field(default_factory=dict)
    verdicts: list[Decided] = field(default_factory=list)

    def live(self, step: tuple[object, ...]) -> None:
        match step:
            case ("frame", str(part)):
                self.opened.setdefault(part, self.now)
                self.book.expect(PIPELINE, part, self.rule, now=self.now, wall=self.now)
            case ("answer", str(part), str(camera), ("ok" | "ng" | "unsure") as verdict):
                if part in self.opened and not self.book.is_decided(PIPELINE, part):
                    self.said.setdefault(part, []).append((camera, verdict))
                self.take(self.answer(part, camera, verdict))
            case ("wait", float(seconds)):
                self.now += seconds
        for decided in self.book.overdue({PIPELINE: self.rule}, now=self.now):
            self.take(decided)

    def answer(self, part: str, camera: str, verdict: Verdict) -> Decided | None:
        return self.book.answer(
            PIPELINE,
            part,
            camera,
            self.rule,
            verdict=verdict,
            reasons=(f"{camera}:{verdict}",),
            score=0.5,
            now=self.now,
        )

    def take(self, decided: Decided | None) -> None:
        if decided is not None:
            self.verdicts.append(decided)

    def finish(self) -> None:
        self.live(("wait", self.rule.deadline_s))


def lived(cameras: frozenset[str], deadline_s: float, story: list[tuple[object, ...]]) -> Line:
    line = Line(PartRule(cameras, deadline_s, reuse_s=1e9))  # no name is used again in these stories
    for step in story:
        line.live(step)
    return line


@given(policies, st.floats(0.1, 5.0), stories)
def test_every_opened_part_gets_exactly_one_verdict(
    cameras: frozenset[str], deadline_s: float, story: list[tuple[object, ...]]
) -> None:
    line = lived(cameras, deadline_s, story)
    line.finish()
    assert sorted(decided.part for decided in line.verdicts) == sorted(line.opened)


@given(policies, st.floats(0.1, 5.0), stories)
def test_no_part_passes_that_was_not_seen_by_all_who_must(
    cameras: frozenset[str], deadline_s: float, story: list[tuple[object, ...]]
) -> None:
    line = lived(cameras, deadline_s, story)
    line.finish()
    for decided in line.verdicts:
        said = line.said.get(decided.part, [])
        if decided.verdict == "ok":
            assert said
            assert all(verdict == "ok" for _, verdict in said)
            assert cameras <= {camera for camera, _ in said}


@given(policies, st.floats(0.1, 5.0), stories)
def test_a_part_is_bad_exactly_when_a_camera_said_so_in_time(
    cameras: frozenset[str], deadline_s: float, story: list[tuple[object, ...]]
) -> None:
    line = lived(cameras, deadline_s, story)
    line.finish()
    for decided in line.verdicts:
        assert (decided.verdict == "ng") == any(verdict == "ng" for _, verdict in line.said.get(decided.part, []))


@given(policies, st.floats(0.1, 5.0), stories)
def test_whoever_is_not_ok_says_why(
    cameras: frozenset[str], deadline_s: float, story: list[tuple[object, ...]]
) -> None:
    line = lived(cameras, deadline_s, story)
    line.finish()
    assert all(decided.reasons for decided in line.verdicts)


@given(policies, st.floats(0.1, 5.0), stories)
def test_no_part_stays_open_past_its_deadline(
    cameras: frozenset[str], deadline_s: float, story: list[tuple[object, ...]]
) -> None:
    line = lived(cameras, deadline_s, story)
    due = line.book.next_due()
    assert due is None or line.now < due <= line.now + deadline_s


@given(
    st.permutations([(camera, verdict) for camera in CAMERAS for verdict in ("ok", "ng")][:4]),
    st.permutations([("cam3", "unsure"), ("cam3", "ok")]),
)
def test_the_order_of_answers_does_not_change_the_verdict(
    first: list[tuple[str, Verdict]], last: list[tuple[str, Verdict]]
) -> None:
    line = Line(PartRule(frozenset({*CAMERAS, "never"}), 1.0))
    line.live(("frame", "p1"))
    for camera, verdict in [*first, *last]:
        line.live(("answer", "p1", camera, verdict))
    line.finish()
    (decided,) = line.verdicts
    assert (decided.verdict, sorted(decided.reasons)) == ("ng", ["cam1:ng", "cam2:ng"])


@given(stories, stories)
def test_a_restart_with_the_decided_parts_makes_no_second_verdict(
    before: list[tuple[object, ...]], after: list[tuple[object, ...]]
) -> None:
    line = lived(frozenset(), 1.0, before)
    decided = {verdict.part for verdict in line.verdicts}
    restarted = Line(line.rule, line.now, PartBook((PIPELINE, part, 0.0) for part in decided))
    for step in after:
        restarted.live(step)
    restarted.finish()
    assert not decided & {verdict.part for verdict in restarted.verdicts}
