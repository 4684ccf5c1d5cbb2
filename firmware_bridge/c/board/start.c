/* Start-up of a bare board: memory, FPU or Helium, then main. Cortex-M by its vector table, RISC-V by _start. */
#include <stdint.h>

#include "semihosting.h"

extern uint32_t edge_stack_top, edge_data_load, edge_data_start, edge_data_end, edge_bss_start, edge_bss_end;
int main(void);
void edge_start(void);

void edge_start(void) {
  const uint32_t *from = &edge_data_load;
  for (uint32_t *to = &edge_data_start; to < &edge_data_end; ++to) { *to = *from++; }
  for (uint32_t *to = &edge_bss_start; to < &edge_bss_end; ++to) { *to = 0; }
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
  *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: coprocessors 10 and 11 */
  __asm volatile("dsb\n\tisb");
#endif
  semi_exit(main());
}

#if defined(__riscv)
__attribute__((naked, section(".vectors"))) void _start(void);
void _start(void) { __asm volatile("la sp, edge_stack_top\n\tcall edge_start"); }
#else
static void fault(void) { semi_exit(125); }
static void nothing(void) {}

typedef void (*handler)(void);
__attribute__((section(".vectors"), used)) const handler edge_vectors[16] = {
    (handler)(uintptr_t)&edge_stack_top, edge_start, nothing, fault, fault, fault, fault, 0, 0, 0, 0,
    nothing, nothing, 0, nothing, nothing};
#endif
