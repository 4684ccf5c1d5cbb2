"""The checkout names no place of the machine that it was written on, and nothing in it is large."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

MAX_FILE_BYTES = 2_000_000
#: Folders of somebody's machine. Written apart, so that this file is not found itself.
PLACES = re.compile(rb"(?<![\w.])/(work|home|root|Users|mnt|workspace)/" + rb"[\w.-]+")
HOSTS = re.compile(
    rb"(?i)--(extra-)?index-url|--trusted" + rb"-host|artifact" + rb"ory|dev" + rb"pi|pythonhos" + rb"ted"
)
SECRETS = re.compile(rb"BEGIN (EC |RSA |OPENSSH )?PRIV" + rb"ATE KEY-----\s+[A-Za-z0-9+/=]{32}")


@pytest.fixture(scope="session")
def tracked(project: Path) -> dict[str, bytes]:
    """Every tracked file that is there, by name."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=project, capture_output=True, check=True).stdout
    names = [name for name in listed.decode().split("\0") if name and (project / name).is_file()]
    return {name: (project / name).read_bytes() for name in names}


def found(tracked: dict[str, bytes], pattern: re.Pattern[bytes]) -> list[str]:
    """Places where text files match."""
    return [
        f"{name}: {match.group().decode()}"
        for name, data in tracked.items()
        if b"\0" not in data[:4096]
        for match in pattern.finditer(data)
    ]


def test_no_file_names_a_folder_of_somebodys_machine(tracked: dict[str, bytes]) -> None:
    assert found(tracked, PLACES) == []


def test_no_file_names_where_packages_come_from(tracked: dict[str, bytes]) -> None:
    assert found(tracked, HOSTS) == []


def test_no_file_holds_a_secret_key(tracked: dict[str, bytes]) -> None:
    assert found(tracked, SECRETS) == []


def test_no_file_is_large(tracked: dict[str, bytes]) -> None:
    assert [name for name, data in tracked.items() if len(data) > MAX_FILE_BYTES] == []


def test_nothing_is_left_to_be_done(tracked: dict[str, bytes]) -> None:
    marks = re.compile(rb"\b(TO" + rb"DO|FIX" + rb"ME|X" + rb"XX)\b|raise NotImpl" + rb"ementedError")
    python = {name: data for name, data in tracked.items() if name.endswith((".py", ".c", ".h"))}
    assert found(python, marks) == []
