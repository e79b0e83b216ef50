"""The bundles that are changed: those of tests/bundles that engines made, with a probe to run."""

from __future__ import annotations

import copy
import functools
import json

from differential.draw import strategies as st
from differential.draw.change import Config
from differential.draw.strategies import Strategy
from differential.places import CHECKOUT, SOURCES, container

NAMES = ("minimal", "containerd", "engine")


@functools.cache
def _base(name: str) -> Config:
    config: Config = json.loads((CHECKOUT / "tests" / "bundles" / f"{name}.json").read_text("utf-8"))
    config["ociVersion"] = "1.0.2"
    config["process"]["args"] = ["/probe", "wait"]
    for mount in config["mounts"]:
        if mount["type"] == "bind":
            mount["source"] = str(SOURCES / ("directory" if mount["destination"] == "/dev/shm" else "file"))
    return config


def base(name: str, view: str) -> Config:
    """A configuration of its own."""
    config = copy.deepcopy(_base(name))
    config["linux"]["cgroupsPath"] = f"/{container(view)}/c"
    if view == "v2":  # a hybrid host's v2 tree has few controllers
        config["linux"]["resources"] = {"devices": config["linux"]["resources"].get("devices", [])}
    return config


def bases(view: str) -> Strategy[Config]:
    """One of them."""
    return lambda draw: base(draw(st.sampled_from(NAMES)), view)
