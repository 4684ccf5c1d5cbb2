/* QUANTIZE between integer types of 1, 2 and 4 bytes (signed): the code's real value on another scale.
 *
 * Source of the arithmetic: tflite-micro's Requantize. Memory is read and written through packed access.
 */
#include "edge_arithmetic.h"
#include "edge_kernels.h"

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
