"""Being told by the kernel that a container ran out of memory."""

from __future__ import annotations

import posix
from errno import ENODEV, ENOENT
from select import POLLIN, POLLPRI

from oci_runtime.linux.cgroups import _fs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.linux.cgroups.cgroup import Cgroup


class OomNotices:
    """`descriptor` becomes ready for the poll(2) events `mask` when something has happened; arrived() tells what.

    `ended`: nothing comes any more, as the cgroup has been removed, and the descriptor may stay ready for ever.
    """

    __slots__ = ("descriptor", "ended", "mask")

    def __init__(self, descriptor: int, mask: int) -> None:
        self.descriptor = descriptor
        self.mask = mask
        self.ended = False

    def arrived(self) -> bool:
        """Whether the container has run out of memory since this was last asked. Does not wait. Raises OSError."""
        raise NotImplementedError

    def close(self) -> None:
        posix.close(self.descriptor)


class V1Notices(OomNotices):
    """An eventfd(2) that is registered for memory.oom_control: admin-guide/cgroup-v1/memory, OOM Control."""

    __slots__ = ("_cgroup",)

    def __init__(self, cgroup: Cgroup) -> None:
        self._cgroup = cgroup
        super().__init__(posix.eventfd(0, posix.EFD_CLOEXEC | posix.EFD_NONBLOCK), POLLIN)
        try:
            control = _fs.open_at(cgroup.require(), "memory.oom_control", posix.O_RDONLY)
            try:
                _fs.write(cgroup.require(), "cgroup.event_control", f"{self.descriptor} {control}")
            finally:
                posix.close(control)
        except BaseException:
            self.close()
            raise

    def arrived(self) -> bool:
        try:
            posix.eventfd_read(self.descriptor)
        except BlockingIOError:
            return False
        return self._cgroup.exists()  # its removal is told too


class V2Notices(OomNotices):
    """memory.events, whose readers poll(2) tells of changes. It changes for other reasons too."""

    __slots__ = ("_kills",)

    def __init__(self, cgroup: Cgroup) -> None:
        super().__init__(_fs.open_at(cgroup.require(), "memory.events", posix.O_RDONLY), POLLPRI)
        self._kills = 0
        self._kills = self._count()

    def arrived(self) -> bool:
        before, self._kills = self._kills, self._count()
        return self._kills > before

    def _count(self) -> int:
        """How many processes were killed. Reading it anew is what makes poll(2) wait for the next change."""
        try:
            text = posix.pread(self.descriptor, 4096, 0).decode()
        except OSError as error:
            if error.errno != ENODEV:  # the cgroup has been removed
                raise
            self.ended = True
            return self._kills
        return _fs.counter(text, "oom_kill")


def open_notices(cgroup: Cgroup | None) -> OomNotices | None:
    """The notices of a cgroup with the memory controller; None where it has none. Raises OSError."""
    if cgroup is None:
        return None
    try:
        return V1Notices(cgroup) if cgroup.version == 1 else V2Notices(cgroup)
    except OSError as error:
        if error.errno != ENOENT:
            raise
        return None
