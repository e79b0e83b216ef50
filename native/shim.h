/* What Python sees of shim.c: thin calls, each named after its system call, that return a result or -errno.
 * Lines that begin with '#' are hidden from cffi. */
#ifndef PYOCI_SHIM_H
#define PYOCI_SHIM_H
#include <stdint.h>

struct spawn {
    uint64_t flags;  /* CLONE_NEW* of the new process */
    int cgroup;      /* descriptor of its cgroup v2, or -1: clone3(2), CLONE_INTO_CGROUP */
    int tasks_count; /* descriptors of `tasks` files, in which the new process enters itself */
    int tasks[24];
    int init;    /* descriptors of the program, */
    int plan;    /* its plan, */
    int report;  /* its end of the socket pair, */
    int runtime; /* and the runtime's */
    int process; /* pidfd whose namespaces `process_flags` are joined, or -1 */
    uint64_t process_flags;
    int join_count; /* namespaces joined by descriptor */
    int join[16];
    int join_type[16]; /* CLONE_NEW* */
    int become_root;   /* uid and gid 0 once the id mappings are written */
    int execute_again; /* in the user namespace that is joined, as nobody else is in it and the runtime is to look */
    int keep_count;    /* descriptors that the plan names */
    const int *keep;
    int preserved_count; /* descriptors of --preserve-fds */
    const int *preserved;
    const char *time_offsets; /* of a new time namespace, as timens_offsets(7) takes them; NULL: it is in none */
};

int sys_spawn(const struct spawn *request, int *pidfd);
int sys_socketpair(int *ends);
int sys_listen(const char *path);
int sys_send_descriptor(int socket, const char *data, size_t size, int descriptor);
int sys_receive(int socket, struct report *report, int *descriptor);
int sys_memfd(const char *name, const char *data, size_t size, int executable, int mode);
int sys_program_in_tmpfs(const char *name, const char *data, size_t size, int mode);
int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int sys_open_tree(int dir, const char *path, unsigned flags);
int sys_device_directory(const char *key, const char *label);
int sys_umount(const char *path, int flags);
int sys_open_tree_of(int process, int root, const char *path, unsigned flags, int inside);
int sys_mount_idmap(int mount, int recursive, int user_namespace);
int sys_pidfd_open(int pid);
int sys_pidfd_send_signal(int pidfd, int signal);
int sys_pidfd_getfd(int pidfd, int descriptor);
int sys_setns(int fd, int type);
int sys_unshare(int flags);
int sys_not_dumpable(void);
int sys_prlimit(int pid, int resource, uint64_t soft, uint64_t hard);
int sys_getrlimit(int resource, uint64_t *limits);
int sys_subreaper(void);
int sys_close_on_exec(unsigned first);
int sys_signalfd(uint64_t mask);
int sys_bpf(int command, void *attributes, unsigned size);
uint64_t sys_permitted_capabilities(void);
int sys_capabilities_last(void);
int sys_sched_setaffinity(int pid, const char *mask, size_t size);
long sys_filesystem_magic(int fd);
#endif
