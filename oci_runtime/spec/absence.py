"""What stands for an optional property that is not there. Imported only for a document that the checker refuses.

null does, as in Go, where engines and runc decode it into a pointer, slice, map, string or number and leave that as it
was: empty. In a list of strings or numbers, and in a map, it is the empty string, 0 or the empty object. So is "" where
runc takes it for absence although it is none of the values that the schema allows.
"""

from __future__ import annotations

from oci_runtime.spec import _checker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: A place in config.json whose "" is absence; elsewhere the schema takes "", or runc refuses it too.
_EMPTY_IS_ABSENT = (("linux", "rootfsPropagation"), ("linux", "intelRdt", "memBwSchema"))


def remove_absent(kind: str, document: dict[str, Any]) -> None:
    """Takes it out of a document of that kind: config, process or resources. Required properties stay as they are."""
    _remove(document, _checker.RULES[kind])
    if kind == "config":
        for place in _EMPTY_IS_ABSENT:
            _remove_empty(document, place)
        _remove_empty_filter(document.get("linux"))


def _remove(value: Any, rule: Any) -> None:
    if type(rule) is dict and type(value) is dict:
        _remove_from_object(value, rule)
    elif type(rule) is list and type(value) is list:
        for i, item in enumerate(value):
            if item is None:
                value[i] = _empty(rule[0])
            else:
                _remove(item, rule[0])


def _remove_from_object(value: dict[str, Any], rule: dict[Any, Any]) -> None:
    for name in [*value]:
        if ... in rule:
            if value[name] is None:
                value[name] = _empty(rule[...])
            else:
                _remove(value[name], rule[...])
        elif name in rule:
            if value[name] is not None:
                _remove(value[name], rule[name])
            elif name not in rule[None]:
                del value[name]


def _empty(rule: Any) -> Any:
    """None for what has no empty value that would be valid, so that it is told as what it is."""
    if rule is str:
        return ""
    if rule is _checker._uint32:
        return 0
    if type(rule) is dict and not rule[None]:
        return {}
    return None


def _remove_empty(value: Any, place: tuple[str, ...]) -> None:
    for name in place[:-1]:
        value = value.get(name) if type(value) is dict else None
    if type(value) is dict and value.get(place[-1]) == "":
        del value[place[-1]]


def _remove_empty_filter(linux: Any) -> None:
    """linux.seccomp as Go writes an empty one, with neither a default nor a rule. A default that is not there at all is
    refused, as by crun: it may be misspelt."""
    seccomp = linux.get("seccomp") if type(linux) is dict else None
    if type(seccomp) is dict and seccomp.get("defaultAction", ...) in ("", None) and not seccomp.get("syscalls"):
        del linux["seccomp"]
