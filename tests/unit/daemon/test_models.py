"""What the daemon reads from the store at its start."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.daemon.models import trusted_pems
from edge_runtime.errors import HostEnvironmentError
from tests.bundles import TRUSTED_PEM, trusting_store


def test_the_worker_is_given_every_trusted_key(tmp_path: Path) -> None:
    assert trusted_pems(trusting_store(tmp_path)) == (TRUSTED_PEM,)


def test_a_key_that_cannot_be_read_is_told_by_its_path(tmp_path: Path) -> None:
    store = trusting_store(tmp_path)
    (tmp_path / "trust" / "other.pem").mkdir()
    with pytest.raises(HostEnvironmentError, match=r"other\.pem"):
        trusted_pems(store)
