"""Builder of the module oci_runtime._libsystemd, which declares the calls of libsystemd's sd-bus (cffi ABI mode).

Nothing is compiled and no header is needed: linux/cgroups/systemd_bus.py opens the library of the host, when systemd is
to make a cgroup. setuptools takes `ffibuilder` from here (cffi_modules). Calls: sd-bus(3).
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

ffibuilder = FFI()
ffibuilder.cdef("""
    typedef struct sd_bus sd_bus;
    typedef struct sd_bus_message sd_bus_message;
    typedef struct { const char *name; const char *message; int need_free; } sd_bus_error;

    int sd_bus_new(sd_bus **bus);
    int sd_bus_set_address(sd_bus *bus, const char *address);
    int sd_bus_set_bus_client(sd_bus *bus, int yes);
    int sd_bus_start(sd_bus *bus);
    int sd_bus_is_ready(sd_bus *bus);
    int sd_bus_wait(sd_bus *bus, uint64_t microseconds);
    int sd_bus_process(sd_bus *bus, sd_bus_message **message);
    sd_bus *sd_bus_close_unref(sd_bus *bus);

    int sd_bus_message_new_method_call(sd_bus *bus, sd_bus_message **message, const char *destination,
                                       const char *path, const char *interface, const char *member);
    int sd_bus_message_append_basic(sd_bus_message *message, char type, const void *value);
    int sd_bus_message_open_container(sd_bus_message *message, char type, const char *contents);
    int sd_bus_message_close_container(sd_bus_message *message);
    int sd_bus_call(sd_bus *bus, sd_bus_message *message, uint64_t microseconds, sd_bus_error *error,
                    sd_bus_message **reply);
    int sd_bus_message_is_signal(sd_bus_message *message, const char *interface, const char *member);
    int sd_bus_message_at_end(sd_bus_message *message, int complete);
    int sd_bus_message_peek_type(sd_bus_message *message, char *type, const char **contents);
    int sd_bus_message_enter_container(sd_bus_message *message, char type, const char *contents);
    int sd_bus_message_exit_container(sd_bus_message *message);
    int sd_bus_message_read_basic(sd_bus_message *message, char type, void *value);
    sd_bus_message *sd_bus_message_unref(sd_bus_message *message);
    void sd_bus_error_free(sd_bus_error *error);
""")
ffibuilder.set_source("oci_runtime._libsystemd", None)


if __name__ == "__main__":
    print(ffibuilder.compile(tmpdir=str(Path(__file__).resolve().parent.parent), verbose=False))
