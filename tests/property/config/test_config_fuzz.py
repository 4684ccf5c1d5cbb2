"""Any text gives a Config or a ConfigError; what passes the list of faults is a Config."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.config import Config, config_sha256, parse_config
from edge_runtime.config_checks import list_contradictions
from edge_runtime.errors import ConfigError
from edge_runtime.faults import list_faults

KEYS = [
    "gateway",
    "broker",
    "tls",
    "camera",
    "sensor",
    "channel",
    "pipeline",
    "rule",
    "id",
    "topic",
    "topics",
    "format",
]
KEYS += ["qos", "rate_hz", "mailbox", "depth", "overflow", "kind", "bundle", "cameras", "sensors", "n", "m", "label"]
WORDS = ["a", "b", "a/+", "#", "jpeg", "json", "number", "inspection", "monitor", "block", "*", "", "5", "-----BEGIN"]
scalars = (
    st.booleans()
    | st.integers(-5, 100)
    | st.integers()
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(max_size=5)
    | st.datetimes()
)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=30,
)


@settings(max_examples=100, deadline=None)
@given(tree=st.dictionaries(st.sampled_from(KEYS), trees, max_size=8))
def test_tree_without_faults_becomes_a_config(tree: dict[str, Any]) -> None:
    faults = [*list_faults(tree, Config), *list_contradictions(tree)]
    assert all(fault.startswith("$") for fault in faults)
    if not list_faults(tree, Config):
        msgspec.convert(tree, Config)


@pytest.fixture(scope="module")
def sample(project: Path) -> bytes:
    """The annotated sample."""
    return (project / "deploy" / "edge-runtime.sample.toml").read_bytes()


def test_mutated_samples_give_a_config_or_a_config_error(sample: bytes) -> None:
    rng = random.Random(7)
    lines = [line for line in sample.splitlines() if line and not line.startswith(b"#")]
    taken, refused = 0, []
    for _ in range(400):
        some = [line for line in lines if rng.random() > 0.03]
        data = bytearray(b"\n".join(some))
        for _ in range(rng.randrange(3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            config_sha256(parse_config(bytes(data)))
            taken += 1
        except ConfigError as error:
            refused.append(error.problems)
    assert taken
    assert all(refused)
