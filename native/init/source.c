/* Sources of bind mounts, opened when it is their turn: a source may lie in the container's root, where mounts made
 * before show; and since Linux 6.8 mountinfo lists mounts in the order in which they were made, not attached.
 *
 * What they are opened in is a copy of the host's mounts, in which a user namespace finds their flags locked
 * (mount_namespaces(7)). Its root may not go everywhere, nor map ids; then the runtime does it. */
#include "init.h"

#include <linux/magic.h>

static int clone_source(struct init *init, const struct plan_op *op)
{
    unsigned flags = OPEN_TREE_CLONE | (op->n[0] ? AT_RECURSIVE : 0);
    if (!op->n[3])
        return sys_open_tree(AT_FDCWD, op_text(init, op, 0), flags | (op->n[1] ? AT_SYMLINK_NOFOLLOW : 0));
    int source = open_in_root(init, op_text(init, op, 0), O_PATH | (op->n[1] ? O_NOFOLLOW : 0), 0);
    if (source < 0)
        return source;
    int fd = sys_open_tree(source, "", flags | AT_EMPTY_PATH);
    sys_close(source);
    return fd;
}

/* Has the runtime open the tree, in the root if it lies there, or map the ids of the one that has been opened. */
static int ask_runtime(struct init *init, const struct plan_op *op, int fd)
{
    int root = op->n[3] ? init->root_fd : NO_FD;
    struct report report = {.kind = REPORT_TREE, .value = fd < 0 ? -fd : 0, .op = init->op};
    int error = report_send(init, &report, fd < 0 ? root : fd);
    int received = NO_FD;
    if (!error)
        error = receive_descriptor(init, &received);
    if (fd >= 0)
        sys_close(fd); /* what comes back is the same tree */
    return error ? error : received;
}

int op_open_tree(struct init *init, const struct plan_op *op)
{
    int fd = clone_source(init, op);
    /* EINVAL: the user namespace must not look below mounts of the host, which a bind without those would let it */
    int refused = fd == -E_ACCES || (fd == -E_INVAL && !op->n[0]);
    if (op->n[2] == TREE_MAPPED ? fd >= 0 || refused : op->n[2] == TREE_HELPED && refused)
        fd = ask_runtime(init, op, fd);
    if (fd < 0)
        return fd;
    init->tree_fd = fd;
    return 0;
}

/* copy-symlink: `link`, a symbolic link, is made again at `path`. One that is there must be the same. */
int repeat_link(struct init *init, int link, const char *path)
{
    const char *name;
    char target[PATH_SIZE] = "", there[PATH_SIZE] = "";
    long size = sys_readlinkat(link, "", target, sizeof target - 1);
    if (size < 0)
        return (int)size;
    int parent = open_parent_in_root(init, path, &name);
    if (parent < 0)
        return parent;
    int error = filesystem_magic(parent) == PROC_SUPER_MAGIC ? -E_PERM : sys_symlinkat(target, parent, name);
    if (error == -E_EXIST && sys_readlinkat(parent, name, there, sizeof there - 1) > 0 && text_equal(there, target))
        error = 0;
    else if (error == -E_EXIST)
        text_append(init->detail, sizeof init->detail, "there is another file by that name");
    sys_close(parent);
    return error;
}
