/* inject record FILE -- COMMAND [ARGUMENT...]
 * inject PROCESS INDEX NUMBER ERROR -- COMMAND [ARGUMENT...]
 *
 * Runs a command and lets one of its system calls fail, or kills the process at it. The first form writes the calls of a
 * run to FILE, a line each: PROCESS NUMBER PATH. PROCESS is 0 for the command itself, 1 for its first child, and so on in
 * the order of birth; INDEX counts the calls of that process from 0; NUMBER is that of the call, which must be the one
 * that is met there. ERROR is an errno, or 0 for SIGKILL. What fails is not done.
 *
 * Exits as the command does (128 + signal); 90 when the call was another one, 91 when there was none, 92 for errors of
 * its own. Only the process that is asked for is followed, and only to that call: all others run undisturbed. */

#define _GNU_SOURCE
#include <errno.h>
#include <linux/elf.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OTHER_CALL = 90, NO_CALL = 91, BROKEN = 92, MAX_PROCESSES = 256, SYSCALL_STOP = SIGTRAP | 0x80 };

struct traced {
    pid_t pid;
    int ordinal;
    long calls;
    bool failing;
    bool gone;
};

static struct traced traced[MAX_PROCESSES];
static int births;
static FILE *record;
static int wanted_process;
static long wanted_index, wanted_number;
static int wanted_error;
static bool met;

static void die(const char *what)
{
    fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
    exit(BROKEN);
}

static struct traced *find(pid_t pid)
{
    for (int i = 0; i < births; i++)
        if (traced[i].pid == pid && !traced[i].gone)
            return &traced[i];
    if (births == MAX_PROCESSES)
        die("too many processes");
    traced[births] = (struct traced){.pid = pid, .ordinal = births};
    return &traced[births++];
}

/* Puts another call in its place, which fails, at the first stop; its result at the second. */
static void set_call(pid_t pid, long number)
{
#if defined(__x86_64__)
    if (ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax), number))
        die("PTRACE_POKEUSER");
#elif defined(__aarch64__)
    int value = (int)number;
    struct iovec data = {&value, sizeof(value)};
    if (ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &data))
        die("PTRACE_SETREGSET");
#else
#error "how is a system call replaced on this architecture?"
#endif
}

static void set_result(pid_t pid, long result)
{
#if defined(__x86_64__)
    if (ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax), result))
        die("PTRACE_POKEUSER");
#else
    struct user_regs_struct registers;
    struct iovec data = {&registers, sizeof(registers)};
    if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &data))
        die("PTRACE_GETREGSET");
    registers.regs[0] = (unsigned long)result;
    if (ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &data))
        die("PTRACE_SETREGSET");
#endif
}

/* Where the call has a path: the number of the argument, or -1. */
static int path_argument(uint64_t number)
{
    switch (number) {
#ifdef __x86_64__
    case SYS_open:
    case SYS_stat:
    case SYS_lstat:
    case SYS_access:
    case SYS_mkdir:
    case SYS_rmdir:
    case SYS_unlink:
    case SYS_rename:
    case SYS_readlink:
    case SYS_chmod:
    case SYS_chown:
#endif
    case SYS_execve:
    case SYS_statfs:
        return 0;
    case SYS_openat:
    case SYS_openat2:
    case SYS_open_tree:
    case SYS_newfstatat:
    case SYS_mkdirat:
    case SYS_unlinkat:
    case SYS_renameat:
    case SYS_faccessat:
    case SYS_faccessat2:
    case SYS_readlinkat:
    case SYS_fchmodat:
    case SYS_fchownat:
    case SYS_linkat:
    case SYS_symlinkat:
        return 1;
    default:
        return -1;
    }
}

static void write_record(const struct traced *process, const struct __ptrace_syscall_info *info)
{
    char path[257] = "";
    int argument = path_argument(info->entry.nr);
    if (argument >= 0) {
        struct iovec here = {path, sizeof(path) - 1}, there = {(void *)info->entry.args[argument], sizeof(path) - 1};
        /* what lies at the end of a mapping is read in part */
        while (there.iov_len && process_vm_readv(process->pid, &here, 1, &there, 1, 0) < 0)
            there.iov_len /= 2;
    }
    for (char *c = path; *c; c++)
        if (*c == '\n')
            *c = '?';
    fprintf(record, "%d %llu %s\n", process->ordinal, (unsigned long long)info->entry.nr, path);
}

/* At a stop for a call. */
static void at_call(struct traced *process)
{
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, process->pid, sizeof(info), &info) < 0) {
        if (errno == ESRCH)
            return; /* killed meanwhile */
        die("PTRACE_GET_SYSCALL_INFO");
    }
    if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
        if (process->failing)
            set_result(process->pid, -wanted_error);
        process->failing = false;
        return;
    }
    long index = process->calls++;
    if (record) {
        write_record(process, &info);
        return;
    }
    if (process->ordinal != wanted_process || index != wanted_index)
        return;
    met = true;
    if ((long)info.entry.nr != wanted_number) {
        fprintf(stderr, "inject: call %ld of process %d is %llu\n", index, wanted_process,
                (unsigned long long)info.entry.nr);
        kill(traced[0].pid, SIGKILL);
        exit(OTHER_CALL);
    }
    if (wanted_error == 0) {
        if (kill(process->pid, SIGKILL))
            die("kill");
        return;
    }
    if (wanted_number != SYS_close) /* which gives the descriptor back whatever it says: close(2) */
        set_call(process->pid, -1);
    process->failing = true;
}

/* Whether its calls are of interest, still. */
static bool follows(const struct traced *process)
{
    return record || process->failing || (process->ordinal == wanted_process && !met);
}

static void go_on(struct traced *process, pid_t command, int signal)
{
    long how = follows(process) ? PTRACE_SYSCALL : PTRACE_CONT;
    if (met && process->pid != command && !follows(process)) {
        how = PTRACE_DETACH;
        process->gone = true;
    }
    if (ptrace(how, process->pid, 0, (void *)(long)signal) && errno != ESRCH)
        die("going on");
}

/* Until the command ends. What is traced then, and goes on, is let go by the kernel. */
static int trace(pid_t command)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0)
            die("waitpid");
        struct traced *process = find(pid);
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            process->gone = true;
            if (pid != command)
                continue;
            if (!record && !met)
                return NO_CALL;
            return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        }
        int signal = WSTOPSIG(status);
        if (signal == SYSCALL_STOP) {
            at_call(process);
            signal = 0;
        } else if (status >> 16) { /* a birth, or the first stop of who was born */
            signal = 0;
        }
        go_on(process, command, signal);
    }
}

int main(int argc, char **argv)
{
    int first = argc > 1 && strcmp(argv[1], "record") == 0 ? 4 : 6;
    if (argc <= first || strcmp(argv[first - 1], "--") != 0) {
        fprintf(stderr,
                "usage: inject record FILE -- COMMAND...\n       inject PROCESS INDEX NUMBER ERROR -- COMMAND...\n");
        return BROKEN;
    }
    if (first == 4) {
        record = fopen(argv[2], "we");
        if (!record)
            die(argv[2]);
    } else {
        wanted_process = atoi(argv[1]);
        wanted_index = atol(argv[2]);
        wanted_number = atol(argv[3]);
        wanted_error = atoi(argv[4]);
    }
    pid_t command = fork();
    if (command < 0)
        die("fork");
    if (command == 0) {
        /* where things lie decides how often memory is asked for */
        personality(ADDR_NO_RANDOMIZE);
        raise(SIGSTOP);
        execv(argv[first], &argv[first]);
        die(argv[first]);
    }
    int status;
    if (waitpid(command, &status, WUNTRACED) != command)
        die("waitpid");
    long options = PTRACE_O_TRACESYSGOOD;
    if (record || wanted_process > 0)
        options |= PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
    find(command);
    if (ptrace(PTRACE_SEIZE, command, 0, (void *)options))
        die("PTRACE_SEIZE");
    kill(command, SIGCONT);
    return trace(command);
}
