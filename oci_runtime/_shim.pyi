"""The extension of native/build_shim.py, for mypy: its calls (native/shim.h) and constants (native/plan.h).

Calls return a result or -errno. `pointer` and `bytes` are what cffi takes for a pointer.
"""

from typing import Any

ffi: Any

class _Lib:
    # plan.h
    PLAN_MAGIC: int
    PLAN_STRINGS: int
    PLAN_NUMBERS: int
    OP_TIME_NAMESPACE: int
    OP_CGROUP_NAMESPACE: int
    OP_LOOPBACK_UP: int
    OP_HOSTNAME: int
    OP_DOMAINNAME: int
    OP_SYSCTL: int
    OP_HOST_PROPAGATION: int
    OP_ROOTFS: int
    OP_ROOTFS_DIRECTORY: int
    OP_MOUNT: int
    OP_OPEN_TREE: int
    OP_BIND: int
    OP_MOUNT_ATTRIBUTES: int
    OP_RECONFIGURE: int
    OP_MASKED_PATH: int
    OP_READONLY_PATH: int
    OP_DEVICE: int
    OP_DEVICE_NODES: int
    OP_BIND_DEVICE: int
    OP_SYMLINK: int
    OP_DIRECTORY: int
    OP_CONSOLE: int
    OP_PIVOT_ROOT: int
    OP_MOVE_ROOT: int
    OP_CHROOT: int
    OP_NEW_SESSION: int
    OP_SESSION_KEYRING: int
    OP_LSM_LABEL: int
    OP_SCHEDULER: int
    OP_IO_PRIORITY: int
    OP_PERSONALITY: int
    OP_MEMORY_POLICY: int
    OP_CPU_AFFINITY: int
    OP_FIND_EXECUTABLE: int
    OP_SYNC: int
    OP_HOOK_FILES: int
    OP_HOOK: int
    OP_HOOKS_RAN: int
    OP_START_CHANNEL: int
    OP_WAIT_START: int
    OP_BOUNDING_SET: int
    OP_INHERITED: int
    OP_OPEN_FILES: int
    OP_USER: int
    OP_CAPABILITIES: int
    OP_NO_NEW_PRIVILEGES: int
    OP_SECCOMP: int
    OP_WORKING_DIRECTORY: int
    OP_EXEC: int
    MOUNT_COPY_UP: int
    MOUNT_OVER_PROC: int
    MOUNT_KEEP_MODE: int
    MOUNT_NO_SYMLINK: int
    MOUNT_PLAIN: int
    MOUNT_OVER_LINK: int
    MOUNT_COPY_LINK: int
    TREE_HELPED: int
    TREE_MAPPED: int
    LISTENER_NONE: int
    LISTENER_SENT: int
    LISTENER_OF_A_USER: int
    SYNC_GO: int
    SYNC_HOOKS: int
    SYNC_READY: int
    HOOK_IN_ROOT: int
    HOOK_HOME: int
    HOOK_CLOSE_PRESERVED: int
    REPORT_STATE_CHUNK: int
    REPORT_PID: int
    REPORT_SYNC: int
    REPORT_FAILED: int
    REPORT_CONSOLE: int
    REPORT_LISTENER: int
    REPORT_SHIM: int
    REPORT_NOT_EXECUTED: int
    REPORT_TREE: int
    REPORT_HOOKS_RAN: int
    REPORT_TEXT: int
    STEP_JOIN: int
    STEP_CLONE: int
    STEP_CGROUP: int
    STEP_ROOT_USER: int
    STEP_EXEC_INIT: int
    STEP_TIME_NAMESPACE: int
    # shim.h
    def sys_spawn(self, request: Any, pidfd: Any, /) -> int: ...
    def sys_socketpair(self, ends: Any, /) -> int: ...
    def sys_listen(self, path: bytes, /) -> int: ...
    def sys_send_descriptor(self, socket: int, data: bytes, size: int, descriptor: int, /) -> int: ...
    def sys_receive(self, socket: int, report: Any, descriptor: Any, /) -> int: ...
    def sys_memfd(self, name: bytes, data: bytes, size: int, executable: int, mode: int, /) -> int: ...
    def sys_program_in_tmpfs(self, name: bytes, data: bytes, size: int, mode: int, /) -> int: ...
    def sys_openat2(self, dir: int, path: bytes, flags: int, mode: int, resolve: int, /) -> int: ...
    def sys_open_tree(self, dir: int, path: bytes, flags: int, /) -> int: ...
    def sys_device_directory(self, key: bytes, label: bytes, /) -> int: ...
    def sys_umount(self, path: bytes, flags: int, /) -> int: ...
    def sys_open_tree_of(self, process: int, root: int, path: bytes, flags: int, inside: bool, /) -> int: ...
    def sys_mount_idmap(self, mount: int, recursive: int, user_namespace: int, /) -> int: ...
    def sys_pidfd_open(self, pid: int, /) -> int: ...
    def sys_pidfd_send_signal(self, pidfd: int, signal: int, /) -> int: ...
    def sys_pidfd_getfd(self, pidfd: int, descriptor: int, /) -> int: ...
    def sys_setns(self, fd: int, type: int, /) -> int: ...
    def sys_unshare(self, flags: int, /) -> int: ...
    def sys_not_dumpable(self) -> int: ...
    def sys_prlimit(self, pid: int, resource: int, soft: int, hard: int, /) -> int: ...
    def sys_getrlimit(self, resource: int, limits: Any, /) -> int: ...
    def sys_subreaper(self) -> int: ...
    def sys_close_on_exec(self, first: int, /) -> int: ...
    def sys_signalfd(self, mask: int, /) -> int: ...
    def sys_bpf(self, command: int, attributes: Any, size: int, /) -> int: ...
    def sys_permitted_capabilities(self) -> int: ...
    def sys_capabilities_last(self) -> int: ...
    def sys_sched_setaffinity(self, pid: int, mask: bytes, size: int, /) -> int: ...
    def sys_filesystem_magic(self, fd: int, /) -> int: ...

lib: _Lib
