/* System calls without a C library: init starts in a tenth of a millisecond and holds a few pages of memory. Every
 * wrapper is the call of the man page with its name, and returns -errno on failure. */
#ifndef PYOCI_SYS_H
#define PYOCI_SYS_H

#include <linux/close_range.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
static inline long syscall6(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
static inline long syscall6(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}
#else
#error "init has no system call instruction for this architecture yet: add syscall6 here and _start in start.c"
#endif

struct kernel_sigaction { /* rt_sigaction(2), not the library's struct */
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(int);
    uint64_t mask;
};

#define SYS0(n) syscall6(n, 0, 0, 0, 0, 0, 0)
#define SYS1(n, a) syscall6(n, (long)(a), 0, 0, 0, 0, 0)
#define SYS2(n, a, b) syscall6(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define SYS3(n, a, b, c) syscall6(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define SYS4(n, a, b, c, d) syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define SYS5(n, a, b, c, d, e) syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define SYS6(n, a, b, c, d, e, f) syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#define E_PERM 1
#define E_NOENT 2
#define E_INTR 4
#define E_2BIG 7
#define E_NOEXEC 8
#define E_AGAIN 11
#define E_NOMEM 12
#define E_ACCES 13
#define E_BUSY 16
#define E_EXIST 17
#define E_XDEV 18
#define E_NODEV 19
#define E_NOTDIR 20
#define E_ISDIR 21
#define E_INVAL 22
#define E_MFILE 24
#define E_TXTBSY 26
#define E_NAMETOOLONG 36
#define E_NOSYS 38
#define E_LOOP 40
#define E_PROTO 71
#define E_LIBBAD 80
#define E_OPNOTSUPP 95
#define E_NOTCONN 107
#define E_TIMEDOUT 110

/* linux/fcntl.h brings these for every architecture */
#define MODE_TYPE 0170000
#define MODE_DIRECTORY 0040000
#define MODE_CHARACTER 0020000
#define MODE_BLOCK 0060000
#define MODE_REGULAR 0100000
#define MODE_SYMLINK 0120000

static inline int sys_openat(int dir, const char *path, int flags, int mode)
{
    return (int)SYS4(SYS_openat, dir, path, flags | O_CLOEXEC, mode);
}
static inline int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t resolve)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
    return (int)SYS4(SYS_openat2, dir, path, &how, sizeof how);
}
static inline int sys_dup(int fd)
{
    return (int)SYS3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0);
}
static inline void sys_close(int fd)
{
    SYS1(SYS_close, fd);
}
static inline long sys_read(int fd, void *buffer, size_t size)
{
    return SYS3(SYS_read, fd, buffer, size);
}
static inline long sys_write(int fd, const void *buffer, size_t size)
{
    return SYS3(SYS_write, fd, buffer, size);
}
static inline int sys_statx(int fd, const char *path, int flags, struct statx *out)
{
    return (int)SYS5(SYS_statx, fd, path, flags, STATX_BASIC_STATS | STATX_MNT_ID, out);
}
static inline int sys_mkdirat(int dir, const char *path, int mode)
{
    return (int)SYS3(SYS_mkdirat, dir, path, mode);
}
static inline int sys_unlinkat(int dir, const char *path)
{
    return (int)SYS3(SYS_unlinkat, dir, path, 0);
}
static inline int sys_mknodat(int dir, const char *path, int mode, uint64_t device)
{
    return (int)SYS4(SYS_mknodat, dir, path, mode, device);
}
static inline int sys_symlinkat(const char *target, int dir, const char *path)
{
    return (int)SYS3(SYS_symlinkat, target, dir, path);
}
static inline long sys_readlinkat(int dir, const char *path, char *buffer, size_t size)
{
    return SYS4(SYS_readlinkat, dir, path, buffer, size);
}
static inline int sys_fchownat(int dir, const char *path, uint32_t uid, uint32_t gid, int flags)
{
    return (int)SYS5(SYS_fchownat, dir, path, uid, gid, flags);
}
static inline int sys_fchmodat(int dir, const char *path, int mode)
{
    return (int)SYS3(SYS_fchmodat, dir, path, mode);
}
static inline int sys_fchmod(int fd, int mode)
{
    return (int)SYS2(SYS_fchmod, fd, mode);
}
static inline int sys_open_tree(int dir, const char *path, unsigned flags)
{
    return (int)SYS3(SYS_open_tree, dir, path, flags | OPEN_TREE_CLOEXEC);
}
static inline int sys_move_mount(int from, int to_dir, const char *to)
{
    unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | (to[0] ? 0 : MOVE_MOUNT_T_EMPTY_PATH);
    return (int)SYS5(SYS_move_mount, from, "", to_dir, to, flags);
}
static inline int sys_mount_setattr(int dir, unsigned flags, struct mount_attr *attr)
{
    return (int)SYS5(SYS_mount_setattr, dir, "", AT_EMPTY_PATH | flags, attr, sizeof *attr);
}
static inline int sys_mount(const char *source, const char *target, const char *type, unsigned long flags,
                            const char *data)
{
    return (int)SYS5(SYS_mount, source, target, type, flags, data);
}
static inline int sys_prctl(int option, unsigned long a, unsigned long b)
{
    return (int)SYS5(SYS_prctl, option, a, b, 0, 0);
}

static inline size_t text_length(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}
static inline int text_equal(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}
/* Appends to a buffer of `size`, always ends with NUL; returns 0 when it did not fit. */
static inline int text_append(char *buffer, size_t size, const char *s)
{
    size_t n = text_length(buffer);
    while (*s && n + 1 < size)
        buffer[n++] = *s++;
    buffer[n] = 0;
    return !*s;
}
static inline void text_append_number(char *buffer, size_t size, long number)
{
    char digits[24] = {0};
    int at = sizeof digits - 1;
    unsigned long rest = number < 0 ? -(unsigned long)number : (unsigned long)number;
    do
        digits[--at] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (number < 0)
        digits[--at] = '-';
    text_append(buffer, size, digits + at);
}

#endif
