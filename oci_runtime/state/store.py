"""Containers on record: ROOT/ID/state.json, written atomically, under a lock, with a format version.

A container's directory is made under another name and renamed to its id, so that of many creates of one id one wins,
and what is found under an id always has a state. The lock is flock(2) on the directory: who dies loses it.

    ROOT/ID/state.json    the record, see `Record`
    ROOT/ID/config.json   the configuration that the container was created with
    ROOT/ID/start.sock    where init waits for `start`; its being there means that the container was not started
    ROOT/~ID~PID          a directory that is being made; of a long id only the beginning
"""

from __future__ import annotations

import posix
from errno import EACCES, EEXIST, ENAMETOOLONG, ENOENT, ENOTDIR, ENOTEMPTY, EWOULDBLOCK
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock

from oci_runtime.errors import PyociError, StateError
from oci_runtime.state.codec import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypedDict

    from oci_runtime.linux.resctrl import Groups
    from oci_runtime.spec.types import NamespaceType

    class Record(TypedDict):
        """state.json. `start_time` is that of linux/processes.py; `created` is RFC 3339; `owner` a uid;
        `cgroups` and `resctrl` what their managers recorded; `hooks` the kinds that the configuration has; `operations`
        Plan.after_start as JSON, text since it is written and read more often than looked at, '' if that is not known;
        `paused` that `pause` was called; `status` "creating", "created" or "running", which tells how far the
        container's commands got, not whether it lives."""

        version: int
        ociVersion: str
        id: str
        bundle: str
        rootfs: str
        annotations: dict[str, str]
        status: str
        pid: int
        start_time: int
        created: str
        owner: int
        namespaces: list[NamespaceType]
        cgroups: dict[str, Any] | None
        resctrl: Groups | None
        hooks: list[str]
        operations: str
        paused: bool
        rootless: bool


VERSION = 2
# In the first format `operations` was only a number: that of init's operations.
_NUMBER_OF_OPERATIONS = 1
_TYPES = {
    "annotations": dict,
    "bundle": str,
    "created": str,
    "hooks": list,
    "id": str,
    "namespaces": list,
    "ociVersion": str,
    "operations": str,
    "owner": int,
    "paused": bool,
    "pid": int,
    "rootfs": str,
    "rootless": bool,
    "start_time": int,
    "status": str,
}
START_SOCKET = "start.sock"
_ID_PART = 200
_DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC


class Container:
    """A container on record; `directory` is a descriptor of its directory."""

    __slots__ = ("directory", "id", "record", "root")

    def __init__(self, root: str, container_id: str, directory: int, record: Record) -> None:
        self.root = root
        self.id = container_id
        self.directory = directory
        self.record = record

    @property
    def path(self) -> str:
        """Of the container's directory."""
        return f"{self.root}/{self.id}"

    def save(self) -> None:
        """Writes the record: a reader sees the old one or the new one."""
        _write_atomically(self.directory, "state.json", dumps(self.record).encode())

    def write(self, name: str, data: bytes) -> None:
        """A further file of the container."""
        _write_atomically(self.directory, name, data)

    def read(self, name: str) -> bytes:
        """The whole of a file of the container."""
        return _read(self.directory, name)

    def lock(self) -> None:
        """Waits for the other commands that change the container. StateError when one of them removed it."""
        flock(self.directory, LOCK_EX)
        self._reload()

    def unlock(self) -> None:
        """Lets other commands change the container."""
        flock(self.directory, LOCK_UN)

    def try_lock(self) -> bool:
        """lock() without waiting: whether nobody else has it."""
        try:
            flock(self.directory, LOCK_EX | LOCK_NB)
        except OSError as error:
            if error.errno != EWOULDBLOCK:
                raise
            return False
        self._reload()
        return True

    def lock_within(self, seconds: float) -> bool:
        """lock(), but no longer than that."""
        from time import monotonic, sleep

        end = monotonic() + seconds
        pause = 0.001
        while not self.try_lock():
            if monotonic() > end:
                return False
            sleep(pause)
            pause = min(pause * 2, 0.1)
        return True

    def _reload(self) -> None:
        try:
            self.record = _parse(_read(self.directory, "state.json"), self.path)
        except FileNotFoundError:
            raise does_not_exist(self.id) from None

    def remove(self) -> None:
        """Takes the container off the record. state.json goes last, so that an interrupted removal can go on."""
        names = [name for name in posix.listdir(self.directory) if name not in ("config.json", "state.json")]
        for name in [*names, "config.json", "state.json"]:
            try:
                posix.unlink(name, dir_fd=self.directory)
            except FileNotFoundError:
                pass
            except IsADirectoryError:
                _remove_directory(name, self.directory)
        _rmdir(self.path)

    def close(self) -> None:
        """Gives up the lock."""
        posix.close(self.directory)


def does_not_exist(container_id: str) -> StateError:
    """The words are those that engines look for."""
    return StateError(f"container {container_id!r}: container does not exist")


def create(root: str, record: Record, config: bytes) -> Container:
    """Records a new container and locks it. StateError when its id is taken, PyociError when `root` cannot be used."""
    container_id = record["id"]
    check_free(root, container_id)
    try:
        _make_directories(root)
        return _create(root, record, config)
    except OSError as error:
        if error.errno in (EEXIST, ENOTEMPTY):
            raise _taken(container_id) from None
        raise PyociError(f"cannot keep the state of container {container_id!r} in {root}: {_why(error)}") from error


def _why(error: OSError) -> str:
    if error.errno == EACCES and posix.geteuid() != 0:
        return f"{error.strerror}; set XDG_RUNTIME_DIR to a directory of yours, or give --root"
    return str(error.strerror)


def check_free(root: str, container_id: str) -> None:
    """StateError when the id is taken."""
    if _exists(f"{root}/{container_id}/state.json"):
        raise _taken(container_id)


def _create(root: str, record: Record, config: bytes) -> Container:
    unnamed = f"{root}/~{record['id'][:_ID_PART]}~{posix.getpid()}"
    try:
        posix.mkdir(unnamed, 0o700)
    except FileExistsError:  # of one who was killed, and whose pid we have now
        remove_unfinished(root, record["id"])
        posix.mkdir(unnamed, 0o700)
    container = None
    try:
        container = Container(root, record["id"], posix.open(unnamed, _DIRECTORY), record)
        flock(container.directory, LOCK_EX)
        container.write("config.json", config)
        container.save()
        posix.rename(unnamed, container.path)
    except BaseException:
        _remove_unnamed(unnamed)
        if container:
            container.close()
        raise
    return container


def _taken(container_id: str) -> StateError:
    return StateError(f"container {container_id!r}: container with given ID already exists")


def load(root: str, container_id: str) -> Container:
    """The container of that id, not locked. StateError when there is none."""
    try:
        directory = posix.open(f"{root}/{container_id}", _DIRECTORY)
    except OSError as error:
        if error.errno in (ENOENT, ENOTDIR, ENAMETOOLONG):
            raise does_not_exist(container_id) from None
        raise PyociError(f"cannot open {root}/{container_id}: {error.strerror}") from error
    try:
        _check_owner(directory, f"{root}/{container_id}")
        record = _parse(_read(directory, "state.json"), f"{root}/{container_id}")
    except FileNotFoundError:
        posix.close(directory)
        raise does_not_exist(container_id) from None
    except BaseException:
        posix.close(directory)
        raise
    return Container(root, container_id, directory, record)


def _check_owner(directory: int, path: str) -> None:
    """PyociError for a container that is neither the caller's nor root's: its hooks run with the caller's rights."""
    owner = posix.fstat(directory).st_uid
    if owner not in (posix.geteuid(), 0):
        raise PyociError(f"{path} is the container of user {owner}; only that user may use it")


def open_damaged(root: str, container_id: str) -> Container:
    """A container whose record cannot be read, to be removed."""
    nothing: Record = {}  # type: ignore[typeddict-item]
    return Container(root, container_id, posix.open(f"{root}/{container_id}", _DIRECTORY), nothing)


def list_ids(root: str) -> list[str]:
    """All ids on record, sorted. PyociError when `root` cannot be read."""
    return [name for name in _names(root) if name[0] != "~" and _exists(f"{root}/{name}/state.json")]


def _names(root: str) -> list[str]:
    try:
        return sorted(posix.listdir(root))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PyociError(f"cannot read the state directory {root}: {error.strerror}") from error


def remove_unfinished(root: str, container_id: str) -> None:
    """Removes what commands that were killed left under the id: creates before they got it, a delete at its end."""
    for name in _names(root):
        if name.startswith(f"~{container_id[:_ID_PART]}~"):
            try:
                # never through a link, which who may write to `root` could have put there
                directory = posix.open(f"{root}/{name}", _DIRECTORY | posix.O_NOFOLLOW)
            except OSError:
                continue  # gone
            try:
                flock(directory, LOCK_EX | LOCK_NB)
                _remove_files(directory)
                _rmdir(f"{root}/{name}")
            except OSError:
                continue  # at work
            finally:
                posix.close(directory)
    path = f"{root}/{container_id}"
    if _exists(path) and not _exists(f"{path}/state.json"):
        _rmdir(path)


def _remove_unnamed(path: str) -> None:
    try:
        for name in posix.listdir(path):
            posix.unlink(f"{path}/{name}")
    except FileNotFoundError:
        pass
    _rmdir(path)


def _remove_directory(name: str, parent: int) -> None:
    """A directory that holds only files."""
    directory = posix.open(name, _DIRECTORY | posix.O_NOFOLLOW, dir_fd=parent)
    try:
        _remove_files(directory)
    finally:
        posix.close(directory)
    posix.rmdir(name, dir_fd=parent)


def _remove_files(directory: int) -> None:
    for name in posix.listdir(directory):
        posix.unlink(name, dir_fd=directory)


def _rmdir(path: str) -> None:
    """Unless another command was faster, and may have put a new container there."""
    try:
        posix.rmdir(path)
    except OSError as error:
        if error.errno not in (ENOENT, ENOTEMPTY, EEXIST, ENOTDIR, ENAMETOOLONG):
            raise


def _exists(path: str) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True


def _make_directories(path: str) -> None:
    try:
        posix.mkdir(path, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError as error:
        parent = path.rpartition("/")[0]
        if _exists(parent):
            raise PyociError(f"cannot make the state directory {path}: {_why(error)}") from error
        _make_directories(parent)
        _make_directories(path)
    except OSError as error:
        raise PyociError(f"cannot make the state directory {path}: {_why(error)}") from error


def _write_atomically(directory: int, name: str, data: bytes) -> None:
    unnamed = f"{name}~"
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC | posix.O_NOFOLLOW
    fd = posix.open(unnamed, flags, 0o600, dir_fd=directory)
    try:
        done = 0
        while done < len(data):
            done += posix.write(fd, data[done:])
    finally:
        posix.close(fd)
    posix.rename(unnamed, name, src_dir_fd=directory, dst_dir_fd=directory)


def _read(directory: int, name: str) -> bytes:
    fd = posix.open(name, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW, dir_fd=directory)
    try:
        size = posix.fstat(fd).st_size
        data = posix.read(fd, size + 1)
        while len(data) < size:
            more = posix.read(fd, size - len(data))
            if not more:
                break
            data += more
        return data
    finally:
        posix.close(fd)


def _parse(data: bytes, path: str) -> Record:
    try:
        record: Record = loads(data.decode())
        if record["version"] == _NUMBER_OF_OPERATIONS:
            _convert(record)
        version = record["version"]
        whole = version != VERSION or all(isinstance(record[key], kind) for key, kind in _TYPES.items())  # type: ignore[literal-required]
        if whole and version == VERSION:
            whole = isinstance(record["cgroups"] or {}, dict) and isinstance(record["resctrl"] or {}, (dict, list))
    except (ValueError, StopIteration, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise DamagedState(f"{path}/state.json is damaged; `pyoci delete --force` removes the container")
    if version != VERSION:
        raise DamagedState(
            f"{path}/state.json has format version {version!r}; this pyoci knows {VERSION} "
            "(`pyoci delete --force` removes the container)"
        )
    return record


def _convert(record: Record) -> None:
    """Makes a record of the first format one of this, as containers outlive an upgrade. KeyError if it is damaged."""
    if not isinstance(record["operations"], str):  # builds between the two wrote text already
        record["operations"] = ""
    record["version"] = VERSION


class DamagedState(PyociError):
    """A container is there, but what it is cannot be told."""
