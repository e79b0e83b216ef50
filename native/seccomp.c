/*
 * Turns a whole seccomp profile into classic BPF with libseccomp, in one call.
 *
 * This is the body of the cffi extension oci_runtime._libseccomp (see build_seccomp.py); the declarations Python sees are
 * repeated there. It holds no policy: names of actions, operators and architectures are translated in
 * oci_runtime/linux/seccomp_compiler.py. Functions return 0 or a positive count, or a negative errno.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PYOCI_MAX_ARGS 6

/* Below this number of rules a binary tree gains nothing, and libseccomp 2.5 mishandles a tree of none. */
#define PYOCI_TREE_THRESHOLD 32

/* From linux/seccomp.h, whose older versions lack what newer kernels offer. */
#define PYOCI_SET_MODE_FILTER 1

struct pyoci_arg {
    uint32_t index;
    uint32_t op;
    uint64_t value;
    uint64_t value_two;
};

/* One action under one conjunction of argument checks, for name_count consecutive names. */
struct pyoci_rule {
    uint32_t action;
    uint32_t name_count;
    uint32_t arg_count;
    uint32_t reserved;
    struct pyoci_arg args[PYOCI_MAX_ARGS];
};

/* `names` is name_count NUL-terminated strings for each rule in turn. */
struct pyoci_profile {
    uint32_t default_action;
    uint32_t arch_count;
    uint32_t rule_count;
    const uint32_t *archs;
    const struct pyoci_rule *rules;
    const char *names;
};

/* What pyoci_compile was working on when it failed; -1 where it does not apply. */
struct pyoci_failure {
    int32_t arch;
    int32_t rule;
    int32_t name;
};

static int add_archs(scmp_filter_ctx filter, const struct pyoci_profile *profile, struct pyoci_failure *failure)
{
    for (uint32_t i = 0; i < profile->arch_count; i++) {
        int rc = seccomp_arch_add(filter, profile->archs[i]);

        if (rc < 0 && rc != -EEXIST) {
            failure->arch = (int32_t)i;
            return rc;
        }
    }
    return 0;
}

static unsigned int conditions(const struct pyoci_rule *rule, struct scmp_arg_cmp out[PYOCI_MAX_ARGS])
{
    unsigned int count = rule->arg_count < PYOCI_MAX_ARGS ? rule->arg_count : PYOCI_MAX_ARGS;

    for (unsigned int i = 0; i < count; i++) {
        out[i].arg = rule->args[i].index;
        out[i].op = (enum scmp_compare)rule->args[i].op;
        out[i].datum_a = rule->args[i].value;
        out[i].datum_b = rule->args[i].value_two;
    }
    return count;
}

/* Returns the number of rules added: names libseccomp does not know add none. */
static int add_rules(scmp_filter_ctx filter, const struct pyoci_profile *profile, struct pyoci_failure *failure)
{
    const char *name = profile->names;
    int added = 0;

    for (uint32_t i = 0; i < profile->rule_count; i++) {
        const struct pyoci_rule *rule = &profile->rules[i];
        struct scmp_arg_cmp args[PYOCI_MAX_ARGS];
        unsigned int arg_count = conditions(rule, args);

        for (uint32_t j = 0; j < rule->name_count; j++, name += strlen(name) + 1) {
            int number = seccomp_syscall_resolve_name(name);
            int rc;

            /* libseccomp refuses a rule that only repeats the default. */
            if (number == __NR_SCMP_ERROR || rule->action == profile->default_action)
                continue;
            rc = seccomp_rule_add_array(filter, rule->action, number, arg_count, args);
            if (rc < 0) {
                failure->rule = (int32_t)i;
                failure->name = (int32_t)j;
                return rc;
            }
            added++;
        }
    }
    return added;
}

/* seccomp_export_bpf writes to a descriptor in every version; its in-memory twin came with 2.6. */
static int export_bpf(scmp_filter_ctx filter, void *bpf, size_t capacity)
{
    struct stat st;
    int rc;
    int fd = memfd_create("seccomp", MFD_CLOEXEC);

    if (fd < 0)
        return -errno;
    rc = seccomp_export_bpf(filter, fd);
    if (rc == 0 && fstat(fd, &st) < 0)
        rc = -errno;
    if (rc == 0 && (uint64_t)st.st_size > capacity)
        rc = -E2BIG;
    if (rc == 0) {
        ssize_t got = pread(fd, bpf, capacity, 0);

        rc = got < 0 ? -errno : got != (ssize_t)st.st_size ? -EIO : (int)got;
    }
    close(fd);
    return rc;
}

/* Compiles the profile into `bpf`; returns its size in bytes. -E2BIG: it does not fit into `capacity`. */
int pyoci_compile(const struct pyoci_profile *profile, void *bpf, size_t capacity, struct pyoci_failure *failure)
{
    scmp_filter_ctx filter;
    int rc;

    *failure = (struct pyoci_failure){.arch = -1, .rule = -1, .name = -1};
    filter = seccomp_init(profile->default_action);
    if (filter == NULL)
        return -EINVAL;
    rc = add_archs(filter, profile, failure);
    if (rc == 0)
        rc = add_rules(filter, profile, failure);
    /* An older library refuses the attribute and makes a linear filter, which decides the same. */
    if (rc > PYOCI_TREE_THRESHOLD)
        (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (rc >= 0)
        rc = export_bpf(filter, bpf, capacity);
    seccomp_release(filter);
    return rc;
}

/* The greatest system call number that one of the `count` names has on `arch`, or 0. */
uint32_t pyoci_newest(uint32_t arch, const char *names, uint32_t count)
{
    uint32_t newest = 0;

    for (uint32_t i = 0; i < count; i++, names += strlen(names) + 1) {
        /* Negative numbers stand for calls that other architectures have. */
        int number = seccomp_syscall_resolve_name_arch(arch, names);

        if (number > 0 && (uint32_t)number > newest)
            newest = (uint32_t)number;
    }
    return newest;
}

/* The token of an architecture by libseccomp's name ("x86_64"), 0 if this libseccomp has none such. */
uint32_t pyoci_arch(const char *name)
{
    return seccomp_arch_resolve_name(name);
}

uint32_t pyoci_native_arch(void)
{
    return seccomp_arch_native();
}

/* Whether the kernel knows all of these flags of seccomp(2): it looks at the filter's address only once it has accepted them. */
int pyoci_flags_available(unsigned int flags)
{
    return syscall(SYS_seccomp, PYOCI_SET_MODE_FILTER, flags, NULL) == -1 && errno == EFAULT;
}

/* major << 16 | minor << 8 | micro */
uint32_t pyoci_library_version(void)
{
    const struct scmp_version *version = seccomp_version();

    return version == NULL ? 0 : version->major << 16 | version->minor << 8 | version->micro;
}

/* The path of the file the dynamic linker took libseccomp from, NULL if it cannot tell. */
const char *pyoci_library_path(void)
{
    Dl_info info;

    return dladdr((void *)(uintptr_t)seccomp_version, &info) ? info.dli_fname : NULL;
}
