/* measure OUTPUT COMMAND [ARGUMENT...]
 *
 * Executes the command and appends one line to the file OUTPUT: wall time (ns), user and system time (us), peak
 * resident memory (KiB), minor and major page faults of it and of the children it waited for, wait status. The peak of
 * a process counts what its memory was before execve(2) too, which is why a small program measures and not the Python
 * one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static long long microseconds(struct timeval time)
{
    return time.tv_sec * 1000000LL + time.tv_usec;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s OUTPUT COMMAND [ARGUMENT...]\n", argv[0]);
        return 2;
    }
    int output = open(argv[1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (output < 0) {
        perror(argv[1]);
        return 2;
    }
    pid_t child;
    long long start = now();
    int error = posix_spawnp(&child, argv[2], NULL, NULL, argv + 2, environ);
    if (error) {
        fprintf(stderr, "%s: %s\n", argv[2], strerror(error));
        return 2;
    }
    int status;
    struct rusage usage;
    while (wait4(child, &status, 0, &usage) < 0)
        if (errno != EINTR) {
            perror("wait4");
            return 2;
        }
    long long wall = now() - start;
    char line[160];
    int length = snprintf(line, sizeof line, "%lld %lld %lld %ld %ld %ld %d\n", wall, microseconds(usage.ru_utime),
                          microseconds(usage.ru_stime), usage.ru_maxrss, usage.ru_minflt, usage.ru_majflt, status);
    if (write(output, line, length) != length) {
        perror(argv[1]);
        return 2;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
