"""Makes what session.py saw comparable: a value for each place, without what is different each time.

A place is a path of names joined by "/", "report/0/mounts/proc/options" say, with "~" for the "/" within a name.
"""

from __future__ import annotations

import json
import re
from typing import Any

from differential.places import OUT_INSIDE

#: Of proc_pid_status(5).
STATUS = (
    *("Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"),
    *("NoNewPrivs", "Seccomp", "Seccomp_filters", "Speculation_Store_Bypass", "Cpus_allowed_list", "Mems_allowed_list"),
)
#: Of `state`: what the specification names, and is not the runtime's own.
STATE = ("id", "status", "bundle", "annotations")
_PTS_MAJOR = range(136, 144)

Flat = dict[str, Any]


def observation(seen: dict[str, Any]) -> Flat:
    """All places of what a runtime did."""
    context = _Context(seen)
    whole: dict[str, Any] = {}
    if any(line.startswith('{"argv"') for line in seen["reports"]):
        for step in seen["steps"]:  # the report has it
            step.get("process", {}).get("proc", {}).pop("mountinfo", None)
    for number, step in enumerate(seen["steps"]):
        whole[f"step {number} {step['verb']}"] = _step(step, context)
    texts = []
    reports: dict[str, Any] = {}
    for line in seen["reports"]:
        report = _report(line, context)
        if report is None:
            texts.append(line)
        else:
            reports[str(len(reports))] = report
    whole["report"] = reports
    whole["output"] = {"lines": texts, "endings": seen["endings"]}
    for name, lines in seen["hooks"].items():
        whole[name] = {str(i): _hook_report(line, context) or line for i, line in enumerate(lines)}
    whole["hooks"] = sorted(seen["hooks"])
    whole["tree"] = {path: _facts(facts) for path, facts in seen["tree"].items()}
    whole["left"] = {**seen["before_cleaning"], "state": bool(seen["before_cleaning"]["state"])}
    flat: Flat = {}
    _flatten(whole, "", flat)
    return flat


class _Context:
    """What the host's own are called, to know them again."""

    __slots__ = ("host", "kept", "peers")

    def __init__(self, seen: dict[str, Any]) -> None:
        self.host: dict[str, str] = seen["host_namespaces"]
        self.kept: dict[str, str] = seen["kept_namespaces"]
        self.peers = set(re.findall(r"(?:shared|master):(\d+)", str(seen["host_mountinfo"])))


def _flatten(value: Any, place: str, flat: Flat) -> None:
    if isinstance(value, dict) and value:
        for name, each in value.items():
            _flatten(each, f"{place}/{name.replace('/', '~')}" if place else name.replace("/", "~"), flat)
    else:
        flat[place] = value


def _step(step: dict[str, Any], context: _Context) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if step["verb"] in ("run", "exec"):
        found["code"] = step["code"]
    if "state" in step:
        state = step["state"]
        found["state"] = {name: state.get(name) or None for name in STATE} if isinstance(state, dict) else state
        if isinstance(state, dict):
            found["state"]["pid"] = bool(state.get("pid"))
    if "process" in step:
        found["process"] = _process(step["process"], context, own=step["verb"] == "create")
    return found


def _process(process: dict[str, Any], context: _Context, own: bool) -> dict[str, Any]:
    """`own`: it is the runtime's still, in what does not matter."""
    if not process["alive"]:
        return {"alive": False}
    proc = process["proc"]
    found: dict[str, Any] = {
        "alive": True,
        "namespaces": namespaces(process["namespaces"], context.host, context.kept),
        "cgroup": proc["cgroup"],
        "oom_score_adj": proc["oom_score_adj"],
        "uid_map": _words(proc["uid_map"]),
        "gid_map": _words(proc["gid_map"]),
        "cgroups": {path: _settings(path, text) for path, text in process["cgroups"].items()},
    }
    if not own and "mountinfo" in proc:
        found["mounts"] = mounts(proc["mountinfo"], context.peers)
        found["status"] = _status(proc["status"])
    return found


def _settings(path: str, text: Any) -> Any:
    """What a file of a cgroup holds; the kernel lists rules of devices in the order in which they were written."""
    return sorted(text.splitlines()) if path.endswith("/devices.list") and isinstance(text, str) else text


def _report(line: str, context: _Context) -> dict[str, Any] | None:
    """A line of the probe; None for anything else."""
    if not line.startswith(('{"argv"', '{"state"')):
        return None
    try:
        report: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    proc = report.pop("proc")
    report["namespaces"] = namespaces(report["namespaces"], context.host, context.kept)
    report["mounts"] = mounts(proc.pop("mountinfo"), context.peers)
    report["status"] = _status(proc.pop("status"))
    report["proc"] = {name: _words(value) if name.endswith("_map") else value for name, value in proc.items()}
    report["fds"] = [_descriptor(each) for each in report["fds"]]
    if "state" in report:
        report["state"] = _hook_state(report["state"])
    if "tree" in report:
        report["tree"] = {
            name: _facts(facts) for name, facts in report["tree"].items() if not name.startswith(f"{OUT_INSIDE}/")
        }
    for name, seen in report.get("paths", {}).items():
        if isinstance(seen, dict):
            report["paths"][name] = _look(name, seen)
    return report


def _hook_report(line: str, context: _Context) -> dict[str, Any] | None:
    """Without its mounts: where the root filesystem is before the change of root is the runtime's own."""
    report = _report(line, context)
    if report:
        del report["mounts"]
    return report


def _words(text: Any) -> Any:
    return text.split() if isinstance(text, str) else text


def _hook_state(text: Any) -> Any:
    try:
        state = json.loads(text)
        return {"pid": bool(state.pop("pid", 0)), **{name: state.get(name) or None for name in STATE}}
    except (TypeError, ValueError, AttributeError):
        return text


def _descriptor(each: list[Any]) -> list[Any]:
    fd, flags, kind, status, link = each
    if isinstance(link, str):
        link = re.sub(r"\[\d+\]$|(?<=/dev/pts/)\d+$", "", link)
    return [fd, flags, kind, status, link]


def _facts(facts: list[Any]) -> list[Any]:
    mode, uid, gid, device, *link = facts
    major = device >> 8 & 0xFFF
    return [oct(mode), uid, gid, f"{major}:*" if major in _PTS_MAJOR else device, *link]


def _look(path: str, seen: dict[str, Any]) -> dict[str, Any]:
    found = dict(seen)
    if isinstance(seen["stat"], list):
        found["stat"] = _facts(seen["stat"])
    if path.startswith(("/sys/fs/cgroup", OUT_INSIDE)):  # other containers, and hooks, come and go
        found.pop("entries", None)
    if "entries" in found:
        found["entries"] = sorted(name for name in seen["entries"] if not name.isdigit())
    return found


def _status(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: lines.get(name, "").split() for name in STATUS}


def namespaces(links: dict[str, Any], host: dict[str, str], kept: dict[str, str]) -> dict[str, Any]:
    """ "host" for the worker's own, the name of one that was to be joined, "new" for others; minus the errno."""
    found: dict[str, Any] = {}
    for name, link in links.items():
        known = "host" if link == host[name] else kept.get(str(link))
        found[name] = known or (link if isinstance(link, int) or str(link).lstrip("-").isdigit() else "new")
    return found


def mounts(text: Any, peers: set[str]) -> Any:
    """mountinfo, proc_pid_mountinfo(5), in order: the points, and what is at each."""
    if not isinstance(text, str):
        return text
    found: dict[str, Any] = {}
    order = []
    lines = text.splitlines()
    points = {line.split()[0]: line.split()[4] for line in lines}
    for line in lines:
        head, _, tail = line.partition(" - ")
        _, parent, _, root, point, options, *tags = head.split()
        kind, source, superblock = tail.split(" ", 2)
        name, count = point, 1
        while name in found:
            count += 1
            name = f"{point}#{count}"
        order.append(name)
        found[name] = {
            "root": re.sub(r"(?<=^/)\d+$", "N", root) if kind == "devpts" else _root(root),
            "options": options,
            "propagation": [_tag(tag, peers) for tag in tags],
            "type": kind,
            "source": source,
            "superblock": superblock,
            "parent": points.get(parent, ""),
        }
    return {"order": order, **found}


def _root(root: str) -> str:
    return re.sub(r"\[\d+\]$", "[]", root)


def _tag(tag: str, peers: set[str]) -> str:
    name, _, number = tag.partition(":")
    return f"{name} of the host" if number in peers else name
