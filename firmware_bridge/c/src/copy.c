/* Moving bytes: CONCATENATION, SPLIT, SPLIT_V, STRIDED_SLICE, TRANSPOSE, PAD and the resource variables.
 *
 * The emitter turns each of them into runs of contiguous bytes and up to five counted axes. Source and target do
 * not overlap.
 */
#include "edge_arithmetic.h"
#include "edge_kernels.h"

EDGE_KERNEL void edge_k1_copy(const struct edge_copy *p, const void *source, void *target) {
  /* Numbers, not pointers: between two runs they may lie outside of what is read or written. */
  int32_t from = p->source_offset, to = p->target_offset;
  int32_t index[EDGE_MAX_AXES] = {0, 0, 0, 0, 0};
  for (;;) {
    memcpy((uint8_t *)target + to, (const uint8_t *)source + from, (size_t)p->run);
    int32_t axis = p->axes - 1;
    for (; axis >= 0; --axis) {
      from += p->source_step[axis];
      to += p->target_step[axis];
      if (++index[axis] < p->count[axis]) { break; }
      from -= p->count[axis] * p->source_step[axis];
      to -= p->count[axis] * p->target_step[axis];
      index[axis] = 0;
    }
    if (axis < 0) { return; }
  }
}

EDGE_KERNEL void edge_k1_fill(void *target, int32_t value, int32_t bytes) {
  memset(target, value, (size_t)bytes);
}
