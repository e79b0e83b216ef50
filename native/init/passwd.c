/* HOME of a process whose environment does not name it, as every runtime sets it: from the container's passwd(5). */
#include "init.h"

/* The image's file may be of any size, a terabyte of nothing too. */
#define PASSWD_AT_MOST (16L << 20)

struct reader {
    int fd;
    int have;
    int at;
    long left; /* bytes that are read at most */
    char buffer[4096];
};

static int next_char(struct reader *reader)
{
    if (reader->at == reader->have) {
        reader->have = reader->left > 0 ? (int)sys_read(reader->fd, reader->buffer, sizeof reader->buffer) : 0;
        reader->left -= reader->have;
        reader->at = 0;
    }
    return reader->have > 0 ? (unsigned char)reader->buffer[reader->at++] : -1;
}

/* Reads one field up to ':' or the line's end, which it returns; what does not fit is left out. */
static int next_field(struct reader *reader, char *field, size_t size)
{
    size_t n = 0;
    int c;
    while ((c = next_char(reader)) != ':' && c != '\n' && c >= 0)
        if (n + 1 < size)
            field[n++] = (char)c;
    field[n] = 0;
    return c;
}

static int is_uid(const char *field, uint32_t uid)
{
    char wanted[24] = "";
    text_append_number(wanted, sizeof wanted, uid);
    return text_equal(field, wanted);
}

/* "HOME=/root", and "HOME=/" for a user that is not to be found. */
void home_variable(struct init *init, uint32_t uid, char *variable, size_t size)
{
    int file = open_in_root(init, "/etc/passwd", O_PATH, 0);
    struct reader reader = {.fd = NO_FD, .left = PASSWD_AT_MOST};
    if (file >= 0 && (file_mode(file) & MODE_TYPE) == MODE_REGULAR)
        reader.fd = reopen(init, file, O_RDONLY);
    if (file >= 0)
        sys_close(file);
    char field[512];
    variable[0] = 0;
    text_append(variable, size, "HOME=");
    if (reader.fd >= 0) {
        for (int end = 0; end >= 0;) {
            int found = 0, column = 0;
            do {
                end = next_field(&reader, field, sizeof field);
                found |= column == 2 && is_uid(field, uid);
                if (found && column == 5 && field[0] == '/' && text_append(variable, size, field))
                    end = -1;
                column++;
            } while (end == ':');
        }
    }
    if (reader.fd >= 0)
        sys_close(reader.fd);
    if (text_equal(variable, "HOME="))
        text_append(variable, size, "/");
}
