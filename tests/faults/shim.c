/* LD_PRELOAD: numbers every change to files below a root, and spoils the one that it is told to.

   Whatever calls libc is seen: Python, Rust (safetensors) and C++ (torch) alike. `fault_arm` is called by the process
   itself, once it has started; before that nothing is counted. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { NONE, KILL_BEFORE, KILL_AFTER, KILL_HALF, FAIL, FAIL_FROM, SHORT, SIGNAL };
/* what an operation needs of the disk: an error hits only what it can really hit */
enum { GROWS = 1, CHANGES = 2, WAITS = 4, READS = 8 };

static char root[PATH_MAX];
static size_t root_length;
static int mode, number, mask, meets, log_fd = -1;
static long target;
static atomic_long count;

void fault_arm(const char *folder, const char *log, int wanted_mode, long at, int error, int counted, int hit) {
    strncpy(root, folder, sizeof root - 1);
    root_length = strlen(root);
    log_fd = log[0] ? (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    mode = wanted_mode, target = at, number = error, mask = counted, meets = hit, count = 0;
}

static int below(const char *path) {
    return root_length && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static int of_fd(int fd, char *out) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlink, link, out, PATH_MAX - 1);
    if (n < 0) return 0;
    out[n] = 0;
    return below(out);
}

static int of_path(int dirfd, const char *path, char *out) {
    if (!root_length || !path) return 0;
    if (path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
        return below(out);
    }
    char base[PATH_MAX];
    if (dirfd == AT_FDCWD) {
        if (syscall(SYS_getcwd, base, sizeof base) < 0) return 0;
    } else if (!of_fd(dirfd, base)) return 0;
    if (snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return 0;
    return below(out);
}

/* the number of this operation has come: what to do; NONE mostly */
static int turn(const char *op, const char *path, int kind) {
    if (!(kind & mask)) return NONE;
    long mine = atomic_fetch_add(&count, 1) + 1;
    if (log_fd >= 0) {
        char line[PATH_MAX + 64];
        int n = snprintf(line, sizeof line, "%ld\t%s\t%d\t%s\n", mine, op, kind, path + root_length);
        syscall(SYS_write, log_fd, line, n);
    }
    if (mode == FAIL_FROM ? mine < target || !(kind & meets) : mine != target) return NONE;
    if (mode == KILL_BEFORE) syscall(SYS_kill, getpid(), SIGKILL);
    if (mode == SIGNAL) {
        syscall(SYS_kill, getpid(), number);
        return NONE;
    }
    if (mode == FAIL_FROM) return FAIL;
    return mode;
}

static void after(int what) {
    if (what == KILL_AFTER || what == KILL_HALF) syscall(SYS_kill, getpid(), SIGKILL);
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)
#define FAILS(what) \
    if ((what) == FAIL) { errno = number; return -1; }

static int opened(const char *symbol, int dirfd, const char *path, int flags, mode_t access) {
    (void)symbol;
    char full[PATH_MAX];
    int what = NONE, writes = flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC);
    if (!(flags & O_DIRECTORY) && of_path(dirfd, path, full)) {
        int kind = READS;
        if (writes) kind = CHANGES | WAITS | (flags & O_CREAT && syscall(SYS_faccessat, AT_FDCWD, full, F_OK) ? GROWS : 0);
        what = turn(writes ? "open" : "read", full, kind);
    }
    FAILS(what);
    int fd = (int)syscall(SYS_openat, dirfd, path, flags | O_LARGEFILE, access);
    after(what);
    return fd;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        mode_t access = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { va_list a; va_start(a, flags); access = va_arg(a, mode_t); va_end(a); } \
        return opened(#name, AT_FDCWD, path, flags, access); \
    }
#define OPENAT(name) \
    int name(int dirfd, const char *path, int flags, ...) { \
        mode_t access = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { va_list a; va_start(a, flags); access = va_arg(a, mode_t); va_end(a); } \
        return opened(#name, dirfd, path, flags, access); \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

static size_t half(int what, size_t n) { return (what == KILL_HALF || what == SHORT) && n > 1 ? n / 2 : n; }

ssize_t write(int fd, const void *data, size_t n) {
    char full[PATH_MAX];
    int what = root_length && fd > 2 && fd != log_fd && of_fd(fd, full) ? turn("write", full, GROWS | CHANGES | WAITS) : NONE;
    FAILS(what);
    ssize_t done = syscall(SYS_write, fd, data, half(what, n));
    after(what);
    return done;
}

static ssize_t placed(int fd, const void *data, size_t n, off_t at) {
    char full[PATH_MAX];
    int what = root_length && of_fd(fd, full) ? turn("pwrite", full, GROWS | CHANGES | WAITS) : NONE;
    FAILS(what);
    ssize_t done = syscall(SYS_pwrite64, fd, data, half(what, n), at);
    after(what);
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { return placed(fd, data, n, at); }
ssize_t pwrite64(int fd, const void *data, size_t n, off_t at) { return placed(fd, data, n, at); }

#define ON_FD(name, kind, declared, called, ...) \
    int name declared { \
        REAL(int, #name, __VA_ARGS__); \
        char full[PATH_MAX]; \
        int what = root_length && of_fd(fd, full) ? turn(#name, full, kind) : NONE; \
        FAILS(what); \
        int done = real called; \
        after(what); \
        return done; \
    }
ON_FD(fsync, GROWS | CHANGES | WAITS, (int fd), (fd), int)
ON_FD(fdatasync, GROWS | CHANGES | WAITS, (int fd), (fd), int)
ON_FD(ftruncate, CHANGES | WAITS, (int fd, off_t n), (fd, n), int, off_t)
ON_FD(ftruncate64, CHANGES | WAITS, (int fd, off_t n), (fd, n), int, off_t)
ON_FD(flock, WAITS, (int fd, int how), (fd, how), int, int)
ON_FD(fchmod, CHANGES, (int fd, mode_t m), (fd, m), int, mode_t)
ON_FD(futimens, CHANGES, (int fd, const struct timespec t[2]), (fd, t), int, const struct timespec *)

/* these return the error itself */
#define ALLOCATE(name) \
    int name(int fd, off_t at, off_t n) { \
        REAL(int, #name, int, off_t, off_t); \
        char full[PATH_MAX]; \
        int what = root_length && of_fd(fd, full) ? turn(#name, full, GROWS | CHANGES | WAITS) : NONE; \
        if (what == FAIL) return number; \
        int done = real(fd, at, n); \
        after(what); \
        return done; \
    }
ALLOCATE(posix_fallocate)
ALLOCATE(posix_fallocate64)

#define ON_PATH(name, label, kind, at, shown, declared, called, ...) \
    int name declared { \
        REAL(int, #name, __VA_ARGS__); \
        char full[PATH_MAX]; \
        int what = of_path(at, shown, full) ? turn(label, full, kind) : NONE; \
        FAILS(what); \
        int done = real called; \
        after(what); \
        return done; \
    }
ON_PATH(rename, "rename", CHANGES | GROWS, AT_FDCWD, b, (const char *a, const char *b), (a, b), const char *, const char *)
ON_PATH(renameat, "rename", CHANGES | GROWS, d, b, (int c, const char *a, int d, const char *b), (c, a, d, b), int, const char *, int, const char *)
ON_PATH(unlink, "unlink", CHANGES, AT_FDCWD, a, (const char *a), (a), const char *)
ON_PATH(unlinkat, "unlink", CHANGES, d, a, (int d, const char *a, int f), (d, a, f), int, const char *, int)
ON_PATH(rmdir, "rmdir", CHANGES, AT_FDCWD, a, (const char *a), (a), const char *)
ON_PATH(mkdir, "mkdir", CHANGES | GROWS, AT_FDCWD, a, (const char *a, mode_t m), (a, m), const char *, mode_t)
ON_PATH(mkdirat, "mkdir", CHANGES | GROWS, d, a, (int d, const char *a, mode_t m), (d, a, m), int, const char *, mode_t)
ON_PATH(chmod, "chmod", CHANGES, AT_FDCWD, a, (const char *a, mode_t m), (a, m), const char *, mode_t)
ON_PATH(fchmodat, "chmod", CHANGES, d, a, (int d, const char *a, mode_t m, int f), (d, a, m, f), int, const char *, mode_t, int)
ON_PATH(link, "link", CHANGES | GROWS, AT_FDCWD, b, (const char *a, const char *b), (a, b), const char *, const char *)
ON_PATH(symlink, "symlink", CHANGES | GROWS, AT_FDCWD, b, (const char *a, const char *b), (a, b), const char *, const char *)
ON_PATH(utimensat, "utime", CHANGES, d, a, (int d, const char *a, const struct timespec t[2], int f), (d, a, t, f), int, const char *, const struct timespec *, int)
