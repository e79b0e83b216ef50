"""Writes docs/performance.md and its plots from the figures: `python -m bench.page [FIGURES [FOLDER]]`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bench import plots, report

ROOT = Path(__file__).resolve().parent.parent
NAME = "performance"
RUNTIMES = ("runc", "crun", "pyoci")
PLACES = {
    "native": "This machine as it is",
    "tree": "A Debian tree with cgroup v2 alone",
}
WALL = "wall time, median (ms)"
BUSY = 2.5  # load average
INTRODUCTION = """\
# Performance

`make bench` wrote this page; do not edit it. The figures are from {date}, commit {commit}.

In each round every runtime does every command once, in an order left to chance, so that what slows the machine down
slows all of them. A small C program starts the command and asks the kernel what it, and the children that it waited
for, cost: wall time, processor time (user and system), peak resident memory, page faults. A command that fails ends the
benchmark. Times are medians, with quartiles in brackets; a ratio is that of the medians, in brackets what 95 % of 1000
resamplings of the rounds say. Absolute times differ from machine to machine and from day to day: compare the ratios.

- **minimal** is a small configuration (tests/bundles/minimal.json), **engine** that of podman with its seccomp profile
  of 437 system calls (tests/bundles/engine.json).
- **run** is in the foreground. *Nothing cached* means an empty state root: pyoci and crun keep compiled seccomp filters
  there.
- **create+start+delete** is what an engine does for a short container; it is no command, but the sum of three.
- For create, start and exec without waiting, work that the container's own init does while the command waits is in the
  wall time and not in the processor time; what a created container's init has used is told below each table.
"""

SLOPES = """
### What one more costs

The slope of a line through the medians, for the minimal bundle; in brackets its 95 % interval.
"""


def write(figures: dict[str, Any], docs: Path) -> None:
    """Writes the page and the folder of its plots into the folder `docs`."""
    folder = docs / NAME
    folder.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, str] = {}
    text = "".join(page(figures, drawn))
    for old in folder.glob("*.svg"):
        if old.name not in drawn:
            old.unlink()
    for name, svg in drawn.items():
        (folder / name).write_text(svg)
    (docs / f"{NAME}.md").write_text(text)


def page(figures: dict[str, Any], drawn: dict[str, str]) -> Iterator[str]:
    """The parts of the page; the plots that they show come into `drawn`."""
    began = min(found["machine"]["began"] for found in figures["places"].values())
    date = datetime.fromtimestamp(began, timezone.utc).date().isoformat()
    yield INTRODUCTION.format(date=date, commit=figures["commit"] or "unknown")
    for place, found in figures["places"].items():
        yield f"\n## {PLACES[place]}\n\n"
        yield machine(found)
        yield disturbance(found)
        for bundle in found["bundles"]:
            yield from bundle_section(place, bundle, found, drawn)
        if found["slopes"]:
            yield from slope_section(place, found, drawn)


def machine(found: dict[str, Any]) -> str:
    """What was measured on."""
    facts = found["machine"]
    floors = found["floors"]
    rows = [
        ("processor", f"{facts['processor']}, {facts['processors']} of them, {facts['memory_mib'] / 1024:.0f} GiB"),
        ("kernel", facts["kernel"]),
        ("system", f"{facts['system']}, cgroups {facts['cgroups']}"),
        *((name, facts["versions"][name]) for name in RUNTIMES if name in facts["versions"]),
        ("load", f"{facts['load'][0]:.1f} before, {facts['load'][1]:.1f} after {facts['seconds'] / 60:.0f} minutes"),
        ("a static program that does nothing", f"{floors['process']['wall_ms']:.2f} ms"),
    ]
    if "interpreter" in floors:
        label = f"{facts['interpreter']} -I -S that does nothing"
        rows.append((label, f"{floors['interpreter']['wall_ms']:.2f} ms"))
    return table(("", ""), rows)


def disturbance(found: dict[str, Any]) -> str:
    """A warning, if the machine had other work: the benchmark itself is a load of one."""
    figures = [f for commands in found["bundles"].values() for runtimes in commands.values() for f in runtimes.values()]
    runs, outliers = (sum(figure[key] for figure in figures) for key in ("runs", "outliers"))
    text = f"\nOutliers among the samples (modified Z-score over 3.5): {outliers} of {runs}.\n"
    if max(found["machine"]["load"]) > BUSY:
        text += (
            "\n**The machine had other work meanwhile: of these figures trust processor time, memory and faults.**\n"
        )
    return text


def bundle_section(place: str, bundle: str, found: dict[str, Any], drawn: dict[str, str]) -> Iterator[str]:
    commands = found["bundles"][bundle]
    names = present(next(iter(commands.values())))
    yield f"\n### The {bundle} bundle\n\n"
    yield plot(
        drawn,
        f"{place}-{bundle}-wall",
        f"{PLACES[place]}: {bundle} bundle, wall time",
        bar_plot(f"{bundle} bundle, {place}", WALL, commands, names, "wall_ms"),
    )
    yield "\n"
    limits = {command: report.wanted(place, bundle, command) for command in commands}
    rows = [wall_row(names, command, runtimes, limits[command]) for command, runtimes in commands.items()]
    width = len(rows[0]) if any(limits.values()) else len(rows[0]) - 1
    yield table(wall_header(names)[:width], [row[:width] for row in rows])
    kinds = (
        ("cpu", "processor time, median (ms)", "cpu_ms", "{:.1f}"),
        ("memory", "peak resident memory, median (KiB)", "peak_rss_kib", "{:.0f}"),
        ("faults", "minor page faults, median", "minor_faults", "{:.0f}"),
    )
    for kind, title, key, form in kinds:
        yield f"\n{title[0].upper()}{title[1:]}:\n\n"
        rows = [(name, *(form.format(runtimes[r][key]) for r in names)) for name, runtimes in commands.items()]
        yield table(("command", *names), rows)
        if bundle == "engine":
            image = bar_plot(f"{bundle} bundle, {place}", title, commands, names, key)
            yield "\n" + plot(drawn, f"{place}-{bundle}-{kind}", title, image)
    yield "\nThe init of a created container, which waits for start:\n\n"
    waiting = found["waiting_init"][bundle]
    yield table(
        ("", *names),
        [
            ("resident memory (KiB)", *(f"{waiting[name]['rss_kib']:.0f}" for name in names)),
            ("processor time so far (ms)", *(f"{waiting[name]['cpu_ms']:.1f}" for name in names)),
        ],
    )


def bar_plot(title: str, unit: str, commands: dict[str, Any], names: Sequence[str], key: str) -> str:
    return plots.bars(
        title, unit, list(commands), {n: [runtimes[n][key] for runtimes in commands.values()] for n in names}
    )


def wall_header(names: Sequence[str]) -> tuple[str, ...]:
    peers = [name for name in names if name != "pyoci"]
    ratios = [f"pyoci : {peer}" for peer in peers] if "pyoci" in names else []
    return ("command", *(f"{name} (ms)" for name in names), *ratios, "wanted")


def wall_row(names: Sequence[str], command: str, runtimes: dict[str, Any], limit: float | None) -> tuple[str, ...]:
    cells = [command]
    for name in names:
        figure = runtimes[name]
        quartiles = f"{figure['wall_ms_quartile_1']:.1f} to {figure['wall_ms_quartile_3']:.1f}"
        cells.append(f"{figure['wall_ms']:.1f} ({quartiles})")
    for peer in names:
        if peer != "pyoci" and "pyoci" in names:
            low, high = runtimes["pyoci"]["ratio_intervals"][peer]
            cells.append(f"**{runtimes['pyoci']['ratios'][peer]:.2f}** ({low:.2f} to {high:.2f})")
    return (*cells, f"{limit:.2f} of runc" if limit else "")


def slope_section(place: str, found: dict[str, Any], drawn: dict[str, str]) -> Iterator[str]:
    """How much longer a command takes with one more of something."""
    slopes = found["slopes"].values()
    names = present(next(iter(next(iter(slopes))["commands"].values())))
    rows = [(slope["unit"], command, lines) for slope in slopes for command, lines in slope["commands"].items()]
    yield SLOPES
    for title, cell in (
        ("Wall time, µs for one more:", wall_per_unit),
        ("The same between the last two points alone, which is more where the growth is not linear:", last_part),
        ("Processor time, µs for one more:", cpu_per_unit),
    ):
        yield f"\n{title}\n\n"
        cells = [(unit, command, *(cell(lines[name]) for name in names)) for unit, command, lines in rows]
        yield table(("one more", "command", *names), cells)
    for name, slope in found["slopes"].items():
        for command, lines in slope["commands"].items():
            points = {n: [(float(x), y) for x, y in lines[n]["medians_ms"].items()] for n in names}
            title = f"{command}, by number of {slope['unit']}s, {place}"
            image = plots.lines(title, f"{slope['unit']}s", WALL, points)
            yield "\n" + plot(drawn, f"{place}-{name}-{slug(command)}", f"{PLACES[place]}: {title}", image)


def wall_per_unit(line: dict[str, Any]) -> str:
    low, high = line["per_unit_us_interval"]
    return f"{line['per_unit_us']:.1f} ({low:.1f} to {high:.1f})"


def last_part(line: dict[str, Any]) -> str:
    return f"{line['last_part_per_unit_us']:.1f}"


def cpu_per_unit(line: dict[str, Any]) -> str:
    return f"{line['cpu_per_unit_us']:.1f}"


def slug(command: str) -> str:
    return command.replace(", ", "-").replace("+", "-").replace(" ", "-")


def present(runtimes: dict[str, Any]) -> list[str]:
    """The runtimes that were measured, the known ones in their order."""
    return [*(name for name in RUNTIMES if name in runtimes), *(name for name in runtimes if name not in RUNTIMES)]


def plot(drawn: dict[str, str], name: str, text: str, image: str) -> str:
    drawn[f"{name}.svg"] = image
    return f"![{text}]({NAME}/{name}.svg)\n"


def table(header: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [list(header)]
    align: Callable[[int], str] = lambda column: "---" if column == 0 else "---:"  # noqa: E731
    lines = [f"| {' | '.join(cells[0])} |", f"|{'|'.join(align(i) for i in range(len(cells[0])))}|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    figures = Path(arguments[0]) if arguments else ROOT / "build" / "bench.json"
    docs = Path(arguments[1]) if len(arguments) > 1 else ROOT / "docs"
    try:
        write(json.loads(figures.read_text()), docs)
    except FileNotFoundError as error:
        print(f"bench: {error.filename}: no such file; make bench writes it", file=sys.stderr)
        return 1
    print(f"written: {docs / NAME}.md")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
