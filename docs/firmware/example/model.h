/* bearing: an int8 model as C99, arithmetic contract "tflm".
 *
 * The caller owns two pieces of memory, both aligned to BEARING_ALIGN:
 *   arena  BEARING_ARENA_BYTES bytes; holds the inputs before and the outputs after an invocation, nothing in between
 *   state  BEARING_STATE_BYTES bytes; what the model remembers from one invocation to the next
 * Call bearing_reset once, then for every inference: write the inputs through bearing_input0(arena) and so on, call
 * bearing_invoke, read bearing_output0(arena) and so on. Invoking destroys the inputs. Nothing is allocated, no global
 * is written, and two arenas may be used by two threads at once.
 */
#ifndef BEARING_MODEL_H
#define BEARING_MODEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BEARING_ALIGN 8
#define BEARING_ARENA_BYTES 16
#define BEARING_STATE_BYTES 0
#define BEARING_INPUTS 1
#define BEARING_OUTPUTS 1

/* What the functions below return. */
enum {
  BEARING_OK = 0,
  BEARING_ERROR_NULL = -1,      /* a pointer that is needed is null */
  BEARING_ERROR_ALIGNMENT = -2  /* arena or state is not aligned to BEARING_ALIGN */
};

/* Bytes of arena and state together. */
int32_t bearing_bytes(void);

/* Puts the state to its beginning; state may be null when BEARING_STATE_BYTES is 0. */
int32_t bearing_reset(void *state);

/* One inference; state may be null when BEARING_STATE_BYTES is 0. */
int32_t bearing_invoke(void *arena, void *state);

/* input 0: t0, int8, 1 x 8; real = SCALE * (code - ZERO_POINT) */
#define BEARING_INPUT0_COUNT 8
#define BEARING_INPUT0_BYTES 8
#define BEARING_INPUT0_OFFSET 0
#define BEARING_INPUT0_SCALE 0.0625f
#define BEARING_INPUT0_ZERO_POINT (-32)
static inline int8_t *bearing_input0(void *arena) {
  return (int8_t *)(void *)((uint8_t *)arena + BEARING_INPUT0_OFFSET);
}

/* output 0: t7, int8, 1 x 2; real = SCALE * (code - ZERO_POINT) */
#define BEARING_OUTPUT0_COUNT 2
#define BEARING_OUTPUT0_BYTES 2
#define BEARING_OUTPUT0_OFFSET 0
#define BEARING_OUTPUT0_SCALE 0.00390625f
#define BEARING_OUTPUT0_ZERO_POINT (-128)
static inline const int8_t *bearing_output0(const void *arena) {
  return (const int8_t *)(const void *)((const uint8_t *)arena + BEARING_OUTPUT0_OFFSET);
}

#ifdef __cplusplus
}
#endif

#endif
