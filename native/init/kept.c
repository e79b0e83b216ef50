/* Mounts that the plan has made and that later operations have paths below. They are kept open, for by its name one may
 * no longer be found: who shares the root filesystem can exchange the directory that it covers for another one, and what
 * is to be masked in it would seem to be missing. */
#include "init.h"

#define KEPT_AT_MOST 1024 /* of a soft limit on descriptors that is 1024, too, unless somebody has changed it */

struct kept {
    const char *path;
    int fd;
    uint32_t last; /* operation that needs it */
};

static struct kept kept[KEPT_AT_MOST];
static int kept_count;

/* Where `path`, which lies at or below `base`, goes on; 0 if it does not. */
static const char *below(const char *path, const char *base)
{
    if (base[0] == '/' && !base[1])
        return path;
    while (*base && *path == *base)
        path++, base++;
    return *base || (*path && *path != '/') ? 0 : path;
}

/* The paths in the new root that an operation goes to. */
static int needs(const struct init *init, const struct plan_op *op, const char *base)
{
    switch (op->code) {
    case OP_MASKED_PATH:
    case OP_READONLY_PATH:
    case OP_DEVICE:
    case OP_BIND_DEVICE:
    case OP_DIRECTORY:
        return below(op_text(init, op, 0), base) != 0;
    case OP_SYMLINK:
        return below(op_text(init, op, 1), base) || (op->n[1] && below(op_text(init, op, 0), base));
    case OP_OPEN_TREE:
        return op->n[3] && below(op_text(init, op, 0), base);
    case OP_MOUNT:
    case OP_BIND:
    case OP_MOUNT_ATTRIBUTES:
    case OP_RECONFIGURE:
        return below(op_text(init, op, 2), base) != 0;
    case OP_CONSOLE:
        return below("/dev/pts/ptmx", base) || below("/dev/console", base);
    default:
        return 0;
    }
}

/* The last operation that goes below `path`, or that which runs. */
static uint32_t last_need(const struct init *init, const char *path)
{
    const struct plan_header *header = (const struct plan_header *)init->plan;
    const struct plan_op *ops = (const struct plan_op *)(header + 1);
    uint32_t i = header->count - 1;
    while (i > init->op && !needs(init, ops + i, path))
        i--;
    return i;
}

/* Closes what nobody needs any more, and what a mount on `path` covers. */
static void close_some(const struct init *init, const char *path)
{
    int left = 0;
    for (int i = 0; i < kept_count; i++) {
        if (kept[i].last <= init->op || below(kept[i].path, path))
            sys_close(kept[i].fd);
        else
            kept[left++] = kept[i];
    }
    kept_count = left;
}

/* Takes the descriptor of a mount that has been attached at `path`, to be kept or closed. One on "/" is the root. */
int keep_mount(struct init *init, const char *path, int mount)
{
    if (text_equal(path, "/")) {
        close_some(init, path);
        sys_close(init->root_fd);
        init->root_fd = mount;
        return 0;
    }
    uint32_t last = last_need(init, path);
    close_some(init, path);
    if (last > init->op && kept_count == KEPT_AT_MOST)
        text_append(init->detail, sizeof init->detail,
                    "too many mounts have other paths of the configuration below them");
    if (last == init->op || kept_count == KEPT_AT_MOST) {
        sys_close(mount);
        return last == init->op ? 0 : -E_MFILE;
    }
    kept[kept_count++] = (struct kept){.path = path, .fd = mount, .last = last};
    return 0;
}

/* The mount that `path` lies in, if it is kept, and in `*rest` the way from there; else NO_FD. Of two of which both are
 * above it the later one is that which is seen. */
int kept_base(const char *path, const char **rest)
{
    for (int i = kept_count - 1; i >= 0; i--) {
        const char *found = below(path, kept[i].path);
        if (!found)
            continue;
        while (*found == '/')
            found++;
        *rest = found;
        return kept[i].fd;
    }
    return NO_FD;
}

/* When nothing more is done below the new root, as the process may name descriptors in its cwd. */
void close_kept(struct init *init)
{
    while (kept_count)
        sys_close(kept[--kept_count].fd);
    if (init->null_fd >= 0)
        sys_close(init->null_fd);
    init->null_fd = NO_FD;
}
