/* Eight features of a window, in fixed point: logarithms of energies and their differences.
 *
 * log2 is Q4 with linear interpolation between powers of two. Codes are log2 in sixteenths minus an offset, so with the
 * model's scale of 1/16 and zero point of -32 the real value is in octaves.
 */
#include "device.h"

/* 16 * log2(value), 0 for 0. */
int32_t log2_q4(uint64_t value) {
  int32_t exponent = 0;
  if (value == 0u) { return 0; }
  while (value >> exponent > 1u) { ++exponent; }
  const uint64_t scaled = exponent >= 4 ? value >> (exponent - 4) : value << (4 - exponent);
  return exponent * 16 + (int32_t)scaled - 16;
}

static int8_t code_of(int32_t value) { return (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value); }

void window_features(const int16_t *samples, int8_t *codes) {
  int64_t total = 0;
  for (int32_t i = 0; i < WINDOW_SAMPLES; ++i) { total += samples[i]; }
  const int32_t mean = (int32_t)(total / WINDOW_SAMPLES);
  uint64_t square = 0, fourth = 0, step = 0, absolute = 0;
  int32_t peak = 0, crossings = 0, last = 0;
  for (int32_t i = 0; i < WINDOW_SAMPLES; ++i) {
    const int32_t value = (samples[i] - mean) / 4;
    const int32_t size = value < 0 ? -value : value;
    const int32_t change = value - last;
    const uint64_t power = (uint64_t)((int64_t)value * value);
    square += power;
    fourth += power * power / WINDOW_SAMPLES;
    step += (uint64_t)((int64_t)change * change);
    absolute += (uint64_t)size;
    peak = size > peak ? size : peak;
    crossings += (value < 0) != (last < 0) ? 1 : 0;
    last = value;
  }
  const int32_t power = log2_q4(square / WINDOW_SAMPLES), rms = power / 2;
  codes[0] = code_of(rms - 112);                                   /* root mean square */
  codes[1] = code_of(log2_q4((uint64_t)peak) - 144);               /* peak */
  codes[2] = code_of(log2_q4(absolute / WINDOW_SAMPLES) - 112);    /* mean magnitude */
  codes[3] = code_of(log2_q4((uint64_t)peak) - rms - 32);          /* crest factor */
  codes[4] = code_of(64 - log2_q4((uint64_t)crossings + 1u));      /* slowness: few crossings */
  codes[5] = code_of(power - log2_q4(step / WINDOW_SAMPLES));      /* smoothness: little change from sample to sample */
  codes[6] = code_of(2 * power - log2_q4(fourth) - 32 + 32);       /* evenness: inverse of kurtosis */
  codes[7] = code_of(mean / 64 - 32);                              /* offset of the sensor */
}
