"""From samples to figures: medians, quartiles, outliers, ratios and slopes with their intervals of confidence."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from bench.runtime import Sample

#: [command][runtime]
Samples: TypeAlias = "dict[str, dict[str, list[Sample]]]"
#: [command][runtime][how many there were of what the slope is about]
Points: TypeAlias = "dict[str, dict[str, dict[int, list[Sample]]]]"

RESAMPLES = 1000
OUTLIER = 3.5  # modified Z-score (Iglewicz and Hoaglin, 1993)


def record(samples: Samples, command: str, runtime: str, sample: Sample) -> None:
    samples.setdefault(command, {}).setdefault(runtime, []).append(sample)


def summary(samples: Sequence[Sample]) -> dict[str, float]:
    """What became of one command of one runtime."""
    walls = sorted(sample.wall * 1000 for sample in samples)
    quarters = statistics.quantiles(walls, n=4, method="inclusive") if len(walls) > 1 else [walls[0]] * 3
    return {
        "runs": len(samples),
        "wall_ms": statistics.median(walls),
        "wall_ms_quartile_1": quarters[0],
        "wall_ms_quartile_3": quarters[2],
        "wall_ms_minimum": walls[0],
        "wall_ms_maximum": walls[-1],
        "wall_ms_mean": statistics.fmean(walls),
        "wall_ms_deviation": statistics.stdev(walls) if len(walls) > 1 else 0.0,
        "outliers": outliers(walls),
        "user_ms": statistics.median(sample.user * 1000 for sample in samples),
        "system_ms": statistics.median(sample.system * 1000 for sample in samples),
        "cpu_ms": statistics.median(sample.cpu * 1000 for sample in samples),
        "peak_rss_kib": statistics.median(sample.rss for sample in samples),
        "minor_faults": statistics.median(sample.minor for sample in samples),
        "major_faults": statistics.median(sample.major for sample in samples),
    }


def outliers(values: Sequence[float]) -> int:
    """How many values lie so far from the median that something else must have had the machine."""
    middle = statistics.median(values)
    spread = statistics.median(abs(value - middle) for value in values)
    return sum(0.6745 * abs(value - middle) > OUTLIER * spread for value in values)


def compare(samples: dict[str, list[Sample]], names: Sequence[str]) -> dict[str, Any]:
    """A command's summary for each of the runtimes `names`, each with its ratios of wall time to the others: `ratios`
    are those of the medians, `ratio_intervals` hold 95 % of those of resampled rounds."""
    result: dict[str, Any] = {}
    for name in names:
        values = samples[name]
        others = [other for other in names if other != name]
        result[name] = summary(values)
        result[name]["ratios"] = {other: ratio(values, samples[other]) for other in others}
        result[name]["ratio_intervals"] = {other: ratio_interval(values, samples[other]) for other in others}
    return result


def ratio(values: Sequence[Sample], others: Sequence[Sample]) -> float:
    return statistics.median(s.wall for s in values) / statistics.median(s.wall for s in others)


def ratio_interval(values: list[Sample], others: list[Sample]) -> tuple[float, float]:
    """The rounds are resampled, not the samples: what slowed a round down slowed all runtimes in it."""
    rounds = list(zip(values, others, strict=True))

    def once() -> float:
        chosen = random.choices(rounds, k=len(rounds))
        return ratio([value for value, _ in chosen], [other for _, other in chosen])

    return interval(once)


def interval(once: Callable[[], float]) -> tuple[float, float]:
    """The bounds of the middle 95 % of what `once` says (bootstrap, percentile method)."""
    found = sorted(once() for _ in range(RESAMPLES))
    margin = RESAMPLES // 40
    return found[margin], found[-margin - 1]


def fit(points: dict[int, list[Sample]]) -> dict[str, Any]:
    """A line through the medians: wall time at zero in ms, and per unit in µs with its 95 % interval; the slope of the
    last part alone, which is more where the growth is not linear; processor time per unit in µs; and the medians."""
    walls, cpus = medians_of(points, wall_ms), medians_of(points, cpu_ms)

    def once() -> float:
        again = {x: random.choices(values, k=len(values)) for x, values in points.items()}
        return slope(medians_of(again, wall_ms)) * 1000

    return {
        "at_zero_ms": statistics.linear_regression(list(walls), list(walls.values())).intercept,
        "per_unit_us": slope(walls) * 1000,
        "per_unit_us_interval": interval(once),
        "last_part_per_unit_us": slope(dict(list(walls.items())[-2:])) * 1000,
        "cpu_per_unit_us": slope(cpus) * 1000,
        "medians_ms": {str(x): value for x, value in walls.items()},
        "cpu_medians_ms": {str(x): value for x, value in cpus.items()},
        "runs": min(len(values) for values in points.values()),
    }


def wall_ms(sample: Sample) -> float:
    return sample.wall * 1000


def cpu_ms(sample: Sample) -> float:
    return sample.cpu * 1000


def medians_of(points: dict[int, list[Sample]], measure: Callable[[Sample], float]) -> dict[int, float]:
    return {x: statistics.median(map(measure, values)) for x, values in sorted(points.items())}


def slope(medians: dict[int, float]) -> float:
    """That of the line of least squares."""
    return statistics.linear_regression(list(medians), list(medians.values())).slope
