"""What one more of something costs: mounts, seccomp rules, hooks, containers that exist already."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from bench.bundles import CONFIGURATIONS, Bundle
from bench.figures import Points
from bench.rounds import Place, first_run, run, short_life, shuffled
from bench.runtime import Runtime, Sample, wait_for_end

Step = Callable[[Place, Bundle, Runtime], Sample]


class Slope:
    """One thing of which there may be many in a config.json.

    unit      what one of it is called
    values    how many of it are tried
    add       puts so many of it into the configuration of a bundle
    steps     what is measured, by name
    """

    __slots__ = ("add", "name", "steps", "unit", "values")

    def __init__(
        self, name: str, unit: str, values: tuple[int, ...], add: Callable[[Bundle, int], None], steps: dict[str, Step]
    ) -> None:
        self.name = name
        self.unit = unit
        self.values = values
        self.add = add
        self.steps = steps


def add_binds(bundle: Bundle, count: int) -> None:
    """Directories of the host, read-only, as an engine mounts volumes."""
    source = bundle.path / "volume"
    source.mkdir(exist_ok=True)
    for number in range(count):
        (bundle.path / "rootfs" / "mnt" / str(number)).mkdir(exist_ok=True)
        bundle.config["mounts"].append(
            {
                "destination": f"/mnt/{number}",
                "type": "bind",
                "source": str(source),
                "options": ["rbind", "rprivate", "ro"],
            }
        )


def add_tmpfs(bundle: Bundle, count: int) -> None:
    for number in range(count):
        (bundle.path / "rootfs" / "mnt" / str(number)).mkdir(exist_ok=True)
        options = ["nosuid", "nodev", "size=64k"]
        mount = {"destination": f"/mnt/{number}", "type": "tmpfs", "source": "tmpfs", "options": options}
        bundle.config["mounts"].append(mount)


def add_rules(bundle: Bundle, count: int) -> None:
    """Each rule refuses a system call of its own, with an argument that nobody gives, so that all of them work."""
    engine = json.loads((CONFIGURATIONS / "engine.json").read_text())["linux"]["seccomp"]
    names = sorted({name for rule in engine["syscalls"] for name in rule["names"]})
    argument = {"index": 5, "value": 0x5EC0_FFEE, "op": "SCMP_CMP_EQ"}
    bundle.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": [name], "action": "SCMP_ACT_ERRNO", "args": [argument]} for name in names[:count]],
    }


def add_hooks(bundle: Bundle, count: int) -> None:
    hook = {"path": str(bundle.path / "rootfs" / "bin" / "busybox"), "args": ["true"]}
    bundle.config["hooks"] = {"createRuntime": [hook] * count}


CONFIGURED = (
    Slope("mounts", "bind mount", (0, 25, 50, 100, 200), add_binds, {"run": run}),
    Slope("tmpfs", "tmpfs mount", (0, 25, 50, 100, 200), add_tmpfs, {"run": run}),
    Slope("seccomp", "seccomp rule", (0, 50, 100, 200, 400), add_rules, {"run": run, "run, nothing cached": first_run}),
    Slope("hooks", "hook", (0, 5, 10, 20, 40), add_hooks, {"run": run}),
)
EXISTING = ("existing", "existing container", (0, 100, 300, 600, 1000))
NAMES = (*(slope.name for slope in CONFIGURED), EXISTING[0])


def measure_configured(
    place: Place, bundle: Bundle, runtimes: list[Runtime], slope: Slope, values: tuple[int, ...], points: Points
) -> Iterator[int]:
    """Round after round, without end: yields how many are counted, before each. Values and runtimes come in an order
    left to chance, so that a drift of the machine is no slope."""
    config = bundle.config
    number = -1  # one is not counted
    while True:
        yield max(number, 0)
        for value in random.sample(values, len(values)):
            bundle.config = copy.deepcopy(config)
            slope.add(bundle, value)
            for step, measure in slope.steps.items():
                for runtime in shuffled(runtimes):
                    sample = measure(place, bundle, runtime)
                    if number >= 0:
                        points.setdefault(step, {}).setdefault(runtime.name, {}).setdefault(value, []).append(sample)
        bundle.config = config
        number += 1


def measure_existing(
    place: Place, bundle: Bundle, runtimes: list[Runtime], values: tuple[int, ...], rounds: int, points: Points
) -> Iterator[int]:
    """Fills the machine with containers of every runtime, as many of each, and yields how many whenever there are more.

    They have no network namespace: what the kernel does to make and end thousands of these would be all that one sees.
    """
    crowd = Bundle("crowd", bundle.path, without_network(bundle.config), bundle.cgroup)
    existing = 0
    for value in sorted(values):
        while existing < value:
            yield existing
            for runtime in runtimes:
                add_container(place, crowd, runtime)
            existing += 1
        for number in range(-1, rounds):
            yield existing
            for runtime in shuffled(runtimes):
                for step, sample in look_around(place, bundle, runtime):
                    if number >= 0:
                        points.setdefault(step, {}).setdefault(runtime.name, {}).setdefault(value, []).append(sample)


def without_network(config: dict[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(config)
    spaces = result["linux"]["namespaces"]
    result["linux"]["namespaces"] = [space for space in spaces if space["type"] != "network"]
    return result


def add_container(place: Place, bundle: Bundle, runtime: Runtime) -> None:
    container = place.name()
    bundle.configure(container, ["/bin/sleep", "86400"])
    runtime.create(container, bundle.path, place.pid_file)
    runtime.measure("start", container)


def look_around(place: Place, bundle: Bundle, runtime: Runtime) -> Iterator[tuple[str, Sample]]:
    yield from short_life(place, bundle, runtime)
    container = place.name()
    bundle.configure(container, ["/bin/sleep", "600"])
    _, pid = runtime.create(container, bundle.path, place.pid_file)
    runtime.measure("start", container)
    yield "state", runtime.measure("state", container)
    yield "list", runtime.measure("list")
    runtime.measure("kill", container, "KILL")
    wait_for_end(pid)
    runtime.measure("delete", container)
