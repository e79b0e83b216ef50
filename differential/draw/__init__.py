"""Cases that are drawn: a real bundle, some changes of its sections, and commands. The same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator

from differential.cases import Case
from differential.draw import bases, filesystem, invalid, linux, process, resources, steps
from differential.draw import strategies as st
from differential.draw.change import Change, Config
from differential.draw.strategies import Draw
from differential.places import container

#: How often a section is changed, by view: the v2 view of a hybrid host has hardly a controller.
_EVERYWHERE: list[tuple[int, list[Change]]] = [
    (5, filesystem.CHANGES),
    (4, process.CHANGES),
    (4, linux.CHANGES),
    (2, invalid.CHANGES),
]
_SECTIONS = {
    "native": [*_EVERYWHERE, (6, resources.CHANGES)],
    "v2": [*_EVERYWHERE, (1, resources.CHANGES)],
}


def _case(draw: Draw, view: str) -> Case:
    config = draw(bases.bases(view))
    pool = [section for weight, section in _SECTIONS[view] for _ in range(weight)]
    for _ in range(draw(st.sampled_from([1, 1, 2, 2, 3, 4]))):
        section = draw(st.sampled_from(pool))
        draw(st.sampled_from(section))(draw, config)
    _place(config, view)
    return Case(config, draw(steps.sequence), view)


def _place(config: Config, view: str) -> None:
    """Sees to it that the cgroup is one of ours: "" is the root for some, where all processes are theirs to kill."""
    section = config.get("linux")
    path = section.get("cgroupsPath") if isinstance(section, dict) else None
    if isinstance(section, dict) and isinstance(path, str):
        section["cgroupsPath"] = path.replace("@", container(view))
        if container(view) not in section["cgroupsPath"]:
            del section["cgroupsPath"]


def draw_cases(view: str, seed: int, count: int) -> Iterator[Case]:
    """The first `count` cases of the seed."""
    for number in range(count):
        name = f"{view}-{seed}-{number}"
        case = _case(Draw(name), view)
        case.name = name
        yield case
