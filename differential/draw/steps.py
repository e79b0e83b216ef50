"""Commands: what engines do, and what people try."""

from __future__ import annotations

from typing import Any

from differential.draw import strategies as st
from differential.draw.strategies import Draw

Step = dict[str, Any]
_SIGNALS = ["TERM", "KILL", "HUP", "SIGUSR1", "15", "INT", "RTMIN+1", "STOP", "0", "NOSUCH", "99"]
#: Those that end the probe, for every runtime.
_ENDING = ("TERM", "KILL", "HUP", "SIGUSR1", "15", "INT")
_PATH = "PATH=/usr/local/bin:/usr/bin:/bin"

_STATE: Step = {"verb": "state"}
_CREATE: Step = {"verb": "create"}
_START: Step = {"verb": "start"}
_WAIT: Step = {"verb": "wait"}
_TERM: Step = {"verb": "kill", "signal": "TERM"}
_KILL: Step = {"verb": "kill", "signal": "KILL"}
_DELETE: Step = {"verb": "delete"}
_PAUSE: Step = {"verb": "pause"}
_RESUME: Step = {"verb": "resume"}
_FORCE: Step = {"verb": "delete", "options": ["--force"]}

#: The one that nearly all engines use, most of the time.
_ORDINARY = [_CREATE, _STATE, _START, _STATE, _TERM, _WAIT, _STATE, _DELETE]
_ODD: list[list[Step]] = [
    [{"verb": "run", "options": ["--detach"]}, _STATE, _KILL, _WAIT, _DELETE],
    [_CREATE, _FORCE, _STATE],
    [_CREATE, _DELETE, _KILL, _WAIT, _DELETE],
    [_CREATE, _TERM, _WAIT, _STATE, _DELETE],
    [_CREATE, _KILL, _WAIT, _STATE, _DELETE],
    [_CREATE, _CREATE, _START, _CREATE, _FORCE],
    [_CREATE, _START, _START, _KILL, _WAIT, _START, _KILL, _DELETE, _DELETE],
    [_CREATE, _START, _DELETE, _FORCE, _FORCE, _DELETE],
    [_STATE, _START, _KILL, _DELETE, _FORCE],
    [_CREATE, _PAUSE, _STATE, _RESUME, _STATE, _START, _KILL, _WAIT, _DELETE],
    [
        _CREATE,
        _START,
        _PAUSE,
        _STATE,
        _PAUSE,
        _RESUME,
        _RESUME,
        _STATE,
        _FORCE,
    ],
    [_CREATE, _START, _PAUSE, _KILL, _FORCE, _STATE],
    [_CREATE, _START, _PAUSE, _DELETE, {"verb": "exec", "argv": ["/probe", "exit", "5"]}, _FORCE],
    [_CREATE, _START, _KILL, _WAIT, _PAUSE, _RESUME, _STATE, _DELETE],
    [_CREATE, _START, {"verb": "ps"}, {"verb": "list"}, _FORCE],
]
_EXEC_OPTIONS: list[list[str]] = [
    [],
    ["--cwd", "/tmp"],
    ["--cwd", "/nowhere"],
    ["--env", "A=1", "--env", "PATH=/bin"],
    ["--env", "HOME="],
    ["--user", "1000"],
    ["--user", "1000:50"],
    ["--user", "0:0", "--additional-gids", "7"],
    ["--cap", "CAP_SYS_ADMIN"],
    ["--no-new-privs"],
    ["--preserve-fds", "0"],
    ["--ignore-paused"],
    ["--detach"],
]
_COMMANDS: list[list[str]] = [
    ["/probe", "exit", "5"],
    ["/bin/true"],
    ["/no/such/program"],
    ["no-such-program"],
    ["/tmp"],
    ["/words"],
    ["/script"],
    ["sh", "-c", "exit 7"],
    ["--", "/probe", "exit", "0"],
]
_PROCESS: Step = {"user": {"uid": 0, "gid": 0}, "cwd": "/", "env": [_PATH], "args": ["/probe", "exit", "3"]}
_PROCESS_CHANGES: list[Step] = [
    {},
    {"user": {"uid": 1000, "gid": 1000, "additionalGids": [7, 50], "umask": 63}},
    {"env": []},
    {"env": None},
    {"env": ["HOME=", "A=1", "A=2", "B"]},
    {"cwd": "/home/alice"},
    {"cwd": "/not/there"},
    {"cwd": ""},
    {"cwd": "tmp"},
    {"capabilities": {}},
    {"capabilities": None},
    {"capabilities": {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"]}},
    {"capabilities": {name: ["CAP_CHOWN", "CAP_KILL"] for name in ("bounding", "permitted", "inheritable", "ambient")}},
    {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]},
    {"noNewPrivileges": True},
    {"oomScoreAdj": 300},
    {"oomScoreAdj": 0},
    {"selinuxLabel": "", "apparmorProfile": ""},
    {"args": []},
    {"args": ["relative"]},
    {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 5}},
    {"scheduler": {"policy": "SCHED_BATCH", "nice": 3}},
]
_UPDATES: list[Step] = [
    {"verb": "update", "options": ["--pids-limit", "50"]},
    {"verb": "update", "options": ["--cpu-share", "333"]},
    {"verb": "update", "options": ["--cpu-quota", "50000", "--cpu-period", "100000"]},
    {"verb": "update", "options": ["--memory", "100M", "--memory-swap", "200M"]},
    {"verb": "update", "options": ["--memory", "-1"]},
    {"verb": "update", "options": ["--cpuset-cpus", "0"]},
    {"verb": "update", "options": ["--cpuset-cpus", "77"]},
    {"verb": "update", "resources": {}},
    {"verb": "update", "resources": {"pids": {"limit": 0}}},
    {"verb": "update", "resources": {"pids": {"limit": -1}, "cpu": {"shares": 0}}},
    {"verb": "update", "resources": {"memory": {"limit": 67108864}, "cpu": {"quota": -1}}},
    {"verb": "update", "resources": {"memory": None, "cpu": None}},
]


def _execs(draw: Draw) -> Step:
    if draw(st.booleans()):
        change = draw(st.sampled_from(_PROCESS_CHANGES))
        return {
            "verb": "exec",
            "process": {k: v for k, v in {**_PROCESS, **change}.items() if v is not None or k != ""},
        }
    argv = draw(st.sampled_from(_COMMANDS))
    return {"verb": "exec", "options": draw(st.sampled_from(_EXEC_OPTIONS)), "argv": argv}


def sequence(draw: Draw) -> list[Step]:
    """Commands for one container."""
    kind = draw(st.sampled_from(["ordinary", "ordinary", "ordinary", "exec", "odd", "signal", "update"]))
    if kind == "ordinary":
        return list(_ORDINARY)
    if kind == "odd":
        return list(draw(st.sampled_from(_ODD)))
    if kind == "signal":
        signal = draw(st.sampled_from(_SIGNALS))
        rest = [_WAIT, _STATE, _DELETE] if signal in _ENDING else [_FORCE]
        return [_CREATE, _START, {"verb": "kill", "signal": signal}, *rest]
    if kind == "update":
        more = draw(st.lists(st.sampled_from(_UPDATES), min_size=1, max_size=3))
        return [_CREATE, *more[1:], _START, more[0], _STATE, _FORCE]
    more = draw(st.lists(_execs, min_size=1, max_size=2))
    return [_CREATE, *more[1:], _START, more[0], _KILL, _WAIT, _DELETE]
