"""Reading an emitted directory whose files were damaged or changed."""

from __future__ import annotations

import json
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.errors import FirmwareError
from edge_runtime.terminal import run_command
from firmware_bridge import samples, verify
from firmware_bridge.build import prepare
from firmware_bridge.cli import group
from firmware_bridge.directory import read_manifest
from firmware_bridge.emit import emit_program
from firmware_bridge.golden import GoldenVectors, check_golden, load_golden, save_golden
from firmware_bridge.targets import TARGETS
from tests.unit.firmware_bridge.small_models import chain_model


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An emitted directory with golden vectors, whatever they are."""
    model = chain_model()
    prepared = prepare(model, TARGETS["generic"])
    emission = emit_program(prepared.program, prepared.plan, TARGETS["generic"], "net")
    (tmp_path / "verify").mkdir()
    (tmp_path / "firmware.json").write_text(emission.files["firmware.json"])
    (tmp_path / "verify" / "model.tflite").write_bytes(model)
    save_golden(tmp_path / "verify" / "golden.npz", [_vectors()])
    return tmp_path


def _vectors(size: int = 8, dtype: type[np.generic] = np.int8) -> GoldenVectors:
    return GoldenVectors("a test", (0,), [(np.ones((1, size), dtype),)], [(np.ones((1, 8), np.int8),)])


def _change(directory: Path, **fields: object) -> None:
    path = directory / "firmware.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def _change_input(directory: Path, **fields: object) -> None:
    ports: list[dict[str, Any]] = json.loads((directory / "firmware.json").read_text())["inputs"]
    _change(directory, inputs=[ports[0] | fields])


def test_directory_as_emitted_is_read(directory: Path) -> None:
    manifest = read_manifest(directory)
    check_golden(load_golden(directory / "verify" / "golden.npz"), manifest)
    assert manifest.name == "net"


@pytest.mark.parametrize(
    "fields",
    [
        {"schema": "edge.firmware/9"},
        {"contract": "other"},
        {"name": "int"},
        {"name": "net;system"},
        {"kernels": ["../../secret"]},
        {"arena_bytes": -1},
        {"state_bytes": 2**40},
        {"macs": -1},
        {"inputs": []},
    ],
)
def test_changed_field_is_refused(directory: Path, fields: dict[str, object]) -> None:
    _change(directory, **fields)
    with pytest.raises(FirmwareError, match="emit the directory again"):
        read_manifest(directory)


@pytest.mark.parametrize(
    "fields",
    [
        {"dtype": "int9"},
        {"dtype": "object"},
        {"shape": [1, 0]},
        {"nbytes": 9},
        {"arena_offset": 1 << 20},
        {"scale": 0.0},
        {"zero_point": 300},
    ],
)
def test_changed_input_is_refused_by_its_name(directory: Path, fields: dict[str, object]) -> None:
    _change_input(directory, **fields)
    with pytest.raises(FirmwareError, match="port 't0'"):
        read_manifest(directory)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[" * 5000, b"{}", b'{"schema": "\xff"}'])
def test_manifest_that_is_no_manifest_is_refused(directory: Path, data: bytes) -> None:
    (directory / "firmware.json").write_bytes(data)
    with pytest.raises(FirmwareError, match="emit the directory again"):
        read_manifest(directory)


def test_any_damage_to_golden_vectors_is_one_error(directory: Path) -> None:
    path = directory / "verify" / "golden.npz"
    whole = path.read_bytes()
    dice = random.Random(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(dice.randrange(1, 5)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        path.write_bytes(damaged[: dice.choice((len(damaged), dice.randrange(len(damaged))))])
        try:
            check_golden(load_golden(path), read_manifest(directory))
        except FirmwareError:
            continue


def test_damaged_golden_vectors_end_verify_with_4(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "verify" / "golden.npz").write_bytes(b"PK damaged")
    assert run_command(group, ["verify", str(directory)]) == 4
    assert "golden.npz cannot be read" in capsys.readouterr().err


def test_changed_type_in_the_manifest_ends_verify_with_4(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change_input(directory, dtype="int9")
    assert run_command(group, ["verify", str(directory)]) == 4
    assert "dtype 'int9'" in capsys.readouterr().err


def test_more_inputs_than_fit_end_verify_with_2(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MAX_SAMPLES_BYTES", 8 * 24)
    monkeypatch.setattr(verify, "reference_version", lambda: "1")
    assert run_command(group, ["verify", str(directory), "--inputs", "64"]) == 2
    assert "--inputs 64 are too many of this size; at most 20" in capsys.readouterr().err


def test_golden_vectors_that_unpack_beyond_the_limit_are_refused(directory: Path) -> None:
    path = directory / "verify" / "golden.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("n_sets.npy", bytes((64 << 20) + 1))
    with pytest.raises(FirmwareError, match="more than"):
        load_golden(path)


@pytest.mark.parametrize("vectors", [_vectors(size=9), _vectors(dtype=np.uint8), GoldenVectors("none", (0,), [], [])])
def test_golden_vectors_of_another_model_are_refused(directory: Path, vectors: GoldenVectors) -> None:
    with pytest.raises(FirmwareError, match="emit the directory again"):
        check_golden([vectors], read_manifest(directory))
