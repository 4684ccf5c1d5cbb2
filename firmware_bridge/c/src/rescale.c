/* QUANTIZE between integer types of 1, 2 and 4 bytes (signed): the code's real value on another scale.
 *
 * Source of the arithmetic: tflite-micro's Requantize. Both tensors are aligned to their elements. The output may be the
 * same memory as an input whose elements are not smaller.
 */
#include "edge_requant.h"

#if defined(EDGE_USE_MVE)

static int32x4_t load_lanes(const uint8_t *address, int32_t bytes, mve_pred16_t present) {
  if (bytes == 4) { return vldrwq_z_s32((const int32_t *)(const void *)address, present); }
  if (bytes == 2) { return vldrhq_z_s32((const int16_t *)(const void *)address, present); }
  return vldrbq_z_s32((const int8_t *)address, present);
}

static void store_lanes(uint8_t *address, int32x4_t value, int32_t bytes, mve_pred16_t present) {
  if (bytes == 4) {
    vstrwq_p_s32((int32_t *)(void *)address, value, present);
  } else if (bytes == 2) {
    const int32x4_t half = vmaxq_s32(vminq_s32(value, vdupq_n_s32(32767)), vdupq_n_s32(-32768));
    vstrhq_p_s32((int16_t *)(void *)address, half, present);
  } else {
    const int32x4_t byte = vmaxq_s32(vminq_s32(value, vdupq_n_s32(127)), vdupq_n_s32(-128));
    vstrbq_p_s32((int8_t *)address, byte, present);
  }
}

EDGE_KERNEL void edge_k1_rescale(const struct edge_rescale *p, const void *input, void *output) {
  const uint8_t *from = (const uint8_t *)input;
  uint8_t *to = (uint8_t *)output;
  for (int32_t left = p->count; left > 0; left -= 4) {
    const mve_pred16_t present = vctp32q((uint32_t)left);
    const int32x4_t centred = vsubq_n_s32(load_lanes(from, p->input_bytes, present), p->input_zero_point);
    const int32x4_t scaled = edge_multiply_lanes(centred, p->multiplier, p->shift);
    store_lanes(to, vaddq_n_s32(scaled, p->output_zero_point), p->output_bytes, present);
    from += 4 * p->input_bytes;
    to += 4 * p->output_bytes;
  }
}

#else

static int32_t load(const uint8_t *address, int32_t bytes) {
  int32_t value = 0;
  if (bytes == 4) {
    memcpy(&value, address, 4);
  } else if (bytes == 2) {
    int16_t half;
    memcpy(&half, address, 2);
    value = half;
  } else {
    int8_t byte;
    memcpy(&byte, address, 1);
    value = byte;
  }
  return value;
}

static void store(uint8_t *address, int32_t value, int32_t bytes) {
  if (bytes == 4) {
    memcpy(address, &value, 4);
  } else if (bytes == 2) {
    const int16_t half = (int16_t)edge_clamp(value, -32768, 32767);
    memcpy(address, &half, 2);
  } else {
    const int8_t byte = (int8_t)edge_clamp(value, -128, 127);
    memcpy(address, &byte, 1);
  }
}

EDGE_KERNEL void edge_k1_rescale(const struct edge_rescale *p, const void *input, void *output) {
  const uint8_t *from = (const uint8_t *)input;
  uint8_t *to = (uint8_t *)output;
  for (int32_t i = 0; i < p->count; ++i) {
    const uint32_t centred = (uint32_t)load(from, p->input_bytes) - (uint32_t)p->input_zero_point;
    const uint32_t scaled = (uint32_t)edge_multiply((int32_t)centred, p->multiplier, p->shift);
    store(to, (int32_t)(scaled + (uint32_t)p->output_zero_point), p->output_bytes);
    from += p->input_bytes;
    to += p->output_bytes;
  }
}

#endif
