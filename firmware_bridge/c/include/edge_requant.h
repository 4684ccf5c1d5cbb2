/* From 32-bit sums to int8 codes; see struct edge_requant. */
#ifndef EDGE_REQUANT_H
#define EDGE_REQUANT_H

#include "edge_arithmetic.h"
#include "edge_kernels.h"

#if defined(EDGE_USE_MVE)
#include <arm_mve.h>

/* edge_multiply() of four values with one scaling. */
EDGE_INLINE int32x4_t edge_multiply_lanes(int32x4_t value, int32_t multiplier, int32_t shift) {
  if (shift >= 0) { return vqrdmulhq_n_s32(vshlq_r_s32(value, shift), multiplier); }
  const int32x4_t high = vqrdmulhq_n_s32(value, multiplier);
  return vrshlq_n_s32(vaddq_s32(high, vshrq_n_s32(high, 31)), shift);
}
#endif

/* The code of one sum with its channel's scaling. */
EDGE_INLINE int8_t edge_requantize(const struct edge_requant *out, int32_t sum, int32_t multiplier, int32_t shift) {
  if (out->fast == 2) {
    return (int8_t)edge_saturate_8(edge_multiply_fast(sum, multiplier, shift, 1 + 2 * out->output_zero_point));
  }
  const int32_t scaled =
      out->fast ? edge_multiply_fast(sum, multiplier, shift, 1) : edge_multiply(sum, multiplier, shift);
  return (int8_t)edge_clamp(scaled + out->output_zero_point, out->low, out->high);
}

/* The same with the channel's scaling looked up. */
EDGE_INLINE int8_t edge_requantize_channel(const struct edge_requant *out, int32_t sum, int32_t channel) {
  const int32_t entry = channel * out->channel_step;
  return edge_requantize(out, sum, out->multiplier[entry], out->shift[entry]);
}

/* The codes of four sums, of consecutive channels from a multiple of 4 on. */
EDGE_INLINE void edge_requantize_4(const struct edge_requant *out, const int32_t sums[4], int32_t channel,
                                   int8_t *codes) {
#if defined(EDGE_USE_MVE)
  if (out->fast) {
    const int32_t step = out->channel_step, entry = channel * step;
    const int32x4_t multiplier =
        step ? vldrwq_s32(out->multiplier + entry) : vdupq_n_s32(out->multiplier[0]);
    const int32x4_t shift = step ? vldrbq_s32(out->shift + entry) : vdupq_n_s32(out->shift[0]);
    int32x4_t code = vqrdmulhq_s32(vldrwq_s32(sums), multiplier);
    code = vrshlq_s32(vaddq_s32(code, vshrq_n_s32(code, 31)), shift);
    code = vaddq_n_s32(code, out->output_zero_point);
    vstrbq_s32(codes, vminq_s32(vmaxq_s32(code, vdupq_n_s32(out->low)), vdupq_n_s32(out->high)));
    return;
  }
#endif
  for (int32_t i = 0; i < 4; ++i) { codes[i] = edge_requantize_channel(out, sums[i], channel + i); }
}

#endif
