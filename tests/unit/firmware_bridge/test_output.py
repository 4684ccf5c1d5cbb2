"""What emitting into a directory leaves there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import HostEnvironmentError
from firmware_bridge.build import prepare
from firmware_bridge.directory import LISTING, write_directory
from firmware_bridge.emit import emit_program
from firmware_bridge.golden import GoldenVectors
from firmware_bridge.source import Source
from firmware_bridge.targets import TARGETS
from tests.unit.firmware_bridge.small_models import chain_model, unary_model

VECTORS = GoldenVectors("a test", (0,), [(np.ones((1, 8), np.int8),)], [(np.ones((1, 8), np.int8),)])


def _emit(directory: Path, model: bytes, *golden: GoldenVectors, name: str = "net") -> set[str]:
    """Emit and return the files that this emission has."""
    prepared = prepare(model, TARGETS["generic"])
    emission = emit_program(prepared.program, prepared.plan, TARGETS["generic"], name)
    write_directory(directory, Source(model, name), emission, golden)
    vectors = {"golden.h", "verify/golden.npz"} if golden else set()
    return {*emission.files, "verify/model.tflite", LISTING, *vectors}


def _held(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if not path.is_dir()}


def test_directory_holds_exactly_what_was_emitted(tmp_path: Path) -> None:
    written = _emit(tmp_path / "new" / "c", chain_model(), VECTORS)
    assert _held(tmp_path / "new" / "c") == written


def test_files_of_an_earlier_emission_are_gone(tmp_path: Path) -> None:
    before = _emit(tmp_path, chain_model(), VECTORS, name="pump")
    after = _emit(tmp_path, unary_model("RELU"), name="fan")
    assert _held(tmp_path) == after
    assert before - after >= {"pump.h", "golden.h", "verify/golden.npz", "kernels/fully_connected_s8.c"}


def test_directory_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(HostEnvironmentError, match=r"write \(thesis.tex\); give --out a new or empty directory"):
        _emit(tmp_path, chain_model())
    assert _held(tmp_path) == {"thesis.tex"}


def test_file_added_to_an_emission_is_refused_and_kept(tmp_path: Path) -> None:
    before = _emit(tmp_path, chain_model())
    (tmp_path / "kernels" / "main.c").write_text("mine")
    with pytest.raises(HostEnvironmentError, match=r"kernels/main\.c"):
        _emit(tmp_path, chain_model())
    assert _held(tmp_path) == {*before, "kernels/main.c"}


def test_emitted_file_that_was_changed_is_refused_and_kept(tmp_path: Path) -> None:
    _emit(tmp_path, chain_model())
    (tmp_path / "README.md").write_text("my notes")
    with pytest.raises(HostEnvironmentError, match=r"README\.md was changed after it was emitted"):
        _emit(tmp_path, chain_model())
    assert (tmp_path / "README.md").read_text() == "my notes"


def test_link_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    directory, other = tmp_path / "c", tmp_path / "other"
    _emit(directory, chain_model())
    (directory / "kernels").rename(other)
    (directory / "kernels").symlink_to(other)
    with pytest.raises(HostEnvironmentError, match=r"did not write \(kernels\)"):
        _emit(directory, chain_model())


@pytest.mark.parametrize("name", ["../precious.c", "/precious.c", "precious.c", "kernels/../../precious.c"])
def test_listing_cannot_name_files_that_are_not_emitted(tmp_path: Path, name: str) -> None:
    directory = tmp_path / "c"
    before = _emit(directory, chain_model())
    digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # of no bytes
    (tmp_path / "precious.c").touch()
    with (directory / LISTING).open("a") as stream:
        stream.write(f"{digest}  {name}\n")
    _emit(directory, chain_model())
    assert (tmp_path / "precious.c").is_file()
    assert _held(directory) == before


def test_listing_of_somebody_else_gives_no_right_to_remove(tmp_path: Path) -> None:
    (tmp_path / "model.c").touch()
    digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (tmp_path / LISTING).write_text(f"{digest}  model.c\n")
    with pytest.raises(HostEnvironmentError, match="did not write"):
        _emit(tmp_path, chain_model())


@pytest.mark.parametrize("left", [0, 1, 3])
def test_interrupted_emission_is_taken_over_by_the_next(tmp_path: Path, left: int) -> None:
    whole = _emit(tmp_path, chain_model())
    for name in sorted(whole - {LISTING})[left:]:
        (tmp_path / name).unlink()
    (tmp_path / ".edge-part").write_text("half a fi")
    assert _emit(tmp_path, unary_model("RELU")) == _held(tmp_path)


def test_listing_is_what_sha256sum_checks(tmp_path: Path) -> None:
    _emit(tmp_path, chain_model(), VECTORS)
    command = ["sha256sum", "--check", "--strict", "--quiet", LISTING]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_two_emissions_are_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        _emit(tmp_path / folder, chain_model(), VECTORS)
    first, second = ({n: (tmp_path / f / n).read_bytes() for n in _held(tmp_path / f)} for f in ("a", "b"))
    assert first == second
