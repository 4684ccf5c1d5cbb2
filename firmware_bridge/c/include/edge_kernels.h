/* Parameters and prototypes of every kernel. All tensors are row-major; NHWC where four axes are named.
 *
 * Kernels never allocate, never fail, keep no state of their own and touch nothing but their arguments. `scratch`
 * is at least the number of bytes that the emitter planned, 8-byte aligned, and holds nothing between calls.
 */
#ifndef EDGE_KERNELS_H
#define EDGE_KERNELS_H

#include <stdint.h>

#include "edge_arithmetic.h"

enum { EDGE_MAX_AXES = 5 };

/* Scaling of 32-bit sums to codes: per channel if `channel_step` is 1, one entry for all if it is 0.
 * `fast` is 1 when every sum is below 2^30 in magnitude and every shift is negative, 2 when the clamp is also that of
 * int8 itself. */
struct edge_requant {
  const int32_t *bias;       /* [channels], zero points of the input folded in where the kernel says so */
  const int32_t *multiplier; /* Q0.31, not negative */
  const int8_t *shift;       /* -31..31, positive is to the left */
  int32_t channel_step;
  int32_t fast;
  int32_t output_zero_point;
  int32_t low;               /* clamp, inclusive */
  int32_t high;
};

struct edge_conv {
  const int8_t *weights;     /* [out_channels][weight_stride]: kernel rows, kernel columns, in channels, zero fill */
  struct edge_requant out;   /* bias has minus input_zero_point times the sum of the row's weights folded in */
  int32_t weight_stride;     /* kernel_h * kernel_w * in_channels rounded up to 4 */
  int32_t batches, in_h, in_w, in_channels;
  int32_t out_h, out_w, out_channels;
  int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
  int32_t input_zero_point;
};

struct edge_depthwise {
  const int8_t *weights;     /* [kernel_h][kernel_w][in_channels * multiplier] */
  struct edge_requant out;   /* bias as in the model */
  int32_t batches, in_h, in_w, in_channels;
  int32_t out_h, out_w, multiplier;
  int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
  int32_t input_zero_point;
};

struct edge_fully_connected {
  const int8_t *weights;     /* [units][weight_stride], zero fill */
  struct edge_requant out;   /* bias with the input zero point folded in */
  int32_t weight_stride;     /* depth rounded up to 4 */
  int32_t rows, depth, units;
};

/* Two operands walked over `count[0..axes-1]`; the steps are in elements and 0 along a broadcast axis; the last are 0
 * or 1. */
struct edge_binary {
  int32_t axes;
  int32_t count[EDGE_MAX_AXES], step_a[EDGE_MAX_AXES], step_b[EDGE_MAX_AXES];
  int32_t zero_point_a, multiplier_a, shift_a;
  int32_t zero_point_b, multiplier_b, shift_b;
  int32_t sign_b;            /* 1 adds, -1 subtracts */
  int32_t multiplier_out, shift_out, zero_point_out, low, high;
};

struct edge_pool {
  int32_t batches, in_h, in_w, channels, out_h, out_w;
  int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  int32_t low, high;
};

/* Sum over the reduced axes for every kept position, scaled; 1 / count is part of the multiplier. */
struct edge_mean {
  int32_t kept_axes, kept_count[EDGE_MAX_AXES], kept_step[EDGE_MAX_AXES];
  int32_t reduced_axes, reduced_count[EDGE_MAX_AXES], reduced_step[EDGE_MAX_AXES];
  int32_t input_offset;      /* minus the zero point times the number of summed elements */
  int32_t multiplier, shift, output_zero_point;
};

/* Runs of `run` bytes from source to destination; steps and offsets in bytes, source steps may be negative. */
struct edge_copy {
  int32_t axes;
  int32_t count[EDGE_MAX_AXES], source_step[EDGE_MAX_AXES], target_step[EDGE_MAX_AXES];
  int32_t source_offset, target_offset, run;
};

struct edge_resize_nearest {
  const uint16_t *row_of, *column_of; /* source index of every output row and column */
  int32_t batches, in_h, in_w, out_h, out_w, pixel_bytes;
};

struct edge_softmax {
  const int32_t *exponential; /* Q0.31 of exp(scale * -d) for d = 0..largest_difference */
  int32_t largest_difference;
  int32_t rows, depth;
};

struct edge_rescale {
  int32_t count, input_bytes, output_bytes;
  int32_t input_zero_point, multiplier, shift, output_zero_point;
};

struct edge_quantize {
  int32_t count, output_bytes;
  float scale;
  int32_t output_zero_point;
};

/* Gates in the order forget, input, cell, output. Units are taken in blocks of four, the last one filled with zeros;
 * a block's rows of one gate lie together. */
struct edge_lstm {
  const int8_t *input_weights;     /* [blocks][4 gates][4 units][input_stride], zero fill */
  const int8_t *recurrent_weights; /* [blocks][4 gates][4 units][recurrent_stride], zero fill */
  const int32_t *input_bias;       /* [blocks][4 gates][4 units], input zero point folded in */
  const int32_t *recurrent_bias;   /* [blocks][4 gates][4 units], hidden zero point folded in; [1] if it is 0 */
  int32_t recurrent_bias_step;     /* from block to block: 16, or 0 */
  int32_t input_multiplier[4], input_shift[4], recurrent_multiplier[4], recurrent_shift[4];
  int32_t fast;                    /* 1: every gate sum, shifted left by its shift, is below 2^30 in magnitude */
  const int16_t *sigmoid;          /* 256 samples of 65536 * sigmoid(i / 24) - 32768, the last one twice */
  int32_t batches, steps, depth, units;
  int32_t batch_step, time_step;   /* in sequence positions, of input and output alike */
  int32_t input_stride, recurrent_stride; /* depth and units rounded up to 4 */
  int32_t candidate_multiplier, candidate_shift; /* input * candidate -> cell; the shift is negative */
  int32_t output_multiplier, output_shift, output_zero_point; /* output * tanh(cell) -> hidden; also negative */
  int32_t cell_low, cell_high;     /* clip of the cell state, inclusive */
  int32_t tanh_multiplier, tanh_shift;           /* cell state to the table's scale; the shift, 0..3, is to the right */
};

struct edge_svdf {
  const int8_t *feature_weights;   /* [filters rounded up to 4][feature_stride], zero fill */
  const void *time_weights;        /* [filters][memory], int8 or int16 as the state */
  const int32_t *feature_bias;     /* [filters rounded up to 4], input zero point folded in */
  const int32_t *bias;             /* [units], state zero point folded in modulo 2^32 */
  int32_t batches, depth, feature_stride, filters, rank, memory, state_bytes;
  int32_t feature_fast, output_fast; /* 1: every sum, shifted left by its shift, is below 2^30 in magnitude */
  int32_t feature_multiplier, feature_shift, state_zero_point;
  int32_t output_multiplier, output_shift, output_zero_point;
};

/* A kernel's symbol carries the layout version and the path that it was compiled for: scratch differs between paths, so
 * models compiled for different ones never share a kernel in one image, and one model's files compiled differently do
 * not link. */
#if defined(EDGE_USE_MVE)
#define EDGE_SYMBOL(kernel) edge_k1_mve_##kernel
#elif defined(EDGE_USE_DSP)
#define EDGE_SYMBOL(kernel) edge_k1_dsp_##kernel
#else
#define EDGE_SYMBOL(kernel) edge_k1_c_##kernel
#endif

#define edge_k1_conv_s8 EDGE_SYMBOL(conv_s8)
#define edge_k1_depthwise_s8 EDGE_SYMBOL(depthwise_s8)
#define edge_k1_fully_connected_s8 EDGE_SYMBOL(fully_connected_s8)
#define edge_k1_add_s8 EDGE_SYMBOL(add_s8)
#define edge_k1_mul_s8 EDGE_SYMBOL(mul_s8)
#define edge_k1_average_pool_s8 EDGE_SYMBOL(average_pool_s8)
#define edge_k1_max_pool_s8 EDGE_SYMBOL(max_pool_s8)
#define edge_k1_mean_s8 EDGE_SYMBOL(mean_s8)
#define edge_k1_copy EDGE_SYMBOL(copy)
#define edge_k1_fill EDGE_SYMBOL(fill)
#define edge_k1_resize_nearest EDGE_SYMBOL(resize_nearest)
#define edge_k1_softmax_s8 EDGE_SYMBOL(softmax_s8)
#define edge_k1_softmax_s8_s16 EDGE_SYMBOL(softmax_s8_s16)
#define edge_k1_lookup_s8 EDGE_SYMBOL(lookup_s8)
#define edge_k1_lookup_f32 EDGE_SYMBOL(lookup_f32)
#define edge_k1_rescale EDGE_SYMBOL(rescale)
#define edge_k1_quantize_f32 EDGE_SYMBOL(quantize_f32)
#define edge_k1_lstm_s8 EDGE_SYMBOL(lstm_s8)
#define edge_k1_svdf_s8 EDGE_SYMBOL(svdf_s8)

void edge_k1_conv_s8(const struct edge_conv *p, const int8_t *input, int8_t *output, void *scratch);
void edge_k1_depthwise_s8(const struct edge_depthwise *p, const int8_t *input, int8_t *output, void *scratch);
void edge_k1_fully_connected_s8(const struct edge_fully_connected *p, const int8_t *input, int8_t *output);
void edge_k1_add_s8(const struct edge_binary *p, const int8_t *a, const int8_t *b, int8_t *output);
void edge_k1_mul_s8(const struct edge_binary *p, const int8_t *a, const int8_t *b, int8_t *output);
void edge_k1_average_pool_s8(const struct edge_pool *p, const int8_t *input, int8_t *output);
void edge_k1_max_pool_s8(const struct edge_pool *p, const int8_t *input, int8_t *output);
void edge_k1_mean_s8(const struct edge_mean *p, const int8_t *input, int8_t *output);
void edge_k1_copy(const struct edge_copy *p, const void *source, void *target);
void edge_k1_fill(void *target, int32_t value, int32_t bytes);
void edge_k1_resize_nearest(const struct edge_resize_nearest *p, const void *input, void *output);
void edge_k1_softmax_s8(const struct edge_softmax *p, const int8_t *input, int8_t *output);
void edge_k1_softmax_s8_s16(const struct edge_softmax *p, const int8_t *input, int16_t *output);
void edge_k1_lookup_s8(const int8_t *table, const void *input, void *output, int32_t count);
void edge_k1_lookup_f32(const float *table, const int8_t *input, float *output, int32_t count);
void edge_k1_rescale(const struct edge_rescale *p, const void *input, void *output);
void edge_k1_quantize_f32(const struct edge_quantize *p, const float *input, void *output);
void edge_k1_lstm_s8(const struct edge_lstm *p, const int8_t *input, int8_t *output, int8_t *hidden, int16_t *cell,
                     void *scratch);
void edge_k1_svdf_s8(const struct edge_svdf *p, const int8_t *input, int8_t *output, void *state);

#endif
