"""linux.cgroupsPath as names of systemd units: SLICE:PREFIX:NAME (systemd.unit(5), systemd.slice(5)). Pure."""

from __future__ import annotations

from oci_runtime.linux.cgroups.cgroup import PATH_POINTER, refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_PREFIX = "pyoci"
ROOT_SLICE = "-.slice"
_VALID = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@"
_MAX_NAME = 255


class UnitName:
    """The container's unit, `name`, and the slice that it goes into.

    A name that ends in .slice is a slice itself. Its place follows from its name, `slice` is only wanted beside it.
    """

    __slots__ = ("name", "slice")

    def __init__(self, slice: str, name: str) -> None:
        self.slice = slice
        self.name = name

    @property
    def is_slice(self) -> bool:
        return self.name.endswith(".slice")

    @property
    def kind(self) -> str:
        """The D-Bus interface of the unit's type, after org.freedesktop.systemd1."""
        return "Slice" if self.is_slice else "Scope"

    def path(self, root: str = "") -> str:
        """The path of its cgroup; `root` is that of the manager, which is the root of its slices."""
        parts = expand_slice(self.name) if self.is_slice else [*expand_slice(self.slice), self.name]
        return "/".join([*(part for part in root.split("/") if part), *parts])


def parse(cgroups_path: str | None, container_id: str, default_slice: str) -> UnitName:
    """The unit that `cgroups_path` names; without one DEFAULT_PREFIX-CONTAINER_ID.scope in `default_slice`.

    As in runc an empty slice is the default one, and the prefix counts only for scopes. Raises SpecError.
    """
    if not cgroups_path:
        return UnitName(default_slice, _checked(f"{DEFAULT_PREFIX}-{_escaped(container_id)}.scope"))
    parts = cgroups_path.split(":")
    if len(parts) != 3:
        raise refuse(
            PATH_POINTER,
            f"{cgroups_path!r} is not of the form SLICE:PREFIX:NAME, such as system.slice:pyoci:{container_id},"
            " which --systemd-cgroup needs",
        )
    parent, prefix, name = parts
    parent = parent or default_slice
    expand_slice(parent)
    if not name:
        raise refuse(PATH_POINTER, f"{cgroups_path!r} has no name; valid is SLICE:PREFIX:NAME")
    if name.endswith(".slice"):
        if not expand_slice(name):
            raise refuse(PATH_POINTER, f"{name!r} is the root of all slices; a container needs a unit of its own")
        return UnitName(parent, name)
    return UnitName(parent, _checked(f"{prefix}-{name}.scope"))


def _checked(name: str) -> str:
    wrong = next((character for character in name if character not in _VALID), "")
    if wrong:
        raise refuse(
            PATH_POINTER,
            f"{name!r} is no name of a unit, since it has {wrong!r}; valid are letters, digits and :-_.\\@",
        )
    if len(name) > _MAX_NAME:
        raise refuse(PATH_POINTER, f"{name!r} is too long for a unit; valid are {_MAX_NAME} characters")
    return name


def _escaped(container_id: str) -> str:
    """As systemd-escape(1) does it with what an id may have and a unit may not: +."""
    return container_id.replace("+", "\\x2b")


def expand_slice(name: str) -> list[str]:
    """The names of a slice and those above it, from the top: a-b.slice is in a.slice; none for -.slice. SpecError."""
    stem = name.removesuffix(".slice")
    if stem == "-" and name == ROOT_SLICE:
        return []
    if name == stem or "" in stem.split("-"):
        raise refuse(
            PATH_POINTER, f"{name!r} is no slice; valid are names like system.slice, a-b.slice and {ROOT_SLICE}"
        )
    _checked(name)
    parts = stem.split("-")
    return ["-".join(parts[: depth + 1]) + ".slice" for depth in range(len(parts))]


def object_path(unit: str) -> str:
    """The D-Bus object of a unit, its name escaped as sd_bus_path_encode(3) does."""
    escaped = "".join(_path_characters(unit))
    return f"/org/freedesktop/systemd1/unit/{escaped}"


def _path_characters(unit: str) -> Iterable[str]:
    for index, character in enumerate(unit):
        plain = character.isascii() and (character.isalpha() or (index and character.isdigit()))
        yield character if plain else f"_{ord(character):02x}"
