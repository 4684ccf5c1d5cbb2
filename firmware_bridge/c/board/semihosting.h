/* The debugger's services that QEMU offers: files and an exit code. */
#ifndef EDGE_SEMIHOSTING_H
#define EDGE_SEMIHOSTING_H

#include <stdint.h>

enum { SEMI_OPEN = 0x01, SEMI_CLOSE = 0x02, SEMI_WRITE = 0x05, SEMI_READ = 0x06, SEMI_EXIT = 0x20 };
enum { SEMI_READ_BINARY = 1, SEMI_WRITE_BINARY = 5 };

static inline intptr_t semi_call(uintptr_t operation, const void *argument) {
#if defined(__riscv)
  register uintptr_t a0 __asm("a0") = operation;
  register const void *a1 __asm("a1") = argument;
  __asm volatile(
      ".option push\n\t.option norvc\n\t.balign 16\n\tslli x0, x0, 0x1f\n\tebreak\n\tsrai x0, x0, 7\n\t.option pop"
      : "+r"(a0)
      : "r"(a1)
      : "memory");
  return (intptr_t)a0;
#else
  register uintptr_t r0 __asm("r0") = operation;
  register const void *r1 __asm("r1") = argument;
  __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
  return (intptr_t)r0;
#endif
}

static inline intptr_t semi_open(const char *name, uintptr_t length, uintptr_t mode) {
  const uintptr_t block[3] = {(uintptr_t)name, mode, length};
  return semi_call(SEMI_OPEN, block);
}

/* Both return the number of bytes that were not moved. */
static inline intptr_t semi_read(intptr_t file, void *to, uintptr_t bytes) {
  const uintptr_t block[3] = {(uintptr_t)file, (uintptr_t)to, bytes};
  return semi_call(SEMI_READ, block);
}

static inline intptr_t semi_write(intptr_t file, const void *from, uintptr_t bytes) {
  const uintptr_t block[3] = {(uintptr_t)file, (uintptr_t)from, bytes};
  return semi_call(SEMI_WRITE, block);
}

static inline void semi_close(intptr_t file) {
  const uintptr_t block[1] = {(uintptr_t)file};
  semi_call(SEMI_CLOSE, block);
}

static inline void semi_exit(int code) {
  const uintptr_t block[2] = {0x20026u, (uintptr_t)code};
  semi_call(SEMI_EXIT, block);
  for (;;) {}
}

#endif
