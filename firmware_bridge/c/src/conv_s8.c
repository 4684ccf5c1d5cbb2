/* CONV_2D, int8: input [batches][in_h][in_w][in_channels], output [batches][out_h][out_w][out_channels].
 *
 * Each output pixel's receptive field is gathered into a column; taps outside the image hold the input zero point,
 * so that the folded bias is right everywhere. Sums are exact in 32 bits: the emitter refuses models whose sums
 * could overflow. Source of the arithmetic: tflite-micro's per-channel convolution.
 */
#include "edge_dot.h"
#include "edge_requant.h"

/* Where the receptive fields are read, pixel after pixel. */
struct cursor {
  const int8_t *image;
  int32_t row, column; /* of the output */
};

static void move_on(const struct edge_conv *p, struct cursor *at) {
  if (++at->column < p->out_w) { return; }
  at->column = 0;
  if (++at->row < p->out_h) { return; }
  at->row = 0;
  at->image += p->in_h * p->in_w * p->in_channels;
}

/* 1 if every field is one pixel that lies in the image: then no column has to be built. */
static int one_run(const struct edge_conv *p) {
  return p->kernel_h == 1 && p->kernel_w == 1 && p->pad_top == 0 && p->pad_left == 0 &&
         (p->out_h - 1) * p->stride_h < p->in_h && (p->out_w - 1) * p->stride_w < p->in_w;
}

/* The field at the cursor as bytes, rows then columns then channels. */
static void gather_bytes(const struct edge_conv *p, const struct cursor *at, int8_t *column) {
  const int32_t top = at->row * p->stride_h - p->pad_top, left = at->column * p->stride_w - p->pad_left;
  const int32_t channels = p->in_channels;
  const int inside = left >= 0 && left + p->kernel_w <= p->in_w && p->dilation_w == 1;
  for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
    const int32_t y = top + ky * p->dilation_h;
    const int32_t line = y * p->in_w; /* a number: no pointer is formed before it is known to lie in the image */
    if (inside && y >= 0 && y < p->in_h) {
      const int8_t *from = at->image + (line + left) * channels;
      for (int32_t left_over = p->kernel_w * channels; left_over > 0; --left_over) { *column++ = *from++; }
      continue;
    }
    for (int32_t kx = 0; kx < p->kernel_w; ++kx) {
      const int32_t x = left + kx * p->dilation_w;
      if (y >= 0 && y < p->in_h && x >= 0 && x < p->in_w) {
        memcpy(column, at->image + (line + x) * channels, (size_t)channels);
      } else {
        memset(column, p->input_zero_point, (size_t)channels);
      }
      column += channels;
    }
  }
}

#if defined(EDGE_USE_DSP)

enum { COLUMNS = 4 };

/* `count` padding bytes in the columns' form. */
static uint32_t *pad_column(uint32_t *pairs, int32_t count, uint32_t padding) {
  for (int32_t k = 0; k < count; k += 4) {
    pairs[0] = padding;
    pairs[1] = padding;
    pairs += 2 * COLUMNS;
  }
  return pairs;
}

/* Four columns side by side: for every group of 4 taps, two words (taps 0 2, taps 1 3) per column. */
EDGE_APART void gather_column(const struct edge_conv *p, const struct cursor *at, uint32_t *pairs, int8_t *bytes) {
  const int32_t channels = p->in_channels;
  if (channels % 4 != 0 || p->dilation_w != 1) {
    gather_bytes(p, at, bytes);
    edge_widen(bytes, pairs, p->weight_stride, 2 * COLUMNS);
    return;
  }
  const int32_t top = at->row * p->stride_h - p->pad_top, left = at->column * p->stride_w - p->pad_left;
  const uint32_t padding = (uint32_t)(uint16_t)p->input_zero_point * 0x10001u;
  const int32_t before = left < 0 ? -left : 0;
  const int32_t overhang = left + p->kernel_w - p->in_w;
  const int32_t after = overhang > 0 ? overhang : 0;
  const int32_t inside = p->kernel_w - before - after;
  for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
    const int32_t y = top + ky * p->dilation_h;
    if (y < 0 || y >= p->in_h || inside <= 0) {
      pairs = pad_column(pairs, p->kernel_w * channels, padding);
      continue;
    }
    const int32_t run = inside * channels;
    pairs = pad_column(pairs, before * channels, padding);
    edge_widen(at->image + (y * p->in_w + left + before) * channels, pairs, run, 2 * COLUMNS);
    pairs = pad_column(pairs + run / 4 * (2 * COLUMNS), after * channels, padding);
  }
}

/* One weight row against the four columns: 16 products in 15 instructions. `groups` is at least 1. The columns are
 * scratch, aligned to 8, as LDM needs them to be to 4; weight rows are a multiple of 4 long. */
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

/* All channels of four pixels, the scaling known to be short. */
EDGE_APART void whole_quad(const struct edge_conv *p, const uint32_t *pairs, int8_t *target) {
  const int8_t *weights = p->weights, *shift = p->out.shift;
  const int32_t *multiplier = p->out.multiplier, *bias = p->out.bias;
  const int32_t addend = 1 + 2 * p->out.output_zero_point, step = p->out_channels;
  const int32_t groups = p->weight_stride / 4;
  for (int32_t c = p->out_channels; c > 0; --c) {
    int32_t sums[COLUMNS];
    sums[0] = sums[1] = sums[2] = sums[3] = *bias++;
    dot_4(weights, pairs, groups, sums);
    const int32_t m = *multiplier, s = *shift;
    target[0] = (int8_t)edge_saturate_8(edge_multiply_fast(sums[0], m, s, addend));
    target[step] = (int8_t)edge_saturate_8(edge_multiply_fast(sums[1], m, s, addend));
    target[2 * step] = (int8_t)edge_saturate_8(edge_multiply_fast(sums[2], m, s, addend));
    target[3 * step] = (int8_t)edge_saturate_8(edge_multiply_fast(sums[3], m, s, addend));
    ++target;
    weights += 4 * groups;
    multiplier += p->out.channel_step;
    shift += p->out.channel_step;
  }
}

/* All channels of up to four pixels, any scaling. */
EDGE_APART void part_of_quad(const struct edge_conv *p, const uint32_t *pairs, int8_t *target, int32_t count) {
  const int8_t *weights = p->weights;
  for (int32_t c = 0; c < p->out_channels; ++c) {
    int32_t sums[COLUMNS];
    sums[0] = sums[1] = sums[2] = sums[3] = p->out.bias[c];
    dot_4(weights, pairs, p->weight_stride / 4, sums);
    for (int32_t j = 0; j < count; ++j) {
      target[j * p->out_channels + c] = edge_requantize_channel(&p->out, sums[j], c);
    }
    weights += p->weight_stride;
  }
}

EDGE_KERNEL void edge_k1_conv_s8(const struct edge_conv *p, const int8_t *input, int8_t *output, void *scratch) {
  uint32_t *pairs = (uint32_t *)scratch;
  int8_t *bytes = (int8_t *)(pairs + p->weight_stride / 2 * COLUMNS);
  const int32_t pixels = p->batches * p->out_h * p->out_w;
  const int dense = one_run(p) && p->stride_h == 1 && p->stride_w == 1 && p->in_channels % 4 == 0;
  struct cursor at = {input, 0, 0};
  if (p->in_channels % 4 != 0) {
    for (int32_t k = p->weight_stride - 4; k < p->weight_stride; ++k) { bytes[k] = 0; }
  }
  for (int32_t first = 0; first < pixels; first += COLUMNS) {
    const int32_t count = pixels - first < COLUMNS ? pixels - first : COLUMNS;
    for (int32_t j = 0; j < count; ++j) {
      if (dense) {
        edge_widen(input, pairs + 2 * j, p->in_channels, 2 * COLUMNS);
        input += p->in_channels;
      } else {
        gather_column(p, &at, pairs + 2 * j, bytes);
        move_on(p, &at);
      }
    }
    int8_t *target = output + first * p->out_channels;
    if (p->out.fast == 2 && count == COLUMNS) {
      whole_quad(p, pairs, target);
    } else {
      part_of_quad(p, pairs, target, count);
    }
  }
}

#else

EDGE_KERNEL void edge_k1_conv_s8(const struct edge_conv *p, const int8_t *input, int8_t *output, void *scratch) {
  const int32_t depth = p->kernel_h * p->kernel_w * p->in_channels;
  const int32_t pixels = p->batches * p->out_h * p->out_w;
  const int direct = one_run(p);
  struct cursor at = {input, 0, 0};
  for (int32_t index = 0; index < pixels; ++index) {
    const int8_t *column = (const int8_t *)scratch;
    if (direct) {
      column = at.image + (at.row * p->stride_h * p->in_w + at.column * p->stride_w) * p->in_channels;
    } else {
      gather_bytes(p, &at, (int8_t *)scratch);
    }
    move_on(p, &at);
    const int8_t *weights = p->weights;
    int32_t c = 0;
    for (; c + 4 <= p->out_channels; c += 4) {
      int32_t sums[4];
      for (int32_t i = 0; i < 4; ++i) { sums[i] = p->out.bias[c + i]; }
      edge_dot_4(weights, p->weight_stride, column, depth, sums);
      edge_requantize_4(&p->out, sums, c, output);
      output += 4;
      weights += 4 * p->weight_stride;
    }
    for (; c < p->out_channels; ++c) {
      *output++ = edge_requantize_channel(&p->out, edge_dot(weights, column, depth, p->out.bias[c]), c);
      weights += p->weight_stride;
    }
  }
}

#endif
