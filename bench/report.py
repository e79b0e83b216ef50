"""The figures as a table for a terminal, and what pyoci wants to reach."""

from __future__ import annotations

from typing import Any

#: What pyoci wants to reach natively: (bundle, command) and wall time by that of runc.
WANTED = {
    ("engine", "run"): 0.45,
    ("engine", "exec"): 0.40,
    ("engine", "create+start+delete"): 0.60,
    ("minimal", "run"): 1.0,
    ("minimal", "create+start+delete"): 1.3,
    ("minimal", "state"): 1.7,
}


def wanted(place: str, bundle: str, command: str) -> float | None:
    return WANTED.get((bundle, command)) if place == "native" else None


def table(figures: dict[str, Any]) -> str:
    """The document as text of at most 110 columns."""
    lines: list[str] = []
    for place, found in figures["places"].items():
        for bundle, commands in found["bundles"].items():
            lines += [f"{place}, {bundle} bundle", *command_lines(place, bundle, commands)]
            for name, waiting in found["waiting_init"][bundle].items():
                init = f"{waiting['rss_kib']:.0f} KiB resident, {waiting['cpu_ms']:.2f} ms of processor"
                lines.append(f"  init of a created container: {name:<8} {init}")
            lines.append("")
        for slope in found["slopes"].values():
            lines += slope_lines(place, slope)
    return "\n".join(lines)


def command_lines(place: str, bundle: str, commands: dict[str, Any]) -> list[str]:
    lines = [
        f"  {'command':<20} {'runtime':<8} {'wall ms':>8} {'(quartiles)':>15} {'of runc':>8} {'of crun':>8} "
        f"{'wanted':>7} {'cpu ms':>7} {'peak KiB':>9} {'faults':>7}"
    ]
    for command, runtimes in commands.items():
        for name, figure in runtimes.items():
            quartiles = f"({figure['wall_ms_quartile_1']:.1f}-{figure['wall_ms_quartile_3']:.1f})"
            ratios = [f"{figure['ratios'][peer]:.2f}" if peer in figure["ratios"] else "" for peer in ("runc", "crun")]
            limit = wanted(place, bundle, command) if name == "pyoci" else None
            lines.append(
                f"  {command:<20} {name:<8} {figure['wall_ms']:>8.2f} {quartiles:>15} {ratios[0]:>8} {ratios[1]:>8} "
                f"{f'<={limit:.2f}' if limit else '':>7} {figure['cpu_ms']:>7.2f} {figure['peak_rss_kib']:>9.0f} "
                f"{figure['minor_faults']:>7.0f}"
            )
    return lines


def slope_lines(place: str, slope: dict[str, Any]) -> list[str]:
    lines = [f"{place}, us per {slope['unit']}"]
    for command, runtimes in slope["commands"].items():
        for name, line in runtimes.items():
            low, high = line["per_unit_us_interval"]
            medians = " ".join(f"{x}:{value:.1f}" for x, value in line["medians_ms"].items())
            per_unit = f"{line['per_unit_us']:>8.1f} ({low:.1f} to {high:.1f})"
            lines.append(f"  {command:<20} {name:<8} {per_unit:<28} ms: {medians}")
    return [*lines, ""]
