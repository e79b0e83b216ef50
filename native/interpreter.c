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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
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

/* Of the library, for its own use: another version may lack it. */
extern int _PySignal_Init(int install_signal_handlers) __attribute__((weak));

/* Whether the second phase of the initialisation waits until it is needed. Python 3.13 crashes when a codec is looked up
 * before it; 3.12 has not been tried. */
static int is_deferred(void)
{
    return PY_VERSION_HEX < 0x030c0000 && _PySignal_Init != NULL;
}

/* _Py_InitializeMain(), which takes no directory for its standard input; a runtime, which only passes it on, may have
 * one. */
static PyStatus initialise_main(void)
{
    struct stat input;
    if (fstat(STDIN_FILENO, &input) || !S_ISDIR(input.st_mode))
        return _Py_InitializeMain();
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int directory = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    if (null >= 0 && directory >= 0)
        dup2(null, STDIN_FILENO);
    PyStatus status = _Py_InitializeMain();
    if (directory >= 0)
        dup2(directory, STDIN_FILENO);
    close(null);
    close(directory);
    return status;
}

/* The second phase: import from files, sys.stdin to sys.stderr, open(). A command that goes well needs none of it;
 * bundle_importer.py asks for it with the first import of something that is not there. It forgets signals that the
 * interpreter has noted, so none may come meanwhile: KeyboardInterrupt is raised before it begins or when it is done. */
static PyObject *complete(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    if (Py_IsInitialized())
        Py_RETURN_NONE;
    PyObject *result = NULL;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (!PyErr_CheckSignals()) {
        PyStatus status = initialise_main();
        if (PyStatus_Exception(status))
            PyErr_Format(PyExc_SystemError, "the interpreter cannot be initialised: %s", status.err_msg);
        else
            result = Py_NewRef(Py_None);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

static PyMethodDef complete_method = {"complete", complete, METH_NOARGS, NULL};

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
    config.install_signal_handlers = !is_deferred(); /* the second phase must not change them again */
    config._init_main = 0;
    check(PyConfig_SetString(&config, &config.program_name, INTERPRETER));
    check(PyConfig_SetString(&config, &config.executable, INTERPRETER));
    check(PyConfig_SetBytesArgv(&config, argc, argv));
    check(Py_InitializeFromConfig(&config));
    PyConfig_Clear(&config);

    PyGC_Disable(); /* a command lives for milliseconds */
    if (!is_deferred())
        check(initialise_main());
    else if (_PySignal_Init(1)) /* a part of the second phase that cannot wait */
        check(PyStatus_Error("signals cannot be handled"));
}

/* What the second phase would have put into sys, for those who ask before. sys.stderr is there: a writer for the
 * descriptor, without a buffer. 0, or -1 with an exception set. */
static int fill_sys(int argc, char **argv)
{
    PyObject *arguments = PyList_New(argc);
    PyObject *path = PyList_New(0);
    PyObject *output = PyFile_NewStdPrinter(STDOUT_FILENO);
    if (!arguments || !path || !output)
        return -1;
    for (int i = 0; i < argc; i++) {
        PyObject *text = PyUnicode_DecodeUTF8(argv[i], (Py_ssize_t)strlen(argv[i]), "surrogateescape");
        if (!text)
            return -1;
        PyList_SET_ITEM(arguments, i, text);
    }
    return PySys_SetObject("argv", arguments) || PySys_SetObject("path", path) || PySys_SetObject("stdin", Py_None) ||
                   PySys_SetObject("stdout", output)
               ? -1
               : 0;
}

/* What a module's globals have for the interpreter; __main__ gets them in the second phase. */
static int fill_main(PyObject *globals)
{
    PyObject *function = PyCFunction_New(&complete_method, NULL);
    if (!function || PyDict_SetItemString(globals, "COMPLETE", function))
        return -1;
    return PyDict_SetItemString(globals, "__builtins__", PyEval_GetBuiltins());
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
static void run(int fd, int argc, char **argv)
{
    PyObject *globals = PyModule_GetDict(PyImport_AddModule("__main__"));
    if (is_deferred() && (fill_sys(argc, argv) || fill_main(globals)))
        return;
    PyObject *descriptor = PyLong_FromLong(fd);
    PyObject *head = read_head(fd);
    PyObject *index, *code;
    if (descriptor && head && PyArg_ParseTuple(head, "OO:head", &index, &code) &&
        !PyDict_SetItemString(globals, "FD", descriptor) && !PyDict_SetItemString(globals, "INDEX", index))
        PyEval_EvalCode(code, globals, globals);
}

/* The exception that is set. A traceback with lines of source, and the end of the process, are for a whole interpreter. */
static void print_error(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (!Py_IsInitialized())
        check(initialise_main());
    PyErr_Restore(type, value, traceback);
    PyErr_Print();
}

/* Root for everyone who calls it: whoever installs the command setuid has not meant that. */
static int is_setuid(void)
{
    return getuid() != geteuid() || getgid() != getegid();
}

int main(int argc, char **argv)
{
    if (is_setuid()) {
        fprintf(stderr,
                "pyoci: it must not be installed setuid or setgid: its callers could do all that its owner can\n");
        return 1;
    }
    int fd = open(BUNDLE, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "pyoci: its modules cannot be read: %s: %s\n", BUNDLE, strerror(errno));
        return 1;
    }
    populate_data();
    start_python(argc, argv);
    run(fd, argc, argv);
    print_error();
    return 1;
}
