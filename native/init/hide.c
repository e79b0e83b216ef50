/* Without pivot_root(2) the host's mounts stay in the container's mount namespace, out of reach below its root. A procfs
 * or sysfs of the host among them would still let a user namespace in the container mount one that is not masked
 * (mount_namespaces(7), "fully visible"), so they are taken away. */
#include "init.h"

#include <linux/mount.h>

#define LINE_SIZE (2 * PATH_SIZE)

/* The field of /proc/self/mountinfo that begins at `text`, its octal escapes undone. */
static void unescape(const char *text, char *path, size_t size)
{
    size_t n = 0;
    for (; *text && *text != ' ' && n + 1 < size; n++) {
        if (text[0] == '\\' && text[1] && text[2] && text[3]) {
            path[n] = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
            text += 4;
        } else {
            path[n] = *text++;
        }
    }
    path[n] = 0;
}

static int begins_with(const char *text, const char *start)
{
    while (*start && *text == *start)
        text++, start++;
    return !*start;
}

static const char *after_spaces(const char *line, int count)
{
    for (; *line && count; line++)
        count -= *line == ' ';
    return line;
}

/* Whether a line of mountinfo is a procfs or sysfs that is not below `root`; its mount point. */
static int is_to_hide(const char *line, const char *root, char *path, size_t size)
{
    const char *type = line;
    while (*type && !begins_with(type, " - "))
        type++;
    if (!begins_with(type, " - proc ") && !begins_with(type, " - sysfs "))
        return 0;
    unescape(after_spaces(line, 4), path, size);
    size_t length = root[1] ? text_length(root) : 0;
    return !(begins_with(path, root) && (path[length] == '/' || !path[length]));
}

/* 0: gone; 1: covered, or out of reach below another mount, but still in the list. */
static int hide(const char *path)
{
    int error = (int)SYS2(SYS_umount2, path, /* MNT_DETACH */ 2);
    if (error == -E_INVAL || error == -E_PERM)
        error = sys_mount("tmpfs", path, "tmpfs", MS_RDONLY, 0);
    else
        return error == -E_NOENT || error == -E_ACCES ? 1 : error;
    return error ? error : 1;
}

/* Finds the line number `skip` of those to hide. mountinfo is read anew each time, for each time it has changed. */
static int find(int mountinfo, const char *root, int skip, char *path, size_t size)
{
    static char line[LINE_SIZE], buffer[PATH_SIZE];
    size_t n = 0;
    long got;
    while ((got = sys_read(mountinfo, buffer, sizeof buffer)) > 0) {
        for (long i = 0; i < got; i++) {
            if (buffer[i] != '\n') {
                line[n] = buffer[i];
                n += n + 1 < sizeof line;
                continue;
            }
            line[n] = 0, n = 0;
            if (is_to_hide(line, root, path, size) && !skip--)
                return 1;
        }
    }
    return (int)got;
}

int hide_host_filesystems(struct init *init)
{
    char path[PATH_SIZE], root[PATH_SIZE] = "", link[32] = "self/fd/";
    int proc = open_procfs(init);
    if (proc < 0)
        return proc;
    text_append_number(link, sizeof link, init->root_fd);
    long size = sys_readlinkat(proc, link, root, sizeof root - 1);
    if (size < 0)
        return (int)size;
    for (int skip = 0;;) {
        int mountinfo = sys_openat(proc, "self/mountinfo", O_RDONLY, 0);
        if (mountinfo < 0)
            return mountinfo;
        int found = find(mountinfo, root, skip, path, sizeof path);
        sys_close(mountinfo);
        int error = found > 0 ? hide(path) : found;
        if (found <= 0 || error < 0)
            return error;
        skip += error;
    }
}
