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
    """A line through the medians: wall time at zero in ms, and per unit in µs with its 95 % interval; the slope of
    the last part alone, which is more where the growth is not linear; and the medians themselves."""
    medians = medians_of(points)
    line = statistics.linear_regression(list(medians), list(medians.values()))

    def once() -> float:
        again = medians_of({x: random.choices(values, k=len(values)) for x, values in points.items()})
        return statistics.linear_regression(list(again), list(again.values())).slope * 1000

    return {
        "at_zero_ms": line.intercept,
        "per_unit_us": line.slope * 1000,
        "per_unit_us_interval": interval(once),
        "upper_part_per_unit_us": upper_slope(medians) * 1000,
        "medians_ms": {str(x): value for x, value in medians.items()},
        "cpu_medians_ms": {
            str(x): statistics.median(sample.cpu * 1000 for sample in values) for x, values in sorted(points.items())
        },
        "runs": min(len(values) for values in points.values()),
    }


def medians_of(points: dict[int, list[Sample]]) -> dict[int, float]:
    return {x: statistics.median(sample.wall * 1000 for sample in values) for x, values in sorted(points.items())}


def upper_slope(medians: dict[int, float]) -> float:
    """The slope between the last two points: what grows faster than linearly shows there."""
    (x, y), (last_x, last_y) = list(medians.items())[-2:]
    return (last_y - y) / (last_x - x)
