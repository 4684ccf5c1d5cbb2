/* CONV_2D, int8: input [batches][in_h][in_w][in_channels], output [batches][out_h][out_w][out_channels].
 *
 * Each output pixel's receptive field is gathered into a column; taps outside the image hold the input zero point,
 * so that the folded bias is right everywhere. Sums are exact in 32 bits: the emitter refuses models whose sums
 * could overflow. Source of the arithmetic: tflite-micro's per-channel convolution.
 */
#include "edge_dot.h"
#include "edge_kernels.h"

/* Top left corner of the receptive field of output pixel `index` (batch, row, column in one number). */
static void field_origin(const struct edge_conv *p, int32_t index, int32_t *batch, int32_t *top, int32_t *left) {
  const int32_t pixels = p->out_h * p->out_w;
  const int32_t within = index % pixels;
  *batch = index / pixels;
  *top = (within / p->out_w) * p->stride_h - p->pad_top;
  *left = (within % p->out_w) * p->stride_w - p->pad_left;
}

static int32_t requantize(const struct edge_requant *out, int32_t sum, int32_t multiplier, int32_t shift) {
  const int32_t scaled =
      out->fast ? edge_multiply_fast(sum, multiplier, -shift) : edge_multiply(sum, multiplier, shift);
  return edge_clamp(scaled + out->output_zero_point, out->low, out->high);
}

/* The field of output pixel `index` as bytes, rows then columns then channels. */
static void gather_bytes(const struct edge_conv *p, const int8_t *input, int32_t index, int8_t *column) {
  int32_t batch, top, left;
  field_origin(p, index, &batch, &top, &left);
  const int8_t *image = input + batch * p->in_h * p->in_w * p->in_channels;
  for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
    const int32_t y = top + ky * p->dilation_h;
    for (int32_t kx = 0; kx < p->kernel_w; ++kx) {
      const int32_t x = left + kx * p->dilation_w;
      if (y >= 0 && y < p->in_h && x >= 0 && x < p->in_w) {
        const int8_t *pixel = image + (y * p->in_w + x) * p->in_channels;
        for (int32_t c = 0; c < p->in_channels; ++c) { column[c] = pixel[c]; }
      } else {
        for (int32_t c = 0; c < p->in_channels; ++c) { column[c] = (int8_t)p->input_zero_point; }
      }
      column += p->in_channels;
    }
  }
}

#if defined(EDGE_USE_DSP)

enum { COLUMNS = 4 };

/* Four columns side by side: for every group of 4 taps, two words (taps 0 2, taps 1 3) per column. */
static void gather_column(const struct edge_conv *p, const int8_t *input, int32_t index, uint32_t *pairs,
                          int8_t *bytes) {
  const int32_t depth = p->kernel_h * p->kernel_w * p->in_channels;
  if (p->in_channels % 4 != 0 || p->dilation_w != 1) {
    gather_bytes(p, input, index, bytes);
    for (int32_t k = depth; k < p->weight_stride; ++k) { bytes[k] = 0; }
    edge_widen(bytes, pairs, p->weight_stride, 2 * COLUMNS);
    return;
  }
  int32_t batch, top, left;
  field_origin(p, index, &batch, &top, &left);
  const int8_t *image = input + batch * p->in_h * p->in_w * p->in_channels;
  const uint32_t padding = (uint32_t)(uint16_t)p->input_zero_point * 0x10001u;
  const int32_t before = left < 0 ? -left : 0;
  const int32_t overhang = left + p->kernel_w - p->in_w;
  const int32_t after = overhang > 0 ? overhang : 0;
  for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
    const int32_t y = top + ky * p->dilation_h;
    int32_t outside_left = before, inside = p->kernel_w - before - after, outside_right = after;
    if (y < 0 || y >= p->in_h || inside <= 0) {
      outside_left = p->kernel_w;
      inside = 0;
      outside_right = 0;
    }
    for (int32_t k = 0; k < outside_left * p->in_channels; k += 4) {
      pairs[0] = padding;
      pairs[1] = padding;
      pairs += 2 * COLUMNS;
    }
    if (inside > 0) {
      const int32_t run = inside * p->in_channels;
      edge_widen(image + (y * p->in_w + left + outside_left) * p->in_channels, pairs, run, 2 * COLUMNS);
      pairs += run / 4 * (2 * COLUMNS);
    }
    for (int32_t k = 0; k < outside_right * p->in_channels; k += 4) {
      pairs[0] = padding;
      pairs[1] = padding;
      pairs += 2 * COLUMNS;
    }
  }
}

/* One weight row against the four columns: 16 products in 15 instructions. `groups` is at least 1. */
EDGE_INLINE void dot_4(const int8_t *weights, const uint32_t *pairs, int32_t groups, int32_t sums[COLUMNS]) {
  int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
  if (groups & 1) {
    uint32_t even = edge_load_u32(weights);
    const uint32_t odd = edge_odd_bytes(even);
    even = edge_even_bytes(even);
    s0 = edge_dual_multiply_add(odd, pairs[1], edge_dual_multiply_add(even, pairs[0], s0));
    s1 = edge_dual_multiply_add(odd, pairs[3], edge_dual_multiply_add(even, pairs[2], s1));
    s2 = edge_dual_multiply_add(odd, pairs[5], edge_dual_multiply_add(even, pairs[4], s2));
    s3 = edge_dual_multiply_add(odd, pairs[7], edge_dual_multiply_add(even, pairs[6], s3));
    weights += 4;
    pairs += 2 * COLUMNS;
  }
  const int8_t *end = weights + groups / 2 * 8;
  if (weights != end) {
    uint32_t even, odd;
    __asm volatile(
        "1:\n\t"
        "ldr %[even], [%[w]], #4\n\t"
        "ldmia %[x]!, {r4, r5, r6, r8}\n\t"
        "sxtb16 %[odd], %[even], ror #8\n\t"
        "sxtb16 %[even], %[even]\n\t"
        "smlad %[s0], %[even], r4, %[s0]\n\t"
        "smlad %[s1], %[even], r6, %[s1]\n\t"
        "smlad %[s0], %[odd], r5, %[s0]\n\t"
        "smlad %[s1], %[odd], r8, %[s1]\n\t"
        "ldmia %[x]!, {r4, r5, r6, r8}\n\t"
        "smlad %[s2], %[even], r4, %[s2]\n\t"
        "smlad %[s3], %[even], r6, %[s3]\n\t"
        "smlad %[s2], %[odd], r5, %[s2]\n\t"
        "smlad %[s3], %[odd], r8, %[s3]\n\t"
        "ldr %[even], [%[w]], #4\n\t"
        "ldmia %[x]!, {r4, r5, r6, r8}\n\t"
        "sxtb16 %[odd], %[even], ror #8\n\t"
        "sxtb16 %[even], %[even]\n\t"
        "smlad %[s0], %[even], r4, %[s0]\n\t"
        "smlad %[s1], %[even], r6, %[s1]\n\t"
        "smlad %[s0], %[odd], r5, %[s0]\n\t"
        "smlad %[s1], %[odd], r8, %[s1]\n\t"
        "ldmia %[x]!, {r4, r5, r6, r8}\n\t"
        "smlad %[s2], %[even], r4, %[s2]\n\t"
        "smlad %[s3], %[even], r6, %[s3]\n\t"
        "smlad %[s2], %[odd], r5, %[s2]\n\t"
        "smlad %[s3], %[odd], r8, %[s3]\n\t"
        "cmp %[w], %[end]\n\t"
        "bne 1b"
        : [w] "+r"(weights), [x] "+r"(pairs), [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3),
          [even] "=&r"(even), [odd] "=&r"(odd)
        : [end] "r"(end)
        : "r4", "r5", "r6", "r8", "cc", "memory");
  }
  sums[0] = s0;
  sums[1] = s1;
  sums[2] = s2;
  sums[3] = s3;
}

/* Codes of one channel for up to four pixels that lie `step` bytes apart. */
EDGE_INLINE void store_4(const struct edge_requant *out, const int32_t sums[COLUMNS], int32_t multiplier,
                         int32_t shift, int8_t *target, int32_t step, int32_t count) {
  if (out->fast && count == COLUMNS) {
    const int32_t zero_point = out->output_zero_point, low = out->low, high = out->high;
    const int32_t c0 = edge_clamp(edge_multiply_fast(sums[0], multiplier, -shift) + zero_point, low, high);
    const int32_t c1 = edge_clamp(edge_multiply_fast(sums[1], multiplier, -shift) + zero_point, low, high);
    const int32_t c2 = edge_clamp(edge_multiply_fast(sums[2], multiplier, -shift) + zero_point, low, high);
    const int32_t c3 = edge_clamp(edge_multiply_fast(sums[3], multiplier, -shift) + zero_point, low, high);
    target[0] = (int8_t)c0;
    target[step] = (int8_t)c1;
    target[2 * step] = (int8_t)c2;
    target[3 * step] = (int8_t)c3;
    return;
  }
  for (int32_t j = 0; j < count; ++j) {
    target[j * step] = (int8_t)requantize(out, sums[j], multiplier, shift);
  }
}

EDGE_KERNEL void edge_k1_conv_s8(const struct edge_conv *p, const int8_t *input, int8_t *output, void *scratch) {
  uint32_t *pairs = (uint32_t *)scratch;
  int8_t *bytes = (int8_t *)(pairs + p->weight_stride / 2 * COLUMNS);
  const int32_t groups = p->weight_stride / 4;
  const int32_t pixels = p->batches * p->out_h * p->out_w;
  for (int32_t first = 0; first < pixels; first += COLUMNS) {
    const int32_t count = pixels - first < COLUMNS ? pixels - first : COLUMNS;
    for (int32_t j = 0; j < count; ++j) { gather_column(p, input, first + j, pairs + 2 * j, bytes); }
    const int8_t *weights = p->weights;
    const int32_t *multiplier = p->out.multiplier;
    const int8_t *shift = p->out.shift;
    int8_t *target = output + first * p->out_channels;
    for (int32_t c = 0; c < p->out_channels; ++c) {
      int32_t sums[COLUMNS];
      sums[0] = sums[1] = sums[2] = sums[3] = p->out.bias[c];
      dot_4(weights, pairs, groups, sums);
      store_4(&p->out, sums, *multiplier, *shift, target + c, p->out_channels, count);
      weights += p->weight_stride;
      multiplier += p->out.channel_step;
      shift += p->out.channel_step;
    }
  }
}

#else

/* 1 if the whole field lies in the image and is one run of memory: then no column has to be built. */
static int field_is_one_run(const struct edge_conv *p) {
  return p->kernel_h == 1 && p->kernel_w == 1 && p->pad_top == 0 && p->pad_left == 0 &&
         (p->out_h - 1) * p->stride_h < p->in_h && (p->out_w - 1) * p->stride_w < p->in_w;
}

/* The same with the entry of one channel looked up. */
static int32_t requantize_channel(const struct edge_requant *out, int32_t sum, int32_t channel) {
  const int32_t entry = channel * out->channel_step;
  return requantize(out, sum, out->multiplier[entry], out->shift[entry]);
}

EDGE_KERNEL void edge_k1_conv_s8(const struct edge_conv *p, const int8_t *input, int8_t *output, void *scratch) {
  const int32_t depth = p->kernel_h * p->kernel_w * p->in_channels;
  const int32_t pixels = p->batches * p->out_h * p->out_w;
  const int direct = field_is_one_run(p);
  for (int32_t index = 0; index < pixels; ++index) {
    const int8_t *column = (const int8_t *)scratch;
    if (direct) {
      int32_t batch, top, left;
      field_origin(p, index, &batch, &top, &left);
      column = input + ((batch * p->in_h + top) * p->in_w + left) * p->in_channels;
    } else {
      gather_bytes(p, input, index, (int8_t *)scratch);
    }
    const int8_t *weights = p->weights;
    int32_t c = 0;
    for (; c + 4 <= p->out_channels; c += 4) {
      int32_t sums[4];
      for (int32_t i = 0; i < 4; ++i) { sums[i] = p->out.bias[c + i]; }
      edge_dot_4(weights, p->weight_stride, column, depth, sums);
      for (int32_t i = 0; i < 4; ++i) { *output++ = (int8_t)requantize_channel(&p->out, sums[i], c + i); }
      weights += 4 * p->weight_stride;
    }
    for (; c < p->out_channels; ++c) {
      *output++ = (int8_t)requantize_channel(&p->out, edge_dot(weights, column, depth, p->out.bias[c]), c);
      weights += p->weight_stride;
    }
  }
}

#endif
