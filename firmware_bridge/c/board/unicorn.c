/* Runs an emitted model over commands in memory, for an emulator of the processor alone: no board, no debugger.
 *
 * The emulator maps the three regions below, fills the first, starts at the address in the vector table and stops at
 * `stop`, whose address is the third vector.
 */
#include <stddef.h>
#include <stdint.h>

int take(uint8_t *to, int32_t bytes);
int give(const uint8_t *from, int32_t bytes);
void before(void);
void after(void);
int run(void);
void start(void);
void stop(void);

#define INPUT ((const uint8_t *)0x60000000u)  /* a 32-bit length, then the commands */
#define OUTPUT ((uint8_t *)0x70000000u)
#define STATUS (*(volatile int32_t *)0x50000000u)
#define WRITTEN (*(volatile uint32_t *)0x50000004u)

extern uint32_t edge_stack_top, edge_bss_start, edge_bss_end;

static uint32_t read_at;

void *memcpy(void *to, const void *from, size_t bytes) {
  volatile uint8_t *a = (volatile uint8_t *)to; /* volatile: or the compiler would call memcpy here */
  const uint8_t *b = (const uint8_t *)from;
  while (bytes-- > 0u) { *a++ = *b++; }
  return to;
}

void *memmove(void *to, const void *from, size_t bytes) {
  volatile uint8_t *a = (volatile uint8_t *)to;
  const uint8_t *b = (const uint8_t *)from;
  if (a < b) { return memcpy(to, from, bytes); }
  while (bytes-- > 0u) { a[bytes] = b[bytes]; }
  return to;
}

void *memset(void *to, int value, size_t bytes) {
  volatile uint8_t *a = (volatile uint8_t *)to;
  while (bytes-- > 0u) { *a++ = (uint8_t)value; }
  return to;
}

int take(uint8_t *to, int32_t bytes) {
  const uint32_t length = *(const uint32_t *)(const void *)INPUT;
  if (read_at + (uint32_t)bytes > length) { return 1; }
  memcpy(to, INPUT + 4 + read_at, (size_t)bytes);
  read_at += (uint32_t)bytes;
  return 0;
}

int give(const uint8_t *from, int32_t bytes) {
  memcpy(OUTPUT + WRITTEN, from, (size_t)bytes);
  WRITTEN += (uint32_t)bytes;
  return 0;
}

void before(void) {}
void after(void) {}

__attribute__((noinline)) void stop(void) {
  for (;;) { __asm volatile("" ::: "memory"); }
}

void start(void) {
  for (uint32_t *word = &edge_bss_start; word < &edge_bss_end; ++word) { *word = 0; }
  WRITTEN = 0;
  STATUS = run();
  stop();
}

typedef void (*handler)(void);
__attribute__((section(".vectors"), used)) const handler edge_vectors[3] = {
    (handler)(uintptr_t)&edge_stack_top, start, stop};
