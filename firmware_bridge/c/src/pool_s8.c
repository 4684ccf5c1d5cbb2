/* AVERAGE_POOL_2D and MAX_POOL_2D, int8: input [batches][in_h][in_w][channels], output [batches][out_h][out_w][channels].
 *
 * Windows are cut at the border; the average divides by the taps inside and rounds halves away from zero. Source of
 * the arithmetic: tflite-micro's integer pooling.
 */
#include "edge_arithmetic.h"
#include "edge_kernels.h"

struct cut {
  int32_t y_first, y_end, x_first, x_end;
};

static struct cut cut_window(const struct edge_pool *p, int32_t oy, int32_t ox) {
  struct cut w;
  const int32_t top = oy * p->stride_h - p->pad_top, left = ox * p->stride_w - p->pad_left;
  w.y_first = top < 0 ? 0 : top;
  w.x_first = left < 0 ? 0 : left;
  w.y_end = top + p->kernel_h < p->in_h ? top + p->kernel_h : p->in_h;
  w.x_end = left + p->kernel_w < p->in_w ? left + p->kernel_w : p->in_w;
  return w;
}

EDGE_KERNEL void edge_k1_average_pool_s8(const struct edge_pool *p, const int8_t *input, int8_t *output) {
  for (int32_t b = 0; b < p->batches; ++b) {
    for (int32_t oy = 0; oy < p->out_h; ++oy) {
      for (int32_t ox = 0; ox < p->out_w; ++ox) {
        const struct cut w = cut_window(p, oy, ox);
        const int32_t taps = (w.y_end - w.y_first) * (w.x_end - w.x_first);
        for (int32_t c = 0; c < p->channels; ++c) {
          int32_t sum = 0;
          for (int32_t y = w.y_first; y < w.y_end; ++y) {
            int32_t pixel = (y * p->in_w + w.x_first) * p->channels + c;
            for (int32_t x = w.x_first; x < w.x_end; ++x) {
              sum += input[pixel];
              pixel += p->channels;
            }
          }
          const int32_t mean = sum > 0 ? (sum + taps / 2) / taps : (sum - taps / 2) / taps;
          *output++ = (int8_t)edge_clamp(mean, p->low, p->high);
        }
      }
    }
    input += p->in_h * p->in_w * p->channels;
  }
}

EDGE_KERNEL void edge_k1_max_pool_s8(const struct edge_pool *p, const int8_t *input, int8_t *output) {
  for (int32_t b = 0; b < p->batches; ++b) {
    for (int32_t oy = 0; oy < p->out_h; ++oy) {
      for (int32_t ox = 0; ox < p->out_w; ++ox) {
        const struct cut w = cut_window(p, oy, ox);
        for (int32_t c = 0; c < p->channels; ++c) {
          int32_t largest = -128;
          for (int32_t y = w.y_first; y < w.y_end; ++y) {
            int32_t pixel = (y * p->in_w + w.x_first) * p->channels + c;
            for (int32_t x = w.x_first; x < w.x_end; ++x) {
              if (input[pixel] > largest) { largest = input[pixel]; }
              pixel += p->channels;
            }
          }
          *output++ = (int8_t)edge_clamp(largest, p->low, p->high);
        }
      }
    }
    input += p->in_h * p->in_w * p->channels;
  }
}
