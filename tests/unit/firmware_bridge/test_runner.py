"""The byte protocol, samples and golden vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import FirmwareError
from firmware_bridge.build import emit_source, prepare
from firmware_bridge.emit import emit_program
from firmware_bridge.golden import GoldenVectors, golden_header, load_golden, save_golden
from firmware_bridge.manifest import FirmwareManifest, PortManifest
from firmware_bridge.runner import decode_outputs, encode_commands, runner_source
from firmware_bridge.samples import MAX_RECORD_BYTES, MAX_SAMPLES_BYTES, make_samples, most_samples
from firmware_bridge.source import Source
from firmware_bridge.targets import TARGETS
from tests.unit.firmware_bridge.small_models import chain_model, unary_model

PORT = PortManifest("x", "int8", (1, 3), 3, 0, 0.1, -5)


@pytest.fixture
def manifest() -> FirmwareManifest:
    prepared = prepare(chain_model(), TARGETS["generic"])
    return emit_program(prepared.program, prepared.plan, TARGETS["generic"], "net").manifest


def test_commands_mark_resets_and_carry_inputs_in_order() -> None:
    records = [(np.array([[1, 2, 3]], np.int8),), (np.array([[-1, 0, 9]], np.int8),)]
    assert encode_commands(records, {1}) == b"I\x01\x02\x03RI\xff\x00\x09"


def test_outputs_of_the_wrong_length_are_refused(manifest: FirmwareManifest) -> None:
    with pytest.raises(ValueError, match="8 were expected"):
        decode_outputs(manifest, b"123", 1)


def test_outputs_are_cut_into_records(manifest: FirmwareManifest) -> None:
    records = decode_outputs(manifest, bytes(range(16)), 2)
    assert records[1][0].tolist() == [list(range(8, 16))]


def test_runner_guards_the_memory_behind_arena_and_state(manifest: FirmwareManifest) -> None:
    assert "guards_hold" in runner_source(manifest)


def test_samples_are_the_same_for_the_same_seed() -> None:
    first, second = make_samples([PORT], 4, 3), make_samples([PORT], 4, 3)
    assert all((a[0] == b[0]).all() for a, b in zip(first, second, strict=True))


def test_samples_end_with_both_limits_the_zero_point_and_the_middle() -> None:
    extremes = [record[0][0, 0] for record in make_samples([PORT], 1, 0)[1:]]
    assert extremes == [-128, 127, -5, -1]


def _port(nbytes: int) -> PortManifest:
    return PortManifest("x", "int8", (1, nbytes), nbytes, 0, 0.1, 0)


def test_record_beyond_the_limit_is_refused_before_it_is_made() -> None:
    assert most_samples([_port(MAX_RECORD_BYTES + 1)]) == 0
    with pytest.raises(FirmwareError, match="so large an input cannot be verified"):
        make_samples([_port(MAX_RECORD_BYTES + 1)], 1, 0)


def test_more_samples_than_fit_are_refused_with_how_many_do() -> None:
    port = _port(1 << 20)
    assert most_samples([port]) == (MAX_SAMPLES_BYTES >> 20) - 4
    with pytest.raises(FirmwareError, match="ask for at most 124 inputs"):
        make_samples([port], 125, 0)


def test_model_with_an_input_beyond_the_limit_is_emitted_without_golden_vectors() -> None:
    model = unary_model("RELU", shape=(1, MAX_RECORD_BYTES + 1))
    emission, golden = emit_source(Source(model, "wide"), TARGETS["generic"], "wide")
    assert golden == []
    assert emission.manifest.inputs[0].nbytes == MAX_RECORD_BYTES + 1


def test_golden_vectors_that_could_not_be_read_again_are_not_written(tmp_path: Path) -> None:
    large = (np.zeros((1, 33 << 20), np.int8),)
    with pytest.raises(FirmwareError, match="golden vectors have"):
        save_golden(tmp_path / "g.npz", [GoldenVectors("x", (0,), [large], [large])])


def test_golden_vectors_read_back_the_same(tmp_path: Path) -> None:
    golden = GoldenVectors("x 1", (0,), [(np.zeros((1, 3), np.int8),)], [(np.ones((1, 2), np.int8),)], 2)
    save_golden(tmp_path / "g.npz", [golden])
    (again,) = load_golden(tmp_path / "g.npz")
    assert (again.source, again.resets, again.max_lsb) == ("x 1", (0,), 2)
    assert again.outputs[0][0].tolist() == [[1, 1]]


def test_damaged_golden_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "g.npz").write_bytes(b"PK nonsense")
    with pytest.raises(FirmwareError, match="emit the directory again"):
        load_golden(tmp_path / "g.npz")


def test_golden_header_holds_inputs_and_outputs(manifest: FirmwareManifest) -> None:
    golden = GoldenVectors("x 1", (0,), [(np.full((1, 8), 7, np.int8),)], [(np.ones((1, 8), np.int8),)])
    text = golden_header(manifest, golden)
    assert "net_golden_input0[1][8]" in text
    assert "7, 7, 7" in text
