/* Findings as packets on a serial line: a CRC-16 behind the payload, COBS around both, one zero byte at the end.
 *
 * The format is specified in docs/formats/firmware-packet.md.
 */
#include "device.h"

uint16_t crc16(const uint8_t *bytes, int32_t count) {
  uint32_t crc = 0xFFFFu;
  for (int32_t i = 0; i < count; ++i) {
    crc ^= (uint32_t)bytes[i] << 8;
    for (int32_t bit = 0; bit < 8; ++bit) { crc = (crc & 0x8000u) != 0u ? (crc << 1) ^ 0x1021u : crc << 1; }
  }
  return (uint16_t)crc;
}

/* Consistent overhead byte stuffing of fewer than 254 bytes. */
static void send_stuffed(const uint8_t *bytes, int32_t count) {
  int32_t start = 0;
  for (int32_t i = 0; i <= count; ++i) {
    if (i < count && bytes[i] != 0u) { continue; }
    uart_send((uint8_t)(i - start + 1));
    for (int32_t k = start; k < i; ++k) { uart_send(bytes[k]); }
    start = i + 1;
  }
  uart_send(0);
}

void send_finding(const struct finding *finding) {
  uint8_t bytes[PACKET_BYTES];
  bytes[0] = PACKET_VERSION;
  bytes[1] = PACKET_FINDING;
  bytes[2] = (uint8_t)(finding->sequence & 0xFFu);
  bytes[3] = (uint8_t)(finding->sequence >> 8);
  bytes[4] = finding->label;
  bytes[5] = finding->score;
  for (int32_t i = 0; i < N_FEATURES; ++i) { bytes[6 + i] = (uint8_t)finding->features[i]; }
  const uint16_t crc = crc16(bytes, PACKET_BYTES - 2);
  bytes[PACKET_BYTES - 2] = (uint8_t)(crc & 0xFFu);
  bytes[PACKET_BYTES - 1] = (uint8_t)(crc >> 8);
  send_stuffed(bytes, PACKET_BYTES);
}
