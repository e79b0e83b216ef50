"""mountinfo, proc_pid_mountinfo(5), parsed."""

from __future__ import annotations


class Mount:
    """A line: `root` of the mount in its filesystem, `point`, `options` of the mount, `propagation` tags (shared:N,
    master:N, unbindable), filesystem `type`, `source`, `superblock` options."""

    __slots__ = ("options", "point", "propagation", "root", "source", "superblock", "type")

    def __init__(self, line: str) -> None:
        head, _, tail = line.partition(" - ")
        fields = head.split()
        self.root, self.point = fields[3], fields[4]
        self.options = set(fields[5].split(","))
        self.propagation = fields[6:]
        self.type, self.source, superblock = tail.split(" ", 2)
        self.superblock = set(superblock.strip().split(","))

    @property
    def propagation_kinds(self) -> set[str]:
        """shared, master, unbindable; empty for a private mount."""
        return {tag.partition(":")[0] for tag in self.propagation}


def parse(text: str) -> dict[str, Mount]:
    """The mounts by their mount points; of several at one point, the topmost."""
    mounts = [Mount(line) for line in text.splitlines() if " - " in line]
    return {mount.point: mount for mount in mounts}
