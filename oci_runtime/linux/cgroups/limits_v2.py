"""linux.resources as writes to cgroup v2 files. Pure but for check_before_update().

The properties were made for v1; where v2 has another scale the values are converted as runc and crun do, and where it
has nothing alike they are refused. As in runc a 0 of memory, shares, quota, period and weight is the same as absent.
Files: the kernel's admin-guide/cgroup-v2.
"""

from __future__ import annotations

from oci_runtime.errors import PyociError
from oci_runtime.linux.cgroups import _fs
from oci_runtime.linux.cgroups.cgroup import refuse
from oci_runtime.linux.cgroups.limits import Write
from oci_runtime.linux.cgroups.limits_v1 import escaped, pids_max, rdma_max

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.linux.cgroups.cgroup import Cgroup
    from oci_runtime.spec.types import CPU, BlockIO, Memory, Resources

_DEFAULT_PERIOD = 100000  # µs
_MAX_UINT64 = 0xFFFFFFFFFFFFFFFF


def plan(resources: Resources, pointer: str) -> list[Write]:
    """The writes, in order, for everything but devices; SpecError for what v2 cannot do."""
    writes: list[Write] = []
    if cpu := resources.get("cpu"):
        _cpuset(writes, cpu, pointer + "/cpu")
        _cpu(writes, cpu, pointer + "/cpu")
    if memory := resources.get("memory"):
        _memory(writes, memory, pointer + "/memory")
    if (pids := resources.get("pids")) and "limit" in pids:
        writes.append(Write("pids", "pids.max", pids_max(pids["limit"]), f"{pointer}/pids/limit"))
    if block_io := resources.get("blockIO"):
        _io(writes, block_io, pointer + "/blockIO")
    for index, huge in enumerate(resources.get("hugepageLimits") or ()):
        where, name = f"{pointer}/hugepageLimits/{index}", f"hugetlb.{huge['pageSize']}"
        writes.append(Write("hugetlb", name + ".max", str(huge["limit"]), where))
        writes.append(Write("hugetlb", name + ".rsvd.max", str(huge["limit"]), where, optional=True))
    network = resources.get("network") or {}
    for name in ("classID", "priorities"):
        if network.get(name):
            raise refuse(f"{pointer}/network/{name}", "cgroup v2 has no network controllers; leave it out")
    for device in resources.get("rdma") or {}:
        writes.append(rdma_max(resources, device, pointer))
    for key, value in (resources.get("unified") or {}).items():
        _unified(writes, key, value, f"{pointer}/unified/{escaped(key)}")
    return writes


def _cpuset(writes: list[Write], cpu: CPU, pointer: str) -> None:
    if cpus := cpu.get("cpus"):
        writes.append(Write("cpuset", "cpuset.cpus", cpus, pointer + "/cpus"))
    if mems := cpu.get("mems"):
        writes.append(Write("cpuset", "cpuset.mems", mems, pointer + "/mems"))


def _cpu(writes: list[Write], cpu: CPU, pointer: str) -> None:
    def write(name: str, file: str, value: str, again: bool = False) -> None:
        writes.append(Write("cpu", file, value, f"{pointer}/{name}", again=again))

    if (cpu.get("realtimeRuntime") or 0) > 0:
        raise refuse(pointer + "/realtimeRuntime", "cgroup v2 has no realtime limits; leave it out")
    if cpu.get("realtimePeriod"):
        raise refuse(pointer + "/realtimePeriod", "cgroup v2 has no realtime limits; leave it out")
    if cpu.get("idle") == 0:  # a weight is refused while a cgroup is idle
        write("idle", "cpu.idle", "0")
    if shares := cpu.get("shares"):
        write("shares", "cpu.weight", str(shares_to_weight(shares)))
    if (burst := cpu.get("burst")) is not None:
        write("burst", "cpu.max.burst", str(burst), again=True)
    quota, period = cpu.get("quota") or 0, cpu.get("period") or 0
    if quota or period:
        value = f"{quota if quota > 0 else 'max'} {period or _DEFAULT_PERIOD}"
        write("quota" if quota else "period", "cpu.max", value)
    if cpu.get("idle"):
        write("idle", "cpu.idle", str(cpu["idle"]))


def shares_to_weight(shares: int) -> int:
    """cpu.weight (1 to 10000, default 100) for v1 shares (2 to 262144, default 1024).

    A quadratic in the logarithm that maps the ends and the defaults onto each other; runc since 1.3.2, crun since 1.23.
    """
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    from math import ceil, log2

    exponent = log2(shares)
    return ceil(10 ** ((exponent * exponent + 125 * exponent) / 612 - 7 / 34))


def _memory(writes: list[Write], memory: Memory, pointer: str) -> None:
    for name in ("kernel", "kernelTCP"):
        if (memory.get(name) or -1) > 0:  # type: ignore[operator]
            raise refuse(f"{pointer}/{name}", "cgroup v2 has no limit of its own for kernel memory; leave it out")
    if memory.get("useHierarchy") is False:
        raise refuse(pointer + "/useHierarchy", "cgroup v2 is always hierarchical; valid is true, or leave it out")
    if memory.get("disableOOMKiller"):
        raise refuse(pointer + "/disableOOMKiller", "cgroup v2 cannot disable the OOM killer; leave it out")
    if memory.get("swappiness", _MAX_UINT64) != _MAX_UINT64:
        raise refuse(pointer + "/swappiness", "cgroup v2 has no swappiness; leave it out")
    limit, swap = memory.get("limit") or 0, memory.get("swap") or 0
    swap_max = swap_to_v2(swap, limit, pointer)
    if swap_max is not None:
        # without swap accounting there is no file, and nothing to limit
        optional = swap_max in ("0", "max")
        where = f"{pointer}/{'swap' if swap else 'limit'}"
        writes.append(Write("memory", "memory.swap.max", swap_max, where, optional=optional))
    if limit:
        writes.append(Write("memory", "memory.max", _maximum(limit), pointer + "/limit"))
    if reservation := memory.get("reservation"):
        writes.append(Write("memory", "memory.low", _maximum(reservation), pointer + "/reservation"))


def _maximum(value: int) -> str:
    return "max" if value < 0 else str(value)


def swap_to_v2(swap: int, memory: int, pointer: str) -> str | None:
    """memory.swap.max, which is swap alone, for the v1 sum of memory and swap; None when nothing is to be set."""
    if swap == 0:
        return "max" if memory < 0 else None
    if swap < 0:
        return "max"
    if memory < 0:
        return str(swap)
    if memory == 0:
        raise refuse(pointer + "/swap", "a limit of memory and swap together needs /memory/limit with cgroup v2")
    if swap < memory:
        raise refuse(pointer + "/swap", f"{swap} is memory and swap together, so it cannot be less than limit {memory}")
    return str(swap - memory)


def check_before_update(cgroup: Cgroup, resources: Resources, pointer: str) -> None:
    """checkBeforeUpdate: refuse a limit that the present usage exceeds, where v2 would start to kill."""
    memory = resources.get("memory") or {}
    if not memory.get("checkBeforeUpdate"):
        return
    try:
        usage = int(_fs.read(cgroup.require(), "memory.current"))
    except OSError:
        return  # no memory controller: the limit itself will fail
    for name, limit in (("swap", memory.get("swap") or 0), ("limit", memory.get("limit") or 0)):
        if 0 < limit <= usage:
            raise PyociError(
                f"{pointer}/memory/{name}: {limit} is not more than the {usage} bytes in use, checkBeforeUpdate is set"
            )


def _io(writes: list[Write], block_io: BlockIO, pointer: str) -> None:
    def write(where: str, file: str, value: str) -> None:
        writes.append(Write("io", file, value, f"{pointer}/{where}"))

    if block_io.get("leafWeight"):
        raise refuse(pointer + "/leafWeight", "cgroup v2 has no leaf weights; leave it out")
    if weight := block_io.get("weight"):
        _io_weight(writes, "", weight, pointer + "/weight")
    for index, entry in enumerate(block_io.get("weightDevice") or ()):
        where = f"{pointer}/weightDevice/{index}"
        if entry.get("leafWeight"):
            raise refuse(where + "/leafWeight", "cgroup v2 has no leaf weights; leave it out")
        if weight := entry.get("weight"):
            _io_weight(writes, f"{entry['major']}:{entry['minor']} ", weight, where + "/weight")
    for name, throttles, key in (
        ("throttleReadBpsDevice", block_io.get("throttleReadBpsDevice"), "rbps"),
        ("throttleWriteBpsDevice", block_io.get("throttleWriteBpsDevice"), "wbps"),
        ("throttleReadIOPSDevice", block_io.get("throttleReadIOPSDevice"), "riops"),
        ("throttleWriteIOPSDevice", block_io.get("throttleWriteIOPSDevice"), "wiops"),
    ):
        for index, throttle in enumerate(throttles or ()):
            rate = throttle.get("rate", 0) or "max"  # 0 removes the limit in v1
            write(f"{name}/{index}", "io.max", f"{throttle['major']}:{throttle['minor']} {key}={rate}")


def _io_weight(writes: list[Write], device: str, weight: int, pointer: str) -> None:
    """BFQ takes the weight as it is; io.weight wants 10 to 1000 stretched to 1 to 10000."""
    stretched = 1 + (weight - 10) * 9999 // 990
    instead = ("io.weight", f"{device}{stretched}")
    writes.append(Write("io", "io.bfq.weight", f"{device}{weight}", pointer, instead=instead))


def _unified(writes: list[Write], key: str, value: str, pointer: str) -> None:
    controller, dot, _ = key.partition(".")
    if "/" in key or not dot or not controller:
        raise refuse(pointer, f"{key!r} is not the name of a cgroup file; valid is CONTROLLER.PARAMETER")
    for line in value.split("\n"):
        writes.append(Write(controller, key, line, pointer))
