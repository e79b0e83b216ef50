/* The container's mounts. A mount is made detached, gets its attributes, and is then moved onto the descriptor of its
 * destination, so it is never to be seen half made and never goes where a string says. */
#include "init.h"

#include <linux/magic.h>

#define TRIES_AT_MOST 16
#define FSCONFIG_VALUE_SIZE 256 /* fsconfig(2) takes no longer string */

static int set_attributes(int fd, unsigned flags, int64_t set, int64_t clear, int64_t propagation)
{
    struct mount_attr attr = {
        .attr_set = (uint64_t)set, .attr_clr = (uint64_t)clear, .propagation = (uint64_t)propagation};
    if (!set && !clear && !propagation)
        return 0;
    return sys_mount_setattr(fd, flags, &attr);
}

/* The attributes of a bind mount's top. With MOUNT_PLAIN the source's that are not named are cleared; those that a more
 * privileged mount namespace has set are locked, mount_namespaces(7), and stay unless they are named: that fails. */
static int set_top_attributes(int fd, const struct plan_op *op)
{
    int64_t lockable = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    int64_t others = op->n[6] & MOUNT_PLAIN ? (lockable | MOUNT_ATTR_NOSYMFOLLOW) & ~op->n[1] : 0;
    int error = set_attributes(fd, 0, op->n[1], op->n[2] | others, 0);
    return error == -E_PERM && others ? set_attributes(fd, 0, op->n[1], op->n[2] | (others & ~lockable), 0) : error;
}

/* n1..n7 of OP_BIND and OP_MOUNT_ATTRIBUTES */
static int set_all_attributes(int fd, const struct plan_op *op)
{
    int64_t propagation = op->n[5] & ~(int64_t)MS_REC;
    unsigned recursive = op->n[5] & MS_REC ? AT_RECURSIVE : 0;
    int error = set_attributes(fd, AT_RECURSIVE, 0, 0, op->n[7] & ~(int64_t)MS_REC);
    if (!error)
        error = set_top_attributes(fd, op);
    if (!error)
        error = set_attributes(fd, AT_RECURSIVE, op->n[3], op->n[4], 0);
    return error ? error : set_attributes(fd, recursive, 0, 0, propagation);
}

/* Opens, and makes where missing, the place that a mount covers. */
static int open_destination(struct init *init, const char *path, int type, int64_t flags)
{
    int fd = -E_NOENT;
    if (flags & MOUNT_NO_SYMLINK) {
        /* what was made is opened again: a link may have been put in its place meanwhile (CVE-2023-27561) */
        for (int tries = 0; tries < TRIES_AT_MOST; tries++) {
            fd = open_in_root(init, path, O_PATH, RESOLVE_NO_SYMLINKS);
            if (fd != -E_NOENT)
                break;
            int made = make_in_root(init, path, type);
            if (made < 0)
                return made;
            sys_close(made);
        }
        if (fd == -E_LOOP || fd == -E_NOENT)
            text_append(init->detail, sizeof init->detail, "must be mounted on an ordinary directory");
    } else {
        fd = flags & MOUNT_OVER_LINK ? open_in_root(init, path, O_PATH | O_NOFOLLOW, 0) : -E_NOENT;
        if (fd == -E_NOENT)
            fd = make_in_root(init, path, type);
    }
    if (fd >= 0 && !(flags & MOUNT_OVER_PROC) && filesystem_magic(fd) == PROC_SUPER_MAGIC) {
        text_append(init->detail, sizeof init->detail, "the destination lies inside procfs");
        sys_close(fd);
        return -E_PERM;
    }
    return fd;
}

/* Where a mount goes. The root itself is covered by one on "/" alone: what an image has led there by a link would cover
 * all of it. */
static int move_onto(struct init *init, int mount, int destination, const char *path, int type)
{
    struct statx place, root;
    int error = sys_statx(destination, "", AT_EMPTY_PATH, &place);
    if (error)
        return error;
    int onto_directory = (place.stx_mode & MODE_TYPE) == MODE_DIRECTORY;
    if (onto_directory != (type == MODE_DIRECTORY)) { /* move_mount(2) would only say EINVAL */
        text_append(init->detail, sizeof init->detail,
                    onto_directory ? "the destination is a directory, and the source is a file"
                                   : "the destination is no directory");
        return -E_NOTDIR;
    }
    int is_root = place.stx_attributes & STATX_ATTR_MOUNT_ROOT && !text_equal(path, "/") &&
                  !sys_statx(init->root_fd, "", AT_EMPTY_PATH, &root) && place.stx_mnt_id == root.stx_mnt_id;
    if (is_root) {
        text_append(init->detail, sizeof init->detail, "a symbolic link leads to the root itself");
        return -E_BUSY;
    }
    return sys_move_mount(mount, destination, "");
}

static int attach(struct init *init, int mount, const char *path, int type, int64_t flags)
{
    int destination = open_destination(init, path, type, flags);
    if (destination < 0)
        return destination;
    int error = move_onto(init, mount, destination, path, type);
    sys_close(destination);
    return error;
}

/* The one way by which a file comes into the container that the configuration has not asked to share, as its inode may
 * be the host's: root of the container could change its mode, owner and times. None of these attributes is in the way of
 * what a device is there for. Nor may it be a peer of the mount that it was cloned from: what root of the container
 * mounts over it would cover the host's own file. */
int attach_unasked(int mount, int destination, int64_t attributes)
{
    int error = set_attributes(mount, AT_RECURSIVE, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | attributes, 0, MS_PRIVATE);
    return error ? error : sys_move_mount(mount, destination, "");
}

/* Over the old root, where nobody else gets to see it, and where it goes with that if need be. In an inherited mount
 * namespace that is the host's: there over the new one, whose mount is private, and goes with the container. */
int attach_aside(const struct init *init, int mount)
{
    return init->inherited ? sys_move_mount(mount, init->root_fd, "") : sys_move_mount(mount, AT_FDCWD, "/");
}

void detach_aside(int mount)
{
    int here = sys_openat(AT_FDCWD, ".", O_PATH | O_DIRECTORY, 0);
    if (!SYS1(SYS_fchdir, mount))
        SYS2(SYS_umount2, ".", /* MNT_DETACH */ 2);
    if (here >= 0)
        SYS1(SYS_fchdir, here), sys_close(here);
}

int op_host_propagation(struct init *init, const struct plan_op *op)
{
    (void)init;
    return sys_mount(0, "/", 0, (unsigned long)op->n[0], 0);
}

/* The root filesystem is mounted at its own path, where hooks look for it, or over "/" if root of a user namespace may
 * not go there; pivot_root(2) is content with either. By now no mount here is a peer of the host's, to show there. */
int op_rootfs(struct init *init, const struct plan_op *op)
{
    int error = set_attributes((int)op->n[0], op->n[2] ? AT_RECURSIVE : 0, 0, 0, op->n[1]);
    int place = sys_openat(AT_FDCWD, op_text(init, op, 0), O_PATH | O_DIRECTORY, 0);
    if (place == -E_ACCES && !op->n[3])
        place = sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
    if (!error)
        error = place < 0 ? place : sys_move_mount((int)op->n[0], place, "");
    if (place >= 0)
        sys_close(place);
    init->root_fd = (int)op->n[0];
    init->inherited = op->n[3] != 0;
    /* where the host's mount is shared the container's mounts would be made in its peers, too */
    if (!error && op->n[3])
        error = set_attributes(init->root_fd, AT_RECURSIVE, 0, 0, MS_PRIVATE);
    return error;
}

int op_rootfs_directory(struct init *init, const struct plan_op *op)
{
    init->root_fd = op->n[0] >= 0 ? (int)op->n[0] : sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
    return init->root_fd < 0 ? init->root_fd : 0;
}

void say_why(struct init *init, int fs)
{
    char text[REPORT_TEXT / 2] = "";
    if (sys_read(fs, text, sizeof text - 1) > 2)
        text_append(init->detail, sizeof init->detail, text + 2); /* "e " and what the filesystem has to say */
}

/* The value of a label, of which mount(2) would have the quotation marks taken off; fsconfig(2) has not. */
static const char *unquoted(const char *key, const char *text, char *value, size_t size)
{
    size_t length = text_length(text), end = text_length(key);
    int is_label = end >= 7 && text_equal(key + end - 7, "context");
    if (!is_label || length < 2 || length >= size || text[0] != '"' || text[length - 1] != '"')
        return text;
    value[0] = 0;
    text_append(value, size, text + 1);
    value[length - 2] = 0;
    return value;
}

int configure(int fs, const char *option)
{
    char key[FSCONFIG_VALUE_SIZE] = "", value[FSCONFIG_VALUE_SIZE];
    size_t size = 0;
    while (option[size] && option[size] != '=' && size + 1 < sizeof key)
        key[size] = option[size], size++;
    if (option[size] == '=') {
        const char *text = unquoted(key, option + size + 1, value, sizeof value);
        return (int)SYS5(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, text, 0);
    }
    return (int)SYS5(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, key, 0, 0);
}

static int new_filesystem(struct init *init, const struct plan_op *op, const char *more)
{
    const char *source = op_text(init, op, 1), *option = op_text(init, op, 3);
    int fs = (int)SYS2(SYS_fsopen, op_text(init, op, 0), FSOPEN_CLOEXEC);
    if (fs < 0)
        return fs;
    int error = *source ? (int)SYS5(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source", source, 0) : 0;
    for (int64_t i = 0; i < op->n[0] && !error; i++, option = next_text(option))
        error = configure(fs, option);
    if (!error && *more)
        error = configure(fs, more);
    if (!error)
        error = (int)SYS5(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0);
    int mount = error;
    if (!error)
        mount = (int)SYS3(SYS_fsmount, fs, FSMOUNT_CLOEXEC, op->n[3] & MOUNT_COPY_UP ? 0 : op->n[1]);
    if (mount < 0)
        say_why(init, fs);
    sys_close(fs);
    return mount;
}

/* Attributes of mount_setattr(2) as flags of mount(2); the first four are the same. */
static unsigned long mount_flags(int64_t attributes)
{
    unsigned long flags =
        (unsigned long)attributes & (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    int64_t access_time = attributes & MOUNT_ATTR__ATIME;
    flags |= access_time == MOUNT_ATTR_NOATIME ? MS_NOATIME : 0;
    flags |= access_time == MOUNT_ATTR_STRICTATIME ? MS_STRICTATIME : 0;
    flags |= attributes & MOUNT_ATTR_NODIRATIME ? MS_NODIRATIME : 0;
    return flags | (attributes & MOUNT_ATTR_NOSYMFOLLOW ? MS_NOSYMFOLLOW : 0);
}

static int empty_directory(const char *option, int64_t attributes);

/* mount(2) on `place`, whose only name that serves is that of its descriptor. */
static int mount_on(struct init *init, const struct plan_op *op, int place, const char *data)
{
    char target[64] = "self/fd/";
    int proc = open_procfs(init), here = sys_openat(AT_FDCWD, ".", O_PATH | O_DIRECTORY, 0);
    int error = proc < 0 ? proc : here < 0 ? here : (int)SYS1(SYS_fchdir, proc);
    text_append_number(target, sizeof target, place);
    if (!error)
        error = sys_mount(op_text(init, op, 1), target, op_text(init, op, 0), mount_flags(op->n[1]), data);
    if (here >= 0)
        SYS1(SYS_fchdir, here), sys_close(here);
    return error;
}

/* Mounts it in a tmpfs of its own, and returns a detached copy. */
static int mount_aside(struct init *init, const struct plan_op *op, const char *data)
{
    int aside = empty_directory("", 0);
    int error = aside < 0 ? aside : attach_aside(init, aside);
    if (!error)
        error = sys_mkdirat(aside, "mount", 0700);
    int place = error ? error : sys_openat(aside, "mount", O_PATH | O_DIRECTORY, 0);
    int mount = place < 0 ? place : mount_on(init, op, place, data);
    if (!mount)
        mount = sys_open_tree(aside, "mount", OPEN_TREE_CLONE);
    if (place >= 0)
        sys_close(place);
    if (aside >= 0)
        detach_aside(aside), sys_close(aside);
    return mount;
}

/* An option longer than fsconfig(2) takes, an overlay of many layers say, goes by way of mount(2). */
static int mount_long_options(struct init *init, const struct plan_op *op)
{
    static char data[PATH_SIZE];
    const char *option = op_text(init, op, 3);
    int fits = 1;
    data[0] = 0;
    for (int64_t i = 0; i < op->n[0]; i++, option = next_text(option)) {
        fits &= text_append(data, sizeof data, i ? "," : "");
        fits &= text_append(data, sizeof data, option);
    }
    return fits ? mount_aside(init, op, data) : -E_NAMETOOLONG;
}

static int has_long_option(const struct init *init, const struct plan_op *op)
{
    const char *option = op_text(init, op, 3);
    for (int64_t i = 0; i < op->n[0]; i++, option = next_text(option))
        if (text_length(option) >= FSCONFIG_VALUE_SIZE)
            return 1;
    return 0;
}

/* A tmpfs takes the mode of the directory that it covers, as runc does: /tmp stays 01777 and /root 0700. One that
 * covers nothing has the kernel's default, 01777. */
static void mode_option(const struct plan_op *op, int destination, char *option, size_t size)
{
    char octal[6] = {0};
    int mode = file_mode(destination);
    if (!(op->n[3] & MOUNT_KEEP_MODE) || mode < 0)
        return;
    for (int i = 4, rest = mode & 07777; i >= 0; i--, rest >>= 3)
        octal[i] = (char)('0' + (rest & 7));
    text_append(option, size, "mode=");
    text_append(option, size, octal);
}

static int fill(struct init *init, const struct plan_op *op, int destination, int mount)
{
    int from = sys_openat(destination, ".", O_RDONLY | O_DIRECTORY, 0);
    if (from < 0)
        return from;
    int to = sys_openat(mount, ".", O_RDONLY | O_DIRECTORY, 0);
    int error = to < 0 ? to : copy_tree(init, from, to);
    sys_close(from);
    if (to >= 0)
        sys_close(to);
    return error ? error : set_attributes(mount, 0, op->n[1], 0, 0);
}

int op_mount(struct init *init, const struct plan_op *op)
{
    char mode[16] = "";
    int there = open_in_root(init, op_text(init, op, 2), O_PATH, 0);
    int destination = open_destination(init, op_text(init, op, 2), MODE_DIRECTORY, op->n[3]);
    if (there >= 0)
        sys_close(there);
    if (destination < 0)
        return destination;
    if (there >= 0)
        mode_option(op, destination, mode, sizeof mode);
    int mount = has_long_option(init, op) ? mount_long_options(init, op) : new_filesystem(init, op, mode);
    int error = mount < 0 ? mount : 0;
    if (!error && op->n[3] & MOUNT_COPY_UP)
        error = fill(init, op, destination, mount);
    if (!error)
        error = set_attributes(mount, op->n[2] & MS_REC ? AT_RECURSIVE : 0, 0, 0, op->n[2] & ~(int64_t)MS_REC);
    if (!error)
        error = move_onto(init, mount, destination, op_text(init, op, 2), MODE_DIRECTORY);
    sys_close(destination);
    if (!error)
        return keep_mount(init, op_text(init, op, 2), mount);
    if (mount >= 0)
        sys_close(mount);
    return error;
}

int op_bind(struct init *init, const struct plan_op *op)
{
    int mount = op->n[0] < 0 ? init->tree_fd : (int)op->n[0];
    init->tree_fd = NO_FD;
    int error = set_all_attributes(mount, op);
    int type = file_mode(mount) & MODE_TYPE;
    if (!error && type == MODE_SYMLINK && op->n[6] & MOUNT_COPY_LINK) {
        error = repeat_link(init, mount, op_text(init, op, 2));
        sys_close(mount);
        return error;
    }
    if (!error)
        error = attach(init, mount, op_text(init, op, 2), type == MODE_DIRECTORY ? type : MODE_REGULAR, op->n[6]);
    if (!error)
        return keep_mount(init, op_text(init, op, 2), mount);
    sys_close(mount);
    return error;
}

int op_mount_attributes(struct init *init, const struct plan_op *op)
{
    const char *path = op_text(init, op, 2);
    if (text_equal(path, "/"))
        return set_all_attributes(init->root_fd, op);
    int fd = open_in_root(init, path, O_PATH, 0);
    if (fd < 0)
        return fd;
    struct statx st;
    int error = set_all_attributes(fd, op);
    if (error == -E_INVAL && !sys_statx(fd, "", AT_EMPTY_PATH, &st) && !(st.stx_attributes & STATX_ATTR_MOUNT_ROOT))
        text_append(init->detail, sizeof init->detail, "there is no mount");
    sys_close(fd);
    return error;
}

static int missing(int error)
{
    return error == -E_NOENT || error == -E_NOTDIR;
}

/* A null device, and it is proven to be that: what the image has by that name may be anything (CVE-2025-31133). Rather
 * the container's own than the host's, for a container with CAP_SYS_ADMIN could make the mount writable again. */
static int null_device(struct init *init)
{
    int fd = init->null_fd;
    if (fd >= 0 && (fd = sys_open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE)) >= 0)
        return fd;
    fd = sys_open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE);
    if (fd >= 0 && !is_device(fd, MODE_CHARACTER, 1, 3)) {
        text_append(init->detail, sizeof init->detail, "the host's /dev/null is not the null device");
        sys_close(fd);
        return -E_NODEV;
    }
    return fd;
}

/* A tmpfs of its own; MOUNT_ATTR_RDONLY makes the filesystem read-only, too. */
static int empty_directory(const char *option, int64_t attributes)
{
    int fs = (int)SYS2(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (fs < 0)
        return fs;
    int error = *option ? configure(fs, option) : 0;
    if (!error && attributes & MOUNT_ATTR_RDONLY)
        error = (int)SYS5(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "ro", 0, 0);
    if (!error)
        error = (int)SYS5(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0);
    int mount = error ? error : (int)SYS3(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes);
    sys_close(fs);
    return mount;
}

int op_masked_path(struct init *init, const struct plan_op *op)
{
    int fd = open_in_root(init, op_text(init, op, 0), O_PATH, 0);
    if (fd < 0)
        return missing(fd) ? 0 : fd;
    int directory = (file_mode(fd) & MODE_TYPE) == MODE_DIRECTORY;
    int mount = directory ? empty_directory(op_text(init, op, 1), MOUNT_ATTR_RDONLY) : null_device(init);
    int error = mount < 0 ? mount : attach_unasked(mount, fd, MOUNT_ATTR_RDONLY);
    if (mount >= 0)
        sys_close(mount);
    sys_close(fd);
    return error;
}

/* The tree at a directory that open_tree(2) has refused, since its mount is unbindable: it is bindable meanwhile. A file
 * is refused for good, for no way leads from it to its mount, unless it is one. */
static int clone_unbindable(int fd)
{
    struct statx st;
    int root = fd, error;
    while (!(error = sys_statx(root, "", AT_EMPTY_PATH, &st)) && !(st.stx_attributes & STATX_ATTR_MOUNT_ROOT)) {
        int above = sys_openat(root, "..", O_PATH | O_DIRECTORY, 0);
        if (root != fd)
            sys_close(root);
        if (above < 0)
            return -E_INVAL;
        root = above;
    }
    if (!error)
        error = set_attributes(root, 0, 0, 0, MS_PRIVATE);
    int mount = error ? error : sys_open_tree(fd, "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE);
    if (mount >= 0)
        error = set_attributes(root, 0, 0, 0, MS_UNBINDABLE);
    if (root != fd)
        sys_close(root);
    if (mount >= 0 && error)
        sys_close(mount);
    return error ? error : mount;
}

int op_readonly_path(struct init *init, const struct plan_op *op)
{
    if (text_equal(op_text(init, op, 0), "/"))
        return set_attributes(init->root_fd, 0, MOUNT_ATTR_RDONLY, 0, 0);
    int fd = open_in_root(init, op_text(init, op, 0), O_PATH, 0);
    if (fd < 0)
        return missing(fd) ? 0 : fd;
    int mount = sys_open_tree(fd, "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE);
    if (mount == -E_INVAL)
        mount = clone_unbindable(fd);
    int error = mount < 0 ? mount : set_attributes(mount, 0, MOUNT_ATTR_RDONLY, 0, 0);
    if (!error)
        error = sys_move_mount(mount, fd, "");
    if (mount >= 0)
        sys_close(mount);
    sys_close(fd);
    return error;
}

/* pivot_root(2), "pivot_root(".", ".")": the old root ends up over the new one and is taken away from there. It is
 * made a slave first, or its unmounting would spread to the host. */
int op_pivot_root(struct init *init, const struct plan_op *op)
{
    (void)op;
    close_kept(init);
    int old_root = sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
    int error = old_root < 0 ? old_root : (int)SYS1(SYS_fchdir, init->root_fd);
    if (!error)
        error = (int)SYS2(SYS_pivot_root, ".", ".");
    if (!error)
        error = (int)SYS1(SYS_fchdir, old_root);
    if (!error)
        error = sys_mount(0, ".", 0, MS_SLAVE | MS_REC, 0);
    if (!error)
        error = (int)SYS2(SYS_umount2, ".", /* MNT_DETACH */ 2);
    if (!error)
        error = (int)SYS1(SYS_chdir, "/");
    if (old_root >= 0)
        sys_close(old_root);
    init->in_root = !error;
    return error;
}

/* For a root on initramfs, which pivot_root(2) refuses: the new root is moved over the old one, which stays below it. */
int op_move_root(struct init *init, const struct plan_op *op)
{
    int error = hide_host_filesystems(init);
    if (!error)
        error = (int)SYS1(SYS_fchdir, init->root_fd);
    if (!error)
        error = sys_move_mount(init->root_fd, AT_FDCWD, "/");
    return error ? error : op_chroot(init, op);
}

/* By itself for a container without a mount namespace. */
int op_chroot(struct init *init, const struct plan_op *op)
{
    (void)op;
    close_kept(init);
    int error = (int)SYS1(SYS_fchdir, init->root_fd);
    if (!error)
        error = (int)SYS1(SYS_chroot, ".");
    init->in_root = !error;
    return error;
}
