"""Run a script inside a Debian tree: in a copy-on-write layer over it that is gone afterwards."""

from __future__ import annotations

from pathlib import Path

from vm.host import run

_ENTER = """
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin \\
    sh -euc "$inside" "$@"
umount -R "$root/dev" "$root/proc"
"""
_OVERLAY = """
mount -t tmpfs -o mode=700 pyoci-vm "$layer"
mkdir "$layer/upper" "$layer/work" "$layer/root"
mount -t overlay -o "lowerdir=$lower,upperdir=$layer/upper,workdir=$layer/work" pyoci-vm "$layer/root"
root=$layer/root
"""
# New processes end with this one, new mounts with them; and nothing in there reaches a network.
_UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--net")


def over(lower: list[Path], layer: Path, steps: tuple[str, str, str], arguments: list[str | Path], log: Path) -> None:
    """Run three scripts over directories that do not change. Raises VmError with the end of their output.

    The first and the last run on the host, see the result as "$root" and get `arguments`; the second runs inside. What
    they write lives in memory, mounted on the directory `layer`, in a mount namespace of its own.
    """
    before, script, after = steps
    words: list[str | Path] = ["env", f"lower={':'.join(map(str, lower))}", f"layer={layer}", f"inside={script}"]
    run([*words, *_UNSHARE, "sh", "-euc", f"{_OVERLAY}{before}\n{_ENTER}{after}", "over", *arguments], log=log)
