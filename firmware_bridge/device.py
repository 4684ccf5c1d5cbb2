"""The device application on an emulated board: building it and reading what it sends."""

from __future__ import annotations

import tempfile
from pathlib import Path

from firmware_bridge.boards import BOARDS, linker_script
from firmware_bridge.build import prepare
from firmware_bridge.conformance.example import example_model
from firmware_bridge.emit import emit_program, kernel_text
from firmware_bridge.packet import DeviceFinding, decode_finding, split_frames
from firmware_bridge.targets import find_target
from firmware_bridge.toolchain import COMPILE_TIMEOUT_S, model_sources, run_tool

_SOURCES = ("main.c", "sensor.c", "features.c", "packet.c")


def run_device() -> list[DeviceFinding]:
    """Build the application for QEMU's Cortex-M4 board, run it, and decode its packets.

    Returns
    -------
    findings : list of DeviceFinding
        In the order of sending.

    Raises
    ------
    FirmwareError
        When it does not build or ends with an error.
    HostEnvironmentError
        When compiler or emulator are not installed.
    LinkError
        When a packet is damaged.
    """
    board, target = BOARDS["m4"], find_target("cortex-m4")
    prepared = prepare(example_model(), target)
    emission = emit_program(prepared.program, prepared.plan, target, "bearing")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "kernels").mkdir()
        for name, text in emission.files.items():
            (work / name).write_text(text, encoding="utf-8")
        for name in (*_SOURCES, "device.h"):
            (work / name).write_text(kernel_text("device", name), encoding="utf-8")
        for name in ("start.c", "semihosting.h"):
            (work / name).write_text(kernel_text("board", name), encoding="utf-8")
        (work / "link.ld").write_text(linker_script(board), encoding="utf-8")
        command = [board.tools[0], *board.flags, "-std=c99", "-O2", "-Wall", "-Wextra", "-Wconversion", "-nostartfiles"]
        command += [f"-T{work / 'link.ld'}", "-Wl,--gc-sections", *model_sources(work, emission.manifest)]
        command += [str(work / name) for name in (*_SOURCES, "start.c")]
        run_tool([*command, "-lc", "-lgcc", "-o", str(work / "device.elf")], timeout_s=COMPILE_TIMEOUT_S)
        emulator = [board.tools[1], "-M", board.machine, "-nographic", "-monitor", "none", "-serial", "stdio"]
        emulator += ["-semihosting-config", "enable=on,target=native", "-kernel", str(work / "device.elf")]
        stream = run_tool(emulator, timeout_s=60.0)
    return [decode_finding(frame) for frame in split_frames(stream)]
