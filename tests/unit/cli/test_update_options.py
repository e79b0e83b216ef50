"""The options of `update` as resources."""

from __future__ import annotations

import pytest

from oci_runtime.cli import update
from oci_runtime.cli.options import parse
from oci_runtime.errors import UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("-1", -1),
        ("1048576", 1 << 20),
        ("9223372036854775807", (1 << 63) - 1),
        ("5b", 5),
        ("64k", 64 << 10),
        ("64K", 64 << 10),
        ("64 kB", 64 << 10),
        ("64KiB", 64 << 10),
        ("1.5g", 3 << 29),
        ("1.", 1),
        (".5k", 512),
        ("2t", 2 << 40),
        ("1P", 1 << 50),
        ("0.0001k", 0),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert update.size(text, "memory") == size


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "",
        " ",
        ".",
        "-2",
        "-1k",
        "1e3",
        "0x10",
        "1_0",
        "1kk",
        "1kbb",
        "1bk",
        "1i",
        "1ib",
        "1 2",
        "1.2.3",
        "٣",
        "1  k",
    ],
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match=r"invalid value for memory: .*; valid are -1, and bytes such as"):
        update.size(text, "memory")


@pytest.mark.parametrize("text", ["9223372036854775808", "8192p"])
def test_too_large_a_size(text: str) -> None:
    with pytest.raises(UsageError, match="out of range"):
        update.size(text, "memory")


def test_every_option_is_a_property() -> None:
    line = (
        "--blkio-weight 10 --cpu-period 11 --cpu-quota -12 --cpu-burst 13 --cpu-share 14 --cpu-rt-period 15"
        " --cpu-rt-runtime 16 --cpuset-cpus 0-1 --cpuset-mems 0 --kernel-memory 17 --kernel-memory-tcp 18 --memory 1k"
        " --memory-reservation 2k --memory-swap -1 --pids-limit -1 --cpu-idle 1 --l3-cache-schema L3:0=f"
        " --mem-bw-schema MB:0=20 c"
    )
    arguments = parse("update", update.OPTIONS, line.split())
    assert arguments.positional == ["c"]
    assert update.from_options(arguments) == {
        "blockIO": {"weight": 10},
        "cpu": {
            "burst": 13,
            "cpus": "0-1",
            "idle": 1,
            "mems": "0",
            "period": 11,
            "quota": -12,
            "realtimePeriod": 15,
            "realtimeRuntime": 16,
            "shares": 14,
        },
        "memory": {"kernel": 17, "kernelTCP": 18, "limit": 1024, "reservation": 2048, "swap": -1},
        "pids": {"limit": -1},
    }
    assert update.schemata(arguments) == {"l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20"}


def test_no_options_are_no_resources() -> None:
    arguments = parse("update", update.OPTIONS, ["c", "--memory", "", "--blkio-weight=0"])
    assert update.from_options(arguments) == {"blockIO": {"weight": 0}}
    assert update.schemata(arguments) == {}
