/* Holds edge_arithmetic.h to the definitions it shortens, written out as gemmlowp writes them. Exit code 0: equal.
 * A program by itself on a host; without one, run() for the emulators of the board folder. */
#include <stdint.h>

#include "edge_arithmetic.h"

#if !defined(CASES)
#define CASES 2000000
#endif

static int32_t literal_doubling_high(int32_t a, int32_t b) {
  const int64_t product = (int64_t)a * (int64_t)b;
  const int64_t nudge = product >= 0 ? (int64_t)1 << 30 : 1 - ((int64_t)1 << 30);
  return (int32_t)((product + nudge) / ((int64_t)1 << 31));
}

static int32_t literal_divide(int32_t value, int32_t exponent) {
  const int64_t magnitude = value < 0 ? -(int64_t)value : value;
  const int64_t rounded = (2 * magnitude + ((int64_t)1 << exponent)) / ((int64_t)2 << exponent);
  return (int32_t)(value < 0 ? -rounded : rounded);
}

static uint32_t next(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return *state;
}

static int check(int32_t value, int32_t multiplier, int32_t shift) {
  const int32_t high = literal_doubling_high(value, multiplier);
  if (edge_doubling_high(value, multiplier) != high) { return 1; }
  if (edge_doubling_high_normal(value, multiplier) != high) { return 7; }
  if (edge_divide_by_power(value, -shift) != literal_divide(value, -shift)) { return 2; }
  if (edge_multiply(value, multiplier, shift) != literal_divide(high, -shift)) { return 3; }
  const int in_range = value > -(1 << 30) && value < (1 << 30) && shift < 0;
  if (in_range && edge_multiply_fast(value, multiplier, shift, 1 + 2 * 7) != literal_divide(high, -shift) + 7) {
    return 4;
  }
  const int32_t left = -shift / 8; /* 0..3 */
  const int small = value > -(1 << 26) && value < (1 << 26);
  if (small && edge_multiply_small(value, multiplier, left) != edge_multiply(value, multiplier, left)) { return 5; }
  if (small && edge_multiply_small(value, multiplier, shift) != edge_multiply(value, multiplier, shift)) { return 6; }
  if (edge_multiply_small(0, multiplier, -shift) != 0) { return 12; } /* sums of nothing but zeros, up to 2^31 */
  if (edge_saturate_8(value) != edge_clamp(value, -128, 127)) { return 8; }
  if (edge_saturate_16(value) != edge_clamp(value, -32768, 32767)) { return 10; }
  if (edge_saturate_u16(value) != edge_clamp(value, 0, 65535)) { return 11; }
  return 0;
}

int run(void);

int run(void) {
  static const int32_t corners[] = {0,          1,          -1,         2,           -2,          127,        -128,
                                    1 << 29,    -(1 << 29), (1 << 30) - 1, -(1 << 30) + 1, INT32_MAX, INT32_MIN + 1};
  const int32_t n_corners = (int32_t)(sizeof(corners) / sizeof(corners[0]));
  uint32_t state = 1;
  if ((-1 >> 1) != -1) { return 9; } /* right shifts of negative integers must be arithmetic */
  for (int32_t i = 0; i < CASES; ++i) {
    const int32_t value = i < n_corners ? corners[i] : (int32_t)next(&state) >> (next(&state) >> 27);
    const int32_t multiplier = (int32_t)((next(&state) >> 2) | 0x40000000u);
    const int32_t shift = -(int32_t)(next(&state) >> 27);
    const int problem = check(value, multiplier & INT32_MAX, shift);
    if (problem != 0) { return problem; }
  }
  return 0;
}

#if defined(__STDC_HOSTED__) && __STDC_HOSTED__
int main(void) { return run(); }
#endif
