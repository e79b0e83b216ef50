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

static int copy_regular(struct init *init, int file, int to, const char *name)
{
    int in = reopen(init, file, O_RDONLY);
    if (in < 0)
        return in;
    int out = sys_openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    int error = out < 0 ? out : copy_content(in, out);
    sys_close(in);
    if (out >= 0)
        sys_close(out);
    return error;
}

static int copy_link(int link, int to, const char *name)
{
    char target[PATH_SIZE];
    long size = sys_readlinkat(link, "", target, sizeof target - 1);
    if (size < 0)
        return (int)size;
    target[size] = 0;
    return sys_symlinkat(target, to, name);
}

static int copy_directory(struct init *init, int from, int to, int depth);

static int copy_subdirectory(struct init *init, int directory, int to, const char *name, int depth)
{
    if (depth >= DEPTH_AT_MOST)
        return -E_LOOP;
    int error = sys_mkdirat(to, name, 0700);
    if (error)
        return error;
    int in = sys_openat(directory, ".", O_RDONLY | O_DIRECTORY, 0);
    int out = sys_openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    error = in < 0 ? in : out < 0 ? out : copy_directory(init, in, out, depth + 1);
    if (in >= 0)
        sys_close(in);
    if (out >= 0)
        sys_close(out);
    return error;
}

/* `file` is open with O_PATH, which opens no device; what it is, is asked of it and not of its name, which somebody who
 * shares the directory may have given to another. The tmpfs is attached nowhere yet, so there names can be trusted. */
static int copy_file(struct init *init, int file, int to, const char *name, int depth)
{
    struct statx st;
    int error = sys_statx(file, "", AT_EMPTY_PATH, &st);
    if (error)
        return error;
    int type = st.stx_mode & MODE_TYPE;
    if (type == MODE_DIRECTORY)
        error = copy_subdirectory(init, file, to, name, depth);
    else if (type == MODE_REGULAR)
        error = copy_regular(init, file, to, name);
    else if (type == MODE_SYMLINK)
        error = copy_link(file, to, name);
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

static int copy_entry(struct init *init, int from, int to, const char *name, int depth)
{
    int file = sys_openat(from, name, O_PATH | O_NOFOLLOW, 0);
    if (file < 0)
        return file;
    int error = copy_file(init, file, to, name, depth);
    sys_close(file);
    return error;
}

static int copy_directory(struct init *init, int from, int to, int depth)
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
            int error = copy_entry(init, from, to, entry->name, depth);
            if (error)
                return error;
        }
    }
}

int copy_tree(struct init *init, int from, int to)
{
    struct statx st;
    int error = copy_directory(init, from, to, 0);
    if (!error)
        error = sys_statx(from, "", AT_EMPTY_PATH, &st);
    if (!error)
        error = sys_fchownat(to, "", st.stx_uid, st.stx_gid, AT_EMPTY_PATH);
    return error;
}
