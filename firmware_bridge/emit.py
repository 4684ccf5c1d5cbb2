"""Writing a directory of C: model.c, model.h, the kernels it needs, a CMake fragment, a README and a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import msgspec
import numpy as np

from firmware_bridge.ctext import CallWriter, array_text, comment, constants_of, float_text
from firmware_bridge.manifest import CONTRACT, MANIFEST, SCHEMA, FirmwareManifest, PortManifest
from firmware_bridge.plan import Plan
from firmware_bridge.program import Buffer, Port, Program
from firmware_bridge.readme import CTYPES, cmake_text, readme_text
from firmware_bridge.targets import Footprint, Target


@dataclass(frozen=True, slots=True)
class Emission:
    """All files of one emitted directory, by relative path, and what the target's compiler made of them."""

    manifest: FirmwareManifest
    files: Mapping[str, str]
    footprint: Footprint | None = None


def emit_program(program: Program, plan: Plan, target: Target, name: str) -> Emission:
    """Write everything but golden vectors.

    Parameters
    ----------
    program, plan
        The model and its layout.
    target : Target
        For guards and the README.
    name : str
        Prefix of every public symbol, checked.

    Returns
    -------
    emission : Emission
        Text files by relative path.
    """
    constants = constants_of(program)
    manifest = FirmwareManifest(
        schema=SCHEMA,
        name=name,
        target=target.name,
        contract=CONTRACT,
        model_sha256=program.sha256,
        model_bytes=program.model_bytes,
        arena_bytes=plan.arena_bytes,
        arena_lower_bound=plan.lower_bound,
        state_bytes=plan.state_bytes,
        macs=sum(step.macs for step in program.steps),
        constant_bytes=sum(constant.values.nbytes for constant in constants),
        kernels=tuple(sorted(program.kernels)),
        inputs=tuple(_port_manifest(port, plan) for port in program.inputs),
        outputs=tuple(_port_manifest(port, plan) for port in program.outputs),
        operators=tuple((s.operator, s.name, s.macs) for s in (program.steps[i] for i in plan.order)),
    )
    files = {
        "model.h": _header(manifest),
        f"{name}.h": '/* The same as model.h beside this file, under a name of its own. */\n#include "model.h"\n',
        "model.c": _source(manifest, program, plan, target),
        "CMakeLists.txt": cmake_text(manifest),
        "README.md": readme_text(manifest, target, plan),
        MANIFEST: msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode() + "\n",
    }
    for kernel in manifest.kernels:
        files[f"kernels/{kernel}.c"] = kernel_text("src", f"{kernel}.c")
    for header in ("edge_arithmetic.h", "edge_dot.h", "edge_kernels.h", "edge_requant.h"):
        files[f"kernels/{header}"] = kernel_text("include", header)
    return Emission(manifest, files)


def kernel_text(folder: str, name: str) -> str:
    """Text of one file of the kernel library.

    Raises
    ------
    FileNotFoundError
        When the installation is incomplete.
    """
    return (resources.files("firmware_bridge") / "c" / folder / name).read_text(encoding="utf-8")


def _port_manifest(port: Port, plan: Plan) -> PortManifest:
    return PortManifest(
        comment(port.name),
        port.dtype,
        port.shape,
        port.nbytes,
        plan.offset_of[port.buffer],
        port.scale,
        port.zero_point,
    )


def _port_lines(manifest: FirmwareManifest, port: PortManifest, role: str, index: int) -> str:
    upper = f"{manifest.name.upper()}_{role.upper()}{index}"
    constness = "" if role == "input" else "const "
    shape = " x ".join(str(size) for size in port.shape) or "scalar"
    return (
        f"/* {role} {index}: {port.name}, {port.dtype}, {shape}; real = SCALE * (code - ZERO_POINT) */\n"
        f"#define {upper}_COUNT {int(np.prod(port.shape, dtype=np.int64))}\n"
        f"#define {upper}_BYTES {port.nbytes}\n"
        f"#define {upper}_OFFSET {port.arena_offset}\n"
        f"#define {upper}_SCALE {float_text(port.scale)}\n"
        f"#define {upper}_ZERO_POINT ({port.zero_point})\n"
        f"static inline {constness}{CTYPES[port.dtype]} *{manifest.name}_{role}{index}({constness}void *arena) {{\n"
        f"  return ({constness}{CTYPES[port.dtype]} *)({constness}void *)"
        f"(({constness}uint8_t *)arena + {upper}_OFFSET);\n"
        f"}}\n"
    )


def _header(manifest: FirmwareManifest) -> str:
    name, upper = manifest.name, manifest.name.upper()
    ports = [_port_lines(manifest, port, "input", index) for index, port in enumerate(manifest.inputs)]
    ports += [_port_lines(manifest, port, "output", index) for index, port in enumerate(manifest.outputs)]
    return f"""/* {name}: an int8 model as C99, arithmetic contract "{manifest.contract}".
 *
 * The caller owns two pieces of memory, both aligned to {upper}_ALIGN:
 *   arena  {upper}_ARENA_BYTES bytes; holds the inputs before and the outputs after an invocation, nothing in between
 *   state  {upper}_STATE_BYTES bytes; what the model remembers from one invocation to the next
 * Call {name}_reset once, then for every inference: write the inputs through {name}_input0(arena) and so on, call
 * {name}_invoke, read {name}_output0(arena) and so on. Invoking destroys the inputs. Nothing is allocated, no global
 * is written, and two arenas may be used by two threads at once.
 */
#ifndef {upper}_MODEL_H
#define {upper}_MODEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define {upper}_ALIGN 8
#define {upper}_ARENA_BYTES {manifest.arena_bytes}
#define {upper}_STATE_BYTES {manifest.state_bytes}
#define {upper}_INPUTS {len(manifest.inputs)}
#define {upper}_OUTPUTS {len(manifest.outputs)}

/* What the functions below return. */
enum {{
  {upper}_OK = 0,
  {upper}_ERROR_NULL = -1,      /* a pointer that is needed is null */
  {upper}_ERROR_ALIGNMENT = -2  /* arena or state is not aligned to {upper}_ALIGN */
}};

/* Bytes of arena and state together. */
int32_t {name}_bytes(void);

/* Puts the state to its beginning; state may be null when {upper}_STATE_BYTES is 0. */
int32_t {name}_reset(void *state);

/* One inference; state may be null when {upper}_STATE_BYTES is 0. */
int32_t {name}_invoke(void *arena, void *state);

{chr(10).join(ports)}
#ifdef __cplusplus
}}
#endif

#endif
"""


def _initial_lines(program: Program, plan: Plan) -> tuple[list[str], list[str]]:
    """Arrays and statements that put the state to its beginning."""
    arrays, statements = [], []
    states: list[Buffer] = [buffer for buffer in program.buffers if buffer.place == "state"]
    for buffer in states:
        offset = plan.state_offset_of[buffer.index]
        if len(set(buffer.initial)) <= 1:
            value = buffer.initial[0] if buffer.initial else 0
            statements.append(f"  memset(bytes + {offset}, {value}, {buffer.nbytes});")
        else:
            items = ", ".join(str(byte) for byte in buffer.initial)
            arrays.append(
                f"/* initial {comment(buffer.name)} */\n"
                f"static const uint8_t initial{buffer.index}[{buffer.nbytes}] = {{{items}}};\n"
            )
            statements.append(f"  memcpy(bytes + {offset}, initial{buffer.index}, {buffer.nbytes});")
    return arrays, statements


def _source(manifest: FirmwareManifest, program: Program, plan: Plan, target: Target) -> str:
    name, upper = manifest.name, manifest.name.upper()
    writer = CallWriter(program, plan)
    initial_arrays, initial_statements = _initial_lines(program, plan)
    guard = ""
    if target.guard:
        guard = f'#if {target.guard}\n#error "emitted for {target.name}; emit again with --target generic"\n#endif\n\n'
    arrays = "\n".join([*(array_text(constant) for constant in constants_of(program)), *initial_arrays])
    state_check = f"if (state == 0) {{ return {upper}_ERROR_NULL; }}" if plan.state_bytes else "(void)state_memory;"
    state_pointer = "  uint8_t *state = (uint8_t *)state_memory;\n" if plan.state_bytes else ""
    reset_body = "\n".join(initial_statements)
    reset = (
        f"  uint8_t *bytes = (uint8_t *)state;\n"
        f"  if (bytes == 0) {{ return {upper}_ERROR_NULL; }}\n"
        f"  if ((uintptr_t)state % {upper}_ALIGN != 0u) {{ return {upper}_ERROR_ALIGNMENT; }}\n{reset_body}\n"
        if plan.state_bytes
        else "  (void)state;\n"
    )
    aligned = "(uintptr_t)arena" + (" | (uintptr_t)state" if plan.state_bytes else "")
    newline = "\n"
    return f"""/* {name}: emitted for {target.name}; do not edit, emit again. Model {manifest.model_sha256[:16]}. */
#include "model.h"

#include "kernels/edge_arithmetic.h"
#include "kernels/edge_kernels.h"

{guard}/* Define EDGE_STEP(operator) to watch the operators as they start, for instance to count cycles. */
#ifndef EDGE_STEP
#define EDGE_STEP(operator)
#endif

{arrays}
{newline.join(writer.structs)}
int32_t {name}_bytes(void) {{ return {upper}_ARENA_BYTES + {upper}_STATE_BYTES; }}

int32_t {name}_reset(void *state) {{
{reset}  return {upper}_OK;
}}

int32_t {name}_invoke(void *arena_memory, void *state_memory) {{
  uint8_t *arena = (uint8_t *)arena_memory;
{state_pointer}  if (arena == 0) {{ return {upper}_ERROR_NULL; }}
  {state_check}
  if (({aligned}) % {upper}_ALIGN != 0u) {{ return {upper}_ERROR_ALIGNMENT; }}
{newline.join(writer.body)}
  return {upper}_OK;
}}
"""
