/* tmpcopyup: a tmpfs starts with what the directory that it covers holds. */
#include "init.h"

#define DEPTH_AT_MOST 128

struct entry { /* getdents64(2) */
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

static int copy_content(int from, int to)
{
    char buffer[16384];
    long got;
    while ((got = sys_read(from, buffer, sizeof buffer)) > 0)
        for (long done = 0, put; done < got; done += put)
            if ((put = sys_write(to, buffer + done, (size_t)(got - done))) < 0)
                return (int)put;
    return (int)got;
}

static int copy_regular(int from, int to, const char *name, int mode)
{
    int in = sys_openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (in < 0)
        return in;
    int out = sys_openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
    int error = out < 0 ? out : copy_content(in, out);
    sys_close(in);
    if (out >= 0)
        sys_close(out);
    return error;
}

static int copy_link(int from, int to, const char *name)
{
    char target[PATH_SIZE];
    long size = sys_readlinkat(from, name, target, sizeof target - 1);
    if (size < 0)
        return (int)size;
    target[size] = 0;
    return sys_symlinkat(target, to, name);
}

static int copy_directory(int from, int to, int depth);

static int copy_subdirectory(int from, int to, const char *name, int depth)
{
    if (depth >= DEPTH_AT_MOST)
        return -E_LOOP;
    int error = sys_mkdirat(to, name, 0700);
    if (error)
        return error;
    int in = sys_openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    int out = sys_openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    error = in < 0 ? in : out < 0 ? out : copy_directory(in, out, depth + 1);
    if (in >= 0)
        sys_close(in);
    if (out >= 0)
        sys_close(out);
    return error;
}

static int copy_entry(int from, int to, const char *name, int depth)
{
    struct statx st;
    int error = sys_statx(from, name, AT_SYMLINK_NOFOLLOW, &st);
    if (error)
        return error;
    int type = st.stx_mode & MODE_TYPE;
    if (type == MODE_DIRECTORY)
        error = copy_subdirectory(from, to, name, depth);
    else if (type == MODE_REGULAR)
        error = copy_regular(from, to, name, 0600);
    else if (type == MODE_SYMLINK)
        error = copy_link(from, to, name);
    else
        error = sys_mknodat(to, name, st.stx_mode,
                            (st.stx_rdev_minor & 0xff) | ((uint64_t)st.stx_rdev_major << 8) |
                                ((uint64_t)(st.stx_rdev_minor & ~0xffu) << 12));
    if (!error)
        error = sys_fchownat(to, name, st.stx_uid, st.stx_gid, AT_SYMLINK_NOFOLLOW);
    if (!error && type != MODE_SYMLINK)
        error = sys_fchmodat(to, name, st.stx_mode & 07777);
    return error;
}

static int copy_directory(int from, int to, int depth)
{
    union {
        struct entry align;
        char bytes[4096];
    } buffer;
    for (;;) {
        long got = SYS3(SYS_getdents64, from, &buffer, sizeof buffer);
        if (got <= 0)
            return (int)got;
        for (long at = 0; at < got;) {
            struct entry *entry = (struct entry *)(buffer.bytes + at);
            at += entry->size;
            if (text_equal(entry->name, ".") || text_equal(entry->name, ".."))
                continue;
            int error = copy_entry(from, to, entry->name, depth);
            if (error)
                return error;
        }
    }
}

int copy_tree(int from, int to)
{
    struct statx st;
    int error = copy_directory(from, to, 0);
    if (!error)
        error = sys_statx(from, "", AT_EMPTY_PATH, &st);
    if (!error)
        error = sys_fchownat(to, "", st.stx_uid, st.stx_gid, AT_EMPTY_PATH);
    return error;
}
