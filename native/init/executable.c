/* Why execve(2) refused: its errno says ENOENT of a program that is there but whose interpreter is not. Looked for with
 * the process's own privileges, and after the failure, so a process that starts pays nothing for it. */
#include "init.h"

#include <asm/statfs.h>
#include <linux/elf.h>

#define INTERPRETERS_AT_MOST 5
#define HEAD_SIZE 256
#define NOEXEC 8 /* statfs(2), ST_NOEXEC */
#define X_OK 1

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#endif

static const struct {
    unsigned number;
    const char *name;
} machines[] = {
    {EM_386, "i386"},    {EM_ARM, "arm"},    {EM_X86_64, "x86_64"}, {EM_AARCH64, "aarch64"},     {EM_RISCV, "riscv"},
    {EM_PPC64, "ppc64"}, {EM_S390, "s390x"}, {EM_MIPS, "mips"},     {EM_LOONGARCH, "loongarch"},
};

static void say(struct init *init, const char *text)
{
    text_append(init->detail, sizeof init->detail, text);
}

/* Of the program, or of what was named last. */
static void say_that(struct init *init, const char *predicate)
{
    say(init, init->detail[0] ? " " : "it ");
    say(init, predicate);
}

static void name_its(struct init *init, const char *what, const char *name)
{
    say(init, init->detail[0] ? ", whose " : "its ");
    say(init, what);
    say(init, " \"");
    say(init, name);
    say(init, "\"");
}

static void say_machine(struct init *init, unsigned number)
{
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++)
        if (machines[i].number == number) {
            say(init, machines[i].name);
            return;
        }
    say(init, "machine ");
    text_append_number(init->detail, sizeof init->detail, number);
}

static void say_mode(struct init *init, const struct statx *st)
{
    char octal[] = "0000";
    for (int i = 0; i < 4; i++)
        octal[i] = (char)('0' + (st->stx_mode >> (3 * (3 - i)) & 7));
    say_that(init, "has the mode ");
    say(init, octal);
    say(init, " and the owner ");
    text_append_number(init->detail, sizeof init->detail, st->stx_uid);
    say(init, ":");
    text_append_number(init->detail, sizeof init->detail, st->stx_gid);
    say(init, ", so uid ");
    text_append_number(init->detail, sizeof init->detail, SYS0(SYS_geteuid));
    say(init, " may not execute it");
}

/* Whether it may not be executed at all, whatever is in it; then it is said. */
static int is_forbidden(struct init *init, const char *path)
{
    struct statx st;
    struct statfs fs;
    int error = sys_statx(AT_FDCWD, path, 0, &st);
    if (error == -E_ACCES)
        say_that(init, "lies below a directory that may not be searched");
    else if (error == -E_NOENT || error == -E_NOTDIR)
        say_that(init, "is not there");
    else if (error)
        return 1; /* a filter does not let us look */
    else if ((st.stx_mode & MODE_TYPE) == MODE_DIRECTORY)
        say_that(init, "is a directory");
    else if ((st.stx_mode & MODE_TYPE) != MODE_REGULAR)
        say_that(init, "is no regular file");
    else if (!SYS2(SYS_statfs, path, &fs) && fs.f_flags & NOEXEC)
        say_that(init, "lies on a mount with the option noexec");
    else if (SYS3(SYS_faccessat, AT_FDCWD, path, X_OK))
        say_mode(init, &st);
    else
        return 0;
    return 1;
}

/* The interpreter of a script, from its first line; puts it in `head` itself. */
static const char *interpreter_of_script(char *head, int *carriage_return)
{
    char *name = head + 2;
    while (*name == ' ' || *name == '\t')
        name++;
    char *end = name;
    while (*end && *end != ' ' && *end != '\t' && *end != '\n')
        end++;
    *carriage_return = end > name && end[-1] == '\r';
    end[-*carriage_return] = 0;
    return name;
}

/* That which PT_INTERP names, put in `name`; 0 if there is none. `head` is of either class, for a kernel that runs the
 * programs of 32 bits too. */
static int loader_of_elf(int fd, const char *head, char *name, size_t size)
{
    const Elf64_Ehdr *wide = (const Elf64_Ehdr *)head;
    const Elf32_Ehdr *narrow = (const Elf32_Ehdr *)head;
    int is_wide = wide->e_ident[EI_CLASS] == ELFCLASS64;
    unsigned count = is_wide ? wide->e_phnum : narrow->e_phnum;
    for (unsigned i = 0; i < count; i++) {
        union {
            Elf64_Phdr wide;
            Elf32_Phdr narrow;
        } program;
        long each = is_wide ? wide->e_phentsize : narrow->e_phentsize;
        long at = (is_wide ? (long)wide->e_phoff : (long)narrow->e_phoff) + (long)i * each;
        long wanted = is_wide ? (long)sizeof program.wide : (long)sizeof program.narrow;
        if (SYS4(SYS_pread64, fd, &program, wanted, at) != wanted)
            return 0;
        if ((is_wide ? program.wide.p_type : program.narrow.p_type) != PT_INTERP)
            continue;
        long offset = is_wide ? (long)program.wide.p_offset : (long)program.narrow.p_offset;
        long got = SYS4(SYS_pread64, fd, name, size - 1, offset);
        name[got > 0 ? got : 0] = 0;
        return got > 0;
    }
    return 0;
}

static int explain_elf(struct init *init, int fd, const char *head, int error, char *next)
{
    unsigned machine = ((const Elf64_Ehdr *)head)->e_machine; /* at the same place in both classes */
    if (error == -E_NOEXEC && machine != MACHINE) {
        say_that(init, "is a program for ");
        say_machine(init, machine);
        say(init, ", and this machine is ");
        say_machine(init, MACHINE);
        return 0;
    }
    if (!loader_of_elf(fd, head, next, PATH_SIZE)) {
        if (error == -E_NOEXEC)
            say_that(init, "is an ELF file of a kind that is not executed");
        return 0;
    }
    name_its(init, "loader", next);
    return 1;
}

static int explain_script(struct init *init, char *head, char *next)
{
    int carriage_return;
    const char *name = interpreter_of_script(head, &carriage_return);
    name_its(init, "interpreter", name);
    if (carriage_return) {
        say(init, " is followed by a carriage return: the script's lines end as those of DOS");
        return 0;
    }
    next[0] = 0;
    return text_append(next, PATH_SIZE, name);
}

/* Says what is wrong with the content of `path`, or begins to and gives the file of which it depends. */
static int explain_content(struct init *init, const char *path, int error, char *next)
{
    _Alignas(8) char head[HEAD_SIZE] = "";
    int more = 0;
    int fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0)
        return 0;
    long size = sys_read(fd, head, sizeof head - 1);
    if (size >= (long)sizeof(Elf64_Ehdr) && !memcmp(head, ELFMAG, SELFMAG))
        more = explain_elf(init, fd, head, error, next);
    else if (head[0] == '#' && head[1] == '!')
        more = explain_script(init, head, next);
    else if (error == -E_NOEXEC && size >= 0)
        say_that(init, size ? "is no program, and no script whose first line begins with #!" : "is empty");
    sys_close(fd);
    return more;
}

/* Puts the cause of a failure of execve(2) in init->detail, as far as it can be told. */
void explain_execution(struct init *init, int error)
{
    char path[PATH_SIZE] = "", next[PATH_SIZE];
    text_append(path, sizeof path, init->executable);
    if (error == -E_TXTBSY)
        say(init, "somebody has it open for writing");
    else if (error == -E_2BIG)
        say(init, "the arguments and variables are too long, all of them or one");
    else if (error == -E_LOOP)
        say(init, "its interpreter is a script, and so on");
    if (error != -E_NOENT && error != -E_ACCES && error != -E_NOEXEC && error != -E_LIBBAD)
        return;
    for (int depth = 0; depth < INTERPRETERS_AT_MOST; depth++) {
        if (is_forbidden(init, path) || !explain_content(init, path, error, next))
            break;
        path[0] = 0;
        text_append(path, sizeof path, next);
    }
    size_t size = text_length(init->detail);
    if (size && init->detail[size - 1] == '"') /* nothing is wrong with what was named last */
        init->detail[0] = 0;
}
