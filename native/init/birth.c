/* The birth of a process in namespaces that exist: exec, and a container that joins some.
 *
 *     init REPORT PLAN PROGRAM FLAGS BECOME_ROOT AGAIN OFFSETS JOINS (NAMESPACE TYPE)... TASKS TASK... [TEXT]
 *
 * The runtime's child executes this program, still seen by nobody in there, and joins the namespaces. Only this
 * program, from its memfd, clones the process that they see: a copy of the runtime would lead them, by its
 * /proc/PID/exe, to a file of the host, for as long as it waits for cgroups and id mappings (CVE-2019-5736).
 *
 * TEXT are the offsets of a new time namespace, which go to OFFSETS, a file that the child has opened. With AGAIN the
 * process executes PROGRAM again: its memory then belongs to the user namespace, and so may who owns that look into it,
 * an ordinary user's runtime and hooks. */
#include "init.h"

#include <linux/prctl.h>
#include <linux/sched.h>

enum { REPORT = 1, PLAN, PROGRAM, FLAGS, BECOME_ROOT, AGAIN, OFFSETS, JOINS, FIRST_JOIN };

#define JOINS_AT_MOST 32

static int say(int report_fd, uint32_t kind, int value, uint32_t step)
{
    struct report report = {.kind = kind, .value = value, .op = step};
    return sys_write(report_fd, &report, sizeof report) < 0;
}

static int failed(int report_fd, uint32_t step, long error)
{
    say(report_fd, REPORT_SHIM, (int)-error, step);
    return 1;
}

static int join(char **pair)
{
    return (int)SYS2(SYS_setns, number(pair[0]), number(pair[1]));
}

/* Joins what the host's privileges allow before entering a user namespace, and the rest from within it. */
static int join_namespaces(char **pairs, int count)
{
    int late[JOINS_AT_MOST];
    if (count > JOINS_AT_MOST)
        return -E_INVAL;
    for (int i = 0; i < count; i++) {
        late[i] = number(pairs[2 * i + 1]) == CLONE_NEWUSER;
        int error = late[i] ? 0 : join(pairs + 2 * i);
        if (error && error != -E_PERM)
            return error;
        late[i] |= error != 0;
    }
    for (int others = 0; others < 2; others++)
        for (int i = 0; i < count; i++)
            if (late[i] && (number(pairs[2 * i + 1]) != CLONE_NEWUSER) == others) {
                int error = join(pairs + 2 * i);
                if (error)
                    return error;
            }
    for (int i = 0; i < count; i++)
        sys_close(number(pairs[2 * i]));
    return 0;
}

/* For the process that is cloned next, which enters it: clone3(2) with CLONE_NEWTIME would enter one that has no
 * offsets yet, and an entered one takes none (time_namespaces(7)). */
static int make_time_namespace(int offsets, const char *text)
{
    long size = (long)text_length(text);
    long error = SYS1(SYS_unshare, CLONE_NEWTIME);
    if (!error && size && (error = sys_write(offsets, text, (size_t)size)) == size)
        error = 0;
    sys_close(offsets);
    return (int)error;
}

static long enter_cgroups(char **tasks, int count)
{
    long error = 0;
    for (int i = 0; i < count; i++) {
        int fd = number(tasks[i]);
        if (!error) {
            long entered = sys_write(fd, "0", 1);
            error = entered == 1 ? 0 : entered;
        }
        sys_close(fd);
    }
    return error;
}

static int runtime_says_go(int report_fd)
{
    char go;
    return sys_read(report_fd, &go, 1) == 1;
}

/* Other ids, and a user namespace, take away what prctl(2) has set; with the sysctl fs.suid_dumpable=1 not to be
 * dumpable is among it. */
static void hide(void)
{
    sys_prctl(PR_SET_DUMPABLE, 0, 0);
    sys_prctl(PR_SET_PDEATHSIG, /* SIGKILL */ 9, 0);
}

static int become_root(void)
{
    int error = (int)SYS3(SYS_setresgid, 0, 0, 0);
    if (!error)
        error = (int)SYS3(SYS_setresuid, 0, 0, 0);
    hide();
    return error;
}

/* Of a namespace that is joined the ids are known, so it is done by who is not seen in there yet. */
static int is_mapped_late(char **argv)
{
    return (number(argv[FLAGS]) & CLONE_NEWUSER) != 0;
}

/* The new process: become_init() of shim.c, in C that has no library. */
static int become_init(char **argv, char **tasks, int count)
{
    int report_fd = number(argv[REPORT]), program = number(argv[PROGRAM]);
    sys_prctl(PR_SET_PDEATHSIG, /* SIGKILL */ 9, 0);
    long denied = enter_cgroups(tasks, count);
    if (!runtime_says_go(report_fd))
        return 1;
    if (denied && (say(report_fd, REPORT_SHIM, (int)-denied, STEP_CGROUP) || !runtime_says_go(report_fd)))
        return 1;
    int error = number(argv[BECOME_ROOT]) && is_mapped_late(argv) ? become_root() : 0;
    if (error)
        return failed(report_fd, STEP_ROOT_USER, error);
    if (!number(argv[AGAIN])) {
        sys_close(program);
        return BORN;
    }
    char *init_argv[] = {argv[0], argv[REPORT], argv[PLAN], NULL}, *envp[] = {NULL};
    SYS3(SYS_close_range, program, program, CLOSE_RANGE_CLOEXEC);
    return failed(report_fd, STEP_EXEC_INIT, SYS5(SYS_execveat, program, "", init_argv, envp, AT_EMPTY_PATH));
}

/* BORN in the process that goes on as init; else the status that the caller ends with. */
int birth(char **argv)
{
    int report_fd = number(argv[REPORT]), offsets = number(argv[OFFSETS]), joins = number(argv[JOINS]);
    char **tasks = argv + FIRST_JOIN + 2 * joins + 1;
    int count = number(tasks[-1]);
    struct clone_args args = {.flags = (uint64_t)number(argv[FLAGS]) | CLONE_PARENT};
    hide();
    int error = join_namespaces(argv + FIRST_JOIN, joins);
    if (error)
        return failed(report_fd, STEP_JOIN, error);
    hide();
    if (number(argv[BECOME_ROOT]) && !is_mapped_late(argv) && (error = become_root()))
        return failed(report_fd, STEP_ROOT_USER, error);
    if (offsets && (error = make_time_namespace(offsets, tasks[count])))
        return failed(report_fd, STEP_TIME_NAMESPACE, error);
    long pid = SYS2(SYS_clone3, &args, sizeof args);
    if (pid < 0)
        return failed(report_fd, STEP_CLONE, pid);
    if (!pid)
        return become_init(argv, tasks, count);
    return say(report_fd, REPORT_PID, (int)pid, 0);
}
