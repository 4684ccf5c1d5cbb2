/* SOFTMAX, int8 in, int8 or int16 out: both [rows][depth], over the last axis.
 *
 * exp() of every possible difference to the row's maximum is a table made by the emitter; the reciprocal of their sum
 * is three Newton steps in fixed point. Differences beyond the table give the lowest code. Source of the arithmetic:
 * tflite-micro's softmax on gemmlowp's fixed-point numbers. The output may be the same memory as an int8 input.
 */
#include "edge_arithmetic.h"
#include "edge_kernels.h"

static int32_t high_multiply(int32_t a, int32_t b) {
  if (a == b && a == INT32_MIN) { return INT32_MAX; }
  const int64_t product = (int64_t)a * (int64_t)b;
  return (int32_t)((product + ((int64_t)1 << 30)) >> 31);
}

static int32_t saturating_double(int32_t value, int32_t exponent) {
  const int32_t threshold = (int32_t)((1u << (uint32_t)(31 - exponent)) - 1u);
  if (value > threshold) { return INT32_MAX; }
  if (value < -threshold) { return INT32_MIN; }
  return value * ((int32_t)1 << exponent);
}

/* 1 / (1 + x) for x in [0, 1), both Q0.31. */
static int32_t reciprocal_of_one_plus(int32_t x) {
  const int64_t total = (int64_t)x + INT32_MAX;
  const int32_t half = (int32_t)((total + (total >= 0 ? 1 : -1)) / 2);
  int32_t estimate = 1515870810 + high_multiply(half, -1010580540); /* 48/17 - 32/17 * half, Q2.29 */
  for (int32_t i = 0; i < 3; ++i) {
    const int32_t error = ((int32_t)1 << 29) - high_multiply(half, estimate);
    estimate += saturating_double(high_multiply(estimate, error), 2);
  }
  return saturating_double(estimate, 1);
}

static int32_t leading_zeros(uint32_t value) {
  int32_t count = 0;
  for (uint32_t bit = 0x80000000u; bit != 0u && (value & bit) == 0u; bit >>= 1) { ++count; }
  return count;
}

struct row_scale {
  int32_t maximum, reciprocal, bits_over_unit;
};

static struct row_scale scale_of_row(const struct edge_softmax *p, const int8_t *row) {
  struct row_scale scale;
  scale.maximum = -128;
  for (int32_t i = 0; i < p->depth; ++i) {
    if (row[i] > scale.maximum) { scale.maximum = row[i]; }
  }
  int32_t sum = 0; /* Q12.19 */
  for (int32_t i = 0; i < p->depth; ++i) {
    const int32_t difference = scale.maximum - row[i];
    if (difference <= p->largest_difference) { sum += edge_divide_by_power(p->exponential[difference], 12); }
  }
  const int32_t headroom = leading_zeros((uint32_t)sum);
  scale.bits_over_unit = 12 - headroom;
  const uint32_t fraction = ((uint32_t)sum << (uint32_t)headroom) - 0x80000000u;
  scale.reciprocal = reciprocal_of_one_plus((int32_t)fraction);
  return scale;
}

static int32_t share(const struct edge_softmax *p, const struct row_scale *scale, int32_t value, int32_t width) {
  const int32_t difference = scale->maximum - value;
  if (difference > p->largest_difference) { return 0; }
  const int32_t product = high_multiply(scale->reciprocal, p->exponential[difference]);
  return edge_divide_by_power(product, scale->bits_over_unit + 31 - width);
}

EDGE_KERNEL void edge_k1_softmax_s8(const struct edge_softmax *p, const int8_t *input, int8_t *output) {
  for (int32_t row = 0; row < p->rows; ++row) {
    const struct row_scale scale = scale_of_row(p, input);
    for (int32_t i = 0; i < p->depth; ++i) {
      output[i] = (int8_t)edge_clamp(share(p, &scale, input[i], 8) - 128, -128, 127);
    }
    input += p->depth;
    output += p->depth;
  }
}

EDGE_KERNEL void edge_k1_softmax_s8_s16(const struct edge_softmax *p, const int8_t *input, int16_t *output) {
  for (int32_t row = 0; row < p->rows; ++row) {
    const struct row_scale scale = scale_of_row(p, input);
    for (int32_t i = 0; i < p->depth; ++i) {
      output[i] = (int16_t)edge_clamp(share(p, &scale, input[i], 16) - 32768, -32768, 32767);
    }
    input += p->depth;
    output += p->depth;
  }
}
