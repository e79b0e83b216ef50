"""Medians, ratios, the table and the JSON document."""

from __future__ import annotations

import statistics
from typing import Any, TypeAlias

from bench.runtime import Sample

# [bundle][command][runtime]
Samples: TypeAlias = "dict[str, dict[str, dict[str, list[Sample]]]]"

# What pyoci wants to reach, as wall time by that of runc.
WANTED = {
    ("engine", "run"): 0.45,
    ("engine", "exec"): 0.40,
    ("engine", "create+start+delete"): 0.60,
    ("minimal", "run"): 1.0,
    ("minimal", "create+start+delete"): 1.3,
    ("minimal", "state"): 1.7,
}


def record(samples: Samples, bundle: str, command: str, runtime: str, sample: Sample) -> None:
    samples.setdefault(bundle, {}).setdefault(command, {}).setdefault(runtime, []).append(sample)


def summary(samples: list[Sample]) -> dict[str, float]:
    """Medians, and the middle half of the wall times."""
    walls = sorted(sample.wall * 1000 for sample in samples)
    quarters = statistics.quantiles(walls, n=4) if len(walls) > 1 else [walls[0]] * 3
    return {
        "runs": len(samples),
        "wall_ms": statistics.median(walls),
        "wall_ms_quartile_1": quarters[0],
        "wall_ms_quartile_3": quarters[2],
        "wall_ms_minimum": walls[0],
        "cpu_ms": statistics.median(sample.cpu * 1000 for sample in samples),
        "peak_rss_kib": statistics.median(sample.rss for sample in samples),
    }


def document(samples: Samples, memory: dict[str, dict[str, list[int]]], baseline: str) -> dict[str, Any]:
    """All that was measured, for a program to read."""
    bundles: dict[str, Any] = {}
    for bundle, commands in samples.items():
        for command, runtimes in commands.items():
            figures = {name: summary(values) for name, values in runtimes.items()}
            for figure in figures.values():
                if baseline in figures:
                    figure["wall_ratio"] = figure["wall_ms"] / figures[baseline]["wall_ms"]
            bundles.setdefault(bundle, {})[command] = figures
    waiting = {
        bundle: {name: statistics.median(values) for name, values in runtimes.items()}
        for bundle, runtimes in memory.items()
    }
    return {"baseline": baseline, "bundles": bundles, "waiting_init_rss_kib": waiting}


def table(figures: dict[str, Any]) -> str:
    """The document as text of at most 100 columns."""
    baseline = figures["baseline"]
    lines = []
    for bundle, commands in figures["bundles"].items():
        lines.append(f"{bundle} bundle")
        lines.append(
            f"  {'command':<20} {'runtime':<8} {'wall ms':>8} {'(quartiles)':>15} {'of ' + baseline:>8} "
            f"{'wanted':>7} {'cpu ms':>7} {'peak KiB':>9}"
        )
        for command, runtimes in commands.items():
            for name, figure in runtimes.items():
                quartiles = f"({figure['wall_ms_quartile_1']:.1f}-{figure['wall_ms_quartile_3']:.1f})"
                ratio = f"{figure['wall_ratio']:.2f}" if "wall_ratio" in figure else ""
                limit = WANTED.get((bundle, command)) if name == "pyoci" else None
                wanted = f"<={limit:.2f}" if limit else ""
                lines.append(
                    f"  {command:<20} {name:<8} {figure['wall_ms']:>8.2f} {quartiles:>15} {ratio:>8} "
                    f"{wanted:>7} {figure['cpu_ms']:>7.2f} {figure['peak_rss_kib']:>9.0f}"
                )
        waiting = figures["waiting_init_rss_kib"].get(bundle, {})
        if waiting:
            rest = ", ".join(f"{name} {value:.0f} KiB" for name, value in waiting.items())
            lines.append(f"  resident memory of a created container's init: {rest}")
        lines.append("")
    return "\n".join(lines)
