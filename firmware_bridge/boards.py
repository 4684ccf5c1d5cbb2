"""Emulated boards under QEMU: building a program for one, running it, and what it counted."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge_runtime.errors import FirmwareError
from firmware_bridge.emit import kernel_text
from firmware_bridge.manifest import FirmwareManifest
from firmware_bridge.runner import decode_outputs, encode_commands, runner_source
from firmware_bridge.samples import Record
from firmware_bridge.toolchain import COMPILE_TIMEOUT_S, model_sources, run_tool

_CALIBRATION_INSTRUCTIONS: Final = 200_000
_ARM: Final = ("arm-none-eabi-gcc", "qemu-system-arm")
_RISCV: Final = ("riscv64-unknown-elf-gcc", "qemu-system-riscv32")


@dataclass(frozen=True, slots=True)
class Board:
    """One emulated machine.

    Attributes
    ----------
    name, machine : str
        Our name and QEMU's.
    tools : tuple of str
        Compiler and emulator.
    flags : tuple of str
        Code generation.
    code, data : tuple of int
        Origin and length of the two memories.
    options : tuple of str
        More options of QEMU.
    """

    name: str
    machine: str
    tools: tuple[str, str]
    flags: tuple[str, ...]
    code: tuple[int, int]
    data: tuple[int, int]
    options: tuple[str, ...] = ()


def _cortex(
    name: str, machine: str, cpu: str, code: tuple[int, int], data: tuple[int, int], options: tuple[str, ...] = ()
) -> Board:
    float_abi = "hard" if cpu == "cortex-m55" else "soft"
    return Board(name, machine, _ARM, (f"-mcpu={cpu}", "-mthumb", f"-mfloat-abi={float_abi}"), code, data, options)


_MB: Final = 1 << 20
#: The micro:bit's part has 16 KiB of RAM and 256 KiB of flash; more of both lets larger models be tried on its core.
_ROOMY: Final = ("-global", f"nrf51-soc.sram-size={4 * _MB}", "-global", f"nrf51-soc.flash-size={4 * _MB}")
BOARDS: Final = {
    board.name: board
    for board in (
        _cortex("m0plus", "microbit", "cortex-m0plus", (0x0, 4 * _MB), (0x20000000, 4 * _MB), _ROOMY),
        _cortex("m3", "mps2-an385", "cortex-m3", (0x0, 4 * _MB), (0x20000000, 4 * _MB)),
        _cortex("m4", "mps2-an386", "cortex-m4", (0x0, 4 * _MB), (0x20000000, 4 * _MB)),
        _cortex("m33", "mps2-an505", "cortex-m33", (0x10000000, 4 * _MB), (0x38000000, 4 * _MB)),
        _cortex("m55", "mps3-an547", "cortex-m55", (0x0, _MB // 2), (0x30000000, _MB // 2)),
        Board(
            "rv32",
            "virt",
            _RISCV,
            ("-march=rv32imac", "-mabi=ilp32", "-mcmodel=medany", "-mno-relax", "--specs=picolibc.specs"),
            (0x80000000, 8 * _MB),
            (0x80800000, 8 * _MB),
            ("-bios", "none"),
        ),
    )
}

_LINKER: Final = """ENTRY({entry})
MEMORY {{
  CODE (rx) : ORIGIN = {code:#x}, LENGTH = {code_length:#x}
  DATA (rwx) : ORIGIN = {data:#x}, LENGTH = {data_length:#x}
}}
SECTIONS {{
  .text : {{ KEEP(*(.vectors)) *(.text .text.*) *(.rodata .rodata.* .srodata .srodata.*) . = ALIGN(4); }} > CODE
  .ARM.exidx : {{ *(.ARM.exidx*) }} > CODE
  .data : {{ edge_data_start = .; *(.data .data.* .sdata .sdata.*) . = ALIGN(4); edge_data_end = .; }} > DATA AT > CODE
  edge_data_load = LOADADDR(.data);
  .bss (NOLOAD) : {{ edge_bss_start = .; *(.bss .bss.* .sbss .sbss.* COMMON) . = ALIGN(8); edge_bss_end = .; }} > DATA
  edge_stack_top = ORIGIN(DATA) + LENGTH(DATA);
  /DISCARD/ : {{ *(.comment) *(.ARM.attributes) *(.eh_frame) }}
}}
"""


@dataclass(frozen=True, slots=True)
class Count:
    """What one inference took on a board.

    Attributes
    ----------
    instructions : int
        Inside the inference.
    per_operator : tuple of (int, int)
        Operator index and instructions.
    stack_bytes : int
        Deepest stack, the program's own frames included.
    """

    instructions: int
    per_operator: tuple[tuple[int, int], ...]
    stack_bytes: int


@dataclass(frozen=True, slots=True)
class BoardRun:
    """Outputs, counts and flash of one run.

    Attributes
    ----------
    outputs : list of tuple of arrays
        One per record.
    counts : tuple of Count
        One per record.
    flash_bytes : int
        Code and constants of the model and its kernels.
    kernel_bytes : int
        The kernels' part, which several models in one image share.
    """

    outputs: list[Record]
    counts: tuple[Count, ...]
    flash_bytes: int
    kernel_bytes: int


def linker_script(board: Board) -> str:
    """Return the linker script for a board's two memories."""
    return _LINKER.format(
        entry="_start" if board.name == "rv32" else "edge_start",
        code=board.code[0],
        code_length=board.code[1],
        data=board.data[0],
        data_length=board.data[1],
    )


def missing_tools(board: Board) -> list[str]:
    """Return the programs of a board that are not installed."""
    return [tool for tool in board.tools if shutil.which(tool) is None]


def run_board(
    board: Board,
    directory: Path,
    manifest: FirmwareManifest,
    records: Sequence[Record],
    resets: Collection[int],
    *,
    defines: Sequence[str] = (),
) -> BoardRun:
    """Build an emitted directory for a board and run records on it.

    Parameters
    ----------
    board : Board
        Where.
    directory : Path
        Emitted files.
    manifest : FirmwareManifest
        Of that directory.
    records : sequence of tuple of arrays
        Inputs.
    resets : collection of int
        Records before which the state is reset.
    defines : sequence of str
        More compiler flags, such as ``-DEDGE_PORTABLE``.

    Raises
    ------
    FirmwareError
        When building or running fails.
    HostEnvironmentError
        When a tool is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        objects = _compile(board, directory, manifest, work, defines)
        (work / "bench.c").write_text(kernel_text("board", "bench.c"), encoding="utf-8")
        (work / "runner.c").write_text(runner_source(manifest), encoding="utf-8")
        sources = [*(str(path) for path in objects), str(work / "bench.c"), str(work / "runner.c")]
        program = link_program(board, sources, work, flags=[f"-I{directory}"])
        (work / "in.bin").write_bytes(encode_commands(records, resets))
        run_program(board, program)
        try:
            outputs = decode_outputs(manifest, (work / "out.bin").read_bytes(), len(records))
        except ValueError as error:
            raise FirmwareError(str(error)) from error
        return BoardRun(outputs, _read_counts((work / "counts.bin").read_bytes()), *_flash(board, objects))


def link_program(board: Board, sources: Sequence[str], work: Path, *, flags: Sequence[str] = ()) -> Path:
    """Link C files or objects that define ``main`` with a board's start-up code.

    Parameters
    ----------
    board : Board
        Where it shall run.
    sources : sequence of str
        C files, compiled as C99 with GNU extensions, and objects.
    work : Path
        For start-up code and program.
    flags : sequence of str
        More compiler flags.

    Returns
    -------
    program : Path
        ``program.elf`` in ``work``.

    Raises
    ------
    FirmwareError
        When it does not compile or link.
    HostEnvironmentError
        When the compiler is not installed.
    """
    for name in ("semihosting.h", "start.c"):
        (work / name).write_text(kernel_text("board", name), encoding="utf-8")
    (work / "link.ld").write_text(linker_script(board), encoding="utf-8")
    command = [board.tools[0], *board.flags, "-std=gnu99", "-O2", "-ffreestanding", "-nostartfiles", *flags]
    command += [f"-T{work / 'link.ld'}", "-Wl,--gc-sections", *sources, str(work / "start.c"), "-lc", "-lgcc"]
    program = work / "program.elf"
    run_tool([*command, "-o", str(program)], timeout_s=COMPILE_TIMEOUT_S)
    return program


def run_program(board: Board, program: Path) -> None:
    """Run a program of ``link_program`` in its own directory until it ends.

    Raises
    ------
    FirmwareError
        When its ``main`` returns something else than 0; 125 stands for a fault of the processor.
    HostEnvironmentError
        When the emulator is not installed.
    """
    command = [board.tools[1], "-M", board.machine, "-nographic", "-monitor", "none", "-serial", "none"]
    command += ["-semihosting-config", "enable=on,target=native", "-icount", "shift=0", "-kernel", program.name]
    run_tool(["env", "-C", str(program.parent), *command, *board.options])


def _compile(
    board: Board, directory: Path, manifest: FirmwareManifest, work: Path, defines: Sequence[str]
) -> list[Path]:
    """Objects of the model and its kernels."""
    (work / "step.h").write_text(
        "#include <stdint.h>\nvoid edge_step(int32_t step);\n#define EDGE_STEP(operator) edge_step(operator);\n"
    )
    objects = []
    for source in model_sources(directory, manifest):
        target = work / (Path(source).stem + ".o")
        command = [board.tools[0], *board.flags, "-std=c99", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
        command += ["-ffunction-sections", "-fdata-sections", *defines, "-include", str(work / "step.h")]
        run_tool([*command, "-c", source, "-o", str(target)], timeout_s=COMPILE_TIMEOUT_S)
        objects.append(target)
    return objects


def _flash(board: Board, objects: Sequence[Path]) -> tuple[int, int]:
    """Code and constants of all objects, and of all but the first, which is the model's own."""
    size = board.tools[0].replace("gcc", "size")
    lines = run_tool([size, *(str(path) for path in objects)]).decode().splitlines()[1:]
    sizes = [int(line.split()[0]) + int(line.split()[1]) for line in lines]
    return sum(sizes), sum(sizes[1:])


def _read_counts(data: bytes) -> tuple[Count, ...]:
    words = np.frombuffer(data, "<u4").astype(np.int64)
    counts, at = [], 0
    while at < words.size:
        n_steps, calibration, stack = (int(value) for value in words[at : at + 3])
        pairs = words[at + 3 : at + 3 + 2 * n_steps].reshape(-1, 2)
        factor = _CALIBRATION_INSTRUCTIONS / max(calibration, 1)
        per_operator = tuple((int(operator), round(int(ticks) * factor)) for operator, ticks in pairs)
        counts.append(Count(sum(n for _, n in per_operator), per_operator, stack))
        at += 3 + 2 * n_steps
    return tuple(counts)
