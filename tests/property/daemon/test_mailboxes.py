"""Mailboxes against a plain list, and the fairness of the rotation."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.daemon.mailbox import Mailbox, Overflow, Rotation

overflows = st.sampled_from(["drop_oldest", "drop_newest", "block"])
steps = st.lists(st.sampled_from(["put", "put", "take"]), max_size=80)


@given(overflows, st.integers(1, 6), steps)
def test_every_item_is_taken_dropped_or_still_there_exactly_once(
    overflow: Overflow, depth: int, story: list[str]
) -> None:
    mailbox: Mailbox[int] = Mailbox("s", depth, overflow)
    n_put, taken, dropped = 0, [], []
    for step in story:
        if step == "put":
            gone = mailbox.put(n_put)
            n_put += 1
            dropped += [] if gone is None else [gone]
        elif (item := mailbox.take()) is not None:
            taken.append(item)
    while (item := mailbox.take()) is not None:
        taken.append(item)
    assert sorted(taken + dropped) == list(range(n_put))


@given(overflows, st.integers(1, 6), steps)
def test_what_is_taken_is_in_the_order_of_arrival(overflow: Overflow, depth: int, story: list[str]) -> None:
    mailbox: Mailbox[int] = Mailbox("s", depth, overflow)
    taken = []
    for number, step in enumerate(story):
        if step == "put":
            mailbox.put(number)
        elif (item := mailbox.take()) is not None:
            taken.append(item)
    assert taken == sorted(taken)


@given(st.sampled_from(["drop_oldest", "drop_newest"]), st.integers(1, 6), steps)
def test_a_dropping_mailbox_never_holds_more_than_its_depth(overflow: Overflow, depth: int, story: list[str]) -> None:
    mailbox: Mailbox[int] = Mailbox("s", depth, overflow)
    for number, step in enumerate(story):
        if step == "put":
            mailbox.put(number)
        else:
            mailbox.take()
        assert len(mailbox) <= depth


@given(st.integers(1, 6), st.integers(0, 30))
def test_a_reader_that_obeys_full_holds_one_item_beyond_the_depth_at_most(depth: int, n: int) -> None:
    mailbox: Mailbox[int] = Mailbox("s", depth, "block")
    for item in range(n):
        stop = mailbox.full
        mailbox.put(item)
        if stop:
            break
    assert len(mailbox) <= depth + 1


@given(st.lists(st.integers(0, 12), min_size=1, max_size=8))
def test_no_source_gets_a_second_turn_before_each_that_waits_had_its_first(loads: list[int]) -> None:
    mailboxes: list[Mailbox[int]] = [Mailbox(f"s{index}", 100, "block") for index in range(len(loads))]
    for mailbox, load in zip(mailboxes, loads, strict=True):
        for item in range(load):
            mailbox.put(item)
    rotation = Rotation(mailboxes)
    turns: Counter[str] = Counter()
    while True:
        waiting = [mailbox.source for mailbox in mailboxes if len(mailbox)]
        taken = rotation.take(lambda _: True)
        if taken is None:
            break
        turns[taken[0].source] += 1
        assert turns[taken[0].source] <= min(turns[source] for source in waiting) + 1
    assert turns == Counter({f"s{index}": load for index, load in enumerate(loads) if load})
