/* FULLY_CONNECTED, int8: input [rows][depth], output [rows][units].
 *
 * The input zero point is folded into the bias. Source of the arithmetic: tflite-micro's integer fully connected
 * kernel, per tensor or per channel.
 */
#include "edge_dot.h"
#include "edge_requant.h"

EDGE_KERNEL void edge_k1_fully_connected_s8(const struct edge_fully_connected *p, const int8_t *input, int8_t *output) {
  for (int32_t row = 0; row < p->rows; ++row) {
    const int8_t *weights = p->weights;
    int32_t unit = 0;
    for (; unit + 4 <= p->units; unit += 4) {
      const int32_t *bias = p->out.bias + unit;
      int32_t sums[4];
      for (int32_t i = 0; i < 4; ++i) { sums[i] = bias[i]; }
      edge_dot_4(weights, p->weight_stride, input, p->depth, sums);
      edge_requantize_4(&p->out, sums, unit, output + unit);
      weights += 4 * p->weight_stride;
    }
    for (; unit < p->units; ++unit) {
      const int32_t sum = edge_dot(weights, input, p->depth, p->out.bias[unit]);
      output[unit] = edge_requantize_channel(&p->out, sum, unit);
      weights += p->weight_stride;
    }
    input += p->depth;
    output += p->units;
  }
}
