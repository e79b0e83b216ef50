"""linux.seccomp with a listener, of an ordinary user."""

from __future__ import annotations

import socket

import pytest
from containers import Bundle
from rootless_support import RootlessPyoci, map_ranges


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("uid", [0, 1])
def test_the_listener_goes_out_during_create(rootless: RootlessPyoci, box: Bundle, ranges: bool, uid: int) -> None:
    """And `start` finds an init that waits under the filter, as whoever it is by then."""
    if ranges:
        map_ranges(box, rootless.user)
        box.process["user"] = {"uid": uid, "gid": uid}
    path = rootless.directory / "agent"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.bind(str(path))
        path.chmod(0o777)
        agent.listen()
        box.linux["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": str(path),
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
        }
        container = rootless.create(box.shell("echo runs; sleep 60"))
        agent.settimeout(60)
        connection, _ = agent.accept()
        with connection:
            assert b'"creating"' in connection.recv(1 << 16)
        assert container.status == "created"
        container.start().expect("runs")
