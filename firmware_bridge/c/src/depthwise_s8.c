/* DEPTHWISE_CONV_2D, int8: input [batches][in_h][in_w][in_channels],
 * output [batches][out_h][out_w][in_channels * multiplier]; output channel c reads input channel c / multiplier.
 *
 * Taps outside the image are skipped, as in the reference, so the bias is the model's own and the input zero point
 * is subtracted from every byte. Source of the arithmetic: tflite-micro's per-channel depthwise convolution.
 */
#include "edge_arithmetic.h"
#include "edge_kernels.h"

#if defined(EDGE_USE_MVE)
#include <arm_mve.h>
#endif

/* The taps of one output pixel that lie in the image: first and past-the-last per axis, and where the first reads. */
struct window {
  int32_t y_first, y_end, x_first, x_end;
  const int8_t *pixel;
};

static int32_t first_tap(int32_t origin, int32_t dilation) {
  return origin >= 0 ? 0 : (-origin + dilation - 1) / dilation;
}

static int32_t end_tap(int32_t origin, int32_t dilation, int32_t size, int32_t taps) {
  const int32_t room = size - origin;
  const int32_t end = room <= 0 ? 0 : (room + dilation - 1) / dilation;
  return end < taps ? end : taps;
}

static int32_t requantize(const struct edge_requant *out, int32_t sum, int32_t channel) {
  const int32_t entry = channel * out->channel_step;
  const int32_t multiplier = out->multiplier[entry], shift = out->shift[entry];
  const int32_t scaled =
      out->fast ? edge_multiply_fast(sum, multiplier, -shift) : edge_multiply(sum, multiplier, shift);
  return edge_clamp(scaled + out->output_zero_point, out->low, out->high);
}

/* Any multiplier, one output channel. */
static int8_t one_channel(const struct edge_depthwise *p, const struct window *w, int32_t channel) {
  const int32_t channels = p->in_channels * p->multiplier;
  const int8_t *pixel = w->pixel + channel / p->multiplier;
  int32_t sum = p->out.bias[channel];
  for (int32_t ky = w->y_first; ky < w->y_end; ++ky) {
    const int8_t *row = pixel + (ky - w->y_first) * p->dilation_h * p->in_w * p->in_channels;
    const int8_t *weights = p->weights + (ky * p->kernel_w + w->x_first) * channels + channel;
    for (int32_t kx = w->x_first; kx < w->x_end; ++kx) {
      sum += ((int32_t)*row - p->input_zero_point) * (int32_t)*weights;
      row += p->dilation_w * p->in_channels;
      weights += channels;
    }
  }
  return (int8_t)requantize(&p->out, sum, channel);
}

#if defined(EDGE_USE_DSP)
/* Multiplier 1, four channels at once. */
static void four_channels(const struct edge_depthwise *p, const struct window *w, int32_t channel, int8_t *output) {
  const int32_t channels = p->in_channels;
  const uint32_t offset = (uint32_t)(uint16_t)(-p->input_zero_point) * 0x10001u;
  const int32_t *bias = p->out.bias + channel;
  int32_t s0 = bias[0], s1 = bias[1], s2 = bias[2], s3 = bias[3];
  const int32_t pixel_step = p->dilation_w * channels;
  const int8_t *row = w->pixel + channel;
  const int8_t *weight_row = p->weights + (w->y_first * p->kernel_w + w->x_first) * channels + channel;
  for (int32_t ky = w->y_first; ky < w->y_end; ++ky) {
    const int8_t *pixel = row, *weights = weight_row;
    for (int32_t left = w->x_end - w->x_first; left > 0; --left) {
      const uint32_t bytes = edge_load_u32(pixel), taps = edge_load_u32(weights);
      const uint32_t x_even = edge_even_bytes_plus(offset, bytes), x_odd = edge_odd_bytes_plus(offset, bytes);
      const uint32_t w_even = edge_even_bytes(taps), w_odd = edge_odd_bytes(taps);
      s0 = edge_low_multiply_add(x_even, w_even, s0);
      s2 = edge_high_multiply_add(x_even, w_even, s2);
      s1 = edge_low_multiply_add(x_odd, w_odd, s1);
      s3 = edge_high_multiply_add(x_odd, w_odd, s3);
      pixel += pixel_step;
      weights += channels;
    }
    row += p->dilation_h * p->in_w * channels;
    weight_row += p->kernel_w * channels;
  }
  output[0] = (int8_t)requantize(&p->out, s0, channel);
  output[1] = (int8_t)requantize(&p->out, s1, channel + 1);
  output[2] = (int8_t)requantize(&p->out, s2, channel + 2);
  output[3] = (int8_t)requantize(&p->out, s3, channel + 3);
}
#elif defined(EDGE_USE_MVE)
/* Multiplier 1, four channels in the lanes of one vector. */
static void four_channels(const struct edge_depthwise *p, const struct window *w, int32_t channel, int8_t *output) {
  const int32_t channels = p->in_channels;
  int32x4_t sum = vldrwq_s32(p->out.bias + channel);
  const int32x4_t offset = vdupq_n_s32(-p->input_zero_point);
  const int32_t pixel_step = p->dilation_w * channels;
  const int8_t *row = w->pixel + channel;
  const int8_t *weight_row = p->weights + (w->y_first * p->kernel_w + w->x_first) * channels + channel;
  for (int32_t ky = w->y_first; ky < w->y_end; ++ky) {
    const int8_t *pixel = row, *weights = weight_row;
    for (int32_t left = w->x_end - w->x_first; left > 0; --left) {
      const int32x4_t bytes = vaddq_s32(vldrbq_s32(pixel), offset);
      sum = vaddq_s32(sum, vmulq_s32(bytes, vldrbq_s32(weights)));
      pixel += pixel_step;
      weights += channels;
    }
    row += p->dilation_h * p->in_w * channels;
    weight_row += p->kernel_w * channels;
  }
  if (p->out.fast && p->out.channel_step) {
    const int32x4_t right = vldrbq_s32(p->out.shift + channel);
    int32x4_t high = vqrdmulhq_s32(sum, vldrwq_s32(p->out.multiplier + channel));
    high = vrshlq_s32(vaddq_s32(high, vshrq_n_s32(high, 31)), right);
    high = vaddq_s32(high, vdupq_n_s32(p->out.output_zero_point));
    high = vminq_s32(vmaxq_s32(high, vdupq_n_s32(p->out.low)), vdupq_n_s32(p->out.high));
    vstrbq_s32(output, high);
    return;
  }
  int32_t sums[4];
  vstrwq_s32(sums, sum);
  for (int32_t i = 0; i < 4; ++i) { output[i] = (int8_t)requantize(&p->out, sums[i], channel + i); }
}
#endif

EDGE_KERNEL void edge_k1_depthwise_s8(const struct edge_depthwise *p, const int8_t *input, int8_t *output) {
  const int32_t channels = p->in_channels * p->multiplier;
  for (int32_t b = 0; b < p->batches; ++b) {
    const int8_t *image = input + b * p->in_h * p->in_w * p->in_channels;
    for (int32_t oy = 0; oy < p->out_h; ++oy) {
      struct window w;
      const int32_t top = oy * p->stride_h - p->pad_top;
      w.y_first = first_tap(top, p->dilation_h);
      w.y_end = end_tap(top, p->dilation_h, p->in_h, p->kernel_h);
      for (int32_t ox = 0; ox < p->out_w; ++ox) {
        const int32_t left = ox * p->stride_w - p->pad_left;
        w.x_first = first_tap(left, p->dilation_w);
        w.x_end = end_tap(left, p->dilation_w, p->in_w, p->kernel_w);
        w.pixel = image;
        if (w.y_first < w.y_end && w.x_first < w.x_end) {
          const int32_t y = top + w.y_first * p->dilation_h, x = left + w.x_first * p->dilation_w;
          w.pixel = image + (y * p->in_w + x) * p->in_channels;
        }
        int32_t c = 0;
#if defined(EDGE_USE_DSP) || defined(EDGE_USE_MVE)
        if (p->multiplier == 1) {
          for (; c + 4 <= channels; c += 4) { four_channels(p, &w, c, output + c); }
        }
#endif
        for (; c < channels; ++c) { output[c] = one_channel(p, &w, c); }
        output += channels;
      }
    }
  }
}
