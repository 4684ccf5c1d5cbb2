/* A device application to copy: sensor, window features, model, finding on the UART. */
#ifndef EDGE_DEVICE_H
#define EDGE_DEVICE_H

#include <stdint.h>

enum {
  WINDOW_SAMPLES = 256,
  N_FEATURES = 8,
  FAULT_FROM = 8,       /* of the sensor stub: the first window with a fault */
  PACKET_VERSION = 1,
  PACKET_FINDING = 1,
  PACKET_BYTES = 16     /* before stuffing, with the CRC */
};

struct finding {
  uint16_t sequence;
  uint8_t label;        /* index of the class with the largest share */
  uint8_t score;        /* its share, 0..255 for 0..1 */
  int8_t features[N_FEATURES];
};

void sensor_read(int16_t *samples, int32_t window);
int32_t log2_q4(uint64_t value);
void window_features(const int16_t *samples, int8_t *codes);
uint16_t crc16(const uint8_t *bytes, int32_t count);
void send_finding(const struct finding *finding);
void uart_start(void);
void uart_send(uint8_t byte);

#endif
