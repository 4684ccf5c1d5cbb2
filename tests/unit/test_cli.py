"""The edge-runtime command: exit codes, what goes to standard output, and what --help does not load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edge_runtime.cli import group
from edge_runtime.errors import BundleFormatError
from edge_runtime.terminal import run_command
from tests.bundles import SIGNER, STRANGER, TRUSTED_PEM, image_bundle

CONFIG = """
[gateway]
id = "gw"
[broker]
port = 1
[http]
enabled = false
[[camera]]
id = "cam1"
topic = "plant/cam/cam1/frame"
format = "jpeg"
[[pipeline]]
id = "surface"
kind = "inspection"
bundle = "tiny-surface"
cameras = ["cam1"]
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store that trusts the tests' signer."""
    key = tmp_path / "key.pem"
    key.write_bytes(TRUSTED_PEM)
    assert run_command(group, ["bundle", "trust", "add", str(key), "--store", str(tmp_path / "bundles")]) == 0
    return tmp_path / "bundles"


def write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def test_a_bundle_is_installed_listed_and_rolled_back(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for release in (1, 2):
        file = write(tmp_path / "b", image_bundle(key=SIGNER, release=release))
        assert run_command(group, ["bundle", "install", file, "--store", str(store)]) == 0
    capsys.readouterr()
    assert run_command(group, ["bundle", "rollback", "tiny-surface", "--store", str(store)]) == 0
    capsys.readouterr()
    assert run_command(group, ["bundle", "list", "--store", str(store), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["release"], row["active"]) for row in rows] == [(1, True), (2, False)]


def test_a_bundle_by_a_stranger_exits_4_and_says_what_to_do(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "b", image_bundle(key=STRANGER))
    assert run_command(group, ["bundle", "verify", file, "--store", str(store)]) == 4
    assert "bundle trust add" in capsys.readouterr().err


def test_an_older_bundle_exits_4(tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for release, code in ((2, 0), (1, 4)):
        file = write(tmp_path / "b", image_bundle(key=SIGNER, release=release))
        assert run_command(group, ["bundle", "install", file, "--store", str(store)]) == code
    assert "older" in capsys.readouterr().err


def test_check_lists_every_fault_and_exits_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "c.toml", b'[gateway]\nid = "A"\n[broker]\nport = "x"\n')
    assert run_command(group, ["check", path]) == 78
    said = capsys.readouterr().err
    assert "$.gateway.id" in said
    assert "$.broker.port" in said


def test_check_without_a_bundle_exits_4_and_says_how_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "c.toml", CONFIG.encode())
    assert run_command(group, ["check", path, "--offline"]) == 4
    assert "bundle install" in capsys.readouterr().out


def test_check_passes_with_the_bundle_and_without_the_broker(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "b", image_bundle(key=SIGNER))
    assert run_command(group, ["bundle", "install", file, "--store", str(store)]) == 0
    path = write(tmp_path / "c.toml", CONFIG.encode())
    capsys.readouterr()
    assert run_command(group, ["check", path, "--offline", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_check_names_the_broker_that_does_not_answer_and_exits_5(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "b", image_bundle(key=SIGNER))
    assert run_command(group, ["bundle", "install", file, "--store", str(store)]) == 0
    path = write(tmp_path / "c.toml", CONFIG.encode())
    assert run_command(group, ["check", path]) == 5
    assert "127.0.0.1:1" in capsys.readouterr().out


def test_an_unknown_option_is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(group, ["check", "--no-such-option"]) == 2
    assert "no-such-option" in capsys.readouterr().err


def test_a_disk_that_refuses_exits_5_with_its_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(group, ["demo", "--keep", "/proc/no/such"]) == 5
    assert "/proc/no" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (click.Abort(), 130), (BundleFormatError("x"), 4)]
)
def test_how_a_command_ends_is_its_exit_code(error: BaseException, code: int) -> None:
    @click.command()
    def command() -> None:
        raise error

    assert run_command(command, []) == code


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["replay"], "name an alert or a recording"),
        (["replay", "missing.edgerec"], "no such recording"),
        (["replay", "x", "--alert-file", __file__], "belong together"),
        (["replay", __file__, "--broker", "localhost"], "this is no recording"),
    ],
)
def test_replay_says_what_it_needs(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert run_command(group, arguments) == 2
    assert words in capsys.readouterr().err


def test_record_refuses_a_filter_that_no_broker_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gateway.toml").write_text(CONFIG)
    arguments = ["record", str(tmp_path / "gateway.toml"), "--out", str(tmp_path / "a"), "--topics", "a/#/b"]
    assert run_command(group, arguments) == 2
    assert "--topics 'a/#/b'" in capsys.readouterr().err


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\nfrom edge_runtime.terminal import run_command\nfrom edge_runtime.cli import group\n"
        "run_command(group, ['--help'])\n"
        "heavy = {'numpy', 'numba', 'cv2', 'paho', 'msgspec', 'tensorflow', 'onnxruntime', 'ai_edge_litert', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "demo" in done.stdout
