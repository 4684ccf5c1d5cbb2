/* Operators of one 8-bit operand as tables of 256 codes, made by the emitter from the reference's integer arithmetic:
 * LOGISTIC, TANH, RELU family, LEAKY_RELU, HARD_SWISH, QUANTIZE between 8-bit types, and DEQUANTIZE.
 *
 * Entry i is the code of input byte i, read as unsigned. The output may be the same memory as an 8-bit input.
 */
#include "edge_arithmetic.h"
#include "edge_kernels.h"

#if defined(EDGE_USE_MVE)
#include <arm_mve.h>
#endif

EDGE_KERNEL void edge_k1_lookup_s8(const int8_t *table, const void *input, void *output, int32_t count) {
  const uint8_t *from = (const uint8_t *)input;
  int8_t *to = (int8_t *)output;
#if defined(EDGE_USE_MVE)
  for (int32_t i = 0; i < count; i += 16) {
    const mve_pred16_t present = vctp8q((uint32_t)(count - i));
    const uint8x16_t codes = vldrbq_z_u8(from + i, present);
    vstrbq_p_s8(to + i, vldrbq_gather_offset_z_s8(table, codes, present), present);
  }
#else
  for (int32_t i = 0; i < count; ++i) { to[i] = table[from[i]]; }
#endif
}

EDGE_KERNEL void edge_k1_lookup_f32(const float *table, const int8_t *input, float *output, int32_t count) {
  const uint8_t *from = (const uint8_t *)input;
  for (int32_t i = 0; i < count; ++i) { output[i] = table[from[i]]; }
}
