"""features: what this runtime can do, whatever the host can (runtime-spec, features.md and features-linux.md)."""

from __future__ import annotations

from oci_runtime.errors import PyociError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# features.md knows no versions but released ones; the checker takes every 1.x.
OCI_VERSION_MIN = "1.0.0"
HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
# whether they are built
SYSTEMD = True
INTEL_RDT = True


def features() -> dict[str, Any]:
    """The Features structure, of JSON's types. Reads nothing of the host but the version of libseccomp and which of the
    seccomp flags its kernel has (`supportedFlags`)."""
    from oci_runtime.annotations import OBEYED
    from oci_runtime.cli.version import VERSION, libseccomp_version
    from oci_runtime.spec.default import SPEC_VERSION
    from oci_runtime.spec.validate_mounts import known_options

    annotations = {"io.github.pyoci.version": VERSION}
    library = libseccomp_version()
    if library:
        annotations["io.github.seccomp.libseccomp.version"] = library
    return {
        "ociVersionMin": OCI_VERSION_MIN,
        "ociVersionMax": SPEC_VERSION,
        "hooks": list(HOOKS),
        "mountOptions": known_options(),
        "linux": _linux(),
        "annotations": annotations,
        "potentiallyUnsafeConfigAnnotations": list(OBEYED),
    }


def _linux() -> dict[str, Any]:
    from oci_runtime.plan import memory_policy, namespaces
    from oci_runtime.spec.validate_process import CAPABILITIES

    return {
        "namespaces": sorted(namespaces.CLONE_FLAGS),
        "capabilities": list(CAPABILITIES),
        "cgroup": {"v1": True, "v2": True, "systemd": SYSTEMD, "systemdUser": SYSTEMD, "rdma": True},
        "seccomp": _seccomp(),
        "apparmor": {"enabled": True},
        "selinux": {"enabled": True},
        "memoryPolicy": {"modes": list(memory_policy.MODES), "flags": sorted(memory_policy.FLAGS)},
        "intelRdt": {"enabled": INTEL_RDT, "schemata": INTEL_RDT, "monitoring": INTEL_RDT},
        "mountExtensions": {"idmap": {"enabled": True}},
        "netDevices": {"enabled": True},
    }


def _seccomp() -> dict[str, Any]:
    from oci_runtime.linux import seccomp_compiler

    try:
        archs, supported = seccomp_compiler.known_architectures(), seccomp_compiler.supported_flags()
    except PyociError:
        return {"enabled": False}  # no libseccomp
    return {
        "enabled": True,
        "actions": seccomp_compiler.known_actions(),
        "operators": seccomp_compiler.known_operators(),
        "archs": archs,
        "knownFlags": seccomp_compiler.known_flags(),
        "supportedFlags": supported,
    }
