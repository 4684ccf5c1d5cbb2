/* DEPTHWISE_CONV_2D, int8: input [batches][in_h][in_w][in_channels],
 * output [batches][out_h][out_w][in_channels * multiplier]; output channel c reads input channel c / multiplier.
 *
 * Taps outside the image are skipped, as in the reference, so the bias is the model's own and the input zero point
 * is subtracted from every byte. Source of the arithmetic: tflite-micro's per-channel depthwise convolution.
 */
#include "edge_requant.h"

#if defined(EDGE_USE_MVE)
#include <arm_mve.h>
#endif

/* The taps of one output pixel that lie in the image: first and past-the-last per axis, and where the first reads. */
struct window {
  int32_t y_first, y_end, x_first, x_end;
  const int8_t *pixel;
};

static int32_t first_tap(int32_t origin, int32_t dilation) {
  if (origin >= 0) { return 0; }
  return dilation == 1 ? -origin : (-origin + dilation - 1) / dilation;
}

static int32_t end_tap(int32_t origin, int32_t dilation, int32_t size, int32_t taps) {
  const int32_t room = size - origin;
  if (room > (taps - 1) * dilation) { return taps; }
  return room <= 0 ? 0 : (room + dilation - 1) / dilation;
}

/* Cuts the window of output row `oy` and returns the first image line that it reads. */
static const int8_t *cut_rows(const struct edge_depthwise *p, const int8_t *image, int32_t oy, struct window *w) {
  const int32_t top = oy * p->stride_h - p->pad_top;
  w->y_first = first_tap(top, p->dilation_h);
  w->y_end = end_tap(top, p->dilation_h, p->in_h, p->kernel_h);
  if (w->y_first >= w->y_end) { return image; }
  return image + (top + w->y_first * p->dilation_h) * p->in_w * p->in_channels;
}

/* Cuts the window of output column `ox`; the rows were cut before. */
static void cut_columns(const struct edge_depthwise *p, const int8_t *line, int32_t ox, struct window *w) {
  const int32_t left = ox * p->stride_w - p->pad_left;
  w->x_first = first_tap(left, p->dilation_w);
  w->x_end = end_tap(left, p->dilation_w, p->in_w, p->kernel_w);
  w->pixel = line;
  if (w->x_first < w->x_end) { w->pixel += (left + w->x_first * p->dilation_w) * p->in_channels; }
}

/* Any multiplier, one output channel. */
EDGE_APART int8_t one_channel(const struct edge_depthwise *p, const struct window *w, int32_t channel) {
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
  return edge_requantize_channel(&p->out, sum, channel);
}

#if defined(EDGE_USE_DSP)

/* What stays the same for four channels along one output row. */
struct four {
  int32_t bias[4];           /* with the zero point of all taps in the image's rows folded in */
  int32_t multiplier[4], shift[4];
  int32_t n_rows, step, row_step; /* kernel rows in the image; bytes between taps and between rows of them */
};

/* `n_rows` kernel rows of three taps, four channels: 24 instructions for 12 products. The pixels may lie at any address
 * and are loaded with LDR; the taps are scratch, aligned to 8, as LDRD needs it to be to 4. */
EDGE_INLINE void sum_rows_of_3(const struct four *f, const int8_t *row, const uint32_t *taps, int32_t sums[4]) {
  int32_t s0 = f->bias[0], s1 = f->bias[1], s2 = f->bias[2], s3 = f->bias[3];
  int32_t rows = f->n_rows;
  uint32_t even, odd, weights_even, weights_odd;
  __asm volatile(
      "1:\n\t"
      "ldr %[odd], [%[row]]\n\t"
      "ldrd %[we], %[wo], [%[taps]], #8\n\t"
      "sxtb16 %[even], %[odd]\n\t"
      "sxtb16 %[odd], %[odd], ror #8\n\t"
      "smlabb %[s0], %[even], %[we], %[s0]\n\t"
      "smlatt %[s2], %[even], %[we], %[s2]\n\t"
      "smlabb %[s1], %[odd], %[wo], %[s1]\n\t"
      "smlatt %[s3], %[odd], %[wo], %[s3]\n\t"
      "ldr %[odd], [%[row], %[step]]\n\t"
      "ldrd %[we], %[wo], [%[taps]], #8\n\t"
      "sxtb16 %[even], %[odd]\n\t"
      "sxtb16 %[odd], %[odd], ror #8\n\t"
      "smlabb %[s0], %[even], %[we], %[s0]\n\t"
      "smlatt %[s2], %[even], %[we], %[s2]\n\t"
      "smlabb %[s1], %[odd], %[wo], %[s1]\n\t"
      "smlatt %[s3], %[odd], %[wo], %[s3]\n\t"
      "ldr %[odd], [%[row], %[step], lsl #1]\n\t"
      "ldrd %[we], %[wo], [%[taps]], #8\n\t"
      "sxtb16 %[even], %[odd]\n\t"
      "sxtb16 %[odd], %[odd], ror #8\n\t"
      "smlabb %[s0], %[even], %[we], %[s0]\n\t"
      "smlatt %[s2], %[even], %[we], %[s2]\n\t"
      "smlabb %[s1], %[odd], %[wo], %[s1]\n\t"
      "smlatt %[s3], %[odd], %[wo], %[s3]\n\t"
      "subs %[rows], %[rows], #1\n\t"
      "add %[row], %[row], %[row_step]\n\t"
      "bne 1b"
      : [row] "+r"(row), [taps] "+r"(taps), [rows] "+r"(rows), [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2),
        [s3] "+r"(s3), [even] "=&r"(even), [odd] "=&r"(odd), [we] "=&r"(weights_even), [wo] "=&r"(weights_odd)
      : [step] "r"(f->step), [row_step] "r"(f->row_step)
      : "cc", "memory");
  sums[0] = s0;
  sums[1] = s1;
  sums[2] = s2;
  sums[3] = s3;
}

/* The same with any number of taps in a row. */
EDGE_INLINE void sum_rows(const struct four *f, const int8_t *row, const uint32_t *taps, int32_t width,
                          int32_t sums[4]) {
  int32_t s0 = f->bias[0], s1 = f->bias[1], s2 = f->bias[2], s3 = f->bias[3];
  for (int32_t rows = f->n_rows; rows > 0; --rows) {
    const int8_t *pixel = row;
    for (int32_t kx = width; kx > 0; --kx) {
      const uint32_t word = edge_load_u32(pixel), even = edge_even_bytes(word), odd = edge_odd_bytes(word);
      s0 = edge_low_multiply_add(even, taps[0], s0);
      s2 = edge_high_multiply_add(even, taps[0], s2);
      s1 = edge_low_multiply_add(odd, taps[1], s1);
      s3 = edge_high_multiply_add(odd, taps[1], s3);
      pixel += f->step;
      taps += 2;
    }
    row += f->row_step;
  }
  sums[0] = s0;
  sums[1] = s1;
  sums[2] = s2;
  sums[3] = s3;
}

/* One pixel whose window sticks out at a side: the taps inside, with the zero point subtracted from every byte. */
EDGE_APART void sum_cut(const struct edge_depthwise *p, const struct four *f, const struct window *w, int32_t channel,
                    const uint32_t *taps, int32_t sums[4]) {
  const uint32_t offset = (uint32_t)(uint16_t)(-p->input_zero_point) * 0x10001u;
  const int32_t *bias = p->out.bias + channel;
  const int8_t *row = w->pixel + channel;
  const int32_t width = w->x_end - w->x_first, row_step = f->row_step, step = f->step, skip = 2 * p->kernel_w;
  int32_t s0 = bias[0], s1 = bias[1], s2 = bias[2], s3 = bias[3];
  taps += 2 * w->x_first;
  for (int32_t rows = f->n_rows; rows > 0; --rows) {
    const int8_t *pixel = row;
    const uint32_t *tap = taps;
    for (int32_t kx = width; kx > 0; --kx) {
      const uint32_t word = edge_load_u32(pixel);
      const uint32_t even = edge_even_bytes_plus(offset, word), odd = edge_odd_bytes_plus(offset, word);
      s0 = edge_low_multiply_add(even, tap[0], s0);
      s2 = edge_high_multiply_add(even, tap[0], s2);
      s1 = edge_low_multiply_add(odd, tap[1], s1);
      s3 = edge_high_multiply_add(odd, tap[1], s3);
      pixel += step;
      tap += 2;
    }
    row += row_step;
    taps += skip;
  }
  sums[0] = s0;
  sums[1] = s1;
  sums[2] = s2;
  sums[3] = s3;
}

/* Weights of four channels as halfwords; behind them, per kernel row, the sums of each channel's taps. */
EDGE_APART void prepare_four(const struct edge_depthwise *p, int32_t channel, struct four *f, uint32_t *taps) {
  const int32_t channels = p->in_channels;
  const int8_t *weights = p->weights + channel;
  int32_t *totals = (int32_t *)(taps + 2 * p->kernel_h * p->kernel_w);
  f->step = p->dilation_w * channels;
  f->row_step = p->dilation_h * p->in_w * channels;
  for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
    int32_t t0 = 0, t1 = 0, t2 = 0, t3 = 0;
    for (int32_t kx = 0; kx < p->kernel_w; ++kx) {
      const uint32_t word = edge_load_u32(weights), even = edge_even_bytes(word), odd = edge_odd_bytes(word);
      taps[0] = even;
      taps[1] = odd;
      t0 = edge_low_multiply_add(even, 1u, t0);
      t2 = edge_high_multiply_add(even, 0x10000u, t2);
      t1 = edge_low_multiply_add(odd, 1u, t1);
      t3 = edge_high_multiply_add(odd, 0x10000u, t3);
      taps += 2;
      weights += channels;
    }
    totals[0] = t0;
    totals[1] = t1;
    totals[2] = t2;
    totals[3] = t3;
    totals += 4;
  }
  for (int32_t i = 0; i < 4; ++i) {
    const int32_t entry = (channel + i) * p->out.channel_step;
    f->multiplier[i] = p->out.multiplier[entry];
    f->shift[i] = p->out.shift[entry];
  }
}

/* The bias of windows whose rows are those of `w` and whose columns are whole. */
EDGE_APART void fold_rows(const struct edge_depthwise *p, const struct window *w, int32_t channel, struct four *f,
                      const uint32_t *taps) {
  const int32_t *totals = (const int32_t *)(taps + 2 * p->kernel_h * p->kernel_w) + 4 * w->y_first;
  const int32_t zero_point = p->input_zero_point;
  const int32_t *bias = p->out.bias + channel;
  int32_t b0 = bias[0], b1 = bias[1], b2 = bias[2], b3 = bias[3];
  f->n_rows = w->y_end - w->y_first;
  for (int32_t rows = f->n_rows; rows > 0; --rows) {
    b0 -= zero_point * totals[0];
    b1 -= zero_point * totals[1];
    b2 -= zero_point * totals[2];
    b3 -= zero_point * totals[3];
    totals += 4;
  }
  f->bias[0] = b0;
  f->bias[1] = b1;
  f->bias[2] = b2;
  f->bias[3] = b3;
}

/* Codes of four neighbouring channels. */
EDGE_INLINE void store_four(const struct edge_requant *out, const struct four *f, const int32_t sums[4],
                            int8_t *target) {
  if (out->fast == 2) {
    const int32_t addend = 1 + 2 * out->output_zero_point;
    target[0] = (int8_t)edge_saturate_8(edge_multiply_fast(sums[0], f->multiplier[0], f->shift[0], addend));
    target[1] = (int8_t)edge_saturate_8(edge_multiply_fast(sums[1], f->multiplier[1], f->shift[1], addend));
    target[2] = (int8_t)edge_saturate_8(edge_multiply_fast(sums[2], f->multiplier[2], f->shift[2], addend));
    target[3] = (int8_t)edge_saturate_8(edge_multiply_fast(sums[3], f->multiplier[3], f->shift[3], addend));
    return;
  }
  for (int32_t i = 0; i < 4; ++i) { target[i] = edge_requantize(out, sums[i], f->multiplier[i], f->shift[i]); }
}

/* The output columns whose windows lie in the image from side to side: first and past-the-last. */
static void inner_columns(const struct edge_depthwise *p, int32_t *first, int32_t *end) {
  const int32_t reach = (p->kernel_w - 1) * p->dilation_w;
  const int32_t last = p->in_w - 1 - reach + p->pad_left;
  *first = (p->pad_left + p->stride_w - 1) / p->stride_w;
  *end = last < 0 ? 0 : last / p->stride_w + 1;
  if (*end > p->out_w) { *end = p->out_w; }
  if (*first > *end) { *first = *end; }
}

/* One output row of four channels; `first` and `end` are the columns with whole windows. */
EDGE_APART void row_of_four(const struct edge_depthwise *p, struct window *w, const int8_t *line, int8_t *target,
                        int32_t channel, const struct four *f, const uint32_t *taps, int32_t first, int32_t end) {
  const int32_t channels = p->in_channels;
  int32_t sums[4];
  for (int32_t ox = 0; ox < p->out_w; ++ox) {
    if (ox == first && first < end) {
      const int8_t *pixel = line + (first * p->stride_w - p->pad_left) * channels + channel;
      const int32_t pixel_step = p->stride_w * channels;
      for (; ox < end; ++ox) {
        if (p->kernel_w == 3) {
          sum_rows_of_3(f, pixel, taps, sums);
        } else {
          sum_rows(f, pixel, taps, p->kernel_w, sums);
        }
        store_four(&p->out, f, sums, target);
        pixel += pixel_step;
        target += channels;
      }
      if (ox == p->out_w) { return; }
    }
    cut_columns(p, line, ox, w);
    sum_cut(p, f, w, channel, taps, sums);
    store_four(&p->out, f, sums, target);
    target += channels;
  }
}

/* One image, multiplier 1, four channels after another; returns how many channels are done. */
static int32_t image_by_fours(const struct edge_depthwise *p, const int8_t *input, int8_t *output, uint32_t *taps) {
  const int32_t channels = p->in_channels, whole = channels / 4 * 4;
  int32_t first, end;
  inner_columns(p, &first, &end);
  for (int32_t channel = 0; channel < whole; channel += 4) {
    struct four f;
    struct window w;
    prepare_four(p, channel, &f, taps);
    for (int32_t oy = 0; oy < p->out_h; ++oy) {
      const int8_t *line = cut_rows(p, input, oy, &w);
      if (w.y_first >= w.y_end) { w.y_first = w.y_end = 0; }
      fold_rows(p, &w, channel, &f, taps);
      row_of_four(p, &w, line, output + oy * p->out_w * channels + channel, channel, &f,
                  taps + 2 * w.y_first * p->kernel_w, w.y_first < w.y_end ? first : 0, w.y_first < w.y_end ? end : 0);
    }
  }
  return whole;
}

#elif defined(EDGE_USE_MVE)

/* Four channels at one pixel in the lanes of one vector. */
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
  int32_t sums[4];
  vstrwq_s32(sums, sum);
  edge_requantize_4(&p->out, sums, channel, output);
}

/* One image, multiplier 1; returns how many channels are done. */
static int32_t image_by_fours(const struct edge_depthwise *p, const int8_t *input, int8_t *output, void *unused) {
  const int32_t whole = p->in_channels / 4 * 4;
  (void)unused;
  for (int32_t oy = 0; oy < p->out_h; ++oy) {
    struct window w;
    const int8_t *line = cut_rows(p, input, oy, &w);
    for (int32_t ox = 0; ox < p->out_w; ++ox) {
      cut_columns(p, line, ox, &w);
      for (int32_t c = 0; c < whole; c += 4) { four_channels(p, &w, c, output + c); }
      output += p->in_channels;
    }
  }
  return whole;
}

#endif

EDGE_KERNEL void edge_k1_depthwise_s8(const struct edge_depthwise *p, const int8_t *input, int8_t *output,
                                      void *scratch) {
  const int32_t channels = p->in_channels * p->multiplier;
  (void)scratch;
  for (int32_t b = 0; b < p->batches; ++b) {
    int32_t done = 0;
#if defined(EDGE_USE_DSP) || defined(EDGE_USE_MVE)
    if (p->multiplier == 1) { done = image_by_fours(p, input, output, scratch); }
#endif
    for (int32_t oy = 0; oy < p->out_h && done < channels; ++oy) {
      struct window w;
      const int8_t *line = cut_rows(p, input, oy, &w);
      int8_t *pixel = output + oy * p->out_w * channels;
      for (int32_t ox = 0; ox < p->out_w; ++ox) {
        cut_columns(p, line, ox, &w);
        for (int32_t c = done; c < channels; ++c) { pixel[c] = one_channel(p, &w, c); }
        pixel += channels;
      }
    }
    input += p->in_h * p->in_w * p->in_channels;
    output += p->out_h * p->out_w * channels;
  }
}
