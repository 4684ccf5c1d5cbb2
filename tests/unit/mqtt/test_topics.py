"""Topics, and filters as a broker reads them."""

from __future__ import annotations

import re

import pytest

from edge_runtime.mqtt.topics import CHANNELS, Topics, segment
from edge_runtime.topic_filters import filter_fault, filter_matches, filters_overlap

TOPICS = Topics("plant/edge", "g1")


def test_builders_give_the_published_addresses() -> None:
    built = {
        TOPICS.availability(),
        TOPICS.birth(),
        TOPICS.health(),
        TOPICS.metric("name"),
        TOPICS.pipe_status("pipeline"),
        TOPICS.pipe_result("pipeline"),
        TOPICS.part_verdict(),
        TOPICS.process_advice(),
        TOPICS.alert_event(),
        TOPICS.alert_state("key"),
        TOPICS.alert_summary(),
        TOPICS.evidence("alert_id", "snapshot.jpg"),
        TOPICS.evidence("alert_id", "snapshot.png"),
        TOPICS.evidence("alert_id", "heatmap.png"),
        TOPICS.evidence("alert_id", "window.cbor"),
        TOPICS.model("model", "installed"),
        TOPICS.model("model", "candidate"),
        TOPICS.model("model", "rollout"),
        TOPICS.reply("id"),
    }
    table = {channel.address for channel in CHANNELS if channel.action == "send"}
    plain = {re.sub(r"{(\w+)}", r"\1", address) for address in table}
    assert built == {address.replace("root/gateway", "plant/edge/g1") for address in plain}


def test_every_command_of_the_table_matches_the_filter_of_commands() -> None:
    commands = [channel.address for channel in CHANNELS if "/cmd/" in channel.address]
    topics = [address.replace("{root}/{gateway}", "plant/edge/g1") for address in commands]
    assert len(topics) == 11
    assert all(filter_matches(TOPICS.commands(), topic) for topic in topics)


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("plant/edge/g1/cmd/alert/ack", "alert/ack"),
        ("plant/edge/g1/cmd/alert", None),
        ("plant/edge/g1/cmd/alert/ack/now", None),
        ("plant/edge/g2/cmd/alert/ack", None),
        ("cmd/alert/ack", None),
    ],
)
def test_command_is_found_in_its_topic(topic: str, name: str | None) -> None:
    assert TOPICS.command_of(topic) == name


@pytest.mark.parametrize("level", ["a/b", "A", "", "+", "#", "ä", "a b", "x" * 129])
def test_level_that_is_not_ours_is_refused(level: str) -> None:
    with pytest.raises(ValueError, match="cannot be a topic level"):
        TOPICS.alert_state(level)


@pytest.mark.parametrize("text", ["Crack / deep", "", "...", "ÄÖÜ", "x" * 500, "a+b#c", "\0"])
def test_any_text_becomes_a_level(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,127}", segment(text))


def test_fleet_s_bundles_are_beside_the_gateways() -> None:
    assert TOPICS.fleet_bundle("ab") == "plant/edge/fleet/bundle/ab"


@pytest.mark.parametrize("wanted", ["a", "a/b", "+", "#", "a/+/b", "a/#", "/", "+/+/#", "/a", "x" * 65_535])
def test_legal_filter_has_no_fault(wanted: str) -> None:
    assert filter_fault(wanted) is None


@pytest.mark.parametrize("wanted", ["", "a#", "#/a", "a/#/b", "a+", "+a/b", "a\0b", "\ud800", "x" * 65_536])
def test_illegal_filter_has_a_fault(wanted: str) -> None:
    assert filter_fault(wanted)


@pytest.mark.parametrize(
    ("wanted", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("a/+", "a/b/c", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("+/b", "/b", True),
        ("+", "/b", False),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
    ],
)
def test_filter_matches_as_a_broker_does(wanted: str, topic: str, expected: bool) -> None:
    assert filter_matches(wanted, topic) is expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("a/+", "+/b", True),
        ("a/+", "b/+", False),
        ("a/#", "a/b/+", True),
        ("a/#", "b/#", False),
        ("a/b/#", "a", False),
        ("a/#", "a", True),
        ("+/+", "a", False),
        ("+/#", "a", True),
    ],
)
def test_filters_overlap_both_ways(first: str, second: str, expected: bool) -> None:
    assert (filters_overlap(first, second), filters_overlap(second, first)) == (expected, expected)
