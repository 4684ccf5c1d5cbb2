/* ADD, SUB and MUL, int8, with broadcasting; output is dense in the order of the walked axes.
 *
 * ADD and SUB bring both operands to a common scale with 20 extra bits, as tflite-micro does. The output may be
 * the same memory as an operand that is not broadcast.
 */
#include "edge_arithmetic.h"
#include "edge_kernels.h"

EDGE_INLINE int8_t sum_of(const struct edge_binary *p, int32_t a, int32_t b) {
  const int32_t wide_a = (int32_t)((uint32_t)(a - p->zero_point_a) << 20u);
  const int32_t wide_b = (int32_t)((uint32_t)(b - p->zero_point_b) << 20u);
  const int32_t scaled_a = edge_multiply(wide_a, p->multiplier_a, p->shift_a);
  const int32_t scaled_b = edge_multiply(wide_b, p->multiplier_b, p->shift_b);
  const int32_t sum = edge_multiply(scaled_a + p->sign_b * scaled_b, p->multiplier_out, p->shift_out);
  return (int8_t)edge_clamp(sum + p->zero_point_out, p->low, p->high);
}

EDGE_INLINE int8_t product_of(const struct edge_binary *p, int32_t a, int32_t b) {
  const int32_t product = (a - p->zero_point_a) * (b - p->zero_point_b);
  const int32_t scaled = edge_multiply(product, p->multiplier_out, p->shift_out);
  return (int8_t)edge_clamp(scaled + p->zero_point_out, p->low, p->high);
}

/* Walks all axes but the last with a counter per axis; the last is the inner loop. */
#define EDGE_WALK(function)                                                     \
  int32_t index[EDGE_MAX_AXES] = {0, 0, 0, 0, 0};                               \
  const int32_t last = p->axes - 1;                                             \
  const int32_t run = p->count[last];                                           \
  const int32_t inner_a = p->step_a[last], inner_b = p->step_b[last];           \
  for (;;) {                                                                    \
    for (int32_t i = 0; i < run; ++i) {                                         \
      *output++ = function(p, a[i * inner_a], b[i * inner_b]);                  \
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
