/* SVDF, int8 with int8 or int16 state: input [batches][depth], output [batches][filters / rank],
 * state [batches][filters][memory], the newest value of each filter last.
 *
 * The zero points of input and state are folded into the biases. Filters, then units, are worked on in fours. Sums of
 * an int16 state wrap in 32 bits as those of the reference do; all others are exact.
 * Source of the arithmetic: tflite-micro's integer SVDF. The whole state moves one element to the front first, as
 * there, so the last element of each filter's row is replaced right after.
 */
#include "edge_dot.h"
#include "edge_requant.h"

/* Weights times an int16 vector, modulo 2^32. */
static int32_t dot_16(const int16_t *weights, const int16_t *vector, int32_t depth, int32_t sum) {
#if defined(EDGE_USE_MVE)
  for (int32_t left = depth; left > 0; left -= 8) {
    const mve_pred16_t lanes = vctp16q((uint32_t)left);
    sum = vmladavaq_s16(sum, vldrhq_z_s16(weights, lanes), vldrhq_z_s16(vector, lanes));
    weights += 8;
    vector += 8;
  }
  return sum;
#else
#if defined(EDGE_USE_DSP)
  for (; depth >= 2; depth -= 2) {
    sum = edge_dual_multiply_add(edge_load_u32(weights), edge_load_u32(vector), sum);
    weights += 2;
    vector += 2;
  }
#endif
  uint32_t total = (uint32_t)sum;
  for (int32_t k = 0; k < depth; ++k) { total += (uint32_t)((int32_t)weights[k] * (int32_t)vector[k]); }
  return (int32_t)total;
#endif
}

static void move_state(const struct edge_svdf *p, uint8_t *state) {
  const uint8_t *from = state + p->state_bytes;
  int32_t left = (p->batches * p->filters * p->memory - 1) * p->state_bytes;
#if defined(EDGE_USE_MVE)
  for (; left > 0; left -= 16) {
    const mve_pred16_t lanes = vctp8q((uint32_t)left);
    vstrbq_p_u8(state, vldrbq_z_u8(from, lanes), lanes);
    state += 16;
    from += 16;
  }
#elif defined(EDGE_USE_DSP)
  for (; left >= 4; left -= 4) {
    edge_store_u32(state, edge_load_u32(from));
    state += 4;
    from += 4;
  }
  for (; left > 0; --left) { *state++ = *from++; }
#else
  memmove(state, from, (size_t)left);
#endif
}

/* Scales the newest values of `count` filters, 1 to 4, and stores them; `newest` is the first one's place. The pinned
 * reference clamps before it adds the zero point, and an int8 sum then wraps. */
EDGE_INLINE void store_newest(const struct edge_svdf *p, const int32_t sums[4], int32_t count, uint8_t *newest) {
  const int32_t low = p->state_bytes == 2 ? -32768 : -128, high = p->state_bytes == 2 ? 32767 : 127;
#if defined(EDGE_USE_MVE)
  const mve_pred16_t lanes = vctp32q((uint32_t)count);
  const uint32x4_t step = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)(p->memory * p->state_bytes));
  int32x4_t value = edge_multiply_lanes(vldrwq_s32(sums), p->feature_multiplier, p->feature_shift);
  value = vmaxq_s32(vminq_s32(value, vdupq_n_s32(high)), vdupq_n_s32(low));
  value = vaddq_n_s32(value, p->state_zero_point);
  if (p->state_bytes == 2) {
    vstrhq_scatter_offset_p_s32((int16_t *)(void *)newest, step, value, lanes);
  } else {
    vstrbq_scatter_offset_p_s32((int8_t *)newest, step, value, lanes);
  }
#else
  for (int32_t i = 0; i < count; ++i) {
    const int32_t scaled = p->feature_fast ? edge_multiply_small(sums[i], p->feature_multiplier, p->feature_shift)
                                           : edge_multiply(sums[i], p->feature_multiplier, p->feature_shift);
    const int32_t value = edge_clamp(scaled, low, high) + p->state_zero_point;
    if (p->state_bytes == 2) {
      ((int16_t *)(void *)newest)[i * p->memory] = (int16_t)value;
    } else {
      ((int8_t *)newest)[i * p->memory] = (int8_t)value;
    }
  }
#endif
}

/* Scales the sums of `count` units, 1 to 4, to output codes. */
EDGE_INLINE void store_codes(const struct edge_svdf *p, const int32_t sums[4], int32_t count, int8_t *output) {
#if defined(EDGE_USE_MVE)
  int32x4_t code = edge_multiply_lanes(vldrwq_s32(sums), p->output_multiplier, p->output_shift);
  code = vaddq_n_s32(code, p->output_zero_point);
  code = vmaxq_s32(vminq_s32(code, vdupq_n_s32(127)), vdupq_n_s32(-128));
  vstrbq_p_s32(output, code, vctp32q((uint32_t)count));
#else
  for (int32_t i = 0; i < count; ++i) {
    const int32_t scaled = p->output_fast ? edge_multiply_small(sums[i], p->output_multiplier, p->output_shift)
                                          : edge_multiply(sums[i], p->output_multiplier, p->output_shift);
    output[i] = (int8_t)edge_saturate_8((int32_t)((uint32_t)scaled + (uint32_t)p->output_zero_point));
  }
#endif
}

EDGE_KERNEL void edge_k1_svdf_s8(const struct edge_svdf *p, const int8_t *input, int8_t *output, void *state) {
  const int32_t row_bytes = p->memory * p->state_bytes, units = p->filters / p->rank, depth = p->rank * p->memory;
  uint8_t *own = (uint8_t *)state; /* the batch's rows */
  move_state(p, own);
  for (int32_t b = 0; b < p->batches; ++b) {
    uint8_t *newest = own + row_bytes - p->state_bytes;
    for (int32_t f = 0; f < p->filters; f += 4) {
      int32_t sums[4];
      memcpy(sums, p->feature_bias + f, sizeof(sums));
      edge_dot_4(p->feature_weights + f * p->feature_stride, p->feature_stride, input, p->depth, sums);
      store_newest(p, sums, p->filters - f < 4 ? p->filters - f : 4, newest);
      newest += 4 * row_bytes;
    }
    for (int32_t u = 0; u < units; u += 4) {
      const int32_t count = units - u < 4 ? units - u : 4;
      int32_t sums[4] = {0, 0, 0, 0};
      for (int32_t i = 0; i < count; ++i) {
        const int32_t at = (u + i) * depth, bias = p->bias[u + i];
        if (p->state_bytes == 2) {
          sums[i] = dot_16((const int16_t *)p->time_weights + at, (const int16_t *)(const void *)own + at, depth, bias);
        } else {
          sums[i] = edge_dot((const int8_t *)p->time_weights + at, (const int8_t *)own + at, depth, bias);
        }
      }
      store_codes(p, sums, count, output + u);
    }
    own += p->filters * row_bytes;
    input += p->depth;
    output += units;
  }
}
