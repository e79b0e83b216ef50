"""What a change of a configuration is, and helpers of those that make one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from differential.draw.strategies import Draw

Config = dict[str, Any]
#: Draws what it needs, and changes the configuration.
Change = Callable[[Draw, Config], None]


def section(config: Config, *names: str) -> Config:
    """The object below these names, made where there is none."""
    for name in names:
        if not isinstance(config.get(name), dict):
            config[name] = {}
        config = config[name]
    return config


def entries(config: Config, name: str) -> list[Any]:
    """The list of that name, made where there is none."""
    if not isinstance(config.get(name), list):
        config[name] = []
    found: list[Any] = config[name]
    return found
