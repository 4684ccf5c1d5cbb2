/* Dot products of int8 weight rows with one int8 vector; the sums are exact in 32 bits.
 *
 * Weight rows are `stride` bytes apart, a multiple of 4, zero filled; of the vector exactly `depth` bytes are read.
 * With SMLAD and with Helium four rows are worked on together, so that the vector is loaded once for the four. The
 * vector may lie at any address: with SMLAD its words are loaded with plain LDR, see edge_arithmetic.h.
 */
#ifndef EDGE_DOT_H
#define EDGE_DOT_H

#include "edge_arithmetic.h"

#if defined(EDGE_USE_MVE)
#include <arm_mve.h>
#endif

#if defined(EDGE_USE_DSP)

/* The last 1 to 3 bytes of a vector as a word. */
EDGE_INLINE uint32_t edge_load_tail(const int8_t *bytes, int32_t count) {
  uint32_t word = (uint8_t)bytes[0];
  if (count > 1) { word |= (uint32_t)(uint8_t)bytes[1] << 8; }
  if (count > 2) { word |= (uint32_t)(uint8_t)bytes[2] << 16; }
  return word;
}

/* Four products of one word of weights and one of the vector. */
EDGE_INLINE int32_t edge_dot_word(uint32_t weights, uint32_t vector, int32_t sum) {
  sum = edge_dual_multiply_add(edge_even_bytes(weights), edge_even_bytes(vector), sum);
  return edge_dual_multiply_add(edge_odd_bytes(weights), edge_odd_bytes(vector), sum);
}

EDGE_INLINE int32_t edge_dot(const int8_t *weights, const int8_t *vector, int32_t depth, int32_t sum) {
  for (; depth >= 4; depth -= 4) {
    sum = edge_dot_word(edge_load_u32(weights), edge_load_u32(vector), sum);
    weights += 4;
    vector += 4;
  }
  return depth > 0 ? edge_dot_word(edge_load_u32(weights), edge_load_tail(vector, depth), sum) : sum;
}

/* 16 products in 26 instructions; `depth` is a multiple of 4. Returns the row behind the four. */
EDGE_INLINE const int8_t *edge_dot_4_whole(const int8_t *weights, int32_t stride, const int8_t *vector, int32_t depth,
                                           int32_t sums[4]) {
  int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
  const int8_t *end = vector + depth;
  const int8_t *pair = weights + 2 * stride; /* moves on with the depth */
  if (vector != end) {
    uint32_t even, odd, word, half;
    __asm volatile(
        "1:\n\t"
        "ldr %[even], [%[x]], #4\n\t"
        "sxtb16 %[odd], %[even], ror #8\n\t"
        "sxtb16 %[even], %[even]\n\t"
        "ldr %[word], [%[w], %[stride]]\n\t"
        "sxtb16 %[half], %[word]\n\t"
        "smlad %[s1], %[half], %[even], %[s1]\n\t"
        "sxtb16 %[word], %[word], ror #8\n\t"
        "smlad %[s1], %[word], %[odd], %[s1]\n\t"
        "ldr %[word], [%[w]], #4\n\t"
        "sxtb16 %[half], %[word]\n\t"
        "smlad %[s0], %[half], %[even], %[s0]\n\t"
        "sxtb16 %[word], %[word], ror #8\n\t"
        "smlad %[s0], %[word], %[odd], %[s0]\n\t"
        "ldr %[word], [%[v], %[stride]]\n\t"
        "sxtb16 %[half], %[word]\n\t"
        "smlad %[s3], %[half], %[even], %[s3]\n\t"
        "sxtb16 %[word], %[word], ror #8\n\t"
        "smlad %[s3], %[word], %[odd], %[s3]\n\t"
        "ldr %[word], [%[v]], #4\n\t"
        "sxtb16 %[half], %[word]\n\t"
        "smlad %[s2], %[half], %[even], %[s2]\n\t"
        "sxtb16 %[word], %[word], ror #8\n\t"
        "smlad %[s2], %[word], %[odd], %[s2]\n\t"
        "cmp %[x], %[end]\n\t"
        "bne 1b"
        : [w] "+r"(weights), [v] "+r"(pair), [x] "+r"(vector), [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2),
          [s3] "+r"(s3), [even] "=&r"(even), [odd] "=&r"(odd), [word] "=&r"(word), [half] "=&r"(half)
        : [stride] "r"(stride), [end] "r"(end)
        : "cc", "memory");
  }
  sums[0] = s0;
  sums[1] = s1;
  sums[2] = s2;
  sums[3] = s3;
  return pair + (2 * stride - depth);
}

EDGE_INLINE void edge_dot_4(const int8_t *weights, int32_t stride, const int8_t *vector, int32_t depth,
                            int32_t sums[4]) {
  const int32_t whole = depth & ~3;
  if (whole < depth) {
    const uint32_t last = edge_load_tail(vector + whole, depth - whole);
    const int8_t *row = weights + whole;
    for (int32_t i = 0; i < 4; ++i) {
      sums[i] = edge_dot_word(edge_load_u32(row), last, sums[i]);
      row += stride;
    }
  }
  (void)edge_dot_4_whole(weights, stride, vector, whole, sums);
}

#else

EDGE_INLINE int32_t edge_dot(const int8_t *weights, const int8_t *vector, int32_t depth, int32_t sum) {
#if defined(EDGE_USE_MVE)
  for (int32_t left = depth; left > 0; left -= 16) {
    const mve_pred16_t lanes = vctp8q((uint32_t)left);
    sum = vmladavaq_s8(sum, vldrbq_z_s8(weights, lanes), vldrbq_z_s8(vector, lanes));
    weights += 16;
    vector += 16;
  }
#else
  for (int32_t k = 0; k < depth; ++k) { sum += (int32_t)weights[k] * (int32_t)vector[k]; }
#endif
  return sum;
}

EDGE_INLINE void edge_dot_4(const int8_t *weights, int32_t stride, const int8_t *vector, int32_t depth,
                            int32_t sums[4]) {
#if defined(EDGE_USE_MVE)
  int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
  const int8_t *pair = weights + 2 * stride;
  for (int32_t left = depth; left > 0; left -= 16) {
    const mve_pred16_t lanes = vctp8q((uint32_t)left);
    const int8x16_t x = vldrbq_z_s8(vector, lanes);
    s0 = vmladavaq_s8(s0, vldrbq_z_s8(weights, lanes), x);
    s1 = vmladavaq_s8(s1, vldrbq_z_s8(weights + stride, lanes), x);
    s2 = vmladavaq_s8(s2, vldrbq_z_s8(pair, lanes), x);
    s3 = vmladavaq_s8(s3, vldrbq_z_s8(pair + stride, lanes), x);
    vector += 16;
    weights += 16;
    pair += 16;
  }
  sums[0] = s0;
  sums[1] = s1;
  sums[2] = s2;
  sums[3] = s3;
#else
  for (int32_t row = 0; row < 4; ++row) { sums[row] = edge_dot(weights + row * stride, vector, depth, sums[row]); }
#endif
}

/* The same, returning the row behind the four; only SMLAD gains from a depth that is a multiple of 4. */
EDGE_INLINE const int8_t *edge_dot_4_whole(const int8_t *weights, int32_t stride, const int8_t *vector, int32_t depth,
                                           int32_t sums[4]) {
  edge_dot_4(weights, stride, vector, depth, sums);
  return weights + 4 * stride;
}

#endif

#endif
