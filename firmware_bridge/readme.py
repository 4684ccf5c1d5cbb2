"""The README and the CMake fragment of an emitted directory."""

from __future__ import annotations

from typing import Final

from firmware_bridge.ctext import comment
from firmware_bridge.manifest import FirmwareManifest, PortManifest
from firmware_bridge.plan import Plan
from firmware_bridge.schema import ITEM_BYTES
from firmware_bridge.targets import Footprint, Target

#: C types of graph ends.
CTYPES: Final = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "int32": "int32_t", "float32": "float"}


def cmake_text(manifest: FirmwareManifest) -> str:
    """Return ``CMakeLists.txt``: a static library of the model and its kernels."""
    sources = "\n  ".join(f"${{CMAKE_CURRENT_LIST_DIR}}/kernels/{kernel}.c" for kernel in manifest.kernels)
    library = f"edge_model_{manifest.name}"
    return f"""# add_subdirectory() or include() this, then target_link_libraries(app {library}).
add_library({library} STATIC
  ${{CMAKE_CURRENT_LIST_DIR}}/model.c
  {sources})
target_include_directories({library} PUBLIC ${{CMAKE_CURRENT_LIST_DIR}})
set_target_properties({library} PROPERTIES C_STANDARD 99 C_EXTENSIONS ON)
"""


def readme_text(manifest: FirmwareManifest, target: Target, plan: Plan, footprint: Footprint | None = None) -> str:
    """Return ``README.md``: memory, ends, interface, use and operators.

    Parameters
    ----------
    manifest, target, plan
        What was emitted.
    footprint : Footprint or None
        Flash and stack; without it the README says how to measure them.

    Returns
    -------
    text : str
        Markdown.
    """
    return f"""# {manifest.name}

An int8 model as standalone C99 for `{target.name}`, equal bit for bit to the arithmetic contract `{manifest.contract}`
(tflite-micro's reference kernels). Model file sha256 `{manifest.model_sha256}`.

{_memory(manifest, plan, footprint)}
{_ends(manifest)}
{_interface(manifest)}
{_use(manifest, target)}
{_operators(manifest)}"""


def _memory(manifest: FirmwareManifest, plan: Plan, footprint: Footprint | None) -> str:
    if footprint is None:
        flash = f"| weights and tables (flash, without code) | {manifest.constant_bytes} |"
        note = """Code and stack depend on the compiler and were not measured here.
`edge-firmware verify DIR --on BOARD` (m0plus, m3, m4, m33, m55, rv32) prints instructions, stack and flash with the
kernels; by hand: compile `model.c kernels/*.c` with `-fstack-usage` and read `size *.o` and `*.su`."""
    else:
        flash = f"""| flash: model | {footprint.model_bytes} |
| flash: kernels (shared by several models) | {footprint.kernel_bytes} |
| flash: both, of which weights and tables {manifest.constant_bytes} | {footprint.flash_bytes} |
| stack of one invocation, without the C library | {footprint.stack_bytes} |"""
        note = f"""Flash and stack with `{footprint.compiler}`.
`edge-firmware verify DIR --on BOARD` (m0plus, m3, m4, m33, m55, rv32) counts instructions on an emulated board and
prints the stack that was used there."""
    peak = "\n".join(f"- {comment(entry)}: {nbytes}" for entry, nbytes in plan.peak[:4])
    return f"""## Memory

| | bytes |
|---|---|
| arena (RAM, the caller's, aligned to 8) | {manifest.arena_bytes} |
| lower bound of the arena for this order | {manifest.arena_lower_bound} |
| state (RAM, the caller's, aligned to 8) | {manifest.state_bytes} |
| arena and state | {manifest.arena_bytes + manifest.state_bytes} |
{flash}
| the .tflite file, for comparison | {manifest.model_bytes} |

{note}

Live at the peak of the arena, in bytes:

{peak}
"""


def _ends(manifest: FirmwareManifest) -> str:
    ports = "\n".join(
        f"| {role} {index} | {port.dtype} | {' x '.join(map(str, port.shape)) or 'scalar'} | {port.scale:.9g} "
        f"| {port.zero_point} | {port.nbytes} |"
        for role, index, port in _ports(manifest)
    )
    return f"""## Ends

| end | type | shape | scale | zero point | bytes |
|---|---|---|---|---|---|
{ports}

A real number is scale * (code - zero point); float32 ends hold the number itself.
"""


def _ports(manifest: FirmwareManifest) -> list[tuple[str, int, PortManifest]]:
    groups = (("input", manifest.inputs), ("output", manifest.outputs))
    return [(role, index, port) for role, group in groups for index, port in enumerate(group)]


def _interface(manifest: FirmwareManifest) -> str:
    name, upper = manifest.name, manifest.name.upper()
    functions = [
        (f"int32_t {name}_reset(void *state)", "puts the state to its beginning; once before the first invocation"),
        (f"int32_t {name}_invoke(void *arena, void *state)", "one inference; destroys the inputs"),
        (f"int32_t {name}_bytes(void)", "arena and state together"),
    ]
    constants = [
        ("ALIGN", "8", "alignment of arena and state"),
        ("ARENA_BYTES", str(manifest.arena_bytes), "size of the arena"),
        ("STATE_BYTES", str(manifest.state_bytes), "size of the state; when 0, `state` may be null"),
        ("INPUTS", str(len(manifest.inputs)), "number of inputs"),
        ("OUTPUTS", str(len(manifest.outputs)), "number of outputs"),
        ("OK", "0", "returned when all is well"),
        ("ERROR_NULL", "-1", "returned when a pointer that is needed is null"),
        ("ERROR_ALIGNMENT", "-2", "returned when arena or state is not aligned"),
    ]
    for role, index, port in _ports(manifest):
        constness, when = ("", "write it before") if role == "input" else ("const ", "read it after")
        signature = f"{constness}{CTYPES[port.dtype]} *{name}_{role}{index}({constness}void *arena)"
        functions.append((signature, f"{role} {index}; {when} `{name}_invoke`"))
        upper_role = f"{role.upper()}{index}"
        constants += [
            (f"{upper_role}_COUNT", str(port.nbytes // ITEM_BYTES[port.dtype]), f"elements of {role} {index}"),
            (f"{upper_role}_BYTES", str(port.nbytes), "its size"),
            (f"{upper_role}_OFFSET", str(port.arena_offset), "where it lies in the arena"),
            (f"{upper_role}_SCALE", f"{port.scale:.9g}", "its quantization"),
            (f"{upper_role}_ZERO_POINT", str(port.zero_point), "its quantization"),
        ]
    function_rows = "\n".join(f"| `{signature}` | {what} |" for signature, what in functions)
    constant_rows = "\n".join(f"| `{upper}_{constant}` | {value} | {what} |" for constant, value, what in constants)
    return f"""## Interface

`#include "{name}.h"` is C99 and C++11. `{name}_reset` and `{name}_invoke`
return `{upper}_OK` or a negative code.

| function | what it does |
|---|---|
{function_rows}

| constant | value | what it is |
|---|---|---|
{constant_rows}
"""


def _use(manifest: FirmwareManifest, target: Target) -> str:
    name, upper = manifest.name, manifest.name.upper()
    return f"""## Use

```c
#include "{name}.h"

static uint64_t arena[({upper}_ARENA_BYTES + 7) / 8];
static uint64_t state[({upper}_STATE_BYTES + 8) / 8];

{name}_reset(state);                    /* once */
fill({name}_input0(arena));             /* your samples, quantized as above */
{name}_invoke(arena, state);            /* 0, or a negative code of model.h */
use({name}_output0(arena));
```

Compile `model.c` and `kernels/*.c` with `{target.flags}`, or take `CMakeLists.txt`:
`add_subdirectory(DIR)` and `target_link_libraries(app edge_model_{name})`.
Define `EDGE_PORTABLE` to leave out the SMLAD and Helium paths; the results are the same. The kernels are weak symbols,
so several emitted models share them in one image. `golden.h` holds inputs and the outputs that belong to them, for a
self-test on the device. Keep files of your own out of this directory: emitting into it again replaces everything.
"""


def _operators(manifest: FirmwareManifest) -> str:
    rows = "\n".join(f"| {index} | {kind} | {macs} |" for index, kind, macs in manifest.operators)
    return f"""## Operators

In the order in which they run.

| index | operator | MACs |
|---|---|---|
{rows}
"""
