/* Fixed-point arithmetic of the "tflm" contract, shared by all kernels.
 *
 * Source of the arithmetic: the quantized reference kernels of tflite-micro, built with double rounding. The
 * conformance tests hold every function here to it. Right shifts of negative integers are arithmetic on every
 * compiler this code supports; c/tests/arithmetic.c refuses to run where they are not.
 */
#ifndef EDGE_ARITHMETIC_H
#define EDGE_ARITHMETIC_H

#include <stddef.h>
#include <stdint.h>

/* Of the C library only these three are used; a freestanding compiler may ask for them too. */
#if defined(__STDC_HOSTED__) && __STDC_HOSTED__
#include <string.h>
#else
void *memcpy(void *to, const void *from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
#endif

/* Kernels are weak so that two models in one image share them; their symbols, see edge_kernels.h, carry the layout
 * version and the path. */
#if defined(__GNUC__) || defined(__clang__)
#define EDGE_KERNEL __attribute__((weak))
#define EDGE_ALIGN4 __attribute__((aligned(4)))
#define EDGE_INLINE static inline __attribute__((always_inline))
#define EDGE_APART static __attribute__((noinline)) /* keeps registers free for the loop inside */
#else
#define EDGE_KERNEL
#define EDGE_ALIGN4
#define EDGE_INLINE static inline
#define EDGE_APART static
#endif

/* In front of a loop of four rounds: keeps arrays of four in registers. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 8
#define EDGE_UNROLL_4 _Pragma("GCC unroll 4")
#else
#define EDGE_UNROLL_4
#endif

/* One path is chosen at compile time; define EDGE_PORTABLE to get plain C99 everywhere.
 *
 * The SMLAD path loads four int8 codes at any address as one word, which Armv7E-M and Armv8-M Mainline allow for LDR
 * and STR in normal memory, as long as CCR.UNALIGN_TRP is 0, its value after reset. LDRD, LDM and STM always need words
 * at multiples of 4: they are used on scratch, parameters and 32-bit tables alone, which lie there. A compiler told not
 * to access unaligned words (-mno-unaligned-access) takes the portable path, as cores without SMLAD do. The portable
 * path has no access wider than its element, and Helium's vectors are aligned to their elements. */
#if !defined(EDGE_PORTABLE) && defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
#define EDGE_USE_MVE 1
#elif !defined(EDGE_PORTABLE) && defined(__ARM_FEATURE_DSP) && (__ARM_FEATURE_DSP == 1) && \
    defined(__ARM_FEATURE_UNALIGNED) && defined(__GNUC__)
#define EDGE_USE_DSP 1
#endif

/* Packed access: four bytes at any address as one little-endian word; a compiler that knows of no unaligned access
 * takes byte after byte. */
EDGE_INLINE uint32_t edge_load_u32(const void *address) {
  uint32_t word;
  memcpy(&word, address, sizeof(word));
  return word;
}

EDGE_INLINE void edge_store_u32(void *address, uint32_t word) { memcpy(address, &word, sizeof(word)); }

EDGE_INLINE int32_t edge_clamp(int32_t value, int32_t low, int32_t high) {
  if (value < low) { return low; }
  return value > high ? high : value;
}

/* round(a * b / 2^31), halves towards plus infinity; never saturates because multipliers are not negative. */
EDGE_INLINE int32_t edge_doubling_high(int32_t a, int32_t b) {
  const int64_t product = (int64_t)a * (int64_t)b;
  return (int32_t)((product + ((int64_t)1 << 30)) >> 31);
}

/* round(value / 2^exponent), halves away from zero; exponent 0..31. */
EDGE_INLINE int32_t edge_divide_by_power(int32_t value, int32_t exponent) {
  const int32_t mask = (int32_t)(((uint32_t)1 << (uint32_t)exponent) - 1u);
  const int32_t threshold = (mask >> 1) + (value < 0 ? 1 : 0);
  return (value >> exponent) + ((value & mask) > threshold ? 1 : 0);
}

/* value * multiplier / 2^31 * 2^shift with both roundings; shift -31..31, positive shifts left and wraps. */
EDGE_INLINE int32_t edge_multiply(int32_t value, int32_t multiplier, int32_t shift) {
  const int32_t left = shift > 0 ? shift : 0;
  const int32_t right = shift > 0 ? 0 : -shift;
  const int32_t shifted = (int32_t)((uint32_t)value << (uint32_t)left);
  return edge_divide_by_power(edge_doubling_high(shifted, multiplier), right);
}

/* edge_doubling_high(value * 2^left, multiplier) when |value * 2^left| < 2^30; left is 0..31, for a value of 0 all of
 * them: products are taken without a sign, where 2^31 is a number and 2^32 is 0. */
EDGE_INLINE int32_t edge_doubling_high_small(int32_t value, int32_t left, int32_t multiplier) {
#if defined(EDGE_USE_DSP)
  int32_t high;
  __asm("smmulr %0, %1, %2" : "=r"(high) : "r"((uint32_t)value * ((uint32_t)2 << left)), "r"(multiplier));
  return high;
#else
  return edge_doubling_high((int32_t)((uint32_t)value * ((uint32_t)1 << left)), multiplier);
#endif
}

/* edge_doubling_high() for a multiplier of at least 2^30, which all but 0 are: value times twice the multiplier less
 * 2^32, which fits 32 bits with a sign, plus 2^32 times value. */
EDGE_INLINE int32_t edge_doubling_high_normal(int32_t value, int32_t multiplier) {
#if defined(EDGE_USE_DSP)
  int32_t high;
  __asm("smmlar %0, %1, %2, %1" : "=r"(high) : "r"(value), "r"((int32_t)((uint32_t)multiplier << 1)));
  return high;
#else
  return edge_doubling_high(value, multiplier);
#endif
}

/* edge_multiply() for |value| < 2^30 and shift -31..-1, with which no multiplier is 0; the emitter proves both before it
 * asks for it.
 *
 * Rounding halves away from zero is floor(((v + (v < 0 ? -1 : 0)) / 2^(r-1) + 1) / 2) with floors throughout; `addend`
 * is 1 plus twice what is to be added to the result, and ~shift is r - 1. */
EDGE_INLINE int32_t edge_multiply_fast(int32_t value, int32_t multiplier, int32_t shift, int32_t addend) {
  const int32_t high = edge_doubling_high_normal(value, multiplier);
  return (((high + (high >> 31)) >> ~shift) + addend) >> 1;
}

/* edge_multiply() for any shift when |value * 2^max(shift, 0)| < 2^30. */
EDGE_INLINE int32_t edge_multiply_small(int32_t value, int32_t multiplier, int32_t shift) {
  if (shift < 0) { return edge_multiply_fast(value, multiplier, shift, 1); }
  return edge_doubling_high_small(value, shift, multiplier);
}

/* -128..127, one instruction where there is one. */
EDGE_INLINE int32_t edge_saturate_8(int32_t value) {
#if defined(EDGE_USE_DSP)
  int32_t result;
  __asm("ssat %0, #8, %1" : "=r"(result) : "r"(value));
  return result;
#else
  return edge_clamp(value, -128, 127);
#endif
}

/* -32768..32767. */
EDGE_INLINE int32_t edge_saturate_16(int32_t value) {
#if defined(EDGE_USE_DSP)
  int32_t result;
  __asm("ssat %0, #16, %1" : "=r"(result) : "r"(value));
  return result;
#else
  return edge_clamp(value, -32768, 32767);
#endif
}

/* 0..65535. */
EDGE_INLINE int32_t edge_saturate_u16(int32_t value) {
#if defined(EDGE_USE_DSP)
  int32_t result;
  __asm("usat %0, #16, %1" : "=r"(result) : "r"(value));
  return result;
#else
  return edge_clamp(value, 0, 65535);
#endif
}

#if defined(EDGE_USE_DSP)
/* Bytes 0 and 2, or 1 and 3, of a word as two signed halfwords. */
EDGE_INLINE uint32_t edge_even_bytes(uint32_t word) {
  uint32_t pair;
  __asm("sxtb16 %0, %1" : "=r"(pair) : "r"(word));
  return pair;
}

EDGE_INLINE uint32_t edge_odd_bytes(uint32_t word) {
  uint32_t pair;
  __asm("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
  return pair;
}

EDGE_INLINE uint32_t edge_even_bytes_plus(uint32_t pair, uint32_t word) {
  uint32_t sum;
  __asm("sxtab16 %0, %1, %2" : "=r"(sum) : "r"(pair), "r"(word));
  return sum;
}

EDGE_INLINE uint32_t edge_odd_bytes_plus(uint32_t pair, uint32_t word) {
  uint32_t sum;
  __asm("sxtab16 %0, %1, %2, ror #8" : "=r"(sum) : "r"(pair), "r"(word));
  return sum;
}

EDGE_INLINE int32_t edge_dual_multiply_add(uint32_t a, uint32_t b, int32_t sum) {
  int32_t result;
  __asm("smlad %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
  return result;
}

EDGE_INLINE int32_t edge_dual_multiply(uint32_t a, uint32_t b) {
  int32_t result;
  __asm("smuad %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
  return result;
}

EDGE_INLINE int32_t edge_low_multiply_add(uint32_t a, uint32_t b, int32_t sum) {
  int32_t result;
  __asm("smlabb %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
  return result;
}

EDGE_INLINE int32_t edge_high_multiply_add(uint32_t a, uint32_t b, int32_t sum) {
  int32_t result;
  __asm("smlatt %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
  return result;
}

/* `count` bytes (a multiple of 4) as halfwords in the order 0 2 1 3, which is the order weights unpack to. */
EDGE_INLINE void edge_widen(const int8_t *bytes, uint32_t *pairs, int32_t count, int32_t pair_step) {
  const int8_t *end = bytes + count;
  if (count & 4) {
    const uint32_t word = edge_load_u32(bytes);
    pairs[0] = edge_even_bytes(word);
    pairs[1] = edge_odd_bytes(word);
    pairs += pair_step;
    bytes += 4;
  }
  while (bytes != end) {
    const uint32_t first = edge_load_u32(bytes), second = edge_load_u32(bytes + 4);
    pairs[0] = edge_even_bytes(first);
    pairs[1] = edge_odd_bytes(first);
    pairs[pair_step] = edge_even_bytes(second);
    pairs[pair_step + 1] = edge_odd_bytes(second);
    pairs += 2 * pair_step;
    bytes += 8;
  }
}
#endif

#endif
