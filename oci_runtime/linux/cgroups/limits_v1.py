"""linux.resources as writes to cgroup v1 files. Pure; the files are those of the kernel's admin-guide/cgroup-v1.

As in runc a 0 of memory, shares, quota, period, weight and class id is the same as absent.
"""

from __future__ import annotations

from oci_runtime.linux.cgroups.cgroup import refuse
from oci_runtime.linux.cgroups.limits import Write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.spec.types import CPU, BlockIO, Memory, Network, Resources

_MAX_UINT64 = 0xFFFFFFFFFFFFFFFF  # how engines in Go write -1 into an unsigned property


def plan(resources: Resources, pointer: str) -> list[Write]:
    """The writes, in order, for everything but devices; SpecError for what v1 cannot do."""
    if resources.get("unified"):
        raise refuse(f"{pointer}/unified", "the host has cgroup v1, where nothing can be set by unified; leave it out")
    writes: list[Write] = []
    if cpu := resources.get("cpu"):
        _cpuset(writes, cpu, pointer + "/cpu")
        _cpu(writes, cpu, pointer + "/cpu")
    if memory := resources.get("memory"):
        _memory(writes, memory, pointer + "/memory")
    if (pids := resources.get("pids")) and "limit" in pids:
        writes.append(Write("pids", "pids.max", pids_max(pids["limit"]), f"{pointer}/pids/limit"))
    if block_io := resources.get("blockIO"):
        _blkio(writes, block_io, pointer + "/blockIO")
    for index, huge in enumerate(resources.get("hugepageLimits") or ()):
        _hugetlb(writes, huge["pageSize"], huge["limit"], f"{pointer}/hugepageLimits/{index}")
    if network := resources.get("network"):
        _network(writes, network, pointer + "/network")
    for device in resources.get("rdma") or {}:
        writes.append(rdma_max(resources, device, pointer))
    return writes


def pids_max(limit: int) -> str:
    """The value of pids.max; 0 becomes 1 as in runc, with which the container's one process cannot fork either."""
    return "max" if limit < 0 else str(limit or 1)


def _cpuset(writes: list[Write], cpu: CPU, pointer: str) -> None:
    if cpus := cpu.get("cpus"):
        writes.append(Write("cpuset", "cpuset.cpus", cpus, pointer + "/cpus"))
    if mems := cpu.get("mems"):
        writes.append(Write("cpuset", "cpuset.mems", mems, pointer + "/mems"))


def _cpu(writes: list[Write], cpu: CPU, pointer: str) -> None:
    def write(name: str, file: str, value: int, again: bool = False) -> None:
        writes.append(Write("cpu", file, str(value), f"{pointer}/{name}", again=again))

    if cpu.get("idle") == 0:  # shares are refused while a cgroup is idle
        write("idle", "cpu.idle", 0)
    if shares := cpu.get("shares"):
        if not 2 <= shares <= 262144:
            raise refuse(pointer + "/shares", f"{shares} is out of range; cgroup v1 takes 2 to 262144")
        write("shares", "cpu.shares", shares)
    if period := cpu.get("period"):
        write("period", "cpu.cfs_period_us", period, again=True)
    if (burst := cpu.get("burst")) is not None:
        write("burst", "cpu.cfs_burst_us", burst, again=True)
    if quota := cpu.get("quota"):
        write("quota", "cpu.cfs_quota_us", quota)
    if cpu.get("idle"):
        write("idle", "cpu.idle", cpu["idle"])
    if rt_period := cpu.get("realtimePeriod"):
        write("realtimePeriod", "cpu.rt_period_us", rt_period, again=True)
    if rt_runtime := cpu.get("realtimeRuntime"):
        write("realtimeRuntime", "cpu.rt_runtime_us", rt_runtime)


def _memory(writes: list[Write], memory: Memory, pointer: str) -> None:
    def write(name: str, file: str, value: int, again: bool = False, optional: bool = False) -> None:
        writes.append(
            Write("memory", f"memory.{file}", str(value), f"{pointer}/{name}", again=again, optional=optional)
        )

    if "useHierarchy" in memory:
        write("useHierarchy", "use_hierarchy", int(memory["useHierarchy"]))
    limit, swap = memory.get("limit"), memory.get("swap")
    if limit:
        write("limit", "limit_in_bytes", limit, again=True)
    if swap:
        write("swap", "memsw.limit_in_bytes", swap)
    elif limit == -1:  # unlimited memory means unlimited swap, where the kernel accounts it
        write("limit", "memsw.limit_in_bytes", -1, optional=True)
    if reservation := memory.get("reservation"):
        write("reservation", "soft_limit_in_bytes", reservation)
    if kernel := memory.get("kernel"):
        write("kernel", "kmem.limit_in_bytes", kernel, optional=kernel < 0)  # new kernels have no limit to take away
    if kernel_tcp := memory.get("kernelTCP"):
        write("kernelTCP", "kmem.tcp.limit_in_bytes", kernel_tcp, optional=kernel_tcp < 0)
    if (disable := memory.get("disableOOMKiller")) is not None:
        write("disableOOMKiller", "oom_control", int(disable))
    if (swappiness := memory.get("swappiness")) is not None and swappiness != _MAX_UINT64:
        if swappiness > 100:
            raise refuse(pointer + "/swappiness", f"{swappiness} is out of range; valid is 0 to 100")
        write("swappiness", "swappiness", swappiness)


def _blkio(writes: list[Write], block_io: BlockIO, pointer: str) -> None:
    def write(where: str, files: tuple[str, ...], value: str) -> None:
        writes.append(Write("blkio", files, value, f"{pointer}/{where}"))

    if weight := block_io.get("weight"):
        write("weight", ("blkio.weight", "blkio.bfq.weight"), str(weight))
    if leaf := block_io.get("leafWeight"):
        write("leafWeight", ("blkio.leaf_weight",), str(leaf))
    for index, entry in enumerate(block_io.get("weightDevice") or ()):
        device, where = f"{entry['major']}:{entry['minor']}", f"weightDevice/{index}"
        if weight := entry.get("weight"):
            files = ("blkio.weight_device", "blkio.bfq.weight_device")
            write(where + "/weight", files, f"{device} {weight}")
        if leaf := entry.get("leafWeight"):
            write(where + "/leafWeight", ("blkio.leaf_weight_device",), f"{device} {leaf}")
    for name, throttles, file in (
        ("throttleReadBpsDevice", block_io.get("throttleReadBpsDevice"), "read_bps"),
        ("throttleWriteBpsDevice", block_io.get("throttleWriteBpsDevice"), "write_bps"),
        ("throttleReadIOPSDevice", block_io.get("throttleReadIOPSDevice"), "read_iops"),
        ("throttleWriteIOPSDevice", block_io.get("throttleWriteIOPSDevice"), "write_iops"),
    ):
        for index, throttle in enumerate(throttles or ()):
            value = f"{throttle['major']}:{throttle['minor']} {throttle.get('rate', 0)}"
            write(f"{name}/{index}", (f"blkio.throttle.{file}_device",), value)


def _hugetlb(writes: list[Write], size: str, limit: int, pointer: str) -> None:
    writes.append(Write("hugetlb", f"hugetlb.{size}.limit_in_bytes", str(limit), pointer))
    writes.append(Write("hugetlb", f"hugetlb.{size}.rsvd.limit_in_bytes", str(limit), pointer, optional=True))


def _network(writes: list[Write], network: Network, pointer: str) -> None:
    if class_id := network.get("classID"):
        writes.append(Write("net_cls", "net_cls.classid", str(class_id), pointer + "/classID"))
    for index, entry in enumerate(network.get("priorities") or ()):
        value = f"{entry['name']} {entry['priority']}"
        writes.append(Write("net_prio", "net_prio.ifpriomap", value, f"{pointer}/priorities/{index}"))


def rdma_max(resources: Resources, device: str, pointer: str) -> Write:
    """The limits of one RDMA device, the same in v1 and v2."""
    entry, value = resources["rdma"][device], device
    if "hcaHandles" in entry:
        value += f" hca_handle={entry['hcaHandles']}"
    if "hcaObjects" in entry:
        value += f" hca_object={entry['hcaObjects']}"
    return Write("rdma", "rdma.max", value, f"{pointer}/rdma/{escaped(device)}")


def escaped(name: str) -> str:
    """A name as a part of a JSON pointer, RFC 6901."""
    return name.replace("~", "~0").replace("/", "~1")
