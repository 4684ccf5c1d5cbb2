/* RESIZE_NEAREST_NEIGHBOR: input [batches][in_h][in_w][pixel_bytes], output [batches][out_h][out_w][pixel_bytes].
 *
 * Which source row and column each output takes is worked out by the emitter, in float32 as tflite-micro does.
 */
#include "edge_arithmetic.h"
#include "edge_kernels.h"

EDGE_KERNEL void edge_k1_resize_nearest(const struct edge_resize_nearest *p, const void *input, void *output) {
  const uint8_t *image = (const uint8_t *)input;
  uint8_t *to = (uint8_t *)output;
  for (int32_t b = 0; b < p->batches; ++b) {
    for (int32_t y = 0; y < p->out_h; ++y) {
      const uint8_t *row = image + (int32_t)p->row_of[y] * p->in_w * p->pixel_bytes;
      for (int32_t x = 0; x < p->out_w; ++x) {
        memcpy(to, row + (int32_t)p->column_of[x] * p->pixel_bytes, (size_t)p->pixel_bytes);
        to += p->pixel_bytes;
      }
    }
    image += p->in_h * p->in_w * p->pixel_bytes;
  }
}
