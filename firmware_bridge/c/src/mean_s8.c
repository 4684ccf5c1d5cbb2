/* MEAN, int8, over any axes: output is dense in the order of the kept axes.
 *
 * The sum is scaled with 1 / count folded into the multiplier by the emitter. Source of the arithmetic:
 * tflite-micro's reduce kernels.
 */
#include "edge_arithmetic.h"
#include "edge_kernels.h"

/* Advances a position over `axes` counters; returns 0 after the last one. */
static int advance(int32_t axes, const int32_t *count, const int32_t *step, int32_t *index, int32_t *offset) {
  for (int32_t axis = axes - 1; axis >= 0; --axis) {
    *offset += step[axis];
    if (++index[axis] < count[axis]) { return 1; }
    *offset -= count[axis] * step[axis];
    index[axis] = 0;
  }
  return 0;
}

EDGE_KERNEL void edge_k1_mean_s8(const struct edge_mean *p, const int8_t *input, int8_t *output) {
  int32_t kept[EDGE_MAX_AXES] = {0, 0, 0, 0, 0};
  int32_t base = 0;
  do {
    int32_t reduced[EDGE_MAX_AXES] = {0, 0, 0, 0, 0};
    int32_t offset = 0, sum = 0;
    do {
      sum += input[base + offset];
    } while (advance(p->reduced_axes, p->reduced_count, p->reduced_step, reduced, &offset));
    const int32_t scaled = edge_multiply(sum + p->input_offset, p->multiplier, p->shift);
    *output++ = (int8_t)edge_clamp(scaled + p->output_zero_point, -128, 127);
  } while (advance(p->kept_axes, p->kept_count, p->kept_step, kept, &base));
}
