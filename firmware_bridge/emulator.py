"""Cortex-M without any system package: compiled by the ``ziglang`` package, run by the ``unicorn`` package."""

from __future__ import annotations

import importlib.util
import struct
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_runtime.errors import FirmwareError, HostEnvironmentError
from firmware_bridge.emit import kernel_text
from firmware_bridge.manifest import FirmwareManifest
from firmware_bridge.runner import decode_outputs, encode_commands, runner_source
from firmware_bridge.samples import Record
from firmware_bridge.toolchain import COMPILE_TIMEOUT_S, model_sources, run_tool

_CODE: Final = (0x00000000, 16 << 20)
_DATA: Final = (0x20000000, 8 << 20)
_STATUS: Final = 0x50000000
_INPUT: Final = 0x60000000
_OUTPUT: Final = 0x70000000
_PAGE: Final = 4096
_TIMEOUT_S: Final = 100
_LINKER: Final = """ENTRY(start)
SECTIONS {
  . = 0x0;
  .text : { KEEP(*(.vectors)) *(.text .text.*) *(.rodata .rodata.*) . = ALIGN(8); }
  .ARM.exidx : { *(.ARM.exidx*) }
  . = 0x20000000;
  .bss (NOLOAD) : { edge_bss_start = .; *(.bss .bss.* COMMON) . = ALIGN(8); edge_bss_end = .; }
  edge_stack_top = 0x20800000;
  /DISCARD/ : { *(.comment) *(.ARM.attributes) *(.eh_frame) }
}
"""


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor alone, without a board.

    Attributes
    ----------
    name : str
        For messages.
    zig : str
        Name of the processor to the compiler.
    unicorn : str
        Name of the emulator's constant for the processor; ARMv6-M refuses unaligned words there as the device does.
    """

    name: str
    zig: str
    unicorn: str


PROCESSORS: Final = {
    "unicorn-m0plus": Processor("Cortex-M0+", "cortex_m0plus", "UC_CPU_ARM_CORTEX_M0"),
    "unicorn-m4": Processor("Cortex-M4", "cortex_m4", "UC_CPU_ARM_CORTEX_M4"),
}


def missing_packages() -> list[str]:
    """Return which of the two packages are not installed."""
    return [name for name in ("ziglang", "unicorn") if importlib.util.find_spec(name) is None]


def _require_packages() -> None:
    missing = missing_packages()
    if missing:
        raise HostEnvironmentError(f"{' and '.join(missing)} not installed; pip install 'edge-runtime[firmware]'")


def build_image(
    processor: Processor, directory: Path, manifest: FirmwareManifest, work: Path, *, portable: bool = False
) -> bytes:
    """Compile an emitted directory for a processor.

    Parameters
    ----------
    processor : Processor
        Of ``PROCESSORS``.
    directory : Path
        Where ``model.c`` is.
    manifest : FirmwareManifest
        Of that directory.
    work : Path
        For intermediate files.
    portable : bool
        Without the SMLAD path.

    Returns
    -------
    image : bytes
        What lies at address 0.

    Raises
    ------
    FirmwareError
        When it does not compile.
    HostEnvironmentError
        When a package is not installed.
    """
    (work / "runner.c").write_text(runner_source(manifest), encoding="utf-8")
    flags = [f"-I{directory}", *(["-DEDGE_PORTABLE"] if portable else [])]
    return link_image(processor, [*model_sources(directory, manifest), str(work / "runner.c")], flags, work)


def link_image(processor: Processor, sources: Sequence[str], flags: Sequence[str], work: Path) -> bytes:
    """Compile C files that define ``run`` with the emulator's start-up; errors as in ``build_image``."""
    _require_packages()
    for name, text in {"unicorn.c": kernel_text("board", "unicorn.c"), "link.ld": _LINKER}.items():
        (work / name).write_text(text, encoding="utf-8")
    zig = [sys.executable, "-m", "ziglang"]
    fixed = ["-target", "thumb-freestanding-eabi", f"-mcpu={processor.zig}", "-O2", "-ffreestanding"]
    fixed += ["-fno-sanitize=undefined", "-ffunction-sections", "-Wl,--gc-sections"]
    program, image = work / "program.elf", work / "program.bin"
    command = [*zig, "cc", *fixed, *flags, *sources, str(work / "unicorn.c"), "-T", str(work / "link.ld")]
    run_tool([*command, "-o", str(program)], timeout_s=COMPILE_TIMEOUT_S)
    run_tool([*zig, "objcopy", "-O", "binary", "-j", ".text", str(program), str(image)], timeout_s=COMPILE_TIMEOUT_S)
    return image.read_bytes()


def _machine(processor: Processor, image: bytes, commands: bytes, output_bytes: int) -> Any:  # noqa: ANN401 - a foreign class without types
    from unicorn import UC_ARCH_ARM, UC_MODE_THUMB, Uc, arm_const  # noqa: PLC0415 - only here

    machine = Uc(UC_ARCH_ARM, UC_MODE_THUMB)  # with UC_MODE_MCLASS it would be a Cortex-M33 whatever model is set
    machine.ctl_set_cpu_model(getattr(arm_const, processor.unicorn))
    for start, size in (_CODE, _DATA, (_STATUS, _PAGE)):
        machine.mem_map(start, size)
    machine.mem_map(_INPUT, -(-(len(commands) + 4) // _PAGE) * _PAGE)
    machine.mem_map(_OUTPUT, -(-max(output_bytes, 1) // _PAGE) * _PAGE)
    machine.mem_write(_CODE[0], image)
    machine.mem_write(_INPUT, struct.pack("<I", len(commands)) + commands)
    return machine


def run_image(
    processor: Processor,
    image: bytes,
    manifest: FirmwareManifest,
    records: Sequence[Record],
    resets: Collection[int],
) -> list[Record]:
    """Run records through an image of ``build_image``.

    Raises
    ------
    FirmwareError
        When the processor faults, does not finish, or the model leaves its memory.
    HostEnvironmentError
        When a package is not installed.
    """
    each = sum(port.nbytes for port in manifest.outputs)
    return decode_outputs(
        manifest,
        run_commands(processor, image, encode_commands(records, resets), each * len(records)),
        len(records),
    )


def run_commands(processor: Processor, image: bytes, commands: bytes, output_bytes: int) -> bytes:
    """Run an image of ``link_image`` on bytes and return what it gave; errors as in ``run_image``."""
    _require_packages()
    import unicorn  # noqa: PLC0415 - only here
    from unicorn.arm_const import UC_ARM_REG_SP  # noqa: PLC0415

    machine = _machine(processor, image, commands, output_bytes)
    stack, entry, stop = struct.unpack_from("<III", image)
    machine.reg_write(UC_ARM_REG_SP, stack)
    try:
        machine.emu_start(entry | 1, stop & ~1, timeout=_TIMEOUT_S * 1_000_000)
    except unicorn.UcError as error:
        raise FirmwareError(f"the emulated {processor.name} stopped: {error}") from error
    status, written = struct.unpack("<iI", machine.mem_read(_STATUS, 8))
    if status != 0 or written != output_bytes:
        raise FirmwareError(f"the program ended with {status} after {written} of {output_bytes} bytes")
    return bytes(machine.mem_read(_OUTPUT, output_bytes))


def verify_processor(
    processor: Processor,
    directory: Path,
    manifest: FirmwareManifest,
    records: Sequence[Record],
    resets: Collection[int],
    *,
    portable: bool = False,
) -> list[Record]:
    """Build and run in one go; see ``build_image`` and ``run_image``."""
    with tempfile.TemporaryDirectory() as folder:
        image = build_image(processor, directory, manifest, Path(folder), portable=portable)
    return run_image(processor, image, manifest, records, resets)
