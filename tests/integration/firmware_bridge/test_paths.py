"""Models compiled for different kernel paths, in one image and for the wrong processor."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.errors import FirmwareError
from firmware_bridge.boards import BOARDS, missing_tools
from firmware_bridge.conformance.graphs import random_model
from firmware_bridge.toolchain import host_compiler, model_sources, run_tool
from tests.integration.firmware_bridge.places import emitted, require, require_host

pytestmark = pytest.mark.compiler

_GCC = "arm-none-eabi-gcc"


@pytest.fixture(autouse=True)
def _tools() -> None:
    require_host()


def _objects(
    directory: Path, compiler: str, flags: tuple[str, ...], *, name: str, target: str = "generic"
) -> list[str]:
    """Emit the same graph under a name, compile it and return its objects."""
    manifest = emitted(random_model(0), directory, name=name, target=target)
    objects = []
    for source in model_sources(directory, manifest):
        objects.append(str(directory / (Path(source).stem + ".o")))
        run_tool([compiler, *flags, "-std=c99", "-O2", "-c", source, "-o", objects[-1]])
    return objects


def _kernels(objects: list[str]) -> dict[str, str]:
    """Kernel symbols of objects and their kinds, as nm names them."""
    lines = run_tool(["nm", *objects]).decode().splitlines()
    pairs = [line.split()[-2:] for line in lines if "edge_k1_" in line]
    return {name: kind for kind, name in pairs}


def _linked(directory: Path, *objects: str) -> list[str]:
    image = str(directory / "image.o")
    run_tool([_GCC, "-r", "-nostdlib", *objects, "-o", image])
    return [image]


def test_kernels_of_the_host_carry_the_portable_path(tmp_path: Path) -> None:
    compiler = host_compiler()
    assert compiler is not None
    kernels = _kernels(_objects(tmp_path, compiler, (), name="net"))
    assert kernels
    assert all(name.startswith("edge_k1_c_") for name in kernels)


@pytest.mark.parametrize(
    ("board", "defines", "path"),
    [
        ("m0plus", (), "c"),
        ("m3", (), "c"),
        ("m4", (), "dsp"),
        ("m4", ("-DEDGE_PORTABLE",), "c"),
        ("m4", ("-mno-unaligned-access",), "c"),
        ("m33", (), "dsp"),
        ("m55", (), "mve"),
    ],
)
def test_kernels_carry_the_path_they_were_compiled_for(
    board: str, defines: tuple[str, ...], path: str, tmp_path: Path
) -> None:
    require(missing_tools(BOARDS[board]))
    kernels = _kernels(_objects(tmp_path, _GCC, (*BOARDS[board].flags, *defines), name="net"))
    assert kernels
    assert all(name.startswith(f"edge_k1_{path}_") for name in kernels)


def test_models_of_two_paths_keep_their_own_kernels_in_one_image(tmp_path: Path) -> None:
    require(missing_tools(BOARDS["m4"]))
    flags = BOARDS["m4"].flags
    one = _objects(tmp_path / "a", _GCC, (*flags, "-DEDGE_PORTABLE"), name="one", target="cortex-m4")
    two = _objects(tmp_path / "b", _GCC, flags, name="two", target="cortex-m4")
    kernels = _kernels(_linked(tmp_path, *one, *two))
    assert {name.split("_")[2] for name in kernels} == {"c", "dsp"}
    assert set(kernels.values()) == {"W"}, "every kernel of both models is defined"


def test_models_of_one_path_share_their_kernels_in_one_image(tmp_path: Path) -> None:
    require(missing_tools(BOARDS["m4"]))
    one = _objects(tmp_path / "a", _GCC, BOARDS["m4"].flags, name="one")
    two = _objects(tmp_path / "b", _GCC, BOARDS["m4"].flags, name="two")
    assert _kernels(_linked(tmp_path, *one, *two)) == _kernels(_linked(tmp_path, *one))


@pytest.mark.parametrize("target", ["cortex-m0plus", "cortex-m55", "rv32"])
def test_emission_without_scratch_for_smlad_does_not_compile_where_smlad_is_chosen(target: str, tmp_path: Path) -> None:
    require(missing_tools(BOARDS["m4"]))
    with pytest.raises(FirmwareError, match=f"emitted for {target}; emit again"):
        _objects(tmp_path, _GCC, BOARDS["m4"].flags, name="net", target=target)
