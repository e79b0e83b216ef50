"""Files of the image that init opens as root: none that is not what it should be, as opening a device may do something.

A FIFO stands for the device. Each defence was taken out of a copy of the tree to see the test fail.
"""

from __future__ import annotations

import os

from containers import Bundle, Pyoci
from opened import watching


def test_passwd(bundle: Bundle, pyoci: Pyoci) -> None:
    """Fails with home_variable() (passwd.c) opening the file to look at it."""
    passwd = bundle.rootfs / "etc/passwd"
    bundle.process["env"] = ["PATH=/bin"]
    bundle.args("/bin/sh", "-c", "echo $HOME")
    with watching(passwd) as watch:
        assert pyoci.run(bundle).out == "/root\n"
        assert watch.count > 0
    passwd.unlink()
    os.mkfifo(passwd)
    with watching(passwd) as watch:
        assert pyoci.run(bundle).out == "/\n"
        assert watch.count == 0


def test_null_device_of_exec(bundle: Bundle, pyoci: Pyoci) -> None:
    """Who runs in the container has put something else in its place.

    Fails with replace_null_device() (process.c) opening it to look at it.
    """
    for name in ("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"):
        bundle.unmount(name)
    container = pyoci.run_detached(bundle.args("sleep", "1000"))
    null = bundle.rootfs / "dev/null"
    with watching(null) as watch:
        container.exec("true")
        assert watch.count > 0
    null.unlink()
    os.mkfifo(null)
    with watching(null) as watch:
        container.exec("true")
        assert watch.count == 0


def test_terminals(bundle: Bundle, pyoci: Pyoci) -> None:
    """CVE-2025-52565: /dev/pts is the image's.

    Fails with open_terminal() (device.c) opening the multiplexer to look at it.
    """
    for name in ("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"):
        bundle.unmount(name)
    bundle.process["terminal"] = True
    ptmx = bundle.rootfs / "dev/pts/ptmx"
    ptmx.parent.mkdir()
    os.mkfifo(ptmx)
    with watching(ptmx) as watch:
        done = pyoci.run(bundle, check=False)
        assert done.code == 1
        assert "/process/terminal" in done.err
        assert watch.count == 0
