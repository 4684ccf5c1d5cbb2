"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the checkout."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development data beside the checkout; where there is none, the test says so and is left out.

    In CI a ``../shared`` without its data is a fault, not a checkout by itself.
    """
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        message = "development data (../shared/data) is not beside this checkout; this test needs it and is left out"
        if os.environ.get("CI") == "true" and folder.parent.is_dir():
            pytest.fail(message)
        pytest.skip(message)
    return folder
