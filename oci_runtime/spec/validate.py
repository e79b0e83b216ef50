"""What the schema of config.json cannot say: the rules of config.md, and of the kernel, that relate properties.

The documents given to the validate functions have passed the schema. Each function appends a Problem for each rule
broken; a message is worded to follow the pointer and the value ("/process/cwd is "tmp": must be …"). Sections that most
configurations lack are in modules of their own, imported when the section is there. Nothing here asks the kernel or
the file system: rules that need them (does a namespace path lead to the host's, is the source of /proc a procfs) are
kept where the descriptors are.
"""

from __future__ import annotations

from oci_runtime.errors import Problem
from oci_runtime.paths import clean
from oci_runtime.plan.mount_options import BIND_OPTIONS
from oci_runtime.spec.validate_process import validate_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.spec.types import Config, Linux, Mount, Namespace, Process

# The files of a procfs that lxcfs and its like emulate; anything else below /proc may not be mounted over
# (CVE-2019-16884), because the runtime writes there.
PROC_MOUNTABLE = (
    "cpuinfo",
    "diskstats",
    "loadavg",
    "meminfo",
    "slabinfo",
    "stat",
    "swaps",
    "sys/crypto/fips_enabled",
    "sys/kernel/ns_last_pid",
    "uptime",
)

# options of some mounts alone
_RARE_OPTIONS = frozenset(("tmpcopyup", "copy-symlink", "src-nofollow", "dest-nofollow"))
_RARE_LINUX = ("devices", "netDevices", "timeOffsets", "intelRdt", "memoryPolicy", "personality")


def validate_config(config: Config, *, process_required: bool = True) -> list[Problem]:
    """Every problem of a config.json; an empty list when it is valid."""
    problems: list[Problem] = []
    _version(config["ociVersion"], problems)
    _root(config, problems)
    linux = config.get("linux", {})
    namespaces = _namespaces(linux.get("namespaces", []), problems)
    _host_names(config, namespaces, problems)
    if "process" in config:
        validate_process(config["process"], "/process", problems)
    elif process_required:
        problems.append(Problem("", 'lacks the property "process", without which the container cannot be started'))
    mounts = config.get("mounts", [])
    for i in range(len(mounts)):
        _mount(mounts[i], f"/mounts/{i}", namespaces, linux, problems)
    if mounts and "mount" not in namespaces:
        _inherited_mounts(config, namespaces, problems)
    if "hooks" in config:
        from oci_runtime.spec.validate_hooks import validate_hooks

        validate_hooks(config["hooks"], problems)
    if config.get("annotations"):
        from oci_runtime.annotations import validate_annotations

        validate_annotations(config["annotations"], problems)
    _linux(linux, namespaces, problems)
    if "user" in namespaces or linux.get("uidMappings") or linux.get("gidMappings"):
        from oci_runtime.spec.validate_ids import validate_user_namespace

        validate_user_namespace(config, namespaces, problems)
    return problems


def _version(version: str, problems: list[Problem]) -> None:
    core, plus, build = version.partition("+")
    core, dash, release = core.partition("-")
    numbers = core.split(".")
    well_formed = (
        len(numbers) == 3
        and all(n.isascii() and n.isdigit() and (n == "0" or n[0] != "0") for n in numbers)
        and (not dash or _identifiers(release))
        and (not plus or _identifiers(build))
    )
    if not well_formed:
        problems.append(Problem("/ociVersion", "must be a version as in SemVer 2.0.0, such as 1.3.0"))
    elif numbers[0] != "1":
        problems.append(Problem("/ociVersion", "is not supported; the major version must be 1, such as 1.3.0"))


def _identifiers(text: str) -> bool:
    return all(part.isascii() and part.replace("-", "0").isalnum() for part in text.split("."))


def _root(config: Config, problems: list[Problem]) -> None:
    if "root" not in config:
        problems.append(Problem("", 'lacks the property "root", which is required on Linux'))
    elif not config["root"]["path"]:
        problems.append(
            Problem("/root/path", "must be a directory, such as rootfs, relative to the bundle or absolute")
        )


def _namespaces(namespaces: list[Namespace], problems: list[Problem]) -> dict[str, str]:
    """Type to path, which is empty for a namespace to create."""
    found: dict[str, str] = {}
    for i in range(len(namespaces)):
        kind, path = namespaces[i]["type"], namespaces[i].get("path", "")
        if kind in found:
            problems.append(
                Problem(f"/linux/namespaces/{i}/type", "occurs twice; there may be one namespace of each type")
            )
        if path and path[0] != "/":
            problems.append(Problem(f"/linux/namespaces/{i}/path", "must be an absolute path"))
        found[kind] = path
    return found


def _host_names(config: Config, namespaces: dict[str, str], problems: list[Problem]) -> None:
    """sethostname(2) and setdomainname(2) take 64 bytes."""
    for key, name in (("hostname", config.get("hostname")), ("domainname", config.get("domainname"))):
        if not name:
            continue
        if "uts" not in namespaces:
            problems.append(Problem("/" + key, 'needs a "uts" namespace in /linux/namespaces'))
        if len(name.encode("utf-8", "surrogatepass")) > 64:
            problems.append(Problem("/" + key, "must have at most 64 bytes"))


def _mount(mount: Mount, at: str, namespaces: dict[str, str], linux: Linux, problems: list[Problem]) -> None:
    options = mount.get("options", ())
    bind = "bind" in options or "rbind" in options or mount.get("type") == "bind"
    destination = mount["destination"]
    if not destination:
        problems.append(Problem(at + "/destination", "must be a path inside the container"))
    elif "proc" in destination:
        _proc_mount(mount, at, bind, problems)
    if bind:
        if not mount.get("source"):
            problems.append(Problem(at, 'a bind mount lacks a "source", the path to bind'))
        if not BIND_OPTIONS.issuperset(options) or not _RARE_OPTIONS.isdisjoint(options):
            from oci_runtime.spec.validate_mounts import validate_bind_options

            validate_bind_options(mount, at, problems)
    elif not mount.get("type") and "remount" not in options:
        problems.append(Problem(at, 'lacks a "type", such as tmpfs; only bind mounts and remounts do without'))
    elif not _RARE_OPTIONS.isdisjoint(options) or (
        mount.get("type") in ("cgroup", "cgroup2") and not BIND_OPTIONS.issuperset(options)
    ):
        from oci_runtime.spec.validate_mounts import validate_other_options

        validate_other_options(mount, at, problems)
    if "uidMappings" in mount or "gidMappings" in mount or any("idmap" in option for option in options):
        from oci_runtime.spec.validate_ids import validate_id_mapped_mount

        validate_id_mapped_mount(mount, at, bind, namespaces, linux, problems)


def _inherited_mounts(config: Config, namespaces: dict[str, str], problems: list[Problem]) -> None:
    """Without a mount namespace of its own the container's mounts are made in the runtime's."""
    if "user" in namespaces:
        problems.append(
            Problem("/mounts", 'needs a "mount" namespace in /linux/namespaces, since the user namespace owns no other')
        )
    elif config.get("root", {}).get("path", "")[:1] == "/" and clean(config["root"]["path"]) == "/":
        problems.append(
            Problem("/mounts", 'needs a "mount" namespace in /linux/namespaces, or they would cover the host\'s own')
        )


def _proc_mount(mount: Mount, at: str, bind: bool, problems: list[Problem]) -> None:
    path = clean(mount["destination"])
    if path == "/proc":
        if not bind and mount.get("type") != "proc":
            problems.append(
                Problem(
                    at + "/destination", 'only a mount of type "proc", or a bind mount of one, may be mounted on /proc'
                )
            )
    elif path.startswith("/proc/") and path[6:] not in PROC_MOUNTABLE:
        problems.append(
            Problem(at + "/destination", f"must not be below /proc, except for {', '.join(PROC_MOUNTABLE)}")
        )


def _linux(linux: Linux, namespaces: dict[str, str], problems: list[Problem]) -> None:
    _hidden_paths("maskedPaths", linux.get("maskedPaths", []), namespaces, problems)
    _hidden_paths("readonlyPaths", linux.get("readonlyPaths", []), namespaces, problems)
    if "sysctl" in linux:
        from oci_runtime.spec.validate_sysctl import validate_sysctl

        validate_sysctl(linux["sysctl"], namespaces, problems)
    if "resources" in linux:
        from oci_runtime.spec.validate_resources import validate_resources

        validate_resources(linux["resources"], "/linux/resources", problems)
    if "seccomp" in linux:
        from oci_runtime.spec.validate_seccomp import validate_seccomp

        validate_seccomp(linux["seccomp"], "/linux/seccomp", problems)
    for key in _RARE_LINUX:
        if key in linux:
            from oci_runtime.spec.validate_linux import validate_linux

            validate_linux(linux, namespaces, problems)
            break


def _hidden_paths(key: str, paths: list[str], namespaces: dict[str, str], problems: list[Problem]) -> None:
    if paths and "mount" not in namespaces:
        problems.append(Problem("/linux/" + key, 'needs a "mount" namespace in /linux/namespaces'))
    for i in range(len(paths)):
        if paths[i][:1] != "/":
            problems.append(Problem(f"/linux/{key}/{i}", "must be an absolute path inside the container"))


def validate_ids(process: Process, at: str, linux: Linux, problems: list[Problem]) -> None:
    """That the ids of a process exist in the container's user namespace; for `exec`, whose process comes alone."""
    namespaces = {namespace["type"]: namespace.get("path", "") for namespace in linux.get("namespaces", [])}
    if namespaces.get("user") == "":
        from oci_runtime.spec.validate_ids import validate_process_ids

        validate_process_ids(process, at, linux, problems)
