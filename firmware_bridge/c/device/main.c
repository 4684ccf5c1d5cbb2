/* Class 0 is "worn", class 1 is "healthy". Bare metal on QEMU's mps2-an386 (Cortex-M4): 16 windows, one packet each, then the emulator ends with code 0. */
#include <string.h>

#include "bearing.h"
#include "device.h"

enum { WINDOWS = 16 };

/* CMSDK APB UART 0. */
#define UART_DATA (*(volatile uint32_t *)0x40004000u)
#define UART_STATE (*(volatile uint32_t *)0x40004004u)
#define UART_CONTROL (*(volatile uint32_t *)0x40004008u)
#define UART_DIVIDER (*(volatile uint32_t *)0x40004010u)

static int16_t samples[WINDOW_SAMPLES];
static uint64_t arena[(BEARING_ARENA_BYTES + 7) / 8];

void uart_start(void) {
  UART_DIVIDER = 16;
  UART_CONTROL = 1;
}

void uart_send(uint8_t byte) {
  while ((UART_STATE & 1u) != 0u) {}
  UART_DATA = byte;
}

int main(void) {
  uart_start();
  if (bearing_reset(0) != BEARING_OK) { return 1; }
  for (int32_t window = 0; window < WINDOWS; ++window) {
    struct finding finding;
    sensor_read(samples, window);
    window_features(samples, finding.features);
    memcpy(bearing_input0(arena), finding.features, sizeof(finding.features));
    if (bearing_invoke(arena, 0) != BEARING_OK) { return 2; }
    const int8_t *shares = bearing_output0(arena);
    finding.sequence = (uint16_t)window;
    finding.label = shares[1] > shares[0] ? 1 : 0;
    finding.score = (uint8_t)(shares[finding.label] + 128);
    send_finding(&finding);
  }
  return 0;
}
