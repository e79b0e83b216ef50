"""What becomes of the samples of the benchmark."""

from __future__ import annotations

import pytest

from bench.figures import compare, fit, outliers, summary
from bench.runtime import Sample


def samples(*walls: float) -> list[Sample]:
    return [Sample(wall / 1000, 0.001, 0.002, 1024, 100, 1) for wall in walls]


def test_a_summary_has_the_medians() -> None:
    figures = summary(samples(1, 2, 3, 4, 100))
    assert figures["wall_ms"] == pytest.approx(3)
    assert figures["wall_ms_minimum"] == pytest.approx(1)
    assert figures["wall_ms_maximum"] == pytest.approx(100)
    assert figures["cpu_ms"] == pytest.approx(3)
    assert (figures["peak_rss_kib"], figures["minor_faults"], figures["major_faults"]) == (1024, 100, 1)
    assert figures["outliers"] == 1
    assert figures["runs"] == 5


def test_one_sample_is_enough() -> None:
    assert summary(samples(7))["wall_ms_quartile_3"] == pytest.approx(7)
    assert fit({0: samples(1), 10: samples(2)})["per_unit_us"] == pytest.approx(100)


def test_values_that_are_all_the_same_have_no_outliers() -> None:
    assert outliers([2.0, 2.0, 2.0]) == 0


def test_the_ratio_is_that_of_the_medians_and_lies_in_its_interval() -> None:
    figures = compare({"a": samples(10, 11, 12, 13, 14), "b": samples(20, 22, 24, 26, 28)}, ["a", "b"])
    assert list(figures) == ["a", "b"]
    assert figures["a"]["ratios"] == {"b": pytest.approx(0.5)}
    low, high = figures["b"]["ratio_intervals"]["a"]
    assert low <= 2.0 + 1e-9
    assert high >= 2.0 - 1e-9


def test_rounds_are_compared_with_themselves() -> None:
    """A machine that gets slower from round to round slows both: the ratio does not move."""
    figures = compare({"a": samples(1, 10, 100), "b": samples(2, 20, 200)}, ["a", "b"])
    assert figures["a"]["ratio_intervals"]["b"] == pytest.approx((0.5, 0.5))


def test_a_slope_is_told_per_unit() -> None:
    line = fit({0: samples(5, 5, 5), 100: samples(6, 6, 6), 200: samples(9, 9, 9)})
    assert line["per_unit_us"] == pytest.approx(20)
    assert line["last_part_per_unit_us"] == pytest.approx(30)
    assert line["per_unit_us_interval"] == pytest.approx((20, 20))
    assert line["cpu_per_unit_us"] == pytest.approx(0)
    assert line["medians_ms"] == {"0": pytest.approx(5), "100": pytest.approx(6), "200": pytest.approx(9)}
