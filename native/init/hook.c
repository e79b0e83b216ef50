/* createContainer and startContainer hooks: programs run in the container's namespaces, with the container's state on
 * their standard input (runtime-spec, config.md, POSIX-platform Hooks). */
#include "init.h"

#include <linux/mman.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/time_types.h>
#include <linux/wait.h>

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

struct pipes {
    int in[2];  /* the state */
    int out[2]; /* what the hook has to say */
};

static int open_pipes(struct pipes *pipes)
{
    int error = (int)SYS2(SYS_pipe2, pipes->in, O_CLOEXEC);
    if (!error && (error = (int)SYS2(SYS_pipe2, pipes->out, O_CLOEXEC)))
        sys_close(pipes->in[0]), sys_close(pipes->in[1]);
    return error;
}

static __attribute__((noreturn)) void run_child(struct init *init, const struct plan_op *op, const struct pipes *pipes)
{
    const char **argv = text_vector(op_text(init, op, 1), op->n[0]);
    const char **envp = text_vector(op_text(init, op, 2), op->n[1]);
    SYS1(SYS_umask, op->n[3] >= 0 ? op->n[3] : init->umask);
    SYS3(SYS_dup3, pipes->in[0], 0, 0);
    SYS3(SYS_dup3, pipes->out[1], 1, 0);
    SYS3(SYS_dup3, pipes->out[1], 2, 0);
    int error = argv && envp ? (int)SYS3(SYS_execve, op_text(init, op, 0), argv, envp) : -1;
    char text[32] = "cannot execute: errno ";
    text_append_number(text, sizeof text, -error);
    sys_write(2, text, text_length(text));
    SYS1(SYS_exit_group, 127);
    __builtin_unreachable();
}

static int64_t now_ms(void)
{
    struct __kernel_timespec now = {0, 0};
    SYS2(SYS_clock_gettime, /* CLOCK_MONOTONIC */ 1, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int wait_with(struct pollfd *polled, int count, int64_t deadline)
{
    struct __kernel_timespec left = {0, 0};
    int64_t ms = deadline - now_ms();
    if (deadline && ms <= 0)
        return -E_TIMEDOUT;
    left.tv_sec = ms / 1000, left.tv_nsec = ms % 1000 * 1000000;
    long ready = SYS5(SYS_ppoll, polled, count, deadline ? &left : 0, 0, 0);
    return ready == 0 ? -E_TIMEDOUT : ready == -E_INTR ? 0 : ready < 0 ? (int)ready : 0;
}

static void keep_output(struct init *init, int fd)
{
    char text[256] = "", rest[512];
    if (sys_read(fd, text, sizeof text - 1) > 0)
        text_append(init->detail, sizeof init->detail, text);
    while (sys_read(fd, rest, sizeof rest) > 0)
        ;
}

/* Feeds the state to the hook and waits for its end; `process` is its pidfd. */
static int converse(struct init *init, struct pipes *pipes, int process, int64_t deadline)
{
    uint32_t sent = 0;
    for (;;) {
        struct pollfd polled[3] = {{process, POLLIN, 0}, {pipes->out[0], POLLIN, 0}, {pipes->in[1], POLLOUT, 0}};
        if (pipes->in[1] >= 0 && sent >= init->state_size)
            sys_close(pipes->in[1]), polled[2].fd = pipes->in[1] = NO_FD;
        int error = wait_with(polled, 3, deadline);
        if (error)
            return error;
        if (polled[1].revents & POLLIN)
            keep_output(init, pipes->out[0]);
        if (polled[0].revents)
            return 0;
        if (polled[2].revents) {
            long put = sys_write(pipes->in[1], init->state + sent, init->state_size - sent);
            sent = put > 0 ? sent + (uint32_t)put : put == -E_AGAIN ? sent : init->state_size;
        }
    }
}

static int reap(struct init *init, long pid)
{
    int status = 0;
    while (SYS4(SYS_wait4, pid, &status, 0, 0) == -E_INTR)
        ;
    if (!status)
        return 0;
    int signal = status & 0x7f;
    text_append(init->detail, sizeof init->detail, signal ? " (killed by signal " : " (exit status ");
    text_append_number(init->detail, sizeof init->detail, signal ? signal : status >> 8 & 0xff);
    text_append(init->detail, sizeof init->detail, ")");
    return -E_PROTO;
}

int op_hook(struct init *init, const struct plan_op *op)
{
    struct pipes pipes;
    int error = open_pipes(&pipes);
    if (error)
        return error;
    long pid = SYS5(SYS_clone, /* SIGCHLD */ 17, 0, 0, 0, 0);
    if (!pid)
        run_child(init, op, &pipes);
    /* The reading end of the state stays open: a hook that does not read must not be the end of init by SIGPIPE. */
    sys_close(pipes.out[1]);
    SYS3(SYS_fcntl, pipes.in[1], F_SETFL, O_NONBLOCK);
    SYS3(SYS_fcntl, pipes.out[0], F_SETFL, O_NONBLOCK);
    error = pid < 0 ? (int)pid : 0;
    int process = error ? NO_FD : (int)SYS2(SYS_pidfd_open, pid, 0);
    if (!error)
        error = process < 0 ? process : converse(init, &pipes, process, op->n[2] ? now_ms() + op->n[2] * 1000 : 0);
    if (pid > 0 && error)
        SYS2(SYS_kill, pid, /* SIGKILL */ 9), SYS4(SYS_wait4, pid, 0, 0, 0);
    else if (pid > 0)
        error = reap(init, pid);
    keep_output(init, pipes.out[0]);
    sys_close(pipes.out[0]);
    sys_close(pipes.in[0]);
    if (pipes.in[1] >= 0)
        sys_close(pipes.in[1]);
    if (process >= 0)
        sys_close(process);
    if (!error)
        init->detail[0] = 0;
    return error;
}
