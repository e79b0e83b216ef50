"""Statistics of resctrl on a directory that stands in for it: no machine here has a CPU with RDT."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from oci_runtime._shim import lib
from oci_runtime.linux import resctrl
from oci_runtime.linux.net_statistics import parse
from oci_runtime.linux.resctrl_stats import collect


def fill(top: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = os.open(tmp_path, os.O_RDONLY)
    monkeypatch.setattr(resctrl, "RDTGROUP_SUPER_MAGIC", lib.sys_filesystem_magic(directory))
    os.close(directory)
    fill(
        tmp_path,
        {"schemata": "    MB:0=100;1=100\n    L3:0=fffff;1=fffff\n", "c1/schemata": "    MB:0=20\n    L3:0=ff\n"},
    )
    return tmp_path


def groups(mount: Path, monitoring: str = "") -> resctrl.Groups:
    return {"group": f"{mount}/c1", "own": f"{mount}/c1", "monitoring": monitoring}


def test_everything(mount: Path) -> None:
    info = {
        "L3/cbm_mask": "fffff\n",
        "L3/min_cbm_bits": "1\n",
        "L3/num_closids": "16\n",
        "MB/bandwidth_gran": "10\n",
        "MB/delay_linear": "1\n",
        "MB/min_bandwidth": "10\n",
        "MB/num_closids": "8\n",
        "L3_MON/mon_features": "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n",
    }
    fill(mount, {f"info/{name}": text for name, text in info.items()})
    for node, number in (("mon_L3_00", "1"), ("mon_L3_01", "2")):
        for file in ("llc_occupancy", "mbm_total_bytes", "mbm_local_bytes"):
            fill(mount / "c1/mon_groups/c1/mon_data" / node, {file: f"{number}\n"})
    fill(mount / "c1/mon_groups/c1/mon_data/mon_L3_01", {"mbm_local_bytes": "Unavailable\n"})
    assert collect(groups(mount, f"{mount}/c1/mon_groups/c1"), str(mount)) == {
        "l3_cache_info": {"cbm_mask": "fffff", "min_cbm_bits": 1, "num_closids": 16},
        "l3_cache_schema_root": "L3:0=fffff;1=fffff",
        "l3_cache_schema": "L3:0=ff",
        "mem_bw_info": {"bandwidth_gran": 10, "delay_linear": 1, "min_bandwidth": 10, "num_closids": 8},
        "mem_bw_schema_root": "MB:0=100;1=100",
        "mem_bw_schema": "MB:0=20",
        "schemata": ["MB:0=20", "L3:0=ff"],
        "mbm_stats": [
            {"mbm_total_bytes": 1, "mbm_local_bytes": 1},
            {"mbm_total_bytes": 2, "mbm_local_bytes": 0},
        ],
        "cmt_stats": [{"llc_occupancy": 1}, {"llc_occupancy": 2}],
    }


def test_a_machine_that_can_only_monitor(mount: Path) -> None:
    """The container's group is the one to look at when it has no monitoring group of its own."""
    fill(mount, {"info/L3_MON/mon_features": "llc_occupancy\n", "c1/mon_data/mon_L3_00/llc_occupancy": "3\n"})
    found = collect(groups(mount), str(mount))
    assert found == {"schemata": ["MB:0=20", "L3:0=ff"], "cmt_stats": [{"llc_occupancy": 3}]}


def test_interfaces() -> None:
    titles = "Inter-|   Receive\n face |bytes\n"
    numbers = " ".join(map(str, range(1, 17)))
    assert parse(f"{titles}    lo: {numbers}\n  eth0: {numbers}\nodd:name:{numbers}\n") == [
        {
            "Name": name,
            "RxBytes": 1,
            "RxPackets": 2,
            "RxErrors": 3,
            "RxDropped": 4,
            "TxBytes": 9,
            "TxPackets": 10,
            "TxErrors": 11,
            "TxDropped": 12,
        }
        for name in ("eth0", "odd:name")
    ]


@pytest.mark.parametrize("name", ["a\x1cb", "a\x85b", "\u2028", "\u3000lo", "lo\u2003", "\udcff\udcfe"])
def test_an_interface_has_the_name_that_the_container_gave_it(name: str) -> None:
    """Even one with what Python takes for a line's end or a space: it breaks nothing, and is not the loopback one."""
    numbers = " ".join(map(str, range(1, 17)))
    found = parse(f"Inter-|   Receive\n face |bytes\n    lo: {numbers}\n{name:>6}: {numbers}\n")
    assert [interface["Name"] for interface in found] == [name]
