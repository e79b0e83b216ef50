/* Paths of the configuration. A path inside the new root is resolved by the kernel, once, to a descriptor; whatever
 * is done then is done to the descriptor. So a symbolic link that the image holds, or that another container plants
 * while we work, leads nowhere but into the same root (CVE-2021-30465, CVE-2024-45310). */
#include "init.h"

#include <asm/statfs.h>
#include <linux/magic.h>

#define LINKS_AT_MOST 40
#define PROC_ROOT_INODE 1

static int open_within(int base, const char *path, uint64_t flags, uint64_t resolve)
{
    int fd;
    /* EAGAIN: something was renamed while ".." was followed; the kernel asks to try again */
    for (int tries = 0; tries < 1000; tries++) {
        fd = sys_openat2(base, path, flags, resolve | RESOLVE_NO_MAGICLINKS);
        if (fd != -E_AGAIN)
            break;
    }
    return fd;
}

/* From the mount of the plan that it lies in, whatever has become of the names that lead there; from the root if it does
 * not, or if a link leads out of that mount. */
int open_in_root(const struct init *init, const char *path, uint64_t flags, uint64_t resolve)
{
    const char *rest;
    int base = kept_base(path, &rest);
    if (base >= 0 && !*rest && (flags & (O_PATH | O_DIRECTORY)) == O_PATH)
        return sys_dup(base); /* it may be a file */
    int fd = base < 0 ? -E_XDEV : open_within(base, *rest ? rest : ".", flags, resolve | RESOLVE_BENEATH);
    return fd == -E_XDEV ? open_within(init->root_fd, path, flags, resolve | RESOLVE_IN_ROOT) : fd;
}

/* Opens the directory that holds the last component of `path`, and gives that component. */
int open_parent_in_root(const struct init *init, const char *path, const char **name)
{
    char parent[PATH_SIZE] = "/";
    size_t end = text_length(path), slash;
    if (end >= sizeof parent)
        return -E_NAMETOOLONG;
    for (slash = end; slash > 0 && path[slash - 1] != '/';)
        slash--;
    *name = path + slash;
    if (slash)
        memcpy(parent, path, slash), parent[slash] = 0;
    return make_in_root(init, parent, MODE_DIRECTORY);
}

int file_mode(int fd)
{
    struct statx st;
    int error = sys_statx(fd, "", AT_EMPTY_PATH, &st);
    return error ? error : st.stx_mode;
}

int is_device(int fd, uint32_t type, uint32_t major, uint32_t minor)
{
    struct statx st;
    return !sys_statx(fd, "", AT_EMPTY_PATH, &st) && (st.stx_mode & MODE_TYPE) == type && st.stx_rdev_major == major &&
           st.stx_rdev_minor == minor;
}

long filesystem_magic(int fd)
{
    struct statfs fs;
    long error = SYS2(SYS_fstatfs, fd, &fs);
    return error ? error : (long)fs.f_type;
}

/* A symbolic link at `path[0..end]` that leads to nothing: puts its target in its place. Images have such links
 * (/etc/resolv.conf to /run/…), and a mount there is expected to create what they name. */
static int substitute_link(const struct init *init, char *path, size_t end)
{
    char target[PATH_SIZE] = "", rest[PATH_SIZE] = "";
    int fits = 1;
    text_append(rest, sizeof rest, path + end);
    path[end] = 0;
    int link = open_in_root(init, path, O_PATH | O_NOFOLLOW, 0);
    if (link < 0)
        return link;
    long size = sys_readlinkat(link, "", target, sizeof target - 1);
    sys_close(link);
    if (size < 0)
        return (int)size;
    target[size] = 0;
    if (target[0] == '/')
        path[0] = 0;
    else
        while (end > 0 && path[end - 1] != '/')
            path[--end] = 0;
    fits &= text_append(path, PATH_SIZE, target);
    fits &= text_append(path, PATH_SIZE, rest);
    return fits ? 0 : -E_NAMETOOLONG;
}

static int make_component(const struct init *init, char *path, size_t start, size_t end, int type)
{
    char saved = path[end];
    char first = path[start];
    int error;
    path[start] = 0;
    int parent = open_in_root(init, start ? path : "/", O_PATH | O_DIRECTORY, 0);
    path[start] = first;
    if (parent < 0)
        return parent;
    path[end] = 0;
    if (saved || type == MODE_DIRECTORY)
        error = sys_mkdirat(parent, path + start, 0755);
    else
        error = sys_mknodat(parent, path + start, MODE_REGULAR | 0644, 0);
    path[end] = saved;
    sys_close(parent);
    return error == -E_EXIST ? 0 : error;
}

/* Makes the first component of `path` that is missing. */
static int make_missing(const struct init *init, char *path, int type, int *links)
{
    const char *rest;
    size_t start = kept_base(path, &rest) < 0 ? 0 : (size_t)(rest - path), end;
    for (; path[start]; start = end) {
        if (path[start] == '/') {
            end = start + 1;
            continue;
        }
        for (end = start; path[end] && path[end] != '/';)
            end++;
        char saved = path[end];
        path[end] = 0;
        int fd = open_in_root(init, path, O_PATH, 0);
        int link = fd == -E_NOENT ? open_in_root(init, path, O_PATH | O_NOFOLLOW, 0) : -E_NOENT;
        path[end] = saved;
        if (fd >= 0) {
            sys_close(fd);
        } else if (link >= 0) {
            sys_close(link);
            return ++*links > LINKS_AT_MOST ? -E_LOOP : substitute_link(init, path, end);
        } else if (fd == -E_NOENT) {
            while (saved && path[end] == '/' && !path[end + 1])
                path[end] = saved = 0;
            return make_component(init, path, start, end, type);
        } else {
            return fd;
        }
    }
    return 0;
}

/* Opens `path` in the new root with O_PATH, having made what is missing of it: directories, and at its end a
 * directory or an empty file as `type` says. */
int make_in_root(const struct init *init, const char *path, int type)
{
    char work[PATH_SIZE] = "";
    int links = 0;
    if (!text_append(work, sizeof work, path))
        return -E_NAMETOOLONG;
    for (size_t steps = 0; steps < PATH_SIZE; steps++) {
        int fd = open_in_root(init, work, O_PATH, 0);
        if (fd != -E_NOENT)
            return fd;
        int error = make_missing(init, work, type, &links);
        if (error)
            return error;
    }
    return -E_LOOP;
}

/* The procfs that settings are written through is one that nobody can have tampered with: a new instance that is
 * mounted nowhere. Where the kernel refuses that (a user namespace without a pid namespace of its own), what is at
 * /proc serves, if it is the root of a procfs (CVE-2019-16884, CVE-2025-52881). */
int open_procfs(struct init *init)
{
    if (init->procfs_fd >= 0)
        return init->procfs_fd;
    int fs = (int)SYS2(SYS_fsopen, "proc", FSOPEN_CLOEXEC);
    int fd = fs;
    if (fs >= 0) {
        fd = (int)SYS5(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0);
        if (!fd)
            fd = (int)SYS3(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
        sys_close(fs);
    }
    if (fd < 0) {
        fd = sys_openat2(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
        if (fd < 0)
            return fd;
        struct statx st;
        if (filesystem_magic(fd) != PROC_SUPER_MAGIC || sys_statx(fd, "", AT_EMPTY_PATH, &st) ||
            st.stx_ino != PROC_ROOT_INODE) {
            sys_close(fd);
            text_append(init->detail, sizeof init->detail, "/proc is not a procfs");
            return -E_INVAL;
        }
    }
    return init->procfs_fd = fd;
}

/* Opens what is open with O_PATH, and has been looked at, by its descriptor: its name may be another file's by now, a
 * device's that already opening has an effect on. */
int reopen(struct init *init, int file, int flags)
{
    char path[64] = "self/fd/";
    int proc = open_procfs(init);
    text_append_number(path, sizeof path, file);
    return proc < 0 ? proc : sys_openat(proc, path, flags, 0);
}

/* Writes to a file of procfs, `directory`/`file` below its root, in one write(2). */
int write_procfs(struct init *init, const char *directory, const char *file, const char *text)
{
    char path[PATH_SIZE] = "";
    if (!text_append(path, sizeof path, directory) || !text_append(path, sizeof path, file))
        return -E_NAMETOOLONG;
    int proc = open_procfs(init);
    if (proc < 0)
        return proc;
    int fd = sys_openat2(proc, path, O_WRONLY, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
    if (fd < 0)
        return fd;
    size_t size = text_length(text);
    long written = filesystem_magic(fd) == PROC_SUPER_MAGIC ? sys_write(fd, text, size) : -E_INVAL;
    sys_close(fd);
    if (written < 0)
        return (int)written;
    return (size_t)written == size ? 0 : -E_INVAL;
}
