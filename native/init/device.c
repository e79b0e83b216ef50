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

static int make_device(int parent, const char *name, const struct plan_op *op)
{
    return sys_mknodat(parent, name, (int)op->n[0], device_number((uint32_t)op->n[1], (uint32_t)op->n[2]));
}

static int open_device(int parent, const char *name, const struct plan_op *op)
{
    int fd = sys_openat(parent, name, O_PATH | O_NOFOLLOW, 0);
    if (fd < 0 || is_device(fd, (uint32_t)op->n[0] & MODE_TYPE, (uint32_t)op->n[1], (uint32_t)op->n[2]))
        return fd;
    sys_close(fd);
    return -E_EXIST;
}

/* By the descriptor, since the name may be another file's by now. chown(2) clears set-id bits, so mode comes last. */
static int set_owner_and_mode(struct init *init, int device, const struct plan_op *op)
{
    char path[64] = "self/fd/";
    int error = sys_fchownat(device, "", (uint32_t)op->n[3], (uint32_t)op->n[4], AT_EMPTY_PATH);
    if (error || file_mode(device) == op->n[0])
        return error;
    int proc = open_procfs(init); /* fchmodat2(2), which needs no detour, came with Linux 6.6 */
    text_append_number(path, sizeof path, device);
    return proc < 0 ? proc : sys_fchmodat(proc, path, (int)op->n[0] & 07777);
}

/* Keeps the descriptor of the container's /dev/null, for paths to be masked with it; whether it does. */
static int keep_null_device(struct init *init, const char *path, int device)
{
    if (init->null_fd >= 0 || !text_equal(path, "/dev/null") || !is_device(device, MODE_CHARACTER, 1, 3))
        return 0;
    init->null_fd = device;
    return 1;
}

/* What the image holds is kept when it is that device. Something else by that name is not trusted: it is replaced
 * where the device is one of those that every container has, else it is an error (config-linux.md, Devices). */
int op_device(struct init *init, const struct plan_op *op)
{
    const char *name;
    int parent = open_parent_in_root(init, op_text(init, op, 0), &name);
    if (parent < 0)
        return parent;
    int error = make_device(parent, name, op);
    int device = error && error != -E_EXIST ? error : open_device(parent, name, op);
    if (device == -E_EXIST && op->n[5]) {
        error = sys_unlinkat(parent, name);
        if (!error)
            error = make_device(parent, name, op);
        device = error ? error : open_device(parent, name, op);
    }
    if (device == -E_EXIST)
        text_append(init->detail, sizeof init->detail, "there is another file by that name");
    error = device < 0 ? device : set_owner_and_mode(init, device, op);
    if (device >= 0 && !keep_null_device(init, op_text(init, op, 0), device))
        sys_close(device);
    sys_close(parent);
    return error;
}

/* Opens a file that a device is to cover, made where it is missing. A link by that name is the image's: it is not
 * followed but replaced (CVE-2025-52565). */
static int make_place(struct init *init, const char *path)
{
    const char *name;
    int parent = open_parent_in_root(init, path, &name);
    if (parent < 0)
        return parent;
    int fd = sys_openat(parent, name, O_PATH | O_NOFOLLOW, 0);
    int link = fd >= 0 && (file_mode(fd) & MODE_TYPE) == MODE_SYMLINK;
    int error = link ? sys_unlinkat(parent, name) : 0;
    if (!error && (link || fd == -E_NOENT)) {
        if (fd >= 0)
            sys_close(fd);
        error = sys_mknodat(parent, name, MODE_REGULAR | 0644, 0);
        fd = error ? error : sys_openat(parent, name, O_PATH | O_NOFOLLOW, 0);
    }
    sys_close(parent);
    if (fd >= 0 && (error || filesystem_magic(fd) == PROC_SUPER_MAGIC || (file_mode(fd) & MODE_TYPE) == MODE_SYMLINK)) {
        sys_close(fd);
        return error ? error : -E_PERM;
    }
    return fd;
}

/* A mount can only be copied in part when it is attached, before Linux 6.15. */
int op_device_nodes(struct init *init, const struct plan_op *op)
{
    if (init->nodes_fd >= 0)
        detach_aside(init->nodes_fd), sys_close(init->nodes_fd);
    init->nodes_fd = (int)op->n[0];
    return init->nodes_fd < 0 ? 0 : attach_aside(init, init->nodes_fd);
}

int op_bind_device(struct init *init, const struct plan_op *op)
{
    int made = op->n[0] < 0;
    int mount = made ? sys_open_tree(init->nodes_fd, op_text(init, op, 1), OPEN_TREE_CLONE) : (int)op->n[0];
    if (mount < 0)
        return mount;
    int destination = make_place(init, op_text(init, op, 0));
    int error = destination < 0 ? destination : attach_unasked(mount, destination, made ? 0 : MOUNT_ATTR_RDONLY);
    if (!keep_null_device(init, op_text(init, op, 0), mount))
        sys_close(mount);
    if (destination >= 0)
        sys_close(destination);
    return error;
}

static int exists(const struct init *init, const char *path)
{
    int fd = open_in_root(init, path, O_PATH, 0);
    if (fd >= 0)
        sys_close(fd);
    return fd >= 0;
}

int op_symlink(struct init *init, const struct plan_op *op)
{
    const char *name;
    if (op->n[1] && !exists(init, op_text(init, op, 0)))
        return 0;
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
    int error = (file_mode(fd) & MODE_TYPE) == MODE_DIRECTORY ? 0 : -E_NOTDIR;
    sys_close(fd);
    return error;
}

/* The terminal of the container's own devpts. /dev/pts/ptmx is opened without following a link, must be the
 * multiplexer of a devpts, and its other end is asked from it and not from a path (CVE-2025-52565). */
static int open_terminal(struct init *init, int *peer)
{
    int unlock = 0;
    int device = open_in_root(init, "/dev/pts/ptmx", O_PATH, RESOLVE_NO_SYMLINKS);
    if (device < 0)
        return device;
    int genuine = filesystem_magic(device) == DEVPTS_SUPER_MAGIC && is_device(device, MODE_CHARACTER, 5, 2);
    int master = genuine ? reopen(init, device, O_RDWR | O_NOCTTY) : -E_NODEV;
    sys_close(device);
    if (master < 0)
        return master;
    int error = (int)SYS3(SYS_ioctl, master, TIOCSPTLCK, &unlock);
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
    int destination = make_place(init, "/dev/console");
    /* writable, since it is the container's own, and getty(8) and its like set its owner and mode */
    int error = destination < 0 ? destination : attach_unasked(mount, destination, 0);
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
