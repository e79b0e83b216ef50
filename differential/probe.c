/*
 * What does a process of a container, or a hook, see? One line of JSON on standard output, or in a file.
 *
 *   probe exit STATUS        report, end with that status
 *   probe wait               report, then wait for a signal, say which, and end with 3
 *   probe hook FILE [WHAT]   read standard input, report into FILE, end with 0; WHAT: "fail" ends with 1
 *
 * The file /probe.paths, if there is one, has a path in each line: "? PATH" is looked at, "= PATH" is read.
 * A string that could not be had is a number, minus the errno.
 */
#define _GNU_SOURCE
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

extern char **environ;

static void status(void)
{
    static const char *const files[] = {"status",    "mountinfo", "cgroup",        "uid_map",        "gid_map",
                                        "setgroups", "loginuid",  "oom_score_adj", "timens_offsets", "attr/current"};
    static const char *const namespaces[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
    char path[64], link[64];

    key("proc");
    open_object();
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "/proc/self/%s", files[i]);
        key(files[i]);
        contents(path, 1 << 18);
    }
    close_object();
    key("namespaces");
    open_object();
    for (size_t i = 0; i < sizeof namespaces / sizeof namespaces[0]; i++) {
        snprintf(path, sizeof path, "/proc/self/ns/%s", namespaces[i]);
        ssize_t size = readlink(path, link, sizeof link - 1);
        key(namespaces[i]);
        size < 0 ? number(-errno) : string(link, (size_t)size);
    }
    close_object();
}

static void identity(void)
{
    uid_t uid[3] = {0};
    gid_t gid[3] = {0}, groups[256];
    mode_t mask = umask(0);
    int count = getgroups(256, groups);

    umask(mask);
    getresuid(&uid[0], &uid[1], &uid[2]);
    getresgid(&gid[0], &gid[1], &gid[2]);
    key("uids");
    open_list();
    for (int i = 0; i < 3; i++)
        number(uid[i]);
    close_list();
    key("gids");
    open_list();
    for (int i = 0; i < 3; i++)
        number(gid[i]);
    close_list();
    key("groups");
    open_list();
    for (int i = 0; i < count; i++)
        number(groups[i]);
    close_list();
    key("umask");
    number(mask);
    key("securebits");
    number(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
    key("no_new_privs");
    number(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    key("dumpable");
    number(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
    key("keepcaps");
    number(prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0));
    key("personality");
    number(personality(0xffffffff));
    key("leads_session");
    number(getsid(0) == getpid());
    key("leads_group");
    number(getpgrp() == getpid());
}

static void scheduling(void)
{
    struct sched_param parameters = {0};
    cpu_set_t cpus;
    int deathsig = 0, subreaper = 0;

    key("nice");
    number(getpriority(PRIO_PROCESS, 0));
    key("policy");
    number(sched_getscheduler(0));
    sched_getparam(0, &parameters);
    key("priority");
    number(parameters.sched_priority);
    key("ioprio");
    number(syscall(SYS_ioprio_get, 1, 0));
    key("cpus");
    number(sched_getaffinity(0, sizeof cpus, &cpus) < 0 ? -errno : CPU_COUNT(&cpus));
    key("timerslack");
    number(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0));
    prctl(PR_GET_PDEATHSIG, &deathsig, 0, 0, 0);
    key("pdeathsig");
    number(deathsig);
    prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0);
    key("subreaper");
    number(subreaper);
}

static void signals(void)
{
    sigset_t blocked;
    struct sigaction action;

    sigprocmask(SIG_BLOCK, NULL, &blocked);
    key("blocked");
    open_list();
    for (int i = 1; i <= 64; i++)
        if (sigismember(&blocked, i) == 1)
            number(i);
    close_list();
    key("ignored");
    open_list();
    for (int i = 1; i <= 64; i++)
        if (sigaction(i, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            number(i);
    close_list();
}

static void limits(void)
{
    struct rlimit limit;

    key("limits");
    open_list();
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        open_list();
        if (getrlimit((__rlimit_resource_t)i, &limit) == 0) {
            number((long long)limit.rlim_cur);
            number((long long)limit.rlim_max);
        }
        close_list();
    }
    close_list();
}

static void descriptors(void)
{
    char path[32], link[512];
    struct stat info;

    key("fds");
    open_list();
    for (int fd = 0; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags < 0 || fd == report_fd())
            continue;
        open_list();
        number(fd);
        number(flags);
        number(fstat(fd, &info) < 0 ? -errno : (long long)(info.st_mode & S_IFMT));
        number(fcntl(fd, F_GETFL) & ~O_LARGEFILE);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(path, link, sizeof link);
        size < 0 ? number(-errno) : string(link, (size_t)size);
        close_list();
    }
    close_list();
}

static void terminal(void)
{
    struct winsize size = {0};
    struct termios settings = {0};
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

    key("controlling_terminal");
    number(fd < 0 ? -errno : 1);
    if (fd >= 0)
        close(fd);
    key("terminal");
    open_list();
    for (int i = 0; i < 3; i++)
        number(isatty(i));
    if (isatty(0) && ioctl(0, TIOCGWINSZ, &size) == 0 && tcgetattr(0, &settings) == 0) {
        number(size.ws_row);
        number(size.ws_col);
        number(settings.c_iflag);
        number(settings.c_oflag);
        number(settings.c_lflag);
    }
    close_list();
}

/* type and mode, owner, group, device, where a link leads */
static void facts(const char *path, const struct stat *info)
{
    char link[512];

    open_list();
    number(info->st_mode);
    number(info->st_uid);
    number(info->st_gid);
    number(S_ISCHR(info->st_mode) || S_ISBLK(info->st_mode) ? (long long)info->st_rdev : 0);
    if (S_ISLNK(info->st_mode)) {
        ssize_t size = readlink(path, link, sizeof link);
        string(link, size < 0 ? 0 : (size_t)size);
    }
    close_list();
}

static int visit(const char *path, const struct stat *info, int type, struct FTW *where)
{
    struct statfs filesystem = {0};

    if (type == FTW_NS)
        return FTW_CONTINUE;
    key(path);
    facts(path, info);
    if (type != FTW_D)
        return FTW_CONTINUE;
    statfs(path, &filesystem);
    switch (filesystem.f_type) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
        return FTW_SKIP_SUBTREE;
    }
    return strcmp(path, "/bin") == 0 || where->level >= 6 ? FTW_SKIP_SUBTREE : FTW_CONTINUE;
}

/* as the probe's user, and whether the mount lets it */
static void look(const char *path)
{
    struct stat info;
    int fd;

    open_object();
    if (lstat(path, &info) < 0) {
        key("stat");
        number(-errno);
        close_object();
        return;
    }
    key("stat");
    facts(path, &info);
    key("writable");
    number(faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0 ? -errno : 1);
    fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    key("open");
    number(fd < 0 ? -errno : 1);
    if (fd >= 0 && S_ISDIR(info.st_mode)) {
        DIR *directory = fdopendir(fd);
        key("entries");
        open_list();
        for (struct dirent *entry; (entry = readdir(directory));)
            string(entry->d_name, strlen(entry->d_name));
        close_list();
        closedir(directory);
    } else if (fd >= 0) {
        close(fd);
    }
    close_object();
}

static void paths(void)
{
    char *line = NULL;
    size_t size = 0;
    FILE *file = fopen("/probe.paths", "re");

    key("paths");
    open_object();
    while (file && getline(&line, &size, file) > 3) {
        line[strcspn(line, "\n")] = 0;
        key(line + 2);
        if (line[0] == '?')
            look(line + 2);
        else
            contents(line + 2, 256);
    }
    free(line);
    if (file)
        fclose(file);
    close_object();
}

/* A device cgroup, its rules, a seccomp filter, missing capabilities: each answers with an errno of its own. */
static void attempts(void)
{
    static const struct {
        mode_t type;
        unsigned int major, minor;
    } devices[] = {{S_IFCHR, 1, 3}, {S_IFCHR, 1, 5}, {S_IFCHR, 1, 11}, {S_IFCHR, 10, 229},
                   {S_IFCHR, 5, 1}, {S_IFBLK, 7, 0}, {S_IFCHR, 0, 0}};
    static const struct {
        const char *name;
        long number, a, b;
    } calls[] = {{"getppid", SYS_getppid, 0, 0},
                 {"mkdir", SYS_mkdirat, -1, (long)""},
                 {"unshare", SYS_unshare, 0, 0},
                 {"keyctl", SYS_keyctl, 6, 0},
                 {"chroot", SYS_chroot, 0, 0},
                 {"ptrace", SYS_ptrace, 24, 0},
                 {"socket", SYS_socket, 40, 1},
                 {"clone3", SYS_clone3, 0, 0},
                 {"bpf", SYS_bpf, -1, 0},
                 {"umount", SYS_umount2, (long)"/probe", 0},
                 {"settime", SYS_settimeofday, 0, 0},
                 {"chmod", SYS_fchmodat, -1, (long)""},
                 {"personality", SYS_personality, -1, 0}};

    key("mknod");
    open_list();
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++) {
        int done = mknod("/probe.device", devices[i].type | 0600, makedev(devices[i].major, devices[i].minor));
        number(done < 0 ? -errno : 1);
        if (done < 0)
            continue;
        int fd = open("/probe.device", O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        number(fd < 0 ? -errno : 1);
        if (fd >= 0)
            close(fd);
        unlink("/probe.device");
    }
    close_list();
    key("calls");
    open_object();
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        key(calls[i].name);
        long result = syscall(calls[i].number, calls[i].a, calls[i].b, 0, 0, 0);
        number(result < 0 ? -errno : result > 1);
    }
    close_object();
}

static void report(int argc, char **argv, int inside)
{
    char directory[4096];

    key("argv");
    open_list();
    for (int i = 0; i < argc; i++)
        string(argv[i], strlen(argv[i]));
    close_list();
    key("env");
    open_list();
    for (char **each = environ; *each; each++)
        string(*each, strlen(*each));
    close_list();
    key("cwd");
    getcwd(directory, sizeof directory) ? string(directory, strlen(directory)) : number(-errno);
    descriptors();
    identity();
    scheduling();
    signals();
    limits();
    status();
    if (!inside)
        return;
    terminal();
    key("uname");
    names();
    paths();
    attempts();
    key("tree");
    open_object();
    nftw("/", visit, 16, FTW_PHYS | FTW_ACTIONRETVAL);
    close_object();
}

static int hook(int argc, char **argv)
{
    int fd = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

    report_to(fd < 0 ? 1 : fd);
    open_object();
    key("state");
    contents_of(0, 1 << 16);
    report(argc, argv, 0);
    close_object();
    finish();
    return argc > 3 && strcmp(argv[3], "fail") == 0;
}

int main(int argc, char **argv)
{
    sigset_t all;
    int number_of = 0;

    if (argc > 2 && strcmp(argv[1], "hook") == 0)
        return hook(argc, argv);
    report_to(1);
    sigfillset(&all);
    open_object();
    report(argc, argv, 1);
    close_object();
    if (argc > 1 && strcmp(argv[1], "wait") == 0)
        sigprocmask(SIG_BLOCK, &all, NULL); /* so that none is lost between the report and sigwait() */
    finish();
    if (argc > 1 && strcmp(argv[1], "wait") == 0) {
        do
            sigwait(&all, &number_of);
        while (number_of == SIGCHLD || number_of == SIGWINCH || number_of == SIGCONT);
        open_object();
        key("signal");
        number(number_of);
        close_object();
        finish();
        return 3;
    }
    return argc > 2 ? atoi(argv[2]) : 0;
}
