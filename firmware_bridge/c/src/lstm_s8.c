/* UNIDIRECTIONAL_SEQUENCE_LSTM, int8 with int16 cell state: input [batches][steps][depth] or [steps][batches][depth],
 * output the same with `units`; hidden [batches][units] and cell [batches][units] are the caller's state.
 *
 * Gate sums are brought to Q3.12, sigmoid and tanh interpolate a table of 256 samples, gate values are Q0.15.
 * Source of the arithmetic: tflite-micro's 8x8_16 LSTM and its int16 logistic and tanh.
 */
#include "edge_dot.h"
#include "edge_kernels.h"

/* Q3.12 to Q0.15. */
EDGE_INLINE int32_t sigmoid_16(const uint16_t *table, int32_t value) {
  const int32_t scaled = value * 3;
  const uint32_t magnitude = (uint32_t)(scaled < 0 ? -scaled : scaled);
  const uint32_t index = magnitude >> 9;
  uint32_t result = 0x7FFFu << 10;
  if (index < 255u) {
    const uint32_t low = table[index], high = table[index + 1u];
    result = (low << 9) + (magnitude & 0x1FFu) * (high - low);
  }
  result = scaled >= 0 ? result + (1u << 9) : (1u << 25) - result + (1u << 9) - 1u;
  return (int32_t)(result >> 10);
}

/* value * multiplier / 2^shift is on the table's scale; result Q0.15. */
EDGE_INLINE int32_t tanh_16(const uint16_t *table, int32_t value, int32_t multiplier, int32_t shift) {
  const int32_t rounding = shift > 0 ? (int32_t)1 << (shift - 1) : 0;
  const int32_t scaled = (value * multiplier + rounding) >> shift;
  const uint32_t magnitude = (uint32_t)(scaled < 0 ? -scaled : scaled);
  const uint32_t index = magnitude >> 8;
  int32_t result = 0xFFFF << 8;
  if (index < 255u) {
    const uint32_t low = table[index], high = table[index + 1u];
    result = (int32_t)((low << 8) + (magnitude & 0xFFu) * (high - low));
  }
  result = scaled >= 0 ? result - (1 << 23) + (1 << 7) : -result + (1 << 23) + (1 << 7) - 1;
  return result >> 8;
}

/* Scaling that is exact for any sum, or the short form when the emitter has proved that it is enough. */
EDGE_INLINE int32_t scale_sum(int32_t fast, int32_t sum, int32_t multiplier, int32_t shift) {
  const int32_t scaled =
      fast ? edge_multiply_small(sum, multiplier, shift) : edge_multiply(sum, multiplier, shift);
  return edge_saturate_16(scaled);
}

/* The gates of one unit as Q3.12 sums, before their activations. */
EDGE_APART void gate_sums(const struct edge_lstm *p, const int8_t *input, const int8_t *hidden, int32_t unit,
                          int32_t sums[4]) {
  int32_t from_input[4], from_hidden[4];
  const int32_t *input_bias = p->input_bias + 4 * unit, *recurrent_bias = p->recurrent_bias + 4 * unit;
  for (int32_t g = 0; g < 4; ++g) { from_input[g] = input_bias[g]; }
  edge_dot_4_whole(p->input_weights + unit * 4 * p->input_stride, p->input_stride, input, p->input_stride, from_input);
  for (int32_t g = 0; g < 4; ++g) { from_hidden[g] = recurrent_bias[g]; }
  edge_dot_4_whole(p->recurrent_weights + unit * 4 * p->recurrent_stride, p->recurrent_stride, hidden,
                   p->recurrent_stride, from_hidden);
  if (p->fast) {
    for (int32_t g = 0; g < 4; ++g) {
      const int32_t a = scale_sum(1, from_input[g], p->input_multiplier[g], p->input_shift[g]);
      const int32_t b = scale_sum(1, from_hidden[g], p->recurrent_multiplier[g], p->recurrent_shift[g]);
      sums[g] = edge_saturate_16(a + b);
    }
    return;
  }
  for (int32_t g = 0; g < 4; ++g) {
    const int32_t a = scale_sum(0, from_input[g], p->input_multiplier[g], p->input_shift[g]);
    const int32_t b = scale_sum(0, from_hidden[g], p->recurrent_multiplier[g], p->recurrent_shift[g]);
    sums[g] = edge_saturate_16(a + b);
  }
}

/* `before` is the hidden state that the step starts from, `hidden` receives the new one; `input` and `before` are zero
 * filled up to their strides. */
static void one_step(const struct edge_lstm *p, const int8_t *input, const int8_t *before, int8_t *hidden,
                     int16_t *cell) {
  const uint16_t *table = p->sigmoid;
  for (int32_t unit = 0; unit < p->units; ++unit) {
    int32_t sums[4];
    gate_sums(p, input, before, unit, sums);
    const int32_t forget = sigmoid_16(table, sums[0]), admit = sigmoid_16(table, sums[1]);
    const int32_t candidate = tanh_16(table, sums[2], 3, 0), show = sigmoid_16(table, sums[3]);
    const int32_t kept = scale_sum(1, forget * cell[unit], p->forget_multiplier, p->forget_shift);
    const int32_t fresh = scale_sum(1, admit * candidate, p->candidate_multiplier, p->candidate_shift);
    int32_t state = edge_saturate_16(kept + fresh);
    if (p->cell_clip > 0) { state = edge_clamp(state, -p->cell_clip, p->cell_clip); }
    cell[unit] = (int16_t)state;
    const int32_t bounded = tanh_16(table, state, p->tanh_multiplier, p->tanh_shift);
    const int32_t code = edge_multiply_small(bounded * show, p->output_multiplier, p->output_shift);
    hidden[unit] = (int8_t)edge_saturate_8(code + p->output_zero_point);
  }
}

EDGE_KERNEL void edge_k1_lstm_s8(const struct edge_lstm *p, const int8_t *input, int8_t *output, int8_t *hidden,
                                 int16_t *cell, void *scratch) {
  int8_t *now = (int8_t *)scratch, *before = now + p->input_stride;
  memset(now, 0, (size_t)(p->input_stride + p->recurrent_stride));
  for (int32_t b = 0; b < p->batches; ++b) {
    for (int32_t t = 0; t < p->steps; ++t) {
      const int32_t position = b * p->batch_step + t * p->time_step;
      memcpy(now, input + position * p->depth, (size_t)p->depth);
      memcpy(before, hidden, (size_t)p->units);
      one_step(p, now, before, hidden, cell);
      memcpy(output + position * p->units, hidden, (size_t)p->units);
    }
    hidden += p->units;
    cell += p->units;
  }
}
