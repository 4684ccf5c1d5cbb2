"""Bounded queues and the order in which they are emptied."""

from __future__ import annotations

import pytest

from edge_runtime.daemon.mailbox import Mailbox, Overflow, Rotation


def filled(overflow: Overflow, *, depth: int = 2, n: int = 0) -> Mailbox[int]:
    mailbox: Mailbox[int] = Mailbox("cam1", depth, overflow)
    for item in range(n):
        mailbox.put(item)
    return mailbox


def drained(mailbox: Mailbox[int]) -> list[int]:
    taken = []
    while (item := mailbox.take()) is not None:
        taken.append(item)
    return taken


@pytest.mark.parametrize(
    ("overflow", "dropped", "kept"),
    [("drop_oldest", 0, [1, 2]), ("drop_newest", 2, [0, 1]), ("block", None, [0, 1, 2])],
)
def test_each_policy_drops_what_it_says(overflow: Overflow, dropped: int | None, kept: list[int]) -> None:
    mailbox = filled(overflow, n=2)
    assert (mailbox.put(2), drained(mailbox)) == (dropped, kept)


def test_a_mailbox_of_one_keeps_the_latest_frame() -> None:
    assert drained(filled("drop_oldest", depth=1, n=50)) == [49]


def test_an_empty_mailbox_gives_nothing() -> None:
    assert filled("block").take() is None


def test_only_a_blocking_mailbox_is_ever_full() -> None:
    assert [filled(policy, n=2).full for policy in ("block", "drop_oldest", "drop_newest")] == [True, False, False]


def test_a_blocking_mailbox_is_full_at_its_depth_and_not_before() -> None:
    assert [filled("block", depth=3, n=n).full for n in (2, 3)] == [False, True]


def test_items_put_back_come_first_and_in_their_order() -> None:
    mailbox = filled("drop_newest", n=2)
    mailbox.put_back([7, 8])
    assert drained(mailbox) == [7, 8, 0, 1]


def test_items_put_back_are_kept_whatever_the_depth() -> None:
    mailbox = filled("drop_oldest", n=2)
    mailbox.put_back([7, 8, 9])
    assert len(mailbox) == 5


def test_a_flooding_source_does_not_delay_another_by_more_than_one_item() -> None:
    flooding, quiet = filled("drop_oldest", depth=1000, n=1000), Mailbox[int]("cam2", 2, "drop_oldest")
    rotation = Rotation([flooding, quiet])
    rotation.take(lambda _: True)
    quiet.put(-1)
    assert [taken[1] for taken in (rotation.take(lambda _: True), rotation.take(lambda _: True)) if taken] == [-1, 1]


def test_items_that_come_again_are_removed_and_the_others_keep_their_order() -> None:
    mailbox = filled("block", n=5)
    assert mailbox.remove(lambda item: item % 2 == 0) == [0, 2, 4]
    assert [mailbox.take(), mailbox.take(), mailbox.take()] == [1, 3, None]


def test_a_mailbox_that_is_not_ready_is_passed_over() -> None:
    first, second = filled("block", n=1), filled("block", n=1)
    second.source = "cam2"
    taken = Rotation([first, second]).take(lambda mailbox: mailbox.source == "cam2")
    assert taken == (second, 0)
    assert len(first) == 1


def test_nothing_is_taken_while_none_is_ready() -> None:
    assert Rotation([filled("block", n=1)]).take(lambda _: False) is None


def test_a_gateway_without_sources_takes_nothing() -> None:
    assert Rotation[int]([]).take(lambda _: True) is None


def test_a_mailbox_that_was_emptied_meanwhile_is_passed_over() -> None:
    emptied, other = filled("block", n=1), filled("block", n=1)
    taken = Rotation([emptied, other]).take(lambda mailbox: mailbox is other or mailbox.take() is not None)
    assert taken == (other, 0)


@pytest.mark.parametrize(("policy", "surplus"), [("block", [2, 3]), ("drop_oldest", []), ("drop_newest", [])])
def test_what_a_blocking_mailbox_holds_beyond_its_depth_is_its_surplus(policy: Overflow, surplus: list[int]) -> None:
    assert filled(policy, n=4).surplus() == surplus
