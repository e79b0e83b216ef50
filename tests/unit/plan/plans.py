"""Plans for tests: of the bundles of tests/bundles, without anything being opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from oci_runtime._shim import ffi
from oci_runtime.linux.cgroups.mounts import ContainerMounts, HierarchyMount
from oci_runtime.plan.container import plan_container
from oci_runtime.plan.context import Context, SeccompFilter
from oci_runtime.plan.namespaces import Namespaces
from oci_runtime.plan.operations import Blob, Operation, Plan, operation_name

BUNDLES = Path(__file__).parents[2] / "bundles"
NAMES = ("minimal", "engine", "full", "containerd")
V1 = ContainerMounts(
    1,
    (
        HierarchyMount("memory", "cgroup", "memory", ()),
        HierarchyMount("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/c", "", ("cpu", "cpuacct")),
    ),
    "",
)


def bundle(name: str) -> Any:
    return json.loads((BUNDLES / f"{name}.json").read_text("utf-8"))


def context_for(config: Any) -> Context:
    """That of root on a host with cgroup v1."""
    linux = config.get("linux", {})
    context = Context("/bundle", Namespaces(linux))
    context.cgroup_mounts = V1
    context.keyring = "_ses.c"
    if "seccomp" in linux:
        blob = Blob("seccomp")
        blob.data = b"\x06\0\0\0\0\0\xff\x7f"
        context.seccomp = SeccompFilter(blob, 0, False)
    return context


def plan_of(config: Any) -> Plan:
    return plan_container(config, context_for(config))


def shown(operation: Operation) -> str:
    """NAME POINTER"""
    return f"{operation_name(operation.code)[3:]} {operation.pointer}".strip()


class Decoded:
    """A plan as init reads it: `ops` are struct plan_op, text() and texts() what they name."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.memory = ffi.from_buffer(data)
        self.header = ffi.cast("struct plan_header *", self.memory)
        first = ffi.cast("char *", self.memory) + ffi.sizeof("struct plan_header")
        self.ops = ffi.cast("struct plan_op *", first)[0 : self.header.count]

    def text(self, offset: int) -> bytes:
        return self.data[offset : self.data.index(b"\0", offset)]

    def texts(self, offset: int, count: int) -> list[bytes]:
        return self.data[offset:].split(b"\0")[:count]
