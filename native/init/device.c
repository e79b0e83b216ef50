/* Device nodes, the links beside them, and the terminal. */
#include "init.h"

#include <asm/ioctl.h>
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <asm/termios.h>
#include <linux/magic.h>

static uint64_t device_number(uint32_t major, uint32_t minor)
{
    return (minor & 0xff) | ((uint64_t)(major & 0xfff) << 8) | ((uint64_t)(minor & ~0xffu) << 12);
}

int op_device(struct init *init, const struct plan_op *op)
{
    const char *name;
    int mode = (int)op->n[0];
    uint32_t major = (uint32_t)op->n[1], minor = (uint32_t)op->n[2];
    int parent = open_parent_in_root(init, op_text(init, op, 0), &name);
    if (parent < 0)
        return parent;
    int error = sys_mknodat(parent, name, mode, device_number(major, minor));
    if (error == -E_EXIST) {
        /* What the image holds is kept when it is that device; something else by that name is not trusted. */
        int there = sys_openat(parent, name, O_PATH | O_NOFOLLOW, 0);
        int same = there >= 0 && is_device(there, (uint32_t)mode & MODE_TYPE, major, minor);
        if (there >= 0)
            sys_close(there);
        error = same ? 0 : sys_unlinkat(parent, name);
        if (!same && !error)
            error = sys_mknodat(parent, name, mode, device_number(major, minor));
    }
    if (!error)
        error = sys_fchownat(parent, name, (uint32_t)op->n[3], (uint32_t)op->n[4], AT_SYMLINK_NOFOLLOW);
    sys_close(parent);
    return error;
}

int op_bind_device(struct init *init, const struct plan_op *op)
{
    int mount = (int)op->n[0];
    int destination = make_in_root(init, op_text(init, op, 0), MODE_REGULAR);
    int error = destination < 0 ? destination : sys_move_mount(mount, destination, "");
    sys_close(mount);
    if (destination >= 0)
        sys_close(destination);
    return error;
}

int op_symlink(struct init *init, const struct plan_op *op)
{
    const char *name;
    int parent = open_parent_in_root(init, op_text(init, op, 1), &name);
    if (parent < 0)
        return parent;
    int error = sys_symlinkat(op_text(init, op, 0), parent, name);
    if (error == -E_EXIST && op->n[0] && !sys_unlinkat(parent, name))
        error = sys_symlinkat(op_text(init, op, 0), parent, name);
    sys_close(parent);
    return error == -E_EXIST ? 0 : error;
}

int op_directory(struct init *init, const struct plan_op *op)
{
    int fd = make_in_root(init, op_text(init, op, 0), MODE_DIRECTORY);
    if (fd < 0)
        return fd;
    sys_close(fd);
    return 0;
}

/* The terminal of the container's own devpts. /dev/pts/ptmx is opened without following a link, must be the
 * multiplexer of a devpts, and its other end is asked from it and not from a path (CVE-2025-52565). */
static int open_terminal(struct init *init, int *peer)
{
    int unlock = 0;
    int master = open_in_root(init, "/dev/pts/ptmx", O_RDWR | O_NOCTTY, RESOLVE_NO_SYMLINKS);
    if (master < 0)
        return master;
    int error = filesystem_magic(master) == DEVPTS_SUPER_MAGIC && is_device(master, MODE_CHARACTER, 5, 2) ? 0 : -E_NODEV;
    if (!error)
        error = (int)SYS3(SYS_ioctl, master, TIOCSPTLCK, &unlock);
    if (!error)
        error = *peer = (int)SYS3(SYS_ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (error < 0) {
        sys_close(master);
        return error;
    }
    return master;
}

static int bind_console(struct init *init, int peer)
{
    int mount = sys_open_tree(peer, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
    if (mount < 0)
        return mount;
    int destination = make_in_root(init, "/dev/console", MODE_REGULAR);
    int error = destination < 0 ? destination : sys_move_mount(mount, destination, "");
    if (destination >= 0)
        sys_close(destination);
    sys_close(mount);
    return error;
}

static int send_master(struct init *init, const struct plan_op *op, int master)
{
    struct report report = {.kind = REPORT_CONSOLE};
    if (op->n[0] < 0)
        return report_send(init, &report, master);
    int error = send_descriptor((int)op->n[0], "/dev/ptmx", sizeof "/dev/ptmx" - 1, master);
    sys_close((int)op->n[0]);
    return error;
}

int op_console(struct init *init, const struct plan_op *op)
{
    struct winsize size = {.ws_row = (unsigned short)op->n[1], .ws_col = (unsigned short)op->n[2]};
    int peer = NO_FD;
    int master = open_terminal(init, &peer);
    if (master < 0)
        return master;
    int error = op->n[1] || op->n[2] ? (int)SYS3(SYS_ioctl, peer, TIOCSWINSZ, &size) : 0;
    if (!error)
        error = sys_fchownat(peer, "", (uint32_t)op->n[4], (uint32_t)-1, AT_EMPTY_PATH);
    if (!error && op->n[3])
        error = bind_console(init, peer);
    if (!error)
        error = send_master(init, op, master);
    if (!error)
        error = (int)SYS0(SYS_setsid) < 0 ? -E_PERM : (int)SYS3(SYS_ioctl, peer, TIOCSCTTY, 0);
    for (int fd = 0; fd < 3 && !error; fd++) {
        long copied = SYS3(SYS_dup3, peer, fd, 0);
        error = copied < 0 ? (int)copied : 0;
    }
    sys_close(peer);
    sys_close(master);
    return error;
}
