/*
 * The command pyoci as one program: this machine's CPython, linked statically, which starts with what a command needs.
 *
 * python3 -I -S spends a fifth of its start on text encodings, of which pyoci uses one, on parsing a launcher and on
 * looking for garbage. native/build_interpreter.py compiles this file with launcher.h, which it generates:
 *
 *     INTERPRETER   path of the python3 that this one stands for: where its library is, what sys.executable says
 *     BUNDLE        path of the bundle of compiled modules
 *     HEAD_OFFSET, HEAD_SIZE   where the bundle's head is: the marshalled pair (table of contents, importer)
 *     ENCODINGS     marshalled code of scripts/startup_encodings.py
 *     _PyImport_Inittab   the built-in modules: those of python3, but for what cannot be linked
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <marshal.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "launcher.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* An embedder's own frozen modules (PyImport_FrozenModules): the import system asks for them before it looks at files. */
static const struct _frozen frozen[] = {
    {.name = "encodings", .code = ENCODINGS, .size = sizeof ENCODINGS, .is_package = 1},
    {0},
};

/* The linker's symbols around the program's data, which the interpreter writes to nearly everywhere as it starts: one
 * system call is cheaper than a page fault for each of 400 pages. An older kernel refuses, and they fault. */
extern char __data_start[], _end[];

static void populate_data(void)
{
    const uintptr_t page = 4096, start = (uintptr_t)__data_start & ~(page - 1), end = (uintptr_t)_end & ~(page - 1);
    madvise((void *)start, end - start, MADV_POPULATE_WRITE);
}

static void check(PyStatus status)
{
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
}

/* What -I and -S are: no PYTHON* variables, no current directory, no user's packages, no site. Text is UTF-8. */
static void start_python(int argc, char **argv)
{
    PyImport_FrozenModules = frozen;

    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;
    check(Py_PreInitialize(&before));

    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    config.write_bytecode = 0;
    config.parse_argv = 0;
    config.install_signal_handlers = 1;
    config._init_main = 0;
    check(PyConfig_SetString(&config, &config.program_name, INTERPRETER));
    check(PyConfig_SetString(&config, &config.executable, INTERPRETER));
    check(PyConfig_SetBytesArgv(&config, argc, argv));
    check(Py_InitializeFromConfig(&config));
    PyConfig_Clear(&config);

    PyGC_Disable(); /* a command lives for milliseconds */
    check(_Py_InitializeMain());
}

/* The bundle's head: a tuple of its table of contents and the importer's code. NULL with an exception set. */
static PyObject *read_head(int fd)
{
    static char head[HEAD_SIZE];
    ssize_t size = pread(fd, head, sizeof head, HEAD_OFFSET);
    if (size < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    return PyMarshal_ReadObjectFromString(head, size);
}

/* Runs the importer as a part of __main__, as a launcher in Python would. It does not return, unless by an exception. */
static void run(int fd)
{
    PyObject *globals = PyModule_GetDict(PyImport_AddModule("__main__"));
    PyObject *descriptor = PyLong_FromLong(fd);
    PyObject *head = read_head(fd);
    PyObject *index, *code;
    if (descriptor && head && PyArg_ParseTuple(head, "OO:head", &index, &code) &&
        !PyDict_SetItemString(globals, "FD", descriptor) && !PyDict_SetItemString(globals, "INDEX", index))
        PyEval_EvalCode(code, globals, globals);
    PyErr_Print();
}

int main(int argc, char **argv)
{
    int fd = open(BUNDLE, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "pyoci: its modules cannot be read: %s: %s\n", BUNDLE, strerror(errno));
        return 1;
    }
    populate_data();
    start_python(argc, argv);
    run(fd);
    return 1;
}
