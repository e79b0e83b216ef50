/* Bytes above 0x7f are written as \u0080 to \u00ff: what a name holds need not be UTF-8. */
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static int output = 1;
static char *text;
static size_t used, room;
static int first = 1;

static void put(const char *bytes, size_t size)
{
    if (used + size > room) {
        room = (used + size) * 2 + 4096;
        text = realloc(text, room);
        if (!text)
            abort();
    }
    memcpy(text + used, bytes, size);
    used += size;
}

static void comma(void)
{
    if (!first)
        put(",", 1);
    first = 0;
}

void report_to(int fd)
{
    output = fd;
}

int report_fd(void)
{
    return output > 2 ? output : -1;
}

/* The process may be ended, but not the line cut: a pipe or terminal takes it in pieces. */
void finish(void)
{
    put("\n", 1);
    for (size_t done = 0; done < used;) {
        ssize_t count = write(output, text + done, used - done);
        if (count < 0 && errno != EINTR)
            break;
        done += count > 0 ? (size_t)count : 0;
    }
    used = 0;
    first = 1;
}

void open_object(void)
{
    comma();
    put("{", 1);
    first = 1;
}

void close_object(void)
{
    put("}", 1);
    first = 0;
}

void open_list(void)
{
    comma();
    put("[", 1);
    first = 1;
}

void close_list(void)
{
    put("]", 1);
    first = 0;
}

void key(const char *name)
{
    string(name, strlen(name));
    put(":", 1);
    first = 1;
}

void number(long long value)
{
    char digits[32];

    comma();
    put(digits, (size_t)snprintf(digits, sizeof digits, "%lld", value));
}

void string(const char *bytes, size_t size)
{
    char escaped[8];

    comma();
    put("\"", 1);
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\')
            put(bytes + i, 1);
        else
            put(escaped, (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", byte));
    }
    put("\"", 1);
}

void contents_of(int fd, size_t most)
{
    char *bytes = malloc(most);
    size_t size = 0;
    ssize_t count = 0;

    while (bytes && size < most && (count = read(fd, bytes + size, most - size)) > 0)
        size += (size_t)count;
    count < 0 ? number(-errno) : string(bytes, size);
    free(bytes);
}

void contents(const char *path, size_t most)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

    if (fd < 0) {
        number(-errno);
        return;
    }
    contents_of(fd, most);
    close(fd);
}

void names(void)
{
    struct utsname names = {0};

    uname(&names);
    open_list();
    string(names.nodename, strlen(names.nodename));
    string(names.domainname, strlen(names.domainname));
    close_list();
}
