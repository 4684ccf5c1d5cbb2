/* ADD, SUB and MUL, int8, with broadcasting; output is dense in the order of the walked axes.
 *
 * ADD and SUB bring both operands to a common scale with 20 extra bits, as tflite-micro does; their input shifts are
 * never positive. The output may be the same memory as an operand that is not broadcast.
 */
#include "edge_arithmetic.h"
#include "edge_kernels.h"

/* value * 2^20 * multiplier / 2^31, rounded, then divided by 2^right with halves away from zero. */
EDGE_INLINE int32_t widened(int32_t value, int32_t multiplier, int32_t right) {
  int32_t high;
#if defined(EDGE_USE_DSP)
  __asm("smmulr %0, %1, %2" : "=r"(high) : "r"(value * ((int32_t)1 << 21)), "r"(multiplier));
#else
  high = edge_doubling_high(value * ((int32_t)1 << 20), multiplier);
#endif
  if (right == 0) { return high; }
  return (((high + (high >> 31)) >> (right - 1)) + 1) >> 1;
}

EDGE_INLINE int8_t sum_of(const struct edge_binary *p, int32_t a, int32_t b) {
  const int32_t wide_a = widened(a - p->zero_point_a, p->multiplier_a, -p->shift_a);
  const int32_t wide_b = widened(b - p->zero_point_b, p->multiplier_b, -p->shift_b);
  const int32_t total = wide_a + p->sign_b * wide_b;
  const int32_t scaled = p->shift_out < 0 ? edge_multiply_fast(total, p->multiplier_out, p->shift_out, 1)
                                          : edge_multiply(total, p->multiplier_out, p->shift_out);
  return (int8_t)edge_clamp(scaled + p->zero_point_out, p->low, p->high);
}

EDGE_INLINE int8_t product_of(const struct edge_binary *p, int32_t a, int32_t b) {
  const int32_t product = (a - p->zero_point_a) * (b - p->zero_point_b);
  const int32_t scaled = p->shift_out < 0 ? edge_multiply_fast(product, p->multiplier_out, p->shift_out, 1)
                                          : edge_multiply(product, p->multiplier_out, p->shift_out);
  return (int8_t)edge_clamp(scaled + p->zero_point_out, p->low, p->high);
}

/* Walks all axes but the last with a counter per axis; the last is the inner loop, over local copies. */
#define EDGE_WALK(function)                                                     \
  const struct edge_binary local = *p;                                          \
  int32_t index[EDGE_MAX_AXES] = {0, 0, 0, 0, 0};                               \
  const int32_t last = p->axes - 1;                                             \
  const int32_t inner_a = p->step_a[last], inner_b = p->step_b[last];           \
  for (;;) {                                                                    \
    const int8_t *from_a = a, *from_b = b;                                      \
    for (int32_t i = p->count[last]; i > 0; --i) {                              \
      *output++ = function(&local, *from_a, *from_b);                           \
      from_a += inner_a;                                                        \
      from_b += inner_b;                                                        \
    }                                                                           \
    int32_t axis = last - 1;                                                    \
    for (; axis >= 0; --axis) {                                                 \
      a += p->step_a[axis];                                                     \
      b += p->step_b[axis];                                                     \
      if (++index[axis] < p->count[axis]) { break; }                            \
      a -= p->count[axis] * p->step_a[axis];                                    \
      b -= p->count[axis] * p->step_b[axis];                                    \
      index[axis] = 0;                                                          \
    }                                                                           \
    if (axis < 0) { return; }                                                   \
  }

EDGE_KERNEL void edge_k1_add_s8(const struct edge_binary *p, const int8_t *a, const int8_t *b, int8_t *output) {
  EDGE_WALK(sum_of)
}

EDGE_KERNEL void edge_k1_mul_s8(const struct edge_binary *p, const int8_t *a, const int8_t *b, int8_t *output) {
  EDGE_WALK(product_of)
}
