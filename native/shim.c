/* System calls that Python does not offer, and the birth of the container's process.
 *
 * Between clone3(2) and execveat(2) the child runs what is below and nothing else: no Python runs in the container. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plan.h"
#include "shim.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

static int result(long value)
{
    return value < 0 ? -errno : (int)value;
}

/* --- the child ------------------------------------------------------------------------------------------------- */

static int child_say(const struct spawn *request, uint32_t step, int error)
{
    struct report report = {.kind = REPORT_SHIM, .value = error, .op = step};
    return send(request->report, &report, sizeof report, MSG_NOSIGNAL) < 0;
}

static __attribute__((noreturn)) void child_fail(const struct spawn *request, uint32_t step, int error)
{
    _exit(child_say(request, step, error) ? 2 : 1);
}

static long clone_child(const struct spawn *request, uint64_t flags, int *pidfd)
{
    struct clone_args args = {.flags = flags, .exit_signal = SIGCHLD};
    if (pidfd) {
        args.flags |= CLONE_PIDFD;
        args.pidfd = (uintptr_t)pidfd;
    }
    if (request->cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)request->cgroup;
    }
    return syscall(SYS_clone3, &args, sizeof args);
}

/* A thread that moves itself to a v1 cgroup need not wait for the RCU grace period that moving another one costs.
 * Returns 0, or the errno of the first that it cannot enter. */
static int enter_cgroups(const struct spawn *request)
{
    for (int i = 0; i < request->tasks_count; i++)
        if (write(request->tasks[i], "0", 1) != 1)
            return errno;
    return 0;
}

static void wait_for_go(const struct spawn *request)
{
    char go;
    if (read(request->report, &go, 1) != 1)
        _exit(1); /* the runtime is gone */
}

/* For init, which would miss it. */
static void keep(const struct spawn *request, int fd)
{
    if (fd >= 0 && fcntl(fd, F_SETFD, 0))
        child_fail(request, STEP_EXEC_INIT, errno);
}

enum {
    JOINS_AT_MOST = sizeof((struct spawn *)0)->join / sizeof(int) + 1,
    TASKS_AT_MOST = sizeof((struct spawn *)0)->tasks / sizeof(int),
    ARGUMENTS_AT_MOST = 16 + 2 * JOINS_AT_MOST + TASKS_AT_MOST,
};

/* init's arguments: numbers, the first two its socket and its plan, and a text. */
struct arguments {
    int count;
    int numbers[ARGUMENTS_AT_MOST];
    const char *last;
};

static void add(struct arguments *arguments, int number)
{
    arguments->numbers[arguments->count++] = number;
}

static __attribute__((noreturn)) void execute_init(const struct spawn *request, const struct arguments *arguments)
{
    char text[ARGUMENTS_AT_MOST][12], *argv[ARGUMENTS_AT_MOST + 3] = {"pyoci-init"}, *envp[] = {NULL};
    for (int i = 0; i < arguments->count; i++) {
        snprintf(text[i], sizeof *text, "%d", arguments->numbers[i]);
        argv[1 + i] = text[i];
    }
    argv[1 + arguments->count] = (char *)(uintptr_t)arguments->last;
    keep(request, request->report);
    keep(request, request->plan);
    for (int i = 0; i < request->keep_count; i++)
        keep(request, request->keep[i]);
    for (int i = 0; i < request->preserved_count; i++)
        fcntl(request->preserved[i], F_SETFD, 0); /* if it is open */
    syscall(SYS_execveat, request->init, "", argv, envp, AT_EMPTY_PATH);
    child_fail(request, STEP_EXEC_INIT, errno);
}

static void become_root(const struct spawn *request)
{
    if (syscall(SYS_setresgid, 0, 0, 0) || syscall(SYS_setresuid, 0, 0, 0))
        child_fail(request, STEP_ROOT_USER, errno);
    prctl(PR_SET_DUMPABLE, 0); /* other ids have taken away both; this one with the sysctl fs.suid_dumpable=1 */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* The file belongs to root of the user namespace whose the process's memory is, init's that of who may read its
 * program: proc(5). So it is opened early, and stays open. */
static int open_time_offsets(const struct spawn *request)
{
    struct statfs fs;
    if (!request->time_offsets)
        return -1;
    int fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && request->join_count) {
        /* An ordinary user's. The child has the very credentials of the runtime yet, which protect both. */
        prctl(PR_SET_DUMPABLE, 1);
        fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
        prctl(PR_SET_DUMPABLE, 0);
    }
    if (fd < 0 || fstatfs(fd, &fs))
        child_fail(request, STEP_TIME_NAMESPACE, errno);
    if (fs.f_type != PROC_SUPER_MAGIC)
        child_fail(request, STEP_TIME_NAMESPACE, EINVAL);
    return fd;
}

/* Makes the time namespace, for init to enter: clone3(2) would enter it at once, and an entered one takes no offsets
 * (time_namespaces(7)). That init does not write them itself lets it stay unreadable (CVE-2016-9962). */
static void make_time_namespace(const struct spawn *request, int offsets)
{
    if (offsets < 0)
        return;
    long size = (long)strlen(request->time_offsets);
    if (unshare(CLONE_NEWTIME) || (size && write(offsets, request->time_offsets, (size_t)size) != size))
        child_fail(request, STEP_TIME_NAMESPACE, errno);
    close(offsets);
}

/* Waits until cgroup and id mappings are in place, then becomes init. */
static __attribute__((noreturn)) void become_init(const struct spawn *request)
{
    struct arguments arguments = {.count = 2, .numbers = {request->report, request->plan}};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(request->runtime);
    int error = enter_cgroups(request);
    wait_for_go(request);
    if (error) {
        child_say(request, STEP_CGROUP, error);
        wait_for_go(request); /* the runtime places it there, or kills it */
    }
    make_time_namespace(request, open_time_offsets(request));
    if (request->become_root)
        become_root(request);
    execute_init(request, &arguments);
}

static void add_kept(const struct spawn *request, struct arguments *arguments, int fd)
{
    add(arguments, fd);
    keep(request, fd);
}

/* Becomes the program that joins namespaces and clones init there: birth.c. Its memory belongs to the user namespace
 * that it is executed in, and only who has privileges over that one may look into it, or into what it clones: so it is
 * executed before it joins any (CVE-2016-9962). */
static __attribute__((noreturn)) void join_and_clone(const struct spawn *request)
{
    struct arguments arguments = {.last = request->time_offsets};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int offsets = open_time_offsets(request);
    add(&arguments, request->report);
    add(&arguments, request->plan);
    add_kept(request, &arguments, request->init);
    add(&arguments, (int)request->flags);
    add(&arguments, request->become_root);
    add(&arguments, request->execute_again);
    add_kept(request, &arguments, offsets < 0 ? 0 : offsets);
    add(&arguments, (request->process >= 0) + request->join_count);
    if (request->process >= 0)
        add_kept(request, &arguments, request->process), add(&arguments, (int)request->process_flags);
    for (int i = 0; i < request->join_count; i++)
        add_kept(request, &arguments, request->join[i]), add(&arguments, request->join_type[i]);
    add(&arguments, request->tasks_count);
    for (int i = 0; i < request->tasks_count; i++)
        add_kept(request, &arguments, request->tasks[i]);
    execute_init(request, &arguments);
}

/* --- the runtime ------------------------------------------------------------------------------------------------ */

static int spawn_joined(const struct spawn *request, int *pidfd)
{
    struct report report = {0};
    /* Into the cgroup with the runtime's rights; having joined a user namespace it would lack them. */
    long first = clone_child(request, 0, NULL);
    if (!first)
        join_and_clone(request);
    if (first < 0)
        return -errno;
    /* The first child ends by itself, or is killed with the container that it has joined; then it has said nothing,
     * and since this end of the socket is still open here, waiting for its word would be for ever. */
    while (waitpid((pid_t)first, NULL, 0) < 0 && errno == EINTR)
        ;
    *pidfd = -STEP_JOIN;
    if (recv(request->runtime, &report, sizeof report, MSG_DONTWAIT) < 0)
        return errno == EAGAIN ? -ESRCH : -errno;
    if (report.kind != REPORT_PID) {
        *pidfd = -(int)report.op; /* which step */
        return report.kind == REPORT_SHIM ? -report.value : -EPROTO;
    }
    *pidfd = (int)syscall(SYS_pidfd_open, report.value, 0);
    return *pidfd < 0 ? -errno : report.value;
}

/* Starts init; returns its pid and puts a pidfd of it in `*pidfd`. It waits for one byte on its socket. On failure
 * `*pidfd` is minus the enum spawn_step that failed. */
int sys_spawn(const struct spawn *request, int *pidfd)
{
    /* The child is a copy of the runtime, with its descriptors and its root, until it executes init; a neighbour in a
     * pid namespace, or the root of a user namespace that it is in, must never look into it (CVE-2016-9962). It is
     * born so, since a child that saw to it itself would do it too late. */
    int dumpable = prctl(PR_GET_DUMPABLE);
    prctl(PR_SET_DUMPABLE, 0);
    /* What the engine forgot to close ends with init's execution (CVE-2024-21626); become_init() keeps what it needs. */
    sys_close_on_exec(3);
    *pidfd = -STEP_CLONE;
    int pid;
    if (request->process >= 0 || request->join_count) {
        pid = spawn_joined(request, pidfd);
    } else {
        pid = result(clone_child(request, request->flags, pidfd));
        if (!pid)
            become_init(request);
        if (pid < 0)
            *pidfd = -STEP_CLONE; /* the kernel writes a descriptor there before it looks at the cgroup */
    }
    prctl(PR_SET_DUMPABLE, dumpable);
    return pid;
}

/* One message of init. A descriptor that comes with it is put in `*descriptor`, else -1. 0: the other end is closed. */
int sys_receive(int socket, struct report *report, int *descriptor)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec vector = {.iov_base = report, .iov_len = sizeof *report};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    long got;
    *descriptor = -1;
    do
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && (errno == EINTR || errno == ECONNRESET)); /* it has not read all, but may have said something */
    struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header && header->cmsg_type == SCM_RIGHTS)
        memcpy(descriptor, CMSG_DATA(header), sizeof *descriptor);
    return result(got);
}

/* A pair of SOCK_SEQPACKET sockets: here and not from Python's module, whose import takes longer than all of this. */
int sys_socketpair(int *ends)
{
    return result(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
}

/* A SOCK_SEQPACKET socket that listens at `path`. */
int sys_listen(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (!bind(fd, (struct sockaddr *)&address, sizeof address) && !listen(fd, 8))
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

int sys_send_descriptor(int socket, const char *data, size_t size, int descriptor)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec vector = {.iov_base = (char *)(uintptr_t)data, .iov_len = size};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
    return result(sendmsg(socket, &message, MSG_NOSIGNAL));
}

static int seal(int fd, int executable)
{
    int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    if (executable && !fcntl(fd, F_ADD_SEALS, seals | F_SEAL_EXEC))
        return 0;
    return fcntl(fd, F_ADD_SEALS, seals);
}

static int write_all(int fd, const char *data, size_t size)
{
    while (size) {
        long put = write(fd, data, size);
        if (put < 0)
            return -1;
        data += put;
        size -= (size_t)put;
    }
    return 0;
}

static int close_failed(int fd)
{
    int error = errno;
    if (fd >= 0)
        close(fd);
    return -error;
}

/* A sealed file in memory that holds `data`; `mode` as in chmod(2), -1 for what memfd_create(2) gives. */
int sys_memfd(const char *name, const char *data, size_t size, int executable, int mode)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int fd = memfd_create(name, flags | (executable ? MFD_EXEC : MFD_NOEXEC_SEAL));
    if (fd < 0 && errno == EINVAL) /* a kernel before 6.3 */
        fd = memfd_create(name, flags);
    if (fd >= 0 && !write_all(fd, data, size) && (mode < 0 || !fchmod(fd, (mode_t)mode)) && !seal(fd, executable))
        return fd;
    return close_failed(fd);
}

static int write_file(int directory, const char *name, const char *data, size_t size, int mode)
{
    int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || write_all(fd, data, size) || fchmod(fd, (mode_t)mode))
        return close_failed(fd);
    return close(fd) ? -errno : 0;
}

/* A program that holds `data`, alone in a tmpfs that nobody can write to and that is mounted nowhere: opened with
 * O_PATH. Where a memfd is executed, it does the same with less. */
int sys_program_in_tmpfs(const char *name, const char *data, size_t size, int mode)
{
    int error = 0, program = -1, mount = -1;
    int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (fs < 0)
        return -errno;
    if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) ||
        (mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)) < 0)
        error = -errno;
    if (!error)
        error = write_file(mount, name, data, size, mode);
    if (!error && (syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "ro", NULL, 0) ||
                   syscall(SYS_fsconfig, fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) ||
                   (program = openat(mount, name, O_PATH | O_NOFOLLOW | O_CLOEXEC)) < 0))
        error = -errno;
    if (mount >= 0)
        close(mount);
    close(fs);
    return error ? error : program;
}

/* A tmpfs for device nodes that is mounted nowhere; `key` and `label` are its SELinux option, or "". */
int sys_device_directory(const char *key, const char *label)
{
    int error = 0, mount = -1;
    int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (fs < 0)
        return -errno;
    if ((*key && syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, label, 0)) ||
        syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) ||
        (mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)) < 0)
        error = -errno;
    close(fs);
    return error ? error : mount;
}

int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
    return result(syscall(SYS_openat2, dir, path, &how, sizeof how));
}

int sys_open_tree(int dir, const char *path, unsigned flags)
{
    return result(syscall(SYS_open_tree, dir, path, flags | OPEN_TREE_CLOEXEC));
}

int sys_umount(const char *path, int flags)
{
    return result(syscall(SYS_umount2, path, flags));
}

struct tree_of {
    int process;
    int root;
    const char *path;
    unsigned flags;
    int inside;
    int result;
};

/* Where no link leads out of the root that it is resolved in. */
static int open_tree_inside(int root, const char *path, unsigned flags)
{
    uint64_t follow = flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0;
    int source = sys_openat2(root, path, O_PATH | O_CLOEXEC | follow, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    if (source < 0)
        return source;
    int fd = sys_open_tree(source, "", (flags & ~(unsigned)AT_SYMLINK_NOFOLLOW) | AT_EMPTY_PATH);
    close(source);
    return fd;
}

/* Shares memory and descriptors with the runtime, but not its root. */
static int open_tree_of(void *argument)
{
    struct tree_of *wanted = argument;
    if (setns(wanted->process, CLONE_NEWNS) || (!wanted->inside && (fchdir(wanted->root) || chroot("."))))
        wanted->result = -errno;
    else if (wanted->inside)
        wanted->result = open_tree_inside(wanted->root, wanted->path, wanted->flags);
    else
        wanted->result = sys_open_tree(AT_FDCWD, wanted->path, wanted->flags);
    return 0;
}

/* open_tree(2) in the mount namespace of a process (a pidfd), with the runtime's own rights. `root`: what the process
 * has for "/"; with `inside` the container's root, which `path` must not leave. */
int sys_open_tree_of(int process, int root, const char *path, unsigned flags, int inside)
{
    static char stack[65536] __attribute__((aligned(16)));
    struct tree_of wanted = {
        .process = process, .root = root, .path = path, .flags = flags, .inside = inside, .result = -EAGAIN};
    int pid = clone(open_tree_of, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_FILES, &wanted);
    if (pid < 0)
        return -errno;
    while (waitpid(pid, NULL, __WCLONE) < 0 && errno == EINTR)
        ;
    return wanted.result;
}

int sys_mount_idmap(int mount, int recursive, int user_namespace)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)user_namespace};
    unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0u);
    return result(syscall(SYS_mount_setattr, mount, "", flags, &attr, sizeof attr));
}

int sys_pidfd_open(int pid)
{
    return result(syscall(SYS_pidfd_open, pid, 0));
}

int sys_pidfd_send_signal(int pidfd, int signal)
{
    return result(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}

int sys_pidfd_getfd(int pidfd, int descriptor)
{
    return result(syscall(SYS_pidfd_getfd, pidfd, descriptor, 0));
}

int sys_setns(int fd, int type)
{
    return result(setns(fd, type));
}

int sys_unshare(int flags)
{
    return result(unshare(flags));
}

/* From now on nobody but root of the host may look into this process, wherever it goes: PR_SET_DUMPABLE(2const) */
int sys_not_dumpable(void)
{
    return result(prctl(PR_SET_DUMPABLE, 0));
}

int sys_prlimit(int pid, int resource, uint64_t soft, uint64_t hard)
{
    struct rlimit64 limit = {.rlim_cur = soft, .rlim_max = hard};
    return result(syscall(SYS_prlimit64, pid, resource, &limit, NULL));
}

/* The soft and the hard limit of the runtime itself. */
int sys_getrlimit(int resource, uint64_t *limits)
{
    struct rlimit64 limit = {0, 0};
    int error = result(syscall(SYS_prlimit64, 0, resource, NULL, &limit));
    limits[0] = limit.rlim_cur, limits[1] = limit.rlim_max;
    return error;
}

int sys_subreaper(void)
{
    return result(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
}

int sys_close_on_exec(unsigned first)
{
    return result(syscall(SYS_close_range, first, ~0u, CLOSE_RANGE_CLOEXEC));
}

/* `mask`: bit N-1 for signal N */
int sys_signalfd(uint64_t mask)
{
    return result(syscall(SYS_signalfd4, -1, &mask, sizeof mask, SFD_CLOEXEC | SFD_NONBLOCK));
}

int sys_bpf(int command, void *attributes, unsigned size)
{
    return result(syscall(SYS_bpf, command, attributes, size));
}

/* The highest capability that the running kernel knows. */
int sys_capabilities_last(void)
{
    int last = 0;
    while (last < 63 && prctl(PR_CAPBSET_READ, last + 1, 0, 0, 0) >= 0)
        last++;
    return last;
}

/* What the runtime itself is permitted, as bits; capget(2) */
uint64_t sys_permitted_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
    if (syscall(SYS_capget, &header, data))
        return 0;
    return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

int sys_sched_setaffinity(int pid, const char *mask, size_t size)
{
    return result(syscall(SYS_sched_setaffinity, pid, size, mask));
}

/* statfs(2) f_type, or -errno */
long sys_filesystem_magic(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) ? -errno : (long)fs.f_type;
}
