"""The small C program around an emitted model that verification runs, and the byte protocol it speaks.

A stream of commands goes in: ``R`` resets the state, ``I`` is followed by all inputs' bytes and runs one inference. For
each ``I`` the outputs' bytes come out. The protocol is the same on the host, on QEMU and under Unicorn.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from firmware_bridge.manifest import FirmwareManifest
from firmware_bridge.samples import Record


def encode_commands(records: Sequence[Record], resets: Collection[int]) -> bytes:
    """Return the command stream for records, with a reset before those in ``resets``."""
    parts = []
    for index, record in enumerate(records):
        if index in resets:
            parts.append(b"R")
        parts.append(b"I")
        parts.extend(np.ascontiguousarray(array).tobytes() for array in record)
    return b"".join(parts)


def decode_outputs(manifest: FirmwareManifest, data: bytes, n_records: int) -> list[Record]:
    """Cut a stream of output bytes into arrays.

    Raises
    ------
    ValueError
        When the stream has another length than ``n_records`` times all outputs.
    """
    each = sum(port.nbytes for port in manifest.outputs)
    if len(data) != each * n_records:
        raise ValueError(f"the program wrote {len(data)} bytes, {each * n_records} were expected")
    records, at = [], 0
    for _ in range(n_records):
        arrays = []
        for port in manifest.outputs:
            piece = np.frombuffer(data, np.dtype(port.dtype), port.nbytes // np.dtype(port.dtype).itemsize, at)
            arrays.append(piece.reshape(port.shape))
            at += port.nbytes
        records.append(tuple(arrays))
    return records


def _copies(manifest: FirmwareManifest) -> tuple[str, str]:
    reads = "\n".join(
        f"    if (take((uint8_t *)arena + {port.arena_offset}, {port.nbytes}) != 0) {{ return 3; }}"
        for port in manifest.inputs
    )
    writes = "\n".join(
        f"    if (give((const uint8_t *)arena + {port.arena_offset}, {port.nbytes}) != 0) {{ return 4; }}"
        for port in manifest.outputs
    )
    return reads, writes


def runner_source(manifest: FirmwareManifest) -> str:
    """C text of ``runner.c``; the including program supplies ``take``, ``give``, ``before`` and ``after``."""
    name, upper = manifest.name, manifest.name.upper()
    reads, writes = _copies(manifest)
    return f"""#include <stdint.h>
#include "model.h"

int take(uint8_t *to, int32_t bytes);         /* 0, or not 0 at the end of the input */
int give(const uint8_t *from, int32_t bytes);
void before(void);
void after(void);
int run(void);

static uint64_t arena[({upper}_ARENA_BYTES + 7) / 8 + 1];
static uint64_t state[({upper}_STATE_BYTES + 7) / 8 + 1];

/* Guards behind the memory that the model may use show whether it keeps to it. */
static int guards_hold(void) {{
  const uint8_t *end = (const uint8_t *)arena + {upper}_ARENA_BYTES;
  const uint8_t *edge = (const uint8_t *)state + {upper}_STATE_BYTES;
  for (int32_t i = 0; i < 8; ++i) {{
    if (end[i] != 0xA5u || edge[i] != 0xA5u) {{ return 0; }}
  }}
  return 1;
}}

int run(void) {{
  uint8_t command;
  for (int32_t i = 0; i < (int32_t)sizeof(arena); ++i) {{ ((uint8_t *)arena)[i] = 0xA5u; }}
  for (int32_t i = 0; i < (int32_t)sizeof(state); ++i) {{ ((uint8_t *)state)[i] = 0xA5u; }}
  if ({name}_reset(state) != 0) {{ return 5; }}
  while (take(&command, 1) == 0) {{
    if (command == 'R') {{
      if ({name}_reset(state) != 0) {{ return 5; }}
      continue;
    }}
    if (command != 'I') {{ return 2; }}
{reads}
    before();
    const int32_t status = {name}_invoke(arena, state);
    after();
    if (status != 0) {{ return 6; }}
{writes}
    if (!guards_hold()) {{ return 7; }}
  }}
  return 0;
}}
"""


HOST_MAIN = """#include <stdint.h>
#include <stdio.h>

int take(uint8_t *to, int32_t bytes);
int give(const uint8_t *from, int32_t bytes);
void before(void);
void after(void);
int run(void);

int take(uint8_t *to, int32_t bytes) { return fread(to, 1, (size_t)bytes, stdin) == (size_t)bytes ? 0 : 1; }
int give(const uint8_t *from, int32_t bytes) { return fwrite(from, 1, (size_t)bytes, stdout) == (size_t)bytes ? 0 : 1; }
void before(void) {}
void after(void) {}
int main(void) { return run(); }
"""
