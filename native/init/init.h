/* What the parts of init share. Every operation returns 0 or -errno, and may say more in init->detail. */
#ifndef PYOCI_INIT_H
#define PYOCI_INIT_H

#include "../plan.h"
#include "sys.h"

#define PATH_SIZE 4096
#define NO_FD (-1)

struct init {
    const char *plan;
    uint32_t op;       /* index of the operation that runs */
    int report_fd;     /* to the runtime: the one that creates, later the one that starts */
    int root_fd;       /* the new root; every path of the configuration is resolved below it */
    int procfs_fd;     /* opened when first needed, see open_procfs() */
    int tree_fd;       /* of op_open_tree() */
    int nodes_fd;      /* of op_device_nodes() */
    int null_fd;       /* the container's own /dev/null, proven to be that */
    int umask;         /* the caller's */
    int inherited;     /* mounts are made in a mount namespace that is not the container's own */
    int in_root;       /* the root directory has been changed to the new root */
    int in_directory;  /* the working directory has been changed to the process's */
    int filtered;      /* a seccomp filter is loaded, which may end whoever makes another call */
    int groups_denied; /* setgroups(2) is, for good */
    const char *state; /* the container's state as JSON, the standard input of hooks */
    uint32_t state_size;
    int hook_in, hook_out, hook_err; /* of op_hook_files() */
    int hook_said;                   /* hook_out or hook_err where what it has is told when a hook fails, or -1 */
    int start[2];                    /* of op_start_channel(): init's end, and the one that `start` takes */
    char executable[PATH_SIZE];
    char home[PATH_SIZE]; /* HOME=..., if it is to be set */
    char detail[REPORT_TEXT];
};

static inline const char *op_text(const struct init *init, const struct plan_op *op, int which)
{
    return op->s[which] ? init->plan + op->s[which] : "";
}
static inline const char *next_text(const char *s)
{
    return s + text_length(s) + 1;
}

static inline int number(const char *text)
{
    int value = 0;
    for (; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (*text - '0');
    return value;
}

/* birth.c */
#define BORN (-1)
int birth(char **argv);

/* path.c */
int open_in_root(const struct init *init, const char *path, uint64_t flags, uint64_t resolve);
int open_parent_in_root(const struct init *init, const char *path, const char **name);
int make_in_root(const struct init *init, const char *path, int type);
int file_mode(int fd);
int is_device(int fd, uint32_t type, uint32_t major, uint32_t minor);
long filesystem_magic(int fd);
int open_procfs(struct init *init);
int reopen(struct init *init, int file, int flags);
int write_procfs(struct init *init, const char *directory, const char *file, const char *text);

/* kept.c */
int keep_mount(struct init *init, const char *path, int mount);
int kept_base(const char *path, const char **rest);
void close_kept(struct init *init);

/* mount.c */
int attach_aside(const struct init *init, int mount);
void detach_aside(int mount);
int attach_unasked(int mount, int destination, int64_t attributes);
int op_host_propagation(struct init *init, const struct plan_op *op);
int op_rootfs(struct init *init, const struct plan_op *op);
int op_rootfs_directory(struct init *init, const struct plan_op *op);
void say_why(struct init *init, int fs);
int configure(int fs, const char *option);
int op_mount(struct init *init, const struct plan_op *op);
int op_bind(struct init *init, const struct plan_op *op);
int op_mount_attributes(struct init *init, const struct plan_op *op);
int op_masked_path(struct init *init, const struct plan_op *op);
int op_readonly_path(struct init *init, const struct plan_op *op);
int op_pivot_root(struct init *init, const struct plan_op *op);
int op_move_root(struct init *init, const struct plan_op *op);
int op_chroot(struct init *init, const struct plan_op *op);

/* source.c */
int op_open_tree(struct init *init, const struct plan_op *op);
int repeat_link(struct init *init, int link, const char *path);

/* reconfigure.c */
int op_reconfigure(struct init *init, const struct plan_op *op);

/* hide.c */
int hide_host_filesystems(struct init *init);

/* copy_up.c */
int copy_tree(struct init *init, int from, int to);

/* device.c */
int op_device(struct init *init, const struct plan_op *op);
int op_device_nodes(struct init *init, const struct plan_op *op);
int op_bind_device(struct init *init, const struct plan_op *op);
int op_symlink(struct init *init, const struct plan_op *op);
int op_directory(struct init *init, const struct plan_op *op);
int op_console(struct init *init, const struct plan_op *op);

/* namespace.c */
int op_time_namespace(struct init *init, const struct plan_op *op);
int op_cgroup_namespace(struct init *init, const struct plan_op *op);
int op_loopback_up(struct init *init, const struct plan_op *op);
int op_hostname(struct init *init, const struct plan_op *op);
int op_domainname(struct init *init, const struct plan_op *op);
int op_sysctl(struct init *init, const struct plan_op *op);

/* process.c */
int op_new_session(struct init *init, const struct plan_op *op);
int op_session_keyring(struct init *init, const struct plan_op *op);
int op_lsm_label(struct init *init, const struct plan_op *op);
int op_scheduler(struct init *init, const struct plan_op *op);
int op_io_priority(struct init *init, const struct plan_op *op);
int op_personality(struct init *init, const struct plan_op *op);
int op_memory_policy(struct init *init, const struct plan_op *op);
int op_cpu_affinity(struct init *init, const struct plan_op *op);
int op_find_executable(struct init *init, const struct plan_op *op);
int op_bounding_set(struct init *init, const struct plan_op *op);
int op_inherited(struct init *init, const struct plan_op *op);
int op_open_files(struct init *init, const struct plan_op *op);
int op_user(struct init *init, const struct plan_op *op);
int op_capabilities(struct init *init, const struct plan_op *op);
int op_no_new_privileges(struct init *init, const struct plan_op *op);
int op_seccomp(struct init *init, const struct plan_op *op);
int op_working_directory(struct init *init, const struct plan_op *op);
int op_exec(struct init *init, const struct plan_op *op);

/* executable.c */
void explain_execution(struct init *init, int error);

/* passwd.c */
void home_variable(struct init *init, uint32_t uid, char *variable, size_t size);

/* hook.c */
int op_hook_files(struct init *init, const struct plan_op *op);
int op_hook(struct init *init, const struct plan_op *op);
const char **text_vector(const char *list, int64_t count);

/* report.c */
int report_send(const struct init *init, const struct report *report, int fd);
int send_descriptor(int socket, const void *data, size_t size, int fd);
int receive_state(struct init *init);
int receive_descriptor(const struct init *init, int *fd);
int op_sync(struct init *init, const struct plan_op *op);
int receive_word(struct init *init);
int op_hooks_ran(struct init *init, const struct plan_op *op);
int op_start_channel(struct init *init, const struct plan_op *op);
int op_wait_start(struct init *init, const struct plan_op *op);

#endif
