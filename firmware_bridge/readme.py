"""The README and the CMake fragment of an emitted directory."""

from __future__ import annotations

from firmware_bridge.ctext import comment
from firmware_bridge.manifest import FirmwareManifest
from firmware_bridge.plan import Plan
from firmware_bridge.targets import Target


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


def readme_text(manifest: FirmwareManifest, target: Target, plan: Plan) -> str:
    """Return ``README.md``: memory, ends, use and operators."""
    name, upper = manifest.name, manifest.name.upper()
    ports = "\n".join(
        f"| {role} {index} | {port.dtype} | {' x '.join(map(str, port.shape)) or 'scalar'} | {port.scale:.9g} "
        f"| {port.zero_point} | {port.nbytes} |"
        for role, group in (("input", manifest.inputs), ("output", manifest.outputs))
        for index, port in enumerate(group)
    )
    peak = "\n".join(f"- {comment(entry)}: {nbytes}" for entry, nbytes in plan.peak[:4])
    operators = "\n".join(f"| {index} | {kind} | {macs} |" for index, kind, macs in manifest.operators)
    return f"""# {name}

An int8 model as standalone C99 for `{target.name}`, equal bit for bit to the arithmetic contract `{manifest.contract}`
(tflite-micro's reference kernels). Model file sha256 `{manifest.model_sha256}`.

## Memory

| | bytes |
|---|---|
| arena (RAM, the caller's, aligned to 8) | {manifest.arena_bytes} |
| lower bound of the arena for this order | {manifest.arena_lower_bound} |
| state (RAM, the caller's, aligned to 8) | {manifest.state_bytes} |
| weights and tables (flash) | {manifest.constant_bytes} |
| the .tflite file, for comparison | {manifest.model_bytes} |

Live at the peak, in bytes:

{peak}

## Ends

| end | type | shape | scale | zero point | bytes |
|---|---|---|---|---|---|
{ports}

## Use

```c
#include "{name}.h"

static uint64_t arena[({upper}_ARENA_BYTES + 7) / 8];
static uint64_t state[({upper}_STATE_BYTES + 8) / 8];

{name}_reset(state);                    /* once */
fill({name}_input0(arena));             /* your samples, quantized as above */
{name}_invoke(arena, state);            /* 0, or a negative code of model.h */
use({name}_output0(arena));
```

Compile `model.c` and `kernels/*.c` with `{target.flags}`, or take `CMakeLists.txt`. Define `EDGE_PORTABLE` to leave out
the SMLAD and Helium paths; the results are the same. The kernels are weak symbols, so several emitted models share
them in one image. `golden.h` holds inputs and the outputs that belong to them, for a self-test on the device.

## Operators

| index | operator | MACs |
|---|---|---|
{operators}
"""
