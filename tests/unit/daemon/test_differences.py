"""What differs between two configurations, and what of it a running daemon can have."""

from __future__ import annotations

import pytest

from edge_runtime.config import Config, parse_config
from edge_runtime.daemon.differences import Difference, compare

BASE = """
[gateway]
id = "gw1"
[outbox]
drain_per_s = 5.0
[[camera]]
id = "cam1"
topic = "in/cam1"
format = "jpeg"
[[sensor]]
id = "press1"
topics = ["in/press1"]
format = "f32"
rate_hz = 16.0
channel = [{ name = "vibration" }]
[[pipeline]]
id = "surface"
kind = "inspection"
bundle = "tiny-surface"
cameras = ["cam1"]
[[pipeline]]
id = "life"
kind = "monitor"
bundle = "tiny-life"
sensors = ["press1"]
"""


def read(text: str) -> Config:
    return parse_config(text.encode())


def changed(old: str, new: str) -> Difference:
    assert old in BASE
    return compare(read(BASE), read(BASE.replace(old, new)))


def test_the_same_configuration_differs_in_nothing() -> None:
    difference = compare(read(BASE), read(BASE))
    assert (difference.live, difference.restart, difference.leaving, difference.gone) == (
        (),
        (),
        frozenset(),
        frozenset(),
    )


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("drain_per_s = 5.0", "drain_per_s = 6.0", "$.outbox.drain_per_s"),
        ('format = "jpeg"', 'format = "jpeg"\nqos = 1', "$.camera[cam1].qos"),
        ("rate_hz = 16.0", "rate_hz = 17.0", "$.sensor[press1].rate_hz"),
        ('name = "vibration"', 'name = "sound"', "$.sensor[press1].channel"),
        ('cameras = ["cam1"]', 'cameras = ["cam1"]\ndeadline_ms = 5', "$.pipeline[surface].deadline_ms"),
        ('id = "life"', 'id = "rest"', "$.pipeline[life] (gone)"),
        ('id = "life"', 'id = "rest"', "$.pipeline[rest] (new)"),
        ("[outbox]", "[alarms]\nflood_n = 3\n[outbox]", "$.alarms.flood_n"),
    ],
)
def test_what_is_taken_over_is_named_by_its_path(old: str, new: str, path: str) -> None:
    difference = changed(old, new)
    assert path in difference.live
    assert difference.restart == ()


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('id = "gw1"', 'id = "gw1"\nroot = "plant"', "$.gateway.root"),
        ("[outbox]", "[broker]\nport = 8883\nclient_id = 'x'\n[outbox]", "$.broker.port"),
        ("[outbox]", "[broker.tls]\ninsecure = true\n[outbox]", "$.broker.tls"),
        ("[outbox]", "[worker]\nring_slots = 4\n[outbox]", "$.worker.ring_slots"),
        ("[outbox]", "[http]\nport = 1\n[outbox]", "$.http.port"),
    ],
)
def test_what_needs_a_restart_stays_and_is_named(old: str, new: str, path: str) -> None:
    difference = changed(old, new)
    assert path in difference.restart
    assert difference.config == read(BASE)


def test_a_source_whose_samples_are_read_otherwise_leaves() -> None:
    assert changed('name = "vibration"', 'name = "vibration", scale = 2.0').leaving == {"press1"}


def test_a_camera_with_another_topic_does_not_leave() -> None:
    assert changed("in/cam1", "in/other").leaving == frozenset()


def test_a_source_that_is_gone_leaves() -> None:
    text = BASE.replace('id = "cam1"', 'id = "cam2"').replace('cameras = ["cam1"]', 'cameras = ["cam2"]')
    assert compare(read(BASE), read(text)).leaving == {"cam1"}
