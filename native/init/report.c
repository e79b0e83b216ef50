/* The conversation with the runtime: SOCK_SEQPACKET messages as plan.h describes them. */
#include "init.h"

#include <linux/mman.h>
#include <linux/prctl.h>
#include <linux/signal.h>

#define SOCKET_LEVEL 1 /* SOL_SOCKET; linux/socket.h does not give the structs of sendmsg(2) to user space */
#define SCM_RIGHTS 1
#define UNIX_DOMAIN 1 /* AF_UNIX */
#define SEQPACKET 5   /* SOCK_SEQPACKET */
#define MSG_NOSIGNAL 0x4000
#define MSG_CMSG_CLOEXEC 0x40000000

struct message_vector {
    const void *base;
    size_t size;
};
struct message {
    void *name;
    int name_size;
    struct message_vector *vector;
    size_t vector_size;
    void *control;
    size_t control_size;
    unsigned flags;
};
struct descriptor_control {
    size_t size;
    int level;
    int type;
    int fd;
    int pad;
};

int send_descriptor(int socket, const void *data, size_t size, int fd)
{
    struct descriptor_control control = {
        .size = offsetof(struct descriptor_control, pad), .level = SOCKET_LEVEL, .type = SCM_RIGHTS, .fd = fd};
    struct message_vector vector = {.base = data, .size = size};
    struct message message = {.vector = &vector, .vector_size = 1};
    if (fd >= 0)
        message.control = &control, message.control_size = sizeof control;
    long sent = SYS3(SYS_sendmsg, socket, &message, MSG_NOSIGNAL);
    return sent < 0 ? (int)sent : 0;
}

/* Without a descriptor by write(2) alone, the one call that a seccomp filter with a listener may not hold up. */
int report_send(const struct init *init, const struct report *report, int fd)
{
    if (fd >= 0)
        return send_descriptor(init->report_fd, report, sizeof *report, fd);
    long sent = sys_write(init->report_fd, report, sizeof *report);
    return sent < 0 ? (int)sent : 0;
}

/* The runtime's answer to REPORT_TREE; `*fd` stays as it is when no descriptor comes. */
int receive_descriptor(const struct init *init, int *fd)
{
    char byte;
    struct descriptor_control control = {0};
    struct message_vector vector = {.base = &byte, .size = 1};
    struct message message = {.vector = &vector, .vector_size = 1, .control = &control, .control_size = sizeof control};
    long got = SYS3(SYS_recvmsg, init->report_fd, &message, MSG_CMSG_CLOEXEC);
    if (got != 1)
        return got < 0 ? (int)got : -E_NOTCONN;
    if (message.control_size && control.type == SCM_RIGHTS)
        *fd = control.fd;
    return 0;
}

/* The runtime's answer: a length, and so many bytes of state. The end of the stream means that the runtime died. */
int receive_state(struct init *init)
{
    uint32_t size = 0, have = 0;
    long got = sys_read(init->report_fd, &size, sizeof size);
    if (got != sizeof size)
        return got < 0 ? (int)got : -E_NOTCONN;
    if (init->state)
        SYS2(SYS_munmap, init->state, init->state_size), init->state = 0, init->state_size = 0;
    if (!size)
        return 0;
    long memory = SYS6(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory < 0 && memory > -PATH_SIZE)
        return (int)memory;
    init->state = (const char *)memory;
    init->state_size = size;
    for (; have < size; have += (uint32_t)got) {
        got = sys_read(init->report_fd, (char *)memory + have, size - have);
        if (got <= 0)
            return got < 0 ? (int)got : -E_NOTCONN;
    }
    return 0;
}

int op_sync(struct init *init, const struct plan_op *op)
{
    struct report report = {.kind = REPORT_SYNC, .value = (int32_t)op->n[0], .op = init->op};
    /* From here on the end of the stream tells that the runtime died; once it has answered it may end as it likes. */
    if (op->n[0] == SYNC_READY)
        sys_prctl(PR_SET_PDEATHSIG, 0, 0);
    int error = report_send(init, &report, NO_FD);
    return error ? error : receive_state(init);
}

/* init of a pid namespace gets no signal that it does not catch, so one that is to end the container must be caught:
 * signal(7), pid_namespaces(7). runc ends with 2 then. execve(2) takes the handlers away, for hooks and process. */
static __attribute__((noreturn)) void end(int signal)
{
    (void)signal;
    SYS1(SYS_exit_group, 2);
    __builtin_unreachable();
}

static void catch_what_ends(void)
{
    static const int ends[] = {/* SIGHUP */ 1, /* SIGINT */ 2, /* SIGQUIT */ 3, /* SIGTERM */ 15};
    struct kernel_sigaction action = {.handler = end, .flags = SA_RESTORER, .restorer = end};
    if (SYS0(SYS_getpid) != 1)
        return;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        SYS4(SYS_rt_sigaction, ends[i], &action, 0, sizeof action.mask);
}

/* A filter with a listener is loaded by `create`, so it binds init while it waits. Then `start` takes one end of a pair
 * of sockets with pidfd_getfd(2), and init needs neither accept(2) nor recvmsg(2), which no profile need have. */
int op_start_channel(struct init *init, const struct plan_op *op)
{
    (void)op;
    catch_what_ends();
    return (int)SYS4(SYS_socketpair, UNIX_DOMAIN, SEQPACKET | O_CLOEXEC, 0, init->start);
}

/* An answer without a state, by read(2) alone. */
int receive_word(struct init *init)
{
    uint32_t word;
    long got;
    while ((got = sys_read(init->report_fd, &word, sizeof word)) == -E_INTR)
        ;
    return got == sizeof word ? 0 : got < 0 ? (int)got : -E_NOTCONN;
}

/* Sleeps in accept(2) until `start` connects. What connects and goes away without a word starts nothing. */
int op_wait_start(struct init *init, const struct plan_op *op)
{
    int listening = (int)op->n[0];
    if (listening < 0)
        return 0;
    sys_close(init->report_fd);
    init->report_fd = NO_FD;
    if (init->start[0] >= 0) {
        sys_close(listening);
        init->report_fd = init->start[0];
        return receive_word(init);
    }
    catch_what_ends();
    for (;;) {
        int fd = (int)SYS4(SYS_accept4, listening, 0, 0, O_CLOEXEC);
        if (fd == -E_INTR)
            continue;
        if (fd < 0)
            return fd;
        init->report_fd = fd;
        if (!receive_state(init))
            break;
        sys_close(fd);
    }
    sys_close(listening);
    return 0;
}
