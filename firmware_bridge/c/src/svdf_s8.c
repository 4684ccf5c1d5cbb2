/* SVDF, int8 with int8 or int16 state: input [batches][depth], output [batches][filters / rank],
 * state [batches][filters][memory], the newest value of each filter last.
 *
 * Source of the arithmetic: tflite-micro's integer SVDF. The whole state moves one element to the front first, as
 * there, so the last element of each filter's row is replaced right after.
 */
#include "edge_arithmetic.h"
#include "edge_kernels.h"

static int32_t state_at(const struct edge_svdf *p, const void *state, int32_t index) {
  return p->state_bytes == 2 ? ((const int16_t *)state)[index] : ((const int8_t *)state)[index];
}

static void store_newest(const struct edge_svdf *p, const int8_t *input, void *state) {
  const int32_t low = p->state_bytes == 2 ? -32768 : -128;
  const int32_t high = p->state_bytes == 2 ? 32767 : 127;
  for (int32_t f = 0; f < p->filters; ++f) {
    const int8_t *weights = p->feature_weights + f * p->depth;
    int32_t sum = p->feature_bias[f];
    for (int32_t k = 0; k < p->depth; ++k) { sum += (int32_t)weights[k] * (int32_t)input[k]; }
    const int32_t scaled = edge_multiply(sum, p->feature_multiplier, p->feature_shift);
    /* The pinned reference clamps before it adds the zero point, and an int8 sum then wraps. */
    const int32_t value = edge_clamp(scaled, low, high) + p->state_zero_point;
    const int32_t index = f * p->memory + p->memory - 1;
    if (p->state_bytes == 2) {
      ((int16_t *)state)[index] = (int16_t)value;
    } else {
      ((int8_t *)state)[index] = (int8_t)value;
    }
  }
}

EDGE_KERNEL void edge_k1_svdf_s8(const struct edge_svdf *p, const int8_t *input, int8_t *output, void *state) {
  const int32_t per_batch = p->filters * p->memory;
  const int32_t units = p->filters / p->rank;
  uint8_t *bytes = (uint8_t *)state;
  memmove(bytes, bytes + p->state_bytes, (size_t)((p->batches * per_batch - 1) * p->state_bytes));
  for (int32_t b = 0; b < p->batches; ++b) {
    uint8_t *own = bytes + b * per_batch * p->state_bytes;
    store_newest(p, input, own);
    for (int32_t u = 0; u < units; ++u) {
      uint32_t sum = (uint32_t)p->bias[u];
      for (int32_t i = u * p->rank * p->memory; i < (u + 1) * p->rank * p->memory; ++i) {
        const int32_t weight = state_at(p, p->time_weights, i);
        sum += (uint32_t)(weight * (state_at(p, own, i) - p->state_zero_point));
      }
      const int32_t scaled = edge_multiply((int32_t)sum, p->output_multiplier, p->output_shift);
      output[b * units + u] = (int8_t)edge_clamp(scaled + p->output_zero_point, -128, 127);
    }
    input += p->depth;
  }
}
