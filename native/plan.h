/* The plan: what the runtime (Python) asks init (C) to do, as one flat block of memory.
 *
 * The single source of both sides: cffi reads the enum and the structs below, so Python uses these very names. The
 * block is a plan_header, then `count` plan_ops, then a pool of NUL-terminated strings. A string is named by its
 * offset from the start of the block, 0 meaning none. A "list" is `n` strings one after the other in the pool.
 * The first 16 bytes hold the header, so no string has offset 0.
 *
 * Lines that begin with '#' are hidden from cffi. */
#ifndef PYOCI_PLAN_H
#define PYOCI_PLAN_H
#include <stdint.h>

enum {
    PLAN_MAGIC = 0x50594f43,
    PLAN_STRINGS = 4,
    PLAN_NUMBERS = 8,
};

struct plan_header {
    uint32_t magic;
    uint32_t count; /* operations */
    uint32_t size;  /* bytes in all; the last one is NUL */
    uint32_t op_size;
};

struct plan_op {
    uint32_t code;
    uint32_t s[4]; /* strings and lists: offsets */
    uint32_t pad;
    int64_t n[8]; /* numbers, descriptors, flags */
};

enum plan_code {
    /* namespaces */
    OP_TIME_NAMESPACE = 1, /* s0: its offsets, which the runtime's child has set before it became init */
    OP_CGROUP_NAMESPACE,
    OP_LOOPBACK_UP,
    OP_HOSTNAME,   /* s0 */
    OP_DOMAINNAME, /* s0 */
    OP_SYSCTL,     /* s0: path below /proc/sys, s1: value */

    /* the tree of mounts; every path is resolved inside the new root */
    OP_HOST_PROPAGATION, /* n0: MS_ flags for "/" */
    OP_ROOTFS,           /* s0: its path; n0: descriptor of a detached mount, n1: propagation, n2: recursive,
                            n3: in a mount namespace that is not the container's own */
    OP_ROOTFS_DIRECTORY, /* n0: descriptor of a directory, there is no mount namespace; -1: "/", as it is */
    OP_MOUNT,            /* s0: type, s1: source, s2: destination, s3: list of n0 options; n1: MOUNT_ATTR_ to set,
                            n2: propagation, n3: MOUNT_ flags below */
    OP_OPEN_TREE,        /* for the OP_BIND that follows; s0: path of the host, n0: recursive, n1: do not follow a link,
                            n2: enum tree_help, n3: the path is one in the new root, n4: the runtime's Tree */
    OP_BIND,             /* s0: path of the source, for messages, s2: destination; n0: descriptor of a detached mount,
                            or -1: what OP_OPEN_TREE opened; n1: attributes set, n2: cleared,
                            n3: set recursively, n4: cleared recursively, n5: propagation, n6: MOUNT_ flags,
                            n7: propagation that comes before n5's */
    OP_MOUNT_ATTRIBUTES, /* s2: destination, "/" the root itself; n1..n5 as in OP_BIND */
    OP_RECONFIGURE,      /* s2: destination, s3: list of n0 options of its filesystem */
    OP_MASKED_PATH,      /* s0; s1: mount option of the tmpfs over a directory */
    OP_READONLY_PATH,    /* s0 */
    OP_DEVICE,           /* s0; n0: mode with type, n1: major, n2: minor, n3: uid, n4: gid,
                            n5: replace another file that is there */
    OP_DEVICE_NODES, /* n0: descriptor of a detached directory of devices for the operations that follow; -1: no more */
    OP_BIND_DEVICE,  /* s0; n0: descriptor of a detached mount of the host's device, or -1: s1 of OP_DEVICE_NODES */
    OP_SYMLINK,      /* s0: target, s1: path; n0: replace what is there, n1: only if the target exists */
    OP_DIRECTORY,    /* s0: path, made with those above it */
    OP_CONSOLE,      /* n0: descriptor of the socket that gets the master, n1: rows, n2: columns,
                            n3: bind the terminal to /dev/console, n4: uid, n5: gid */
    OP_PIVOT_ROOT,
    OP_MOVE_ROOT,
    OP_CHROOT,

    /* the process */
    OP_NEW_SESSION,
    OP_SESSION_KEYRING, /* s0: name; s1: its SELinux label */
    OP_LSM_LABEL,       /* s0: file below /proc/thread-self/attr, s1: label */
    OP_SCHEDULER,       /* n0: policy, n1: flags, n2: nice, n3: priority, n4..n6: runtime, deadline, period (ns) */
    OP_IO_PRIORITY,     /* n0: class << 13 | priority */
    OP_PERSONALITY,     /* n0 */
    OP_MEMORY_POLICY,   /* n0: mode | flags, s0: node mask of n1 bits */
    OP_CPU_AFFINITY,    /* s0: mask of n0 bytes */
    OP_FIND_EXECUTABLE, /* s0: name, s1: value of PATH, s2: working directory */
    OP_SYNC,            /* n0: enum sync_phase */
    OP_HOOK_FILES, /* for the OP_HOOKs that follow: n0, n1: their standard output and error, or -1 to keep what they
                           write for the report of a failure */
    OP_HOOK,       /* s0: path, s1: list of n0 arguments, s2: list of n1 variables; n2: timeout (s, 0 none), s3: name,
                           n3: HOOK_ flags below */
    OP_HOOKS_RAN,  /* tells it to the runtime */
    OP_START_CHANNEL, /* for an OP_WAIT_START that a seccomp filter binds */
    OP_WAIT_START,    /* n0: listening socket, or -1 to go on at once */
    OP_BOUNDING_SET,  /* n0: capabilities that stay */
    OP_INHERITED,    /* n0: uid that owns the standard streams, n1: umask or -1, s0: n2 descriptors to pass on (uint32),
                           n3: HOME from /etc/passwd is this uid's, or -1 */
    OP_OPEN_FILES,   /* n0: soft, n1: hard limit RLIMIT_NOFILE, too low for init itself */
    OP_USER,         /* n0: uid, n1: gid, s0: n2 supplementary group ids (uint32), n3: leave the groups as they are */
    OP_CAPABILITIES, /* n0: effective, n1: permitted, n2: inheritable, n3: ambient */
    OP_NO_NEW_PRIVILEGES,
    OP_SECCOMP,           /* s0: filter of n0 bytes; n1: SECCOMP_FILTER_FLAG_, n2: enum listener */
    OP_WORKING_DIRECTORY, /* s0; n0: 1: may still fail with EACCES, a second one will follow; 2: only looks at it */
    OP_EXEC, /* s1: list of n0 arguments, s2: list of n1 variables, to which OP_INHERITED's HOME is added */
};

enum mount_flags {
    MOUNT_COPY_UP = 1,    /* tmpcopyup: the directory's content is copied into the tmpfs */
    MOUNT_OVER_PROC = 2,  /* the destination may lie inside procfs */
    MOUNT_KEEP_MODE = 4,  /* a tmpfs without mode= takes the mode of the directory it covers */
    MOUNT_NO_SYMLINK = 8, /* the destination's last component must not be a symbolic link */
    MOUNT_PLAIN = 16,     /* attributes of the source that n1 does not name are cleared, unless they are locked */
    MOUNT_OVER_LINK = 32, /* dest-nofollow: if the destination is a symbolic link, that is covered */
    MOUNT_COPY_LINK = 64, /* copy-symlink: a source that is a symbolic link is made again */
};

enum tree_help {
    TREE_HELPED = 1, /* the runtime opens what the user namespace may not */
    TREE_MAPPED,     /* and maps the ids of the mount */
};

enum hook_flags {
    HOOK_IN_ROOT = 1, /* before the root is changed: in the root filesystem's directory, with the caller's umask */
    HOOK_HOME = 2,    /* OP_INHERITED's HOME is added to the variables */
    HOOK_CLOSE_PRESERVED = 4, /* some descriptors are open that are the process's alone */
};

enum listener {
    LISTENER_NONE,
    LISTENER_SENT,
    LISTENER_OF_A_USER, /* who must be allowed to take it */
};

enum sync_phase {
    SYNC_GO = 1, /* to the child before it executes init: cgroup and id mappings are in place */
    SYNC_HOOKS,  /* mounts done, root not yet changed: prestart and createRuntime hooks */
    SYNC_READY,  /* all is done but the user's process; limits, pid file, state */
};

/* Child to runtime, one SOCK_SEQPACKET message each. The runtime answers SYNC messages with a uint32_t length and
 * then as many bytes of the container's state, in messages of at most REPORT_STATE_CHUNK. */
enum report_kind {
    REPORT_PID = 1,  /* value: pid of the process that was cloned in the joined namespaces */
    REPORT_SYNC,     /* value: enum sync_phase */
    REPORT_FAILED,   /* value: errno, op: index in the plan, text: detail */
    REPORT_CONSOLE,  /* carries the terminal's master as SCM_RIGHTS */
    REPORT_LISTENER, /* value: the descriptor of the seccomp listener in init; op: that of OP_START_CHANNEL's end that
                        is for `start`, or 0; answered like REPORT_SYNC */
    REPORT_SHIM,     /* value: errno, op: enum spawn_step */
    REPORT_NOT_EXECUTED, /* as REPORT_FAILED, of OP_EXEC: with a filter, under which a REPORT_FAILED that tells more may follow */
    REPORT_TREE, /* carries what OP_OPEN_TREE has opened, or value: why it could not, and then the root if the source lies
                        in it; answered with a byte, and the descriptor of a tree if none came */
    REPORT_HOOKS_RAN,
};

enum {
    REPORT_TEXT = 512,
    REPORT_STATE_CHUNK = 32768,
};

enum spawn_step {
    STEP_JOIN = 1,
    STEP_CLONE,
    STEP_CGROUP, /* a second byte sends init on, when the runtime has moved it there */
    STEP_ROOT_USER,
    STEP_EXEC_INIT,
    STEP_TIME_NAMESPACE,
};

struct report {
    uint32_t kind;
    int32_t value;
    uint32_t op;
    uint32_t length; /* of text */
    char text[512];
};

#endif
