/* What the process is to have when it starts: identity, privileges, labels, scheduling; and its start. */
#include "init.h"

#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/seccomp.h>

#define IOPRIO_WHO_PROCESS 1
/* keyctl_setperm(3): whoever has the same uid must know the name to join, so he may neither see nor link it */
#define POSSESSOR_ALL_USER_SEARCH 0x3f080000

struct scheduler { /* sched_setattr(2) */
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

int op_new_session(struct init *init, const struct plan_op *op)
{
    (void)init, (void)op;
    long session = SYS0(SYS_setsid);
    return session < 0 ? (int)session : 0;
}

/* A keyring of its own, so that the host's keys are not the container's: session-keyring(7) */
int op_session_keyring(struct init *init, const struct plan_op *op)
{
    int error = op->s[1] ? write_procfs(init, "thread-self/attr/", "keycreate", op_text(init, op, 1)) : 0;
    if (error && error != -E_NOENT) {
        text_append(init->detail, sizeof init->detail, "the label"); /* not the keyring is what fails */
        return error;
    }
    long keyring = SYS2(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, op_text(init, op, 0));
    if (keyring < 0)
        return keyring == -E_NOSYS ? 0 : (int)keyring;
    return (int)SYS3(SYS_keyctl, KEYCTL_SETPERM, keyring, POSSESSOR_ALL_USER_SEARCH);
}

int op_lsm_label(struct init *init, const struct plan_op *op)
{
    int error = write_procfs(init, "thread-self/attr/", op_text(init, op, 0), op_text(init, op, 1));
    if (error == -E_NOENT && text_equal(op_text(init, op, 0), "apparmor/exec"))
        error = write_procfs(init, "thread-self/attr/", "exec", op_text(init, op, 1));
    return error;
}

int op_scheduler(struct init *init, const struct plan_op *op)
{
    struct scheduler scheduler = {.size = sizeof scheduler,
                                  .policy = (uint32_t)op->n[0],
                                  .flags = (uint64_t)op->n[1],
                                  .nice = (int32_t)op->n[2],
                                  .priority = (uint32_t)op->n[3],
                                  .runtime = (uint64_t)op->n[4],
                                  .deadline = (uint64_t)op->n[5],
                                  .period = (uint64_t)op->n[6]};
    (void)init;
    return (int)SYS3(SYS_sched_setattr, 0, &scheduler, 0);
}

int op_io_priority(struct init *init, const struct plan_op *op)
{
    (void)init;
    return (int)SYS3(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, op->n[0]);
}

int op_personality(struct init *init, const struct plan_op *op)
{
    (void)init;
    long old = SYS1(SYS_personality, op->n[0]);
    return old < 0 ? (int)old : 0;
}

int op_memory_policy(struct init *init, const struct plan_op *op)
{
    return (int)SYS3(SYS_set_mempolicy, op->n[0], op->s[0] ? op_text(init, op, 0) : 0, op->n[1]);
}

int op_cpu_affinity(struct init *init, const struct plan_op *op)
{
    return (int)SYS3(SYS_sched_setaffinity, 0, op->n[0], op_text(init, op, 0));
}

static int executable(struct init *init, const char *path)
{
    struct statx st;
    int error = sys_statx(AT_FDCWD, path, 0, &st);
    if (error)
        return error;
    if ((st.stx_mode & MODE_TYPE) == MODE_DIRECTORY)
        return -E_ISDIR;
    if (st.stx_mode & 0111)
        return 0;
    if (!init->detail[0]) {
        text_append(init->detail, sizeof init->detail, path);
        text_append(init->detail, sizeof init->detail, " has no x bit");
    }
    return -E_ACCES;
}

/* A program that is named by its path. */
static int executable_by_path(struct init *init)
{
    char target[256] = "";
    int error = executable(init, init->executable);
    if (error == -E_NOENT && sys_readlinkat(AT_FDCWD, init->executable, target, sizeof target - 1) > 0) {
        text_append(init->detail, sizeof init->detail, "it is a link to ");
        text_append(init->detail, sizeof init->detail, target);
    }
    return error;
}

/* execvp(3)'s search, done before the process is told to start, so that `create` can say what is missing. */
int op_find_executable(struct init *init, const struct plan_op *op)
{
    const char *name = op_text(init, op, 0), *path = op_text(init, op, 1);
    int error = -E_NOENT, found = -E_NOENT;
    for (const char *slash = name; *slash; slash++)
        if (*slash == '/')
            path = 0;
    if (!path) {
        init->executable[0] = 0;
        if (*name != '/' && (!text_append(init->executable, PATH_SIZE, op_text(init, op, 2)) ||
                             !text_append(init->executable, PATH_SIZE, "/")))
            return -E_NAMETOOLONG;
        if (!text_append(init->executable, PATH_SIZE, name))
            return -E_NAMETOOLONG;
        return executable_by_path(init);
    }
    for (int more = *path != 0; found && more;) {
        size_t n = 0;
        init->executable[0] = 0;
        if (*path != '/') { /* relative to the working directory; so is an empty element */
            text_append(init->executable, PATH_SIZE, op_text(init, op, 2));
            text_append(init->executable, PATH_SIZE, "/");
            n = text_length(init->executable);
        }
        for (; *path && *path != ':'; path++)
            if (n + 1 < PATH_SIZE)
                init->executable[n++] = *path;
        init->executable[n] = 0;
        more = *path == ':';
        path += more;
        if (text_append(init->executable, PATH_SIZE, "/") && text_append(init->executable, PATH_SIZE, name))
            found = executable(init, init->executable);
        if (found == -E_ACCES)
            error = found;
    }
    if (!found)
        init->detail[0] = 0; /* what was found before it */
    return found ? error : 0;
}

/* Only of a capability that is newer than these headers "invalid" means that the kernel does not know it; any other
 * error may hide one that is held. */
int op_bounding_set(struct init *init, const struct plan_op *op)
{
    (void)init;
    for (unsigned long cap = 0; cap < 64; cap++) {
        int held = sys_prctl(PR_CAPBSET_READ, cap, 0);
        if (held == -E_INVAL && cap > CAP_CHECKPOINT_RESTORE)
            break;
        if (held < 0)
            return held;
        if (held && !((uint64_t)op->n[0] >> cap & 1)) {
            int error = sys_prctl(PR_CAPBSET_DROP, cap, 0);
            if (error)
                return error;
        }
    }
    return 0;
}

/* A stream that is the host's null device becomes the container's, which the process may open again. */
static void replace_null_device(struct init *init, int stream)
{
    int device = open_in_root(init, "/dev/null", O_PATH, RESOLVE_NO_SYMLINKS);
    int fd = device >= 0 && is_device(device, MODE_CHARACTER, 1, 3) ? reopen(init, device, O_RDWR) : NO_FD;
    if (device >= 0)
        sys_close(device);
    if (fd >= 0)
        SYS3(SYS_dup3, fd, stream, 0), sys_close(fd);
}

/* The process must be able to open its standard streams again by /dev/stdin. What does not let its owner be changed is
 * as good as it gets. */
static void own_streams(struct init *init, uint32_t uid)
{
    for (int fd = 0; fd < 3; fd++) {
        struct statx st;
        if (is_device(fd, MODE_CHARACTER, 1, 3))
            replace_null_device(init, fd);
        else if (!sys_statx(fd, "", AT_EMPTY_PATH, &st) && st.stx_uid != uid)
            sys_fchownat(fd, "", uid, (uint32_t)-1, AT_EMPTY_PATH);
    }
}

/* user_namespaces(7): whoever mapped the group ids without privileges has given setgroups(2) up for good. */
static int groups_are_denied(struct init *init)
{
    char text[8] = "";
    int proc = open_procfs(init);
    int fd = proc < 0 ? proc : sys_openat(proc, "self/setgroups", O_RDONLY, 0);
    if (fd < 0)
        return 0;
    long size = sys_read(fd, text, 4);
    sys_close(fd);
    return size == 4 && text_equal(text, "deny");
}

/* All that needs more than a change of ids and sets and an execve: without noNewPrivileges the filter comes next, and
 * the process's profile need not allow what only init wants. */
int op_inherited(struct init *init, const struct plan_op *op)
{
    own_streams(init, (uint32_t)op->n[0]);
    SYS1(SYS_umask, op->n[1] >= 0 ? op->n[1] : 022);
    init->groups_denied = groups_are_denied(init);
    if (op->n[3] >= 0)
        home_variable(init, (uint32_t)op->n[3], init->home, sizeof init->home);
    /* not even an executable named /proc/self/fd/N may lead to these */
    sys_close(init->root_fd);
    sys_close(init->procfs_fd);
    init->root_fd = init->procfs_fd = NO_FD;
    int error = (int)SYS3(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC);
    const uint32_t *preserved = (const uint32_t *)(init->plan + op->s[0]);
    for (int64_t i = 0; i < op->n[2] && !error; i++)
        error = (int)SYS3(SYS_fcntl, preserved[i], F_SETFD, 0);
    return error;
}

int op_open_files(struct init *init, const struct plan_op *op)
{
    (void)init;
    return (int)SYS4(SYS_prlimit64, 0, RLIMIT_NOFILE, op->n, 0);
}

int op_user(struct init *init, const struct plan_op *op)
{
    int error = sys_prctl(PR_SET_KEEPCAPS, 1, 0);
    if (!error && !op->n[3])
        error = (int)SYS2(SYS_setgroups, op->n[2], op->n[2] ? init->plan + op->s[0] : 0);
    if (error == -E_PERM && !op->n[2] && init->groups_denied)
        error = 0;
    if (!error)
        error = (int)SYS3(SYS_setresgid, op->n[1], op->n[1], op->n[1]);
    if (!error)
        error = (int)SYS3(SYS_setresuid, op->n[0], op->n[0], op->n[0]);
    if (!error)
        error = sys_prctl(PR_SET_KEEPCAPS, 0, 0);
    /* the change of ids made it what fs.suid_dumpable says: proc_sys_fs(5) */
    return error ? error : sys_prctl(PR_SET_DUMPABLE, 0, 0);
}

int op_capabilities(struct init *init, const struct plan_op *op)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    for (int i = 0; i < 2; i++) {
        data[i].effective = (uint32_t)((uint64_t)op->n[0] >> 32 * i);
        data[i].permitted = (uint32_t)((uint64_t)op->n[1] >> 32 * i);
        data[i].inheritable = (uint32_t)((uint64_t)op->n[2] >> 32 * i);
    }
    (void)init;
    int error = (int)SYS2(SYS_capset, &header, data);
    if (!error)
        error = sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0);
    for (unsigned long cap = 0; cap < 64 && !error; cap++)
        if ((uint64_t)op->n[3] >> cap & 1)
            error = sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap);
    return error;
}

int op_no_new_privileges(struct init *init, const struct plan_op *op)
{
    (void)init, (void)op;
    return sys_prctl(PR_SET_NO_NEW_PRIVS, 1, 0);
}

/* The runtime takes the listener with pidfd_getfd(2), hands it to the agent, and answers. An ordinary user's needs init
 * to be open to the owner of its user namespace for that; by now it has nothing any more that the process will not have,
 * but for the socket. */
int op_seccomp(struct init *init, const struct plan_op *op)
{
    struct {
        unsigned short count;
        const void *filter;
    } program = {(unsigned short)(op->n[0] / 8), init->plan + op->s[0]};
    struct report report = {.kind = REPORT_LISTENER, .op = init->start[1] < 0 ? 0 : (uint32_t)init->start[1]};
    if (op->n[2] == LISTENER_OF_A_USER)
        sys_prctl(PR_SET_DUMPABLE, 1, 0);
    int result = (int)SYS3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, op->n[1], &program);
    init->filtered = result >= 0;
    if (result < 0 || !op->n[2])
        return result;
    report.value = result;
    int error = report_send(init, &report, NO_FD);
    if (!error)
        error = receive_word(init);
    sys_close(result);
    return error;
}

/* CVE-2024-21626: a working directory reached through a leaked descriptor lies outside the root, and the kernel tells
 * by giving a path that does not begin with a slash. */
static int directory_lies_in_root(struct init *init)
{
    char path[PATH_SIZE];
    long size = SYS2(SYS_getcwd, path, sizeof path);
    if (size < 0 || path[0] != '/') {
        text_append(init->detail, sizeof init->detail, "the working directory lies outside the container's root");
        return size < 0 ? (int)size : -E_NOENT;
    }
    return 0;
}

static int is_directory(const char *path)
{
    struct statx st;
    int error = sys_statx(AT_FDCWD, path, 0, &st);
    if (error)
        return error;
    return (st.stx_mode & MODE_TYPE) == MODE_DIRECTORY ? 0 : -E_NOTDIR;
}

/* Tried as root and, where root may not (NFS, FUSE), again as the user. */
int op_working_directory(struct init *init, const struct plan_op *op)
{
    if (init->in_directory)
        return 0;
    const char *path = op_text(init, op, 0);
    int error = op->n[0] == 2 ? is_directory(path) : (int)SYS1(SYS_chdir, path);
    if (error)
        return error == -E_ACCES && op->n[0] ? 0 : error;
    if (op->n[0] == 2)
        return 0;
    init->in_directory = 1;
    return directory_lies_in_root(init);
}

int op_exec(struct init *init, const struct plan_op *op)
{
    const char **argv = text_vector(op_text(init, op, 1), op->n[0]);
    const char **envp = text_vector(op_text(init, op, 2), op->n[1]);
    if (!argv || !envp)
        return -E_NOMEM;
    if (init->home[0])
        envp[op->n[1]] = init->home;
    int error = (int)SYS3(SYS_execve, init->executable, argv, envp);
    if (init->filtered) {
        struct report report = {.kind = REPORT_NOT_EXECUTED, .value = -error, .op = init->op};
        report_send(init, &report, NO_FD);
    }
    explain_execution(init, error);
    return error;
}
