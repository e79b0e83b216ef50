/*
 * What does a seccomp filter do to system calls? For the tests; see seccomp_tools.py.
 *
 *   probe try FLAGS BPF_FILE CALL...   each CALL in a child of its own, which first installs the filter ('-': none)
 *   probe dump PID                     write the filter PID runs under to standard output (ptrace(2))
 *   probe notify FLAGS BPF_FILE        install the filter, expect a listener, make it say which call was made
 *
 * CALL is ABI:NUMBER[:ARG...], ABI one of native, i386 (int 0x80). One line for each: "return VALUE", "errno N",
 * "signal N" (killed), "sigsys N" (trapped, N from SECCOMP_RET_DATA) or "install N".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum outcome { DIED, RETURNED, TRAPPED, NOT_INSTALLED };

struct result {
    volatile enum outcome outcome;
    volatile long value;
};

static struct result *result;
static struct sock_filter instructions[65536];

static void trapped(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    result->outcome = TRAPPED;
    result->value = info->si_errno;
    __builtin_trap();
}

static long install(const char *path, unsigned int flags)
{
    struct sock_fprog program = {.filter = instructions};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = read(fd, instructions, sizeof instructions);

    if (fd < 0 || size < 0)
        return -errno;
    close(fd);
    program.len = (unsigned short)((size_t)size / sizeof instructions[0]);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    long rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    return rc < 0 ? -errno : rc;
}

static long call_i386(const unsigned long *a)
{
    long rc = -ENOSYS;
#ifdef __x86_64__
    __asm__ volatile("int $0x80"
                     : "=a"(rc)
                     : "a"(a[0]), "b"(a[1]), "c"(a[2]), "d"(a[3]), "S"(a[4]), "D"(a[5])
                     : "memory", "r8", "r9", "r10", "r11");
    rc = (int)rc;
#else
    (void)a;
#endif
    return rc;
}

static long call_native(const unsigned long *a)
{
    long rc = syscall((long)a[0], a[1], a[2], a[3], a[4], a[5], a[6]);

    return rc == -1 ? -errno : rc;
}

/* Ends with SIGILL, as the filter may not let it exit. */
static void child(const char *path, unsigned int flags, char *call)
{
    unsigned long a[7] = {0};
    char *save = NULL;
    char *abi = strtok_r(call, ":", &save);
    struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};

    for (int i = 0; i < 7; i++) {
        char *field = strtok_r(NULL, ":", &save);

        a[i] = field ? strtoul(field, NULL, 0) : 0;
    }
    sigaction(SIGSYS, &action, NULL);
    if (strcmp(path, "-") != 0) {
        long rc = install(path, flags);

        if (rc < 0) {
            result->value = -rc;
            result->outcome = NOT_INSTALLED;
            __builtin_trap();
        }
    }
    result->value = strcmp(abi, "i386") == 0 ? call_i386(a) : call_native(a);
    result->outcome = RETURNED;
    __builtin_trap();
}

static void report(int status)
{
    switch (result->outcome) {
    case RETURNED:
        if (result->value < 0 && result->value > -4096)
            printf("errno %ld\n", -result->value);
        else
            printf("return %ld\n", result->value);
        break;
    case TRAPPED:
        printf("sigsys %ld\n", result->value);
        break;
    case NOT_INSTALLED:
        printf("install %ld\n", result->value);
        break;
    case DIED:
        printf("signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : -1);
    }
    fflush(stdout);
}

static int try_calls(char **argv)
{
    unsigned int flags = (unsigned int)strtoul(argv[0], NULL, 0);

    result = mmap(NULL, sizeof *result, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (char **call = argv + 2; *call; call++) {
        int status = 0;
        pid_t pid;

        result->outcome = DIED;
        pid = fork();
        if (pid < 0)
            return 1;
        if (pid == 0)
            child(argv[1], flags, *call);
        if (waitpid(pid, &status, 0) < 0)
            return 1;
        report(status);
    }
    return 0;
}

static int dump(pid_t pid)
{
    long count;
    int status;

    if (ptrace(PTRACE_SEIZE, pid, 0, 0) < 0 || ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0)
        return 1;
    if (waitpid(pid, &status, __WALL) < 0)
        return 1;
    count = ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, instructions);
    ptrace(PTRACE_DETACH, pid, 0, 0);
    if (count < 0) {
        perror("PTRACE_SECCOMP_GET_FILTER");
        return 1;
    }
    return fwrite(instructions, sizeof instructions[0], (size_t)count, stdout) != (size_t)count;
}

/* The child makes getppid(2), which the filter turns into a notification; the answer is 4711. */
static int notify(const char *path, unsigned int flags)
{
    struct seccomp_notif request = {0};
    struct seccomp_notif_resp response = {.val = 4711};
    long listener = install(path, flags);
    int status = 0;
    pid_t pid;

    if (listener < 0) {
        printf("install %ld\n", -listener);
        return 0;
    }
    pid = fork();
    if (pid == 0)
        _exit(syscall(SYS_getppid) == 4711 ? 0 : 1);
    if (ioctl((int)listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0)
        return 1;
    response.id = request.id;
    if (ioctl((int)listener, SECCOMP_IOCTL_NOTIF_SEND, &response) < 0)
        return 1;
    waitpid(pid, &status, 0);
    printf("notified %d %d\n", request.data.nr, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "try") == 0)
        return try_calls(argv + 2);
    if (argc == 3 && strcmp(argv[1], "dump") == 0)
        return dump((pid_t)atoi(argv[2]));
    if (argc == 4 && strcmp(argv[1], "notify") == 0)
        return notify(argv[3], (unsigned int)strtoul(argv[2], NULL, 0));
    fprintf(stderr, "usage: probe try FLAGS BPF_FILE CALL... | dump PID | notify FLAGS BPF_FILE\n");
    return 2;
}
