/* Sensor stub: a shaft's vibration as 16-bit samples. Replace it by the driver of a real accelerometer.
 *
 * A triangle wave with noise; from window FAULT_FROM on a bearing fault adds a decaying burst every 37 samples.
 */
#include "device.h"

static uint32_t noise_state = 1;

static int32_t noise(int32_t amplitude) {
  noise_state = noise_state * 1664525u + 1013904223u;
  return (int32_t)(noise_state >> 16) % (2 * amplitude + 1) - amplitude;
}

void sensor_read(int16_t *samples, int32_t window) {
  int32_t burst = 0;
  for (int32_t i = 0; i < WINDOW_SAMPLES; ++i) {
    const int32_t time = window * WINDOW_SAMPLES + i;
    const int32_t phase = time % 32;
    int32_t value = (phase < 16 ? phase - 8 : 24 - phase) * 40 + noise(60);
    if (window >= FAULT_FROM && time % 37 == 0) { burst = 9000; }
    value += time % 2 == 0 ? burst : -burst;
    burst = burst * 3 / 4;
    samples[i] = (int16_t)value;
  }
}
