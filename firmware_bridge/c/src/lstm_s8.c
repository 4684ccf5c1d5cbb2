/* UNIDIRECTIONAL_SEQUENCE_LSTM, int8 with int16 cell state: input [batches][steps][depth] or [steps][batches][depth],
 * output the same with `units`; hidden [batches][units] and cell [batches][units] are the caller's state.
 *
 * Four units are worked on together, gate after gate: their rows lie side by side, and one gate's scaling stays in
 * registers. Gate sums are brought to Q3.12, sigmoid and tanh interpolate a table of samples, gate values are Q0.15.
 * Source of the arithmetic: tflite-micro's 8x8_16 LSTM and its int16 logistic and tanh.
 */
#include "edge_dot.h"
#include "edge_requant.h"

enum { FORGET, ADMIT, CANDIDATE, SHOW };

/* forget * cell is on the cell's scale after division by 2^15, which is HALF / 2^31 * 2^KEPT_SHIFT. */
enum { HALF = 1 << 30, KEPT_SHIFT = -14 };

/* Sums of all gates of four units: bias plus weights times vector. */
EDGE_APART void dot_block(const int8_t *weights, const int32_t *bias, int32_t stride, const int8_t *vector,
                          int32_t sums[16]) {
  const int32_t *end = sums + 16;
  while (sums != end) {
    int32_t four[4];
    EDGE_UNROLL_4
    for (int32_t i = 0; i < 4; ++i) { four[i] = bias[i]; }
    weights = edge_dot_4_whole(weights, stride, vector, stride, four);
    EDGE_UNROLL_4
    for (int32_t i = 0; i < 4; ++i) { sums[i] = four[i]; }
    bias += 4;
    sums += 4;
  }
}

/* The same for the input and for the hidden state; `block` counts blocks of four units. */
EDGE_INLINE void dot_blocks(const struct edge_lstm *p, const int8_t *input, const int8_t *hidden, int32_t block,
                            int32_t from_input[16], int32_t from_hidden[16]) {
  const int32_t row = 16 * block;
  dot_block(p->input_weights + row * p->input_stride, p->input_bias + row, p->input_stride, input, from_input);
  dot_block(p->recurrent_weights + row * p->recurrent_stride, p->recurrent_bias + block * p->recurrent_bias_step,
            p->recurrent_stride, hidden, from_hidden);
}

#if defined(EDGE_USE_MVE)

/* Samples around `place`, of which `bits` are the fraction, weighted by it. */
EDGE_INLINE int32x4_t interpolate(const int16_t *table, uint32x4_t place, int32_t bits) {
  const int32x4_t fraction = vreinterpretq_s32_u32(vandq_u32(place, vdupq_n_u32((1u << bits) - 1u)));
  const uint32x4_t index = vshlq_r_u32(place, -bits);
  const int32x4_t low = vldrhq_gather_shifted_offset_s32(table, index);
  const int32x4_t high = vldrhq_gather_shifted_offset_s32(table + 1, index);
  return vaddq_s32(vshlq_r_s32(low, bits), vmulq_s32(fraction, vsubq_s32(high, low)));
}

/* Q3.12 to Q0.15. */
EDGE_INLINE int32x4_t sigmoid_lanes(const int16_t *table, int32x4_t value) {
  const int32x4_t scaled = vmulq_n_s32(value, 3);
  const int32x4_t share = interpolate(table, vreinterpretq_u32_s32(vabsq_s32(scaled)), 9);
  const int32x4_t signed_share = veorq_s32(share, vshrq_n_s32(scaled, 31));
  return vshrq_n_s32(vaddq_n_s32(signed_share, (1 << 24) + (1 << 9)), 10);
}

/* A value on the table's scale to Q0.15. */
EDGE_INLINE int32x4_t tanh_lanes(const int16_t *table, int32x4_t scaled) {
  const uint32x4_t magnitude = vminq_u32(vreinterpretq_u32_s32(vabsq_s32(scaled)), vdupq_n_u32(0xFFFFu));
  const int32x4_t signed_share = veorq_s32(interpolate(table, magnitude, 8), vshrq_n_s32(scaled, 31));
  return vshrq_n_s32(vaddq_n_s32(signed_share, 1 << 7), 8);
}

/* Saturated sum of two saturated values, -32768..32767. */
EDGE_INLINE int32x4_t add_saturated(int32x4_t a, int32x4_t b) {
  const int16x8_t zero = vdupq_n_s16(0);
  return vmovlbq_s16(vqaddq_s16(vqmovnbq_s32(zero, a), vqmovnbq_s32(zero, b)));
}

EDGE_INLINE int32x4_t gate_lanes(const struct edge_lstm *p, int32_t gate, const int32_t *from_input,
                                 const int32_t *from_hidden) {
  const int32x4_t a =
      edge_multiply_lanes(vldrwq_s32(from_input + 4 * gate), p->input_multiplier[gate], p->input_shift[gate]);
  const int32x4_t b =
      edge_multiply_lanes(vldrwq_s32(from_hidden + 4 * gate), p->recurrent_multiplier[gate], p->recurrent_shift[gate]);
  return add_saturated(a, b);
}

static void four_units(const struct edge_lstm *p, const int8_t *input, const int8_t *before, int32_t block,
                       int32_t count, int8_t *hidden, int16_t *cell) {
  const mve_pred16_t present = vctp32q((uint32_t)count);
  int32_t from_input[16], from_hidden[16];
  dot_blocks(p, input, before, block, from_input, from_hidden);
  const int32x4_t forget = sigmoid_lanes(p->sigmoid, gate_lanes(p, FORGET, from_input, from_hidden));
  const int32x4_t admit = sigmoid_lanes(p->sigmoid, gate_lanes(p, ADMIT, from_input, from_hidden));
  const int32x4_t sum = gate_lanes(p, CANDIDATE, from_input, from_hidden);
  const int32x4_t candidate = tanh_lanes(p->sigmoid, vmulq_n_s32(sum, 3));
  const int32x4_t show = sigmoid_lanes(p->sigmoid, gate_lanes(p, SHOW, from_input, from_hidden));
  const int32x4_t kept = edge_multiply_lanes(vmulq_s32(forget, vldrhq_z_s32(cell, present)), HALF, KEPT_SHIFT);
  const int32x4_t fresh = edge_multiply_lanes(vmulq_s32(admit, candidate), p->candidate_multiplier, p->candidate_shift);
  int32x4_t state = add_saturated(kept, fresh);
  state = vmaxq_s32(vminq_s32(state, vdupq_n_s32(p->cell_high)), vdupq_n_s32(p->cell_low));
  vstrhq_p_s32(cell, state, present);
  const int32x4_t place = vrshlq_n_s32(vmulq_n_s32(state, p->tanh_multiplier), -p->tanh_shift);
  const int32x4_t bounded = tanh_lanes(p->sigmoid, place);
  int32x4_t code = edge_multiply_lanes(vmulq_s32(bounded, show), p->output_multiplier, p->output_shift);
  code = vaddq_n_s32(code, p->output_zero_point);
  code = vmaxq_s32(vminq_s32(code, vdupq_n_s32(127)), vdupq_n_s32(-128));
  vstrbq_p_s32(hidden, code, present);
}

#else

/* Samples around `place`, of which `bits` are the fraction, weighted by it. */
EDGE_INLINE int32_t interpolate(const int16_t *table, int32_t place, int32_t bits) {
  const int32_t one = (int32_t)1 << bits, fraction = place & (one - 1);
  const int16_t *sample = table + (place >> bits);
#if defined(EDGE_USE_DSP)
  const uint32_t weights = ((uint32_t)fraction << 16) - (uint32_t)fraction + (uint32_t)one;
  return edge_dual_multiply(edge_load_u32(sample), weights);
#else
  return sample[0] * one + fraction * (sample[1] - sample[0]);
#endif
}

/* Q3.12 to Q0.15. */
EDGE_INLINE int32_t sigmoid_16(const int16_t *table, int32_t value) {
  const int32_t scaled = value * 3, sign = scaled >> 31;
  return ((interpolate(table, (scaled ^ sign) - sign, 9) ^ sign) + (1 << 24) + (1 << 9)) >> 10;
}

/* A value on the table's scale to Q0.15. */
EDGE_INLINE int32_t tanh_16(const int16_t *table, int32_t scaled) {
  const int32_t sign = scaled >> 31;
  return ((interpolate(table, edge_saturate_u16((scaled ^ sign) - sign), 8) ^ sign) + (1 << 7)) >> 8;
}

/* Scales four sums of any size to Q3.12. */
EDGE_APART void scale_large(int32_t multiplier, int32_t shift, int32_t sums[4]) {
  for (int32_t i = 0; i < 4; ++i) { sums[i] = edge_saturate_16(edge_multiply(sums[i], multiplier, shift)); }
}

/* Scales four sums to Q3.12 that are below 2^30 in magnitude after a shift to the left. */
EDGE_INLINE void scale_small(int32_t multiplier, int32_t shift, const int32_t sums[4], int32_t scaled[4]) {
  if (shift >= 0) {
    EDGE_UNROLL_4
    for (int32_t i = 0; i < 4; ++i) {
      scaled[i] = edge_saturate_16(edge_doubling_high_small(sums[i], shift, multiplier));
    }
    return;
  }
  /* Half of the divisor can be added without overflow; ties of negative numbers go down. */
  const int32_t half = (int32_t)1 << ~shift;
  EDGE_UNROLL_4
  for (int32_t i = 0; i < 4; ++i) {
    const int32_t high = edge_doubling_high_normal(sums[i], multiplier);
    scaled[i] = edge_saturate_16((high + (high >> 31) + half) >> -shift);
  }
}

/* From the two sums of one gate to its values, which replace `from_input`. */
EDGE_INLINE void finish_gate(const struct edge_lstm *p, int32_t gate, int32_t from_input[4], int32_t from_hidden[4]) {
  const int16_t *table = p->sigmoid;
  int32_t a[4], b[4];
  if (p->fast) {
    scale_small(p->input_multiplier[gate], p->input_shift[gate], from_input, a);
    scale_small(p->recurrent_multiplier[gate], p->recurrent_shift[gate], from_hidden, b);
  } else {
    scale_large(p->input_multiplier[gate], p->input_shift[gate], from_input);
    scale_large(p->recurrent_multiplier[gate], p->recurrent_shift[gate], from_hidden);
    memcpy(a, from_input, sizeof(a));
    memcpy(b, from_hidden, sizeof(b));
  }
  EDGE_UNROLL_4
  for (int32_t i = 0; i < 4; ++i) {
    const int32_t sum = edge_saturate_16(a[i] + b[i]);
    from_input[i] = gate == CANDIDATE ? tanh_16(table, sum * 3) : sigmoid_16(table, sum);
  }
}

static void four_units(const struct edge_lstm *p, const int8_t *input, const int8_t *before, int32_t block,
                       int32_t count, int8_t *hidden, int16_t *cell) {
  const int16_t *table = p->sigmoid;
  int32_t gates[16], from_hidden[16];
  dot_blocks(p, input, before, block, gates, from_hidden);
  for (int32_t gate = FORGET; gate <= SHOW; ++gate) {
    finish_gate(p, gate, gates + 4 * gate, from_hidden + 4 * gate);
  }
  const int32_t rounding = ((int32_t)1 << p->tanh_shift) >> 1; /* the shift is at most 3 */
  for (int32_t i = 0; i < count; ++i) {
    const int32_t *value = gates + i;
    const int32_t kept = edge_multiply_fast(value[4 * FORGET] * cell[i], HALF, KEPT_SHIFT, 1);
    const int32_t fresh = edge_multiply_fast(value[4 * ADMIT] * value[4 * CANDIDATE], p->candidate_multiplier,
                                             p->candidate_shift, 1);
    const int32_t state = edge_clamp(edge_saturate_16(kept) + edge_saturate_16(fresh), p->cell_low, p->cell_high);
    cell[i] = (int16_t)state;
    const int32_t bounded = tanh_16(table, (state * p->tanh_multiplier + rounding) >> p->tanh_shift);
    const int32_t code = edge_multiply_fast(bounded * value[4 * SHOW], p->output_multiplier, p->output_shift,
                                            1 + 2 * p->output_zero_point);
    hidden[i] = (int8_t)edge_saturate_8(code);
  }
}

#endif

EDGE_KERNEL void edge_k1_lstm_s8(const struct edge_lstm *p, const int8_t *input, int8_t *output, int8_t *hidden,
                                 int16_t *cell, void *scratch) {
  /* One position of the input and the hidden state that the step starts from, zero filled up to their strides. */
  int8_t *now = (int8_t *)scratch, *before = now + p->input_stride;
  memset(now, 0, (size_t)(p->input_stride + p->recurrent_stride));
  for (int32_t b = 0; b < p->batches; ++b) {
    for (int32_t t = 0; t < p->steps; ++t) {
      const int32_t position = b * p->batch_step + t * p->time_step;
      memcpy(now, input + position * p->depth, (size_t)p->depth);
      memcpy(before, hidden, (size_t)p->units);
      for (int32_t unit = 0; unit < p->units; unit += 4) {
        const int32_t left = p->units - unit;
        four_units(p, now, before, unit / 4, left < 4 ? left : 4, hidden + unit, cell + unit);
      }
      memcpy(output + position * p->units, hidden, (size_t)p->units);
    }
    hidden += p->units;
    cell += p->units;
  }
}
