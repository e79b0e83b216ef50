/* init: the program that runs inside the container before its process does, and becomes it.
 *
 *     init REPORT PLAN
 *
 * REPORT is a SOCK_SEQPACKET socket to the runtime, PLAN a descriptor of a plan (plan.h). Init carries out the plan's
 * operations in their order, and the last one is execve(2). It decides nothing; an operation that fails is reported
 * with its number and errno, and init ends.
 *
 * It is executed from a sealed memfd, so that /proc/PID/exe leads to no file of the host (CVE-2019-5736). */
#include "init.h"

#include <linux/mman.h>
#include <linux/prctl.h>
#include <linux/signal.h>

int init_main(long argc, char **argv, char **envp);

typedef int operation(struct init *, const struct plan_op *);

static operation *const operations[] = {
    [OP_TIME_NAMESPACE] = op_time_namespace,
    [OP_CGROUP_NAMESPACE] = op_cgroup_namespace,
    [OP_LOOPBACK_UP] = op_loopback_up,
    [OP_HOSTNAME] = op_hostname,
    [OP_DOMAINNAME] = op_domainname,
    [OP_SYSCTL] = op_sysctl,
    [OP_HOST_PROPAGATION] = op_host_propagation,
    [OP_ROOTFS] = op_rootfs,
    [OP_ROOTFS_DIRECTORY] = op_rootfs_directory,
    [OP_MOUNT] = op_mount,
    [OP_OPEN_TREE] = op_open_tree,
    [OP_BIND] = op_bind,
    [OP_MOUNT_ATTRIBUTES] = op_mount_attributes,
    [OP_RECONFIGURE] = op_reconfigure,
    [OP_MASKED_PATH] = op_masked_path,
    [OP_READONLY_PATH] = op_readonly_path,
    [OP_DEVICE] = op_device,
    [OP_DEVICE_NODES] = op_device_nodes,
    [OP_BIND_DEVICE] = op_bind_device,
    [OP_SYMLINK] = op_symlink,
    [OP_DIRECTORY] = op_directory,
    [OP_CONSOLE] = op_console,
    [OP_PIVOT_ROOT] = op_pivot_root,
    [OP_MOVE_ROOT] = op_move_root,
    [OP_CHROOT] = op_chroot,
    [OP_NEW_SESSION] = op_new_session,
    [OP_SESSION_KEYRING] = op_session_keyring,
    [OP_LSM_LABEL] = op_lsm_label,
    [OP_SCHEDULER] = op_scheduler,
    [OP_IO_PRIORITY] = op_io_priority,
    [OP_PERSONALITY] = op_personality,
    [OP_MEMORY_POLICY] = op_memory_policy,
    [OP_CPU_AFFINITY] = op_cpu_affinity,
    [OP_FIND_EXECUTABLE] = op_find_executable,
    [OP_SYNC] = op_sync,
    [OP_HOOK_FILES] = op_hook_files,
    [OP_HOOK] = op_hook,
    [OP_HOOKS_RAN] = op_hooks_ran,
    [OP_START_CHANNEL] = op_start_channel,
    [OP_WAIT_START] = op_wait_start,
    [OP_BOUNDING_SET] = op_bounding_set,
    [OP_INHERITED] = op_inherited,
    [OP_OPEN_FILES] = op_open_files,
    [OP_USER] = op_user,
    [OP_CAPABILITIES] = op_capabilities,
    [OP_NO_NEW_PRIVILEGES] = op_no_new_privileges,
    [OP_SECCOMP] = op_seccomp,
    [OP_WORKING_DIRECTORY] = op_working_directory,
    [OP_EXEC] = op_exec,
};

/* The lists and blocks of bytes of an operation: which string, and which number says how long it is. */
static const struct {
    uint32_t code;
    int s, n;
    int bits; /* of one element; 0: NUL-terminated strings */
} parts[] = {
    {OP_MOUNT, 3, 0, 0},        {OP_RECONFIGURE, 3, 0, 0},   {OP_HOOK, 1, 0, 0},       {OP_HOOK, 2, 1, 0},
    {OP_EXEC, 1, 0, 0},         {OP_EXEC, 2, 1, 0},          {OP_USER, 0, 2, 32},      {OP_SECCOMP, 0, 0, 8},
    {OP_CPU_AFFINITY, 0, 0, 8}, {OP_MEMORY_POLICY, 0, 1, 1}, {OP_INHERITED, 0, 2, 32},
};

static int part_fits(const struct plan_header *header, const struct plan_op *op, int part)
{
    const char *plan = (const char *)header;
    int64_t count = op->n[parts[part].n];
    uint32_t left = header->size - op->s[parts[part].s];
    if (count < 0 || count > header->size)
        return 0;
    if (parts[part].bits)
        return (uint64_t)count * (uint64_t)parts[part].bits / 8 <= left;
    for (const char *text = plan + op->s[parts[part].s]; count; text = next_text(text), count--)
        if (text >= plan + header->size)
            return 0;
    return 1;
}

static int op_fits(const struct plan_header *header, const struct plan_op *op)
{
    for (int s = 0; s < PLAN_STRINGS; s++)
        if (op->s[s] >= header->size)
            return 0;
    for (int part = 0; part < (int)(sizeof parts / sizeof *parts); part++)
        if (op->code == parts[part].code && !part_fits(header, op, part))
            return 0;
    return 1;
}

/* Maps the plan and proves that nothing in it leads outside. */
static int load_plan(struct init *init, int fd)
{
    struct statx st;
    int error = sys_statx(fd, "", AT_EMPTY_PATH, &st);
    if (error)
        return error;
    long memory = SYS6(SYS_mmap, 0, st.stx_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory < 0 && memory > -PATH_SIZE)
        return (int)memory;
    const struct plan_header *header = (const struct plan_header *)memory;
    const struct plan_op *op = (const struct plan_op *)(header + 1);
    init->plan = (const char *)memory;
    if (st.stx_size < sizeof *header || header->magic != PLAN_MAGIC || header->size != st.stx_size ||
        header->op_size != sizeof *op || init->plan[header->size - 1] ||
        header->count > (header->size - sizeof *header) / sizeof *op)
        return -E_PROTO;
    for (uint32_t i = 0; i < header->count; i++)
        if (!op_fits(header, op + i))
            return -E_PROTO;
    return 0;
}

/* The process starts with every signal at its default, whatever the runtime's interpreter ignored. */
static void reset_signals(void)
{
    struct kernel_sigaction action = {0};
    uint64_t none = 0;
    for (int signal = 1; signal <= 64; signal++)
        SYS4(SYS_rt_sigaction, signal, &action, 0, sizeof none);
    SYS4(SYS_rt_sigprocmask, SIG_SETMASK, &none, 0, sizeof none);
}

static int run(struct init *init)
{
    const struct plan_header *header = (const struct plan_header *)init->plan;
    const struct plan_op *op = (const struct plan_op *)(header + 1);
    for (init->op = 0; init->op < header->count; init->op++, op++) {
        int known = op->code < sizeof operations / sizeof *operations && operations[op->code];
        int error = known ? operations[op->code](init, op) : -E_PROTO;
        if (error < 0)
            return error;
    }
    return -E_PROTO; /* a plan ends with OP_EXEC */
}

static int fail(const struct init *init, int error)
{
    struct report report = {.kind = REPORT_FAILED, .value = -error, .op = init->op};
    text_append(report.text, sizeof report.text, init->detail);
    report.length = (uint32_t)text_length(report.text);
    report_send(init, &report, NO_FD);
    return 1;
}

int init_main(long argc, char **argv, char **envp)
{
    static struct init init = {.report_fd = NO_FD,
                               .root_fd = NO_FD,
                               .procfs_fd = NO_FD,
                               .tree_fd = NO_FD,
                               .nodes_fd = NO_FD,
                               .null_fd = NO_FD,
                               .start = {NO_FD, NO_FD}};
    (void)envp;
    int born = argc >= 10 ? birth(argv) : argc == 3 ? BORN : 1;
    if (born != BORN)
        return born;
    init.report_fd = number(argv[1]);
    /* Nobody may look into init or take its descriptors while it has privileges (CVE-2016-9962). */
    sys_prctl(PR_SET_DUMPABLE, 0, 0);
    sys_prctl(PR_SET_NAME, (unsigned long)"pyoci:init", 0);
    sys_prctl(PR_SET_PDEATHSIG, /* SIGKILL */ 9, 0);
    SYS3(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC);
    init.umask = (int)SYS1(SYS_umask, 0);
    reset_signals();
    int plan = number(argv[2]);
    int error = load_plan(&init, plan);
    sys_close(plan);
    return fail(&init, error ? error : run(&init));
}
