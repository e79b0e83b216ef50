/* Writes JSON, and what a file holds as JSON: for probe.c. */
#ifndef PROBE_H
#define PROBE_H

#include <stddef.h>
#include <stdio.h>

/* The descriptor that all goes to, at finish(). */
void report_to(int fd);
int report_fd(void);
void finish(void);

void open_object(void);
void close_object(void);
void open_list(void);
void close_list(void);
/* The name of the value that comes next. */
void key(const char *name);
void number(long long value);
void string(const char *bytes, size_t size);
/* At most `most` bytes of a file, or minus the errno. */
void contents(const char *path, size_t most);
void contents_of(int fd, size_t most);
/* uname(2): nodename and domainname */
void names(void);

#endif
