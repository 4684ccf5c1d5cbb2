/* ADD, SUB and MUL, int8, with broadcasting; output is dense in the order of the walked axes.
 *
 * ADD and SUB bring both operands to a common scale with 20 extra bits, as tflite-micro does; their input shifts are
 * never positive. The output may be the same memory as an operand that is not broadcast.
 */
#include "edge_requant.h"

#if defined(EDGE_USE_MVE)

/* Four operands that are `step` apart, 0 or 1, less their zero point. */
EDGE_INLINE int32x4_t load_lanes(const int8_t *operand, int32_t step, int32_t zero_point, mve_pred16_t present) {
  return vsubq_n_s32(step ? vldrbq_z_s32(operand, present) : vdupq_n_s32(*operand), zero_point);
}

EDGE_INLINE void store_lanes(const struct edge_binary *p, int32x4_t total, int8_t *output, mve_pred16_t present) {
  const int32x4_t scaled = edge_multiply_lanes(total, p->multiplier_out, p->shift_out);
  const int32x4_t code = vaddq_n_s32(scaled, p->zero_point_out);
  vstrbq_p_s32(output, vminq_s32(vmaxq_s32(code, vdupq_n_s32(p->low)), vdupq_n_s32(p->high)), present);
}

/* The inner loop of ADD and SUB. */
EDGE_INLINE void sums_of(const struct edge_binary *p, const int8_t *a, int32_t step_a, const int8_t *b, int32_t step_b,
                         int8_t *output, int32_t count) {
  for (int32_t i = 0; i < count; i += 4) {
    const mve_pred16_t present = vctp32q((uint32_t)(count - i));
    const int32x4_t from_a = vshlq_n_s32(load_lanes(a + i * step_a, step_a, p->zero_point_a, present), 20);
    const int32x4_t from_b = vshlq_n_s32(load_lanes(b + i * step_b, step_b, p->zero_point_b, present), 20);
    const int32x4_t wide_a = edge_multiply_lanes(from_a, p->multiplier_a, p->shift_a);
    const int32x4_t wide_b = edge_multiply_lanes(from_b, p->multiplier_b, p->shift_b);
    store_lanes(p, vaddq_s32(wide_a, vmulq_n_s32(wide_b, p->sign_b)), output + i, present);
  }
}

/* The inner loop of MUL. */
EDGE_INLINE void products_of(const struct edge_binary *p, const int8_t *a, int32_t step_a, const int8_t *b,
                             int32_t step_b, int8_t *output, int32_t count) {
  for (int32_t i = 0; i < count; i += 4) {
    const mve_pred16_t present = vctp32q((uint32_t)(count - i));
    const int32x4_t from_a = load_lanes(a + i * step_a, step_a, p->zero_point_a, present);
    const int32x4_t from_b = load_lanes(b + i * step_b, step_b, p->zero_point_b, present);
    store_lanes(p, vmulq_s32(from_a, from_b), output + i, present);
  }
}

#else

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

/* The inner loops of ADD and SUB, and of MUL. */
EDGE_INLINE void sums_of(const struct edge_binary *p, const int8_t *a, int32_t step_a, const int8_t *b, int32_t step_b,
                         int8_t *output, int32_t count) {
  for (; count > 0; --count) {
    *output++ = sum_of(p, *a, *b);
    a += step_a;
    b += step_b;
  }
}

EDGE_INLINE void products_of(const struct edge_binary *p, const int8_t *a, int32_t step_a, const int8_t *b,
                             int32_t step_b, int8_t *output, int32_t count) {
  for (; count > 0; --count) {
    *output++ = product_of(p, *a, *b);
    a += step_a;
    b += step_b;
  }
}

#endif

/* Walks all axes but the last with a counter per axis; the last is the inner loop, over local copies. */
#define EDGE_WALK(function)                                                     \
  const struct edge_binary local = *p;                                          \
  int32_t index[EDGE_MAX_AXES] = {0, 0, 0, 0, 0};                               \
  const int32_t last = p->axes - 1;                                             \
  const int32_t inner_a = p->step_a[last], inner_b = p->step_b[last];           \
  for (;;) {                                                                    \
    function(&local, a, inner_a, b, inner_b, output, p->count[last]);           \
    output += p->count[last];                                                   \
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
  EDGE_WALK(sums_of)
}

EDGE_KERNEL void edge_k1_mul_s8(const struct edge_binary *p, const int8_t *a, const int8_t *b, int8_t *output) {
  EDGE_WALK(products_of)
}
