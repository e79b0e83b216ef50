/* Settings of the namespaces that init is in. */
#include "init.h"

#include <linux/if.h>
#include <linux/in.h>
#include <linux/sched.h>
#include <linux/sockios.h>

/* That which shim.c has made; since Linux 6.3 execve(2) has entered it, and so has a child that was cloned. */
int op_time_namespace(struct init *init, const struct plan_op *op)
{
    (void)op;
    int fd = open_procfs(init);
    if (fd >= 0)
        fd = sys_openat(fd, "self/ns/time_for_children", O_RDONLY, 0);
    if (fd < 0)
        return fd;
    int error = (int)SYS2(SYS_setns, fd, CLONE_NEWTIME);
    sys_close(fd);
    return error;
}

/* Only now, in its cgroup: the namespace's root is where its creator is. */
int op_cgroup_namespace(struct init *init, const struct plan_op *op)
{
    (void)init, (void)op;
    return (int)SYS1(SYS_unshare, CLONE_NEWCGROUP);
}

int op_loopback_up(struct init *init, const struct plan_op *op)
{
    struct ifreq request = {.ifr_name = "lo"};
    (void)init, (void)op;
    int fd = (int)SYS3(SYS_socket, /* AF_INET */ 2, /* SOCK_DGRAM */ 2 | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    int error = (int)SYS3(SYS_ioctl, fd, SIOCGIFFLAGS, &request);
    request.ifr_flags |= IFF_UP;
    if (!error)
        error = (int)SYS3(SYS_ioctl, fd, SIOCSIFFLAGS, &request);
    sys_close(fd);
    return error;
}

int op_hostname(struct init *init, const struct plan_op *op)
{
    const char *name = op_text(init, op, 0);
    return (int)SYS2(SYS_sethostname, name, text_length(name));
}

int op_domainname(struct init *init, const struct plan_op *op)
{
    const char *name = op_text(init, op, 0);
    return (int)SYS2(SYS_setdomainname, name, text_length(name));
}

int op_sysctl(struct init *init, const struct plan_op *op)
{
    return write_procfs(init, "sys/", op_text(init, op, 0), op_text(init, op, 1));
}
