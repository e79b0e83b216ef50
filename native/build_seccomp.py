"""Builder of the extension oci_runtime._libseccomp, which compiles seccomp profiles (cffi API mode, stable ABI).

setuptools takes `ffibuilder` from here (cffi_modules); run as a script it builds into the source tree. Needs the
headers of libseccomp >= 2.5.0. Only linux/seccomp_compiler.py imports the extension, for a profile that is not cached.
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent

ffibuilder = FFI()
ffibuilder.cdef("""
    struct pyoci_arg { uint32_t index; uint32_t op; uint64_t value; uint64_t value_two; };
    struct pyoci_rule {
        uint32_t action; uint32_t name_count; uint32_t arg_count; uint32_t reserved; struct pyoci_arg args[6];
    };
    struct pyoci_profile {
        uint32_t default_action; uint32_t arch_count; uint32_t rule_count;
        const uint32_t *archs; const struct pyoci_rule *rules; const char *names;
    };
    struct pyoci_failure { int32_t arch; int32_t rule; int32_t name; };

    int pyoci_compile(const struct pyoci_profile *profile, void *bpf, size_t capacity, struct pyoci_failure *failure);
    uint32_t pyoci_newest(uint32_t arch, const char *names, uint32_t count);
    uint32_t pyoci_arch(const char *name);
    uint32_t pyoci_native_arch(void);
    int pyoci_flags_available(unsigned int flags);
    uint32_t pyoci_library_version(void);
    const char *pyoci_library_path(void);
""")
ffibuilder.set_source(
    "oci_runtime._libseccomp",
    (HERE / "seccomp.c").read_text(encoding="utf-8"),
    libraries=["seccomp"],
    extra_compile_args=["-std=c11", "-O2", "-Wall"],
    py_limited_api=True,
)


if __name__ == "__main__":
    print(ffibuilder.compile(tmpdir=str(HERE.parent), verbose=False))
