/* Runs an emitted model over a command file on an emulated board, and counts.
 *
 * in.bin holds the commands of runner.c; out.bin receives the outputs, counts.bin one record per inference: the number
 * of steps as a 32-bit word, then for the whole and for every step (operator, clock ticks), then bytes of stack used.
 * With QEMU's -icount the clock counts instructions; a loop of known length before the first inference scales it.
 */
#include <stdint.h>

#include "semihosting.h"

int take(uint8_t *to, int32_t bytes);
int give(const uint8_t *from, int32_t bytes);
void before(void);
void after(void);
int run(void);
void edge_step(int32_t step);
int main(void);

extern uint32_t edge_bss_end, edge_stack_top;

enum { MAX_STEPS = 256, CALIBRATION = 100000 };

static intptr_t in_file, out_file, count_file;
static uint32_t n_steps, calibration;
static uint32_t marks[MAX_STEPS + 1], operators[MAX_STEPS];

#if defined(__riscv)
static uint32_t now(void) {
  uint32_t value;
  __asm volatile(".option push\n\t.option arch, +zicsr\n\tcsrr %0, minstret\n\t.option pop" : "=r"(value));
  return value;
}
static uint32_t elapsed(uint32_t from, uint32_t to) { return to - from; }
static void start_clock(void) {}
#else
#define SYSTICK_CONTROL (*(volatile uint32_t *)0xE000E010u)
#define SYSTICK_RELOAD (*(volatile uint32_t *)0xE000E014u)
#define SYSTICK_VALUE (*(volatile uint32_t *)0xE000E018u)
static uint32_t now(void) { return SYSTICK_VALUE; }
static uint32_t elapsed(uint32_t from, uint32_t to) { return (from - to) & 0xFFFFFFu; }
static void start_clock(void) {
  SYSTICK_RELOAD = 0xFFFFFFu;
  SYSTICK_VALUE = 0;
  SYSTICK_CONTROL = 5;
}
#endif

__attribute__((noinline)) static void spin(uint32_t rounds) {
#if defined(__riscv)
  __asm volatile("1: addi %0, %0, -1\n\tbnez %0, 1b" : "+r"(rounds));
#else
  __asm volatile(".syntax unified\n1:\tsubs %0, %0, #1\n\tbne 1b" : "+l"(rounds) : : "cc");
#endif
}

int take(uint8_t *to, int32_t bytes) { return semi_read(in_file, to, (uintptr_t)bytes) == 0 ? 0 : 1; }
int give(const uint8_t *from, int32_t bytes) { return semi_write(out_file, from, (uintptr_t)bytes) == 0 ? 0 : 1; }

/* Paints the free stack so that what the inference touches shows afterwards. */
static void paint(uint32_t *from, uint32_t *to) {
  while (from < to) { *from++ = 0xC5C5C5C5u; }
}

void before(void) {
  uint32_t here;
  paint(&edge_bss_end + 4, &here - 16);
  n_steps = 0;
  start_clock();
  marks[0] = now();
}

void edge_step(int32_t step) {
  if (n_steps < MAX_STEPS) {
    operators[n_steps] = (uint32_t)step;
    marks[n_steps++] = now();
  }
}

void after(void) {
  marks[n_steps] = now();
  const uint32_t *low = &edge_bss_end + 4;
  while (low < &edge_stack_top && *low == 0xC5C5C5C5u) { ++low; }
  const uint32_t used = (uint32_t)((uintptr_t)&edge_stack_top - (uintptr_t)low);
  const uint32_t head[3] = {n_steps, calibration, used};
  semi_write(count_file, head, sizeof(head));
  for (uint32_t i = 0; i < n_steps; ++i) {
    const uint32_t pair[2] = {operators[i], elapsed(marks[i], marks[i + 1])};
    semi_write(count_file, pair, sizeof(pair));
  }
}

int main(void) {
  in_file = semi_open("in.bin", 6, SEMI_READ_BINARY);
  out_file = semi_open("out.bin", 7, SEMI_WRITE_BINARY);
  count_file = semi_open("counts.bin", 10, SEMI_WRITE_BINARY);
  if (in_file < 0 || out_file < 0 || count_file < 0) { return 8; }
  start_clock();
  const uint32_t start = now();
  spin(CALIBRATION);
  calibration = elapsed(start, now());
  const int status = run();
  semi_close(out_file);
  semi_close(count_file);
  return status;
}
