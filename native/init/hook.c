/* createContainer and startContainer hooks: programs run in the container's namespaces, with the container's state on
 * their standard input (runtime-spec, config.md, POSIX-platform Hooks).
 *
 * Those of startContainer run when init has given up what the process is not to have, so a hook, which the image may
 * have brought, never has more. The process's seccomp filter binds init by then: all that can be done before is done
 * before, and what is left takes clone, dup3, execve, lseek, wait4 and write, and ppoll where there is a timeout. */
#include "init.h"

#include <linux/memfd.h>
#include <linux/mman.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/time_types.h>
#include <linux/wait.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U /* since Linux 6.3, which demands it with vm.memfd_noexec=2 */
#endif
#define SEEK_START 0
#define SEEK_CURRENT 1
#define SEEK_LAST 2

/* The strings of a list as execve(2) takes them, with room for one more, or 0 for want of memory. Never freed: init is about to become
 * another program. */
const char **text_vector(const char *list, int64_t count)
{
    size_t size = ((size_t)count + 2) * sizeof(char *);
    long memory = SYS6(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory < 0 && memory > -PATH_SIZE)
        return 0;
    const char **vector = (const char **)memory;
    for (int64_t i = 0; i < count; i++, list = next_text(list))
        vector[i] = list;
    return vector;
}

/* A file in memory, so that neither init nor a hook ever waits for the other. */
static int memory_file(const char *name)
{
    int fd = (int)SYS2(SYS_memfd_create, name, MFD_CLOEXEC | MFD_NOEXEC_SEAL);
    if (fd == -E_INVAL)
        fd = (int)SYS2(SYS_memfd_create, name, MFD_CLOEXEC);
    return fd;
}

static int write_all(int fd, const char *data, uint32_t size)
{
    for (uint32_t done = 0; done < size;) {
        long put = sys_write(fd, data + done, size - done);
        if (put < 0)
            return (int)put;
        done += (uint32_t)put;
    }
    return 0;
}

int op_hook_files(struct init *init, const struct plan_op *op)
{
    init->hook_out = (int)op->n[0], init->hook_err = (int)op->n[1], init->hook_said = NO_FD;
    init->hook_in = memory_file("state");
    int error = init->hook_in < 0 ? init->hook_in : write_all(init->hook_in, init->state, init->state_size);
    if (error || (init->hook_out >= 0 && init->hook_err >= 0))
        return error;
    init->hook_said = memory_file("output");
    if (init->hook_out < 0)
        init->hook_out = init->hook_said;
    if (init->hook_err < 0)
        init->hook_err = init->hook_said;
    return init->hook_said < 0 ? init->hook_said : 0;
}

static __attribute__((noreturn)) void run_child(struct init *init, const struct plan_op *op)
{
    const char **argv = text_vector(op_text(init, op, 1), op->n[0]);
    const char **envp = text_vector(op_text(init, op, 2), op->n[1]);
    int error = argv && envp ? 0 : -E_NOMEM;
    if (envp && op->n[3] & HOOK_HOME && init->home[0])
        envp[op->n[1]] = init->home;
    if (op->n[3] & HOOK_CLOSE_PRESERVED)
        SYS3(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC);
    if (!error && op->n[3] & HOOK_IN_ROOT) {
        SYS1(SYS_umask, init->umask);
        error = (int)SYS1(SYS_fchdir, init->root_fd);
    }
    SYS3(SYS_dup3, init->hook_in, 0, 0);
    SYS3(SYS_dup3, init->hook_out, 1, 0);
    SYS3(SYS_dup3, init->hook_err, 2, 0);
    if (!error)
        error = (int)SYS3(SYS_execve, op_text(init, op, 0), argv, envp);
    char text[32] = "cannot execute: errno ";
    text_append_number(text, sizeof text, -error);
    sys_write(2, text, text_length(text));
    SYS1(SYS_exit_group, 127);
    __builtin_unreachable();
}

static int failed(struct init *init, const char *call, long error)
{
    text_append(init->detail, sizeof init->detail, call);
    return (int)error;
}

/* ppoll(2) itself counts down the time that is left. */
static int wait_in_time(struct init *init, int process, int64_t seconds)
{
    struct __kernel_timespec left = {seconds, 0};
    struct pollfd polled = {process, POLLIN, 0};
    long ready;
    do
        ready = SYS5(SYS_ppoll, &polled, 1, &left, 0, 0);
    while (ready == -E_INTR);
    return ready > 0 ? 0 : ready ? failed(init, "ppoll", ready) : -E_TIMEDOUT;
}

/* What the hook wrote since the file was `start` bytes long, for the report of its failure. */
static void keep_output(struct init *init, long start)
{
    char text[256] = "";
    if (init->hook_said >= 0 && start >= 0 && SYS4(SYS_pread64, init->hook_said, text, sizeof text - 1, start) > 0)
        text_append(init->detail, sizeof init->detail, text);
}

static int reap(struct init *init, long pid, long start)
{
    int status = 0;
    long ended;
    while ((ended = SYS4(SYS_wait4, pid, &status, 0, 0)) == -E_INTR)
        ;
    if (ended < 0)
        return failed(init, "wait4", ended);
    if (!status)
        return 0;
    keep_output(init, start);
    int signal = status & 0x7f;
    text_append(init->detail, sizeof init->detail, signal ? " (killed by signal " : " (exit status ");
    text_append_number(init->detail, sizeof init->detail, signal ? signal : status >> 8 & 0xff);
    text_append(init->detail, sizeof init->detail, ")");
    return -E_PROTO;
}

int op_hook(struct init *init, const struct plan_op *op)
{
    int process = NO_FD;
    long start = init->hook_said < 0 ? NO_FD : SYS3(SYS_lseek, init->hook_said, 0, SEEK_CURRENT);
    long rewound = SYS3(SYS_lseek, init->hook_in, 0, SEEK_START);
    if (rewound)
        return failed(init, "lseek", rewound);
    long pid = SYS5(SYS_clone, (op->n[2] ? CLONE_PIDFD : 0) | /* SIGCHLD */ 17, 0, &process, 0, 0);
    if (!pid)
        run_child(init, op);
    if (pid < 0)
        return failed(init, "clone", pid);
    int error = op->n[2] ? wait_in_time(init, process, op->n[2]) : 0;
    if (process >= 0)
        sys_close(process);
    if (!error)
        return reap(init, pid, start);
    /* a set-user-ID program may be out of reach; it ends with its container */
    if (!SYS2(SYS_kill, pid, /* SIGKILL */ 9))
        SYS4(SYS_wait4, pid, 0, 0, 0);
    return error;
}

/* What the process writes to the files of the hooks, if its standard streams are the same ones, comes after theirs. */
int op_hooks_ran(struct init *init, const struct plan_op *op)
{
    struct report report = {.kind = REPORT_HOOKS_RAN};
    if (init->hook_said != init->hook_out || init->hook_said != init->hook_err)
        SYS3(SYS_lseek, 1, 0, SEEK_LAST), SYS3(SYS_lseek, 2, 0, SEEK_LAST);
    (void)op;
    return report_send(init, &report, NO_FD);
}
