/* The birth of a process in namespaces that exist: exec, and a container that joins some.
 *
 *     init REPORT PLAN PROGRAM FLAGS BECOME_ROOT TASKS...
 *
 * The runtime's child has joined the namespaces and executes this program, still seen by nobody in there. Only this
 * program, from its memfd, clones the process that they see: a copy of the runtime would lead them, by its
 * /proc/PID/exe, to a file of the host, for as long as it waits for cgroups and id mappings (CVE-2019-5736). */
#include "init.h"

#include <linux/prctl.h>
#include <linux/sched.h>

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

static long enter_cgroups(char **tasks)
{
    long error = 0;
    for (; *tasks; tasks++) {
        int fd = number(*tasks);
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

/* The new process: become_init() of shim.c, in C that has no library. */
static int become_init(int report_fd, int program, int become_root, char **tasks, char **argv)
{
    sys_prctl(PR_SET_PDEATHSIG, /* SIGKILL */ 9, 0);
    long denied = enter_cgroups(tasks);
    if (!runtime_says_go(report_fd))
        return 1;
    if (denied && (say(report_fd, REPORT_SHIM, (int)-denied, STEP_CGROUP) || !runtime_says_go(report_fd)))
        return 1;
    if (become_root) {
        long error = SYS3(SYS_setresgid, 0, 0, 0);
        if (!error)
            error = SYS3(SYS_setresuid, 0, 0, 0);
        if (error)
            return failed(report_fd, STEP_ROOT_USER, error);
        sys_prctl(PR_SET_PDEATHSIG, /* SIGKILL */ 9, 0);
    }
    char *init_argv[] = {argv[0], argv[1], argv[2], NULL}, *envp[] = {NULL};
    SYS3(SYS_close_range, program, program, CLOSE_RANGE_CLOEXEC);
    return failed(report_fd, STEP_EXEC_INIT, SYS5(SYS_execveat, program, "", init_argv, envp, AT_EMPTY_PATH));
}

int birth(char **argv)
{
    int report_fd = number(argv[1]), program = number(argv[3]), become_root = number(argv[5]);
    struct clone_args args = {.flags = (uint64_t)number(argv[4]) | CLONE_PARENT};
    sys_prctl(PR_SET_DUMPABLE, 0, 0);
    sys_prctl(PR_SET_PDEATHSIG, /* SIGKILL */ 9, 0);
    long pid = SYS2(SYS_clone3, &args, sizeof args);
    if (pid < 0)
        return failed(report_fd, STEP_CLONE, pid);
    if (!pid)
        return become_init(report_fd, program, become_root, argv + 6, argv);
    return say(report_fd, REPORT_PID, (int)pid, 0);
}
