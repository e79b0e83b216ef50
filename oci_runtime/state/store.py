"""Containers on record: ROOT/ID/state.json, written atomically, under a lock, with a format version.

A container's directory is made under another name and renamed to its id, so that of many creates of one id one wins,
and what is found under an id always has a state. The lock is flock(2) on the directory: who dies loses it. All of it
is reached by descriptors, of ROOT and of the directory, and no link is followed.

    ROOT/ID/state.json    the record, see record.py
    ROOT/ID/config.json   the configuration that the container was created with
    ROOT/ID/start.sock    where init waits for `start`; its being there means that the container was not started
    ROOT/~ID~PID          a directory that is being made; of a long id only the beginning

No function here lets an OSError out: it becomes a PyociError that names the file.
"""

from __future__ import annotations

import posix
from errno import EACCES, EEXIST, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, ENOTEMPTY, EWOULDBLOCK
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock

from oci_runtime.errors import PyociError, StateError
from oci_runtime.state.codec import dumps
from oci_runtime.state.files import DIRECTORY, UnusableFile, exists, is_directory, read, write
from oci_runtime.state.record import DamagedState, damaged, parse
from oci_runtime.state.root import open_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_runtime.state.record import Record

START_SOCKET = "start.sock"
_RECORD, _CONFIG = "state.json", "config.json"
_OURS = (_CONFIG, START_SOCKET, "notify", "mounts", f"{_CONFIG}~", f"{_RECORD}~")
_ID_PART = 200


class Container:
    """A container on record; `directory` is a descriptor of its directory, `parent` of the state directory."""

    __slots__ = ("directory", "id", "parent", "record", "root")

    def __init__(self, root: str, container_id: str, parent: int, directory: int, record: Record) -> None:
        self.root = root
        self.id = container_id
        self.parent = parent
        self.directory = directory
        self.record = record

    @property
    def path(self) -> str:
        """Of the container's directory."""
        return f"{self.root}/{self.id}"

    def save(self) -> None:
        """Writes the record: a reader sees the old one or the new one. PyociError when it stays as it was."""
        self.write(_RECORD, dumps(self.record).encode())

    def write(self, name: str, data: bytes) -> None:
        """A further file of the container. PyociError when it stays as it was."""
        write(self.directory, name, data, f"{self.path}/{name}")

    def read(self, name: str) -> bytes:
        """The whole of a file of the container. PyociError when it cannot be read."""
        path = f"{self.path}/{name}"
        try:
            return read(self.directory, name, path)
        except FileNotFoundError as error:
            raise PyociError(f"cannot open {path}: {error.strerror}") from None

    def has(self, name: str) -> bool:
        """Whether there is such a file. PyociError when that cannot be told."""
        try:
            return exists(name, self.directory)
        except OSError as error:
            raise PyociError(f"cannot look for {self.path}/{name}: {error.strerror}") from error

    def lock(self, tell: Callable[[str], None], seconds: float | None = None) -> None:
        """Waits for the other commands that change the container; `tell` gets a line when that takes long.

        StateError when one of them removed it, PyociError when it still has the lock after `seconds`.
        """
        self.lock_directory(tell, seconds)
        self._reload()

    def lock_directory(self, tell: Callable[[str], None], seconds: float | None = None) -> None:
        """lock(), whatever the record is."""
        if not self.lock_if_free():
            from oci_runtime.state.waiting import wait_for_lock

            wait_for_lock(self, tell, seconds)

    def unlock(self) -> None:
        """Lets other commands change the container."""
        flock(self.directory, LOCK_UN)

    def try_lock(self) -> bool:
        """lock() without waiting: whether nobody else has it."""
        if not self.lock_if_free():
            return False
        self._reload()
        return True

    def lock_if_free(self) -> bool:
        """try_lock(), whatever the record is by now."""
        try:
            flock(self.directory, LOCK_EX | LOCK_NB)
        except OSError as error:
            if error.errno != EWOULDBLOCK:
                raise PyociError(f"cannot lock {self.path}: {error.strerror}") from error
            return False
        return True

    def _reload(self) -> None:
        try:
            self.record = _read_record(self.directory, self.root, self.id)
        except FileNotFoundError:
            raise does_not_exist(self.id) from None

    def remove(self) -> None:
        """Takes the container off the record. state.json goes last, so that an interrupted removal can go on."""
        from oci_runtime.state.removal import empty, rmdir

        try:
            empty(self.directory, (_CONFIG, _RECORD))
            rmdir(self.id, self.parent)
        except OSError as error:
            raise PyociError(f"cannot remove {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Gives up the lock."""
        for descriptor in (self.directory, self.parent):
            try:
                posix.close(descriptor)
            except OSError:
                pass  # Linux has closed it all the same: close(2)


def does_not_exist(container_id: str) -> StateError:
    """The words are those that engines look for."""
    return StateError(f"container {container_id!r}: container does not exist")


def _taken(container_id: str) -> StateError:
    return StateError(f"container {container_id!r}: container with given ID already exists")


def create(root: str, record: Record, config: bytes) -> Container:
    """Records a new container and locks it. StateError when its id is taken, PyociError when `root` cannot be used."""
    container_id = record["id"]
    parent = _open_or_make_root(root)
    try:
        if exists(f"{container_id}/{_RECORD}", parent):
            raise _taken(container_id)
        return _create(root, parent, record, config)
    except OSError as error:
        posix.close(parent)
        if error.errno in (EEXIST, ENOTEMPTY):
            raise _taken(container_id) from None
        if error.errno in (ENOTDIR, EISDIR):
            raise _in_the_way(root, container_id) from None
        raise PyociError(f"cannot keep the state of container {container_id!r} in {root}: {_why(error)}") from error
    except BaseException:
        posix.close(parent)
        raise


def _why(error: OSError) -> str:
    if error.errno == EACCES and posix.geteuid() != 0:
        return f"{error.strerror}; set XDG_RUNTIME_DIR to a directory of yours, or give --root"
    return str(error.strerror)


def _in_the_way(root: str, name: str) -> PyociError:
    return PyociError(f"{root}/{name} is no directory, so it is no container; nothing but pyoci should be in {root}")


def check_free(root: str, container_id: str) -> None:
    """StateError when the id is taken."""
    try:
        posix.lstat(f"{root}/{container_id}/{_RECORD}")
    except OSError:
        return
    raise _taken(container_id)


def _create(root: str, parent: int, record: Record, config: bytes) -> Container:
    container_id = record["id"]
    unnamed = f"{_unfinished(container_id)}{posix.getpid()}"
    try:
        posix.mkdir(unnamed, 0o700, dir_fd=parent)
    except FileExistsError:  # of one who was killed, and whose pid we have now
        from oci_runtime.state.removal import unfinished

        unfinished(parent, container_id, unnamed)
        posix.mkdir(unnamed, 0o700, dir_fd=parent)
    directory = -1
    try:
        directory = posix.open(unnamed, DIRECTORY, dir_fd=parent)
        container = Container(root, container_id, parent, directory, record)
        flock(directory, LOCK_EX)
        container.write(_CONFIG, config)
        container.save()
        posix.rename(unnamed, container_id, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        from oci_runtime.state.removal import discard

        discard(unnamed, parent, directory)
        raise
    return container


def _unfinished(container_id: str) -> str:
    """How the names begin that directories have before they have the id."""
    return f"~{container_id[:_ID_PART]}~"


def load(root: str, container_id: str) -> Container:
    """The container of that id, not locked. StateError when there is none, DamagedState when its record is no use."""
    return _load(root, container_id, lambda directory: _read_record(directory, root, container_id))


def open_damaged(root: str, container_id: str) -> Container:
    """A container whose record cannot be read, to be removed. StateError when there is none."""
    nothing: Record = {}  # type: ignore[typeddict-item]
    return _load(root, container_id, lambda _: nothing)


def _load(root: str, container_id: str, record_of: Callable[[int], Record]) -> Container:
    try:
        parent = open_root(root)
    except FileNotFoundError:
        raise does_not_exist(container_id) from None
    directory = -1
    try:
        directory = posix.open(container_id, DIRECTORY, dir_fd=parent)
        _check_owner(directory, f"{root}/{container_id}")
        return Container(root, container_id, parent, directory, record_of(directory))
    except BaseException as error:
        posix.close(parent)
        if directory >= 0:
            posix.close(directory)
        if not isinstance(error, OSError):
            raise
        if error.errno in (ENOENT, ENAMETOOLONG):
            raise does_not_exist(container_id) from None
        if error.errno in (ENOTDIR, ELOOP):
            raise _in_the_way(root, container_id) from None
        raise PyociError(f"cannot open {root}/{container_id}: {error.strerror}") from error


def _check_owner(directory: int, path: str) -> None:
    """PyociError for a container that is neither the caller's nor root's: its hooks run with the caller's rights."""
    status = posix.fstat(directory)
    if status.st_uid not in (posix.geteuid(), 0):
        raise PyociError(f"{path} is the container of user {status.st_uid}; only that user may use it")
    if status.st_mode & 0o022:
        raise PyociError(f"{path} can be written to by others (mode {status.st_mode & 0o7777:04o}); no container is")


def _read_record(directory: int, root: str, container_id: str) -> Record:
    """FileNotFoundError when nothing is there, or a `delete` has just emptied it."""
    path = f"{root}/{container_id}/{_RECORD}"
    try:
        return parse(read(directory, _RECORD, path), path, container_id)
    except FileNotFoundError:
        names = posix.listdir(directory)
        if not names or not set(names) <= set(_OURS):
            raise
        raise damaged(path, "it is missing") from None
    except UnusableFile as error:
        raise DamagedState(f"{error}; `pyoci delete --force` removes the container") from error


def list_ids(root: str) -> list[str]:
    """What may be containers, sorted. FileNotFoundError without `root`, PyociError when that cannot be read."""
    from oci_runtime.state.removal import names

    parent = open_root(root)
    try:
        return [name for name in names(parent) if name[0] != "~" and is_directory(name, parent)]
    except OSError as error:
        raise PyociError(f"cannot read the state directory {root}: {error.strerror}") from error
    finally:
        posix.close(parent)


def remove_unfinished(root: str, container_id: str) -> None:
    """Removes what commands that were killed left under the id: creates before they got it, a delete at its end."""
    from oci_runtime.state.removal import unfinished

    try:
        parent = open_root(root)
    except FileNotFoundError:
        return
    try:
        unfinished(parent, container_id, _unfinished(container_id))
    except OSError as error:
        raise PyociError(f"cannot read the state directory {root}: {error.strerror}") from error
    finally:
        posix.close(parent)


def _open_or_make_root(root: str) -> int:
    try:
        return open_root(root)
    except FileNotFoundError:
        _make_directories(root)
    try:
        return open_root(root)
    except FileNotFoundError as error:
        raise PyociError(f"cannot make the state directory {root}: {error.strerror}") from error


def _make_directories(path: str) -> None:
    try:
        posix.mkdir(path, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError as error:
        parent = path.rpartition("/")[0]
        if not parent or _is_there(parent):
            raise PyociError(f"cannot make the state directory {path}: {_why(error)}") from error
        _make_directories(parent)
        _make_directories(path)
    except OSError as error:
        raise PyociError(f"cannot make the state directory {path}: {_why(error)}") from error


def _is_there(path: str) -> bool:
    try:
        posix.lstat(path)
    except OSError:
        return False
    return True
