"""Plots as SVG, by pygal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import pygal
from pygal.style import Style

#: A colour for each runtime, told apart by people of any eyesight (Okabe and Ito).
COLOURS = {"pyoci": "#d55e00", "runc": "#0072b2", "crun": "#009e73"}
OTHERS = ("#cc79a7", "#e69f00", "#56b4e9")
SVG = "http://www.w3.org/2000/svg"


def bars(title: str, unit: str, labels: Sequence[str], values: Mapping[str, Sequence[float | None]]) -> str:
    """A group of bars for each label, in it one for each name in `values`."""
    digits = 1 if max(value or 0 for series in values.values() for value in series) < 200 else 0
    chart = pygal.Bar(
        **appearance(title, values),
        y_title=unit,
        print_values=True,
        print_values_position="top",
        value_formatter=lambda value: f"{value:.{digits}f}",
        truncate_label=-1,
        x_label_rotation=20,
        margin_top=30,
    )
    chart.x_labels = list(labels)
    for name, series in values.items():
        chart.add(name, list(series))
    return svg(chart)


def lines(title: str, x_title: str, y_title: str, points: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """A line for each name in `points`."""
    chart = pygal.XY(
        **appearance(title, points), x_title=x_title, y_title=y_title, dots_size=4, range=(0, highest(points))
    )
    for name, series in points.items():
        chart.add(name, list(series))
    return svg(chart)


def highest(points: Mapping[str, Sequence[tuple[float, float]]]) -> float:
    return max(y for series in points.values() for _, y in series)


def appearance(title: str, names: Mapping[str, object]) -> dict[str, Any]:
    """What every chart looks like; `names` are those of its series."""
    others = iter(OTHERS * len(names))
    style = Style(
        background="white",
        plot_background="white",
        foreground="#333333",
        foreground_strong="#111111",
        foreground_subtle="#555555",
        guide_stroke_color="#dddddd",
        guide_stroke_dasharray="none",
        major_guide_stroke_color="#bbbbbb",
        major_guide_stroke_dasharray="none",
        colors=tuple(COLOURS.get(name) or next(others) for name in names),
        font_family="sans-serif",
        opacity=".9",
        stroke_width="2",
        label_font_size=14,
        major_label_font_size=14,
        title_font_size=17,
        legend_font_size=14,
        value_font_size=10,
    )
    return {
        "style": style,
        "title": title,
        "width": 900,
        "height": 420,
        "legend_at_bottom": True,
        "legend_at_bottom_columns": len(names),
        "js": [],
    }


def svg(chart: pygal.Bar | pygal.XY) -> str:
    """The chart as text, without what differs from one time to the next or needs scripts: pygal's are for tooltips."""
    chart.uuid = "chart"
    ElementTree.register_namespace("", SVG)
    root = ElementTree.fromstring(chart.render())  # parsing drops comments, one of which has the date
    for parent in root.iter():
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}script", f"{{{SVG}}}desc") or "tooltip-overlay" in child.get("class", ""):
                parent.remove(child)
    return ElementTree.tostring(root, encoding="unicode") + "\n"
