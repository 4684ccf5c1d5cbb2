"""The arena of every model that can be emitted, against the bound below which no layout exists."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.errors import EdgeRuntimeError
from firmware_bridge.build import prepare
from firmware_bridge.placement import ARENA_ALIGN, round_up
from firmware_bridge.plan import Plan
from firmware_bridge.source import read_source
from firmware_bridge.targets import TARGETS, Target

_AT_LEAST = 20


def _plan_of(path: Path, target: Target) -> Plan | None:
    """Plan a model; None for one that is refused."""
    try:
        return prepare(read_source(path, None).model, target).plan
    except EdgeRuntimeError:
        return None


def _too_large(paths: list[Path], target: Target) -> tuple[int, dict[str, tuple[int, int]]]:
    """How many models are planned, and arena and bound of those whose arena is more than 5 % above the bound."""
    plans = {path.stem: plan for path in paths if (plan := _plan_of(path, target)) is not None}
    return len(plans), {
        name: (plan.arena_bytes, plan.lower_bound)
        for name, plan in plans.items()
        if plan.arena_bytes > 1.05 * round_up(plan.lower_bound, ARENA_ALIGN)
    }


@pytest.mark.shared_data
@pytest.mark.parametrize("target", TARGETS)
def test_arena_of_every_public_model_is_within_five_percent_of_the_lower_bound(target: str, shared_data: Path) -> None:
    count, too_large = _too_large(sorted((shared_data / "models").glob("**/*.tflite")), TARGETS[target])
    assert count >= _AT_LEAST
    assert not too_large, f"arena, lower bound: {too_large}"


@pytest.mark.parametrize("target", TARGETS)
def test_arena_of_every_released_bundle_is_within_five_percent_of_the_lower_bound(target: str, project: Path) -> None:
    paths = sorted((project / "models").glob("*/*.edgebundle"))
    count, too_large = _too_large(paths, TARGETS[target])
    assert count == len(paths) > 0
    assert not too_large, f"arena, lower bound: {too_large}"
