/* Preloaded into a daemon, it meddles with what the daemon asks of the disk below one folder, and with its memory.
 *
 * MEDDLER_CONTROL names a file with `struct control`, which a test writes while the daemon runs; MEDDLER_UNDER names
 * the folder. Nothing else of the process changes, and without the two variables nothing at all.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct control {
  volatile int32_t refuse_errno;  /* writes, syncs and openings for writing fail with it; 0: they do not */
  volatile int32_t sync_delay_ms; /* every sync takes so much longer */
  volatile int32_t keep_undo;     /* write down how to take back what was written since the last sync */
  volatile int32_t leak_pid;      /* this process loses memory ... */
  volatile int32_t leak_kb;       /* ... so much with each message that it sends */
};

/* One record of an undo file, followed by `length` bytes that were at `offset` before. */
struct record {
  int64_t offset, length, file_size;
};

enum { MAX_FD = 4096 };
static struct control *control;
static const char *under;
static int undo_of[MAX_FD]; /* 0: not below the folder; -1: below it, without undo; else descriptor of the undo file */

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("MEDDLER_CONTROL");
  under = getenv("MEDDLER_UNDER");
  if (path == NULL || under == NULL) return;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return;
  void *page = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  syscall(SYS_close, fd);
  if (page != MAP_FAILED) control = page;
}

static int is_ours(int fd) { return control != NULL && fd >= 0 && fd < MAX_FD && undo_of[fd] != 0; }

static int is_refused(int fd) {
  if (!is_ours(fd) || control->refuse_errno == 0) return 0;
  errno = control->refuse_errno;
  return 1;
}

/* Remember a descriptor, and open the undo file beside it when one is kept. */
static int remember(int fd, const char *path) {
  size_t length = strlen(path), shm = strlen("-shm");
  if (fd < 0 || fd >= MAX_FD || control == NULL) return fd;
  undo_of[fd] = 0;
  if (strncmp(path, under, strlen(under)) != 0) return fd;
  undo_of[fd] = -1;
  if (!control->keep_undo || length > 4000 || (length > shm && strcmp(path + length - shm, "-shm") == 0)) return fd;
  char undo[4096];
  memcpy(undo, path, length);
  memcpy(undo + length, ".undo", sizeof ".undo");
  struct stat about;
  if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode)) {
    int other = (int)syscall(SYS_openat, AT_FDCWD, undo, O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND, 0600);
    if (other > 0) undo_of[fd] = other;
  }
  return fd;
}

static int open_it(int directory, const char *path, int flags, mode_t mode) {
  if (control != NULL && control->refuse_errno != 0 && (flags & O_ACCMODE) != O_RDONLY &&
      strncmp(path, under, strlen(under)) == 0) {
    errno = control->refuse_errno;
    return -1;
  }
  return remember((int)syscall(SYS_openat, directory, path, flags, mode), path);
}

#define OPENING(name)                         \
  int name(const char *path, int flags, ...) { \
    va_list rest;                             \
    va_start(rest, flags);                    \
    mode_t mode = va_arg(rest, mode_t);       \
    va_end(rest);                             \
    return open_it(AT_FDCWD, path, flags, mode); \
  }
OPENING(open)
OPENING(open64)

#define OPENING_AT(name)                                    \
  int name(int directory, const char *path, int flags, ...) { \
    va_list rest;                                           \
    va_start(rest, flags);                                  \
    mode_t mode = va_arg(rest, mode_t);                     \
    va_end(rest);                                           \
    return open_it(directory, path, flags, mode);           \
  }
OPENING_AT(openat)
OPENING_AT(openat64)

int close(int fd) {
  if (is_ours(fd)) {
    if (undo_of[fd] > 0) syscall(SYS_close, undo_of[fd]);
    undo_of[fd] = 0;
  }
  return (int)syscall(SYS_close, fd);
}

/* Write down what is at a place before it changes. */
static void keep_undo(int fd, off_t offset, int64_t length) {
  struct stat about;
  if (!is_ours(fd) || undo_of[fd] <= 0 || fstat(fd, &about) != 0) return;
  int64_t there = about.st_size > offset ? about.st_size - offset : 0;
  struct record record = {offset, there < length ? there : length, about.st_size};
  char *bytes = malloc(sizeof record + (size_t)record.length);
  if (bytes == NULL) return;
  memcpy(bytes, &record, sizeof record);
  if (record.length > 0) syscall(SYS_pread64, fd, bytes + sizeof record, record.length, offset);
  syscall(SYS_write, undo_of[fd], bytes, sizeof record + (size_t)record.length);
  free(bytes);
}

#define WRITING_AT(name)                                                \
  ssize_t name(int fd, const void *data, size_t count, off_t offset) {    \
    if (is_refused(fd)) return -1;                                      \
    keep_undo(fd, offset, (int64_t)count);                              \
    return syscall(SYS_pwrite64, fd, data, count, offset);              \
  }
WRITING_AT(pwrite)
WRITING_AT(pwrite64)

ssize_t write(int fd, const void *data, size_t count) {
  if (is_refused(fd)) return -1;
  if (is_ours(fd) && undo_of[fd] > 0) keep_undo(fd, lseek(fd, 0, SEEK_CUR), (int64_t)count);
  return syscall(SYS_write, fd, data, count);
}

#define TRUNCATING(name)                                                  \
  int name(int fd, off_t length) {                                          \
    if (is_refused(fd)) return -1;                                        \
    keep_undo(fd, length, INT64_MAX);                                     \
    return (int)syscall(SYS_ftruncate, fd, length);                       \
  }
TRUNCATING(ftruncate)
TRUNCATING(ftruncate64)

static int synchronise(long number, int fd) {
  if (is_refused(fd)) return -1;
  if (is_ours(fd)) {
    int32_t delay = control->sync_delay_ms;
    struct timespec wait = {delay / 1000, (delay % 1000) * 1000000L};
    if (delay > 0) nanosleep(&wait, NULL);
  }
  int result = (int)syscall(number, fd);
  if (result == 0 && is_ours(fd) && undo_of[fd] > 0) syscall(SYS_ftruncate, undo_of[fd], 0);
  return result;
}
int fsync(int fd) { return synchronise(SYS_fsync, fd); }
int fdatasync(int fd) { return synchronise(SYS_fdatasync, fd); }

ssize_t send(int fd, const void *data, size_t count, int flags) {
  if (control != NULL && control->leak_kb > 0 && control->leak_pid == getpid()) {
    size_t size = (size_t)control->leak_kb * 1024;
    char *lost = malloc(size);
    if (lost != NULL) {
      memset(lost, 1, size);
      __asm__ volatile("" : : "g"(lost) : "memory");
    }
  }
  return syscall(SYS_sendto, fd, data, count, flags, NULL, 0);
}
