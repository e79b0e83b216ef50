#!/usr/bin/env python3
"""Run a container with the runtime given and show what it is isolated from: `scripts/demo.py build/pyoci`.

Makes a bundle (busybox and a config.json) in a temporary folder, runs it, and prints what the container sees beside
what the host sees. Ends with status 1 if something that should differ does not.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "user", "cgroup")
FACTS = r"""
echo "pid of the shell=$$"
echo "processes visible=$(ls -d /proc/[0-9]* | wc -l)"
echo "hostname=$(hostname)"
echo "uid, gid=$(id -u), $(id -g)"
echo "uid 0 is the host's=$(sed 1q /proc/self/uid_map | tr -s ' ' | cut -d' ' -f3)"
echo "root directory=$(ls / | tr '\n' ' ')"
echo "mounts=$(wc -l < /proc/self/mountinfo)"
echo "network interfaces=$(ls /sys/class/net | tr '\n' ' ')"
echo "effective capabilities=$(sed -n 's/^CapEff:\t//p' /proc/self/status)"
echo "bounding capabilities=$(sed -n 's/^CapBnd:\t//p' /proc/self/status)"
echo "no_new_privs=$(sed -n 's/^NoNewPrivs:\t//p' /proc/self/status)"
echo "seccomp mode=$(sed -n 's/^Seccomp:\t//p' /proc/self/status)"
for name in mnt pid net ipc uts user cgroup; do
    echo "$name namespace=$(readlink /proc/self/ns/$name)"
done
"""
TRIALS = r"""
attempt() { what=$1; shift; if "$@" 2>/dev/null >&2; then echo "$what=DONE"; else echo "$what=refused"; fi; }
attempt "write to the root directory" touch /x
attempt "write to /proc/sys" sh -c 'echo x > /proc/sys/kernel/hostname'
attempt "mount a filesystem" mount -t tmpfs tmpfs /tmp
attempt "make a device" mknod /tmp/disk b 8 0
attempt "change the hostname" hostname other
attempt "make a directory, which seccomp forbids here" mkdir /tmp/directory
"""


def configuration(script: str) -> dict[str, object]:
    """A config.json as an engine would write it, shortened."""
    capabilities = ["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID"]
    readonly = ["nosuid", "noexec", "nodev", "ro"]
    return {
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/sh", "-c", script],
            "env": ["PATH=/bin", "TERM=dumb"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "inside",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": readonly},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "size=1m"]},
        ],
        "linux": {
            "namespaces": [{"type": name} for name in ("mount", "pid", "network", "ipc", "uts", "cgroup", "user")],
            "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
            "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            "seccomp": {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
            },
        },
    }


def make_bundle(bundle: Path) -> None:
    busybox = shutil.which("busybox")
    if busybox is None:
        sys.exit("demo.py: no busybox in PATH; install busybox-static")
    rootfs = bundle / "rootfs"
    for directory in ("bin", "dev", "proc", "sys", "tmp"):
        (rootfs / directory).mkdir(parents=True)
    shutil.copy(busybox, rootfs / "bin" / "busybox")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            (rootfs / "bin" / applet).symlink_to("busybox")
    (bundle / "config.json").write_text(json.dumps(configuration(FACTS + TRIALS), indent=2))
    # The container's root is uid 100000 of the host and must reach its root filesystem.
    for path in (bundle, *bundle.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)


def facts(output: str) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition("=") for line in output.splitlines() if line)}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.exit("usage: demo.py RUNTIME")
    if os.geteuid():
        sys.exit("demo.py: needs root")
    runtime = os.path.abspath(arguments[0])
    container = f"demo-{os.getpid()}"
    host = facts(subprocess.run(["sh", "-c", FACTS], capture_output=True, text=True, check=True).stdout)
    host["hostname"] = socket.gethostname()
    with tempfile.TemporaryDirectory(prefix="pyoci-demo-") as folder:
        bundle = Path(folder)
        make_bundle(bundle)
        command = [runtime, "run", "--bundle", folder, container]
        print("$", *command, flush=True)
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        print(result.stdout, end="")
        return result.returncode
    inside = facts(result.stdout)
    width = max(map(len, inside)) + 2
    print(f"\n{'':<{width}}{'in the container':<30}on the host")
    for name, value in inside.items():
        if name in host:
            print(f"{name:<{width}}{value:<30}{host[name][:60]}")
    print("\nthe container tried to")
    for name, value in inside.items():
        if name not in host:
            print(f"  {name:<{width}}{value}")
    shared = [name for name in NAMESPACES if inside[f"{name} namespace"] == host[f"{name} namespace"]]
    done = [name for name, value in inside.items() if value == "DONE"]
    if inside["pid of the shell"] != "1" or inside["hostname"] != "inside" or shared or done:
        print(f"\nNOT isolated: {', '.join(shared + done) or 'pid or hostname'}", file=sys.stderr)
        return 1
    print("\nEvery namespace differs from the host's, every trial was refused.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
