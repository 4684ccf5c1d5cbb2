/* QUANTIZE from float32 to int8 or int16: round(x / scale) + zero point, halves away from zero, saturated.
 *
 * NaN becomes the zero point. No libm: the quotient is saturated first, then rounded through an integer.
 */
#include "edge_arithmetic.h"
#include "edge_kernels.h"

static int32_t nearest(float value) {
  if (!(value == value)) { return 0; }
  if (value > 100000.0f) { return 100000; }
  if (value < -100000.0f) { return -100000; }
  const int32_t whole = (int32_t)value;
  const float rest = value - (float)whole;
  if (rest >= 0.5f) { return whole + 1; }
  return rest <= -0.5f ? whole - 1 : whole;
}

EDGE_KERNEL void edge_k1_quantize_f32(const struct edge_quantize *p, const float *input, void *output) {
  int8_t *bytes = (int8_t *)output;
  for (int32_t i = 0; i < p->count; ++i) {
    const int32_t code = nearest(input[i] / p->scale) + p->output_zero_point;
    if (p->output_bytes == 1) {
      bytes[i] = (int8_t)edge_clamp(code, -128, 127);
    } else {
      const int16_t half = (int16_t)edge_clamp(code, -32768, 32767);
      memcpy(bytes + 2 * i, &half, sizeof(half)); /* the output may lie where the input does, and no float is an int16 */
    }
  }
}
