"""The plots of a report. Their colours are read on light and on dark ground."""

from __future__ import annotations

import io
import math
import re
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dim.display.visible import visible_line
from dim.report.comparison import Comparison
from dim.report.judged import judged_runs
from dim.report.kb_curve import expected_top1
from dim.report.systems import System

PALETTE = ("#4478c4", "#e07b39", "#3f9d6b", "#c8537c", "#8a6fc4", "#2f9fb3", "#b08d2e", "#7d7f8c")
GREYS = (("#8b8f98", "--"), ("#a9adb5", ":"), ("#8b8f98", "-."))
#: Colours that the page replaces by its own, so that they follow the reader's theme.
INK, RULE = "#121314", "#d1d2d3"
STYLE: Any = {  # matplotlib's types list every key there is
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name is no formula
    "text.usetex": False,
}
LABEL = 44  #: Letters of a system's name in a plot.


def intervals(comparison: Comparison) -> Figure:
    """Top-1 of every row with its 95% interval: points, not bars, as the axis shows the part where they differ."""
    rows = comparison.group.rows
    shown = [comparison.estimates[row.name]["top1"] for row in rows]
    low, high = near(min(found.low for found in shown), max(found.high for found in shown))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.4, 0.75 + 0.42 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for place, (row, colour, _) in enumerate(styled(comparison)):
            found = comparison.estimates[row.name]["top1"]
            reach = [[100 * max(0.0, found.value - found.low)], [100 * max(0.0, found.high - found.value)]]
            axes.errorbar(
                [100 * found.value], [place], xerr=reach, color=colour, fmt="o", markersize=8, capsize=4, linewidth=2.2
            )
            axes.annotate(
                f"{100 * found.value:.1f}",
                (100 * found.high, place),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
            )
        axes.set_yticks(range(len(rows)), [shorten(row.name) for row in rows])
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.tick_params(length=0)
        axes.set_xlim(low, high + 0.1 * (high - low))  # room for the last figure
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel("Top-1 (%) with 95% interval")
    return figure


def near(low: float, high: float) -> tuple[float, float]:
    """The part of 0 to 100% that an axis shows of shares between `low` and `high`: what differs fills it.

    Example:
        >>> near(0.874, 0.921)
        (85.0, 95.0)
        >>> near(0.02, 1.0)
        (0.0, 100.0)
    """
    step = 5.0
    first, last = step * math.floor(100 * low / step), step * math.ceil(100 * high / step)
    first, last = max(0.0, first), min(100.0, max(last, first + 2 * step))
    return min(first, last - 2 * step), last


def rank_distribution(comparison: Comparison) -> Figure:
    """The share of mentions whose gold is ranked within r, over r."""
    with mpl.rc_context(STYLE):
        figure, axes = _lines_figure()
        finite = [row.ranks[np.isfinite(row.ranks)] for row in comparison.group.rows]
        largest = max([10.0, *(float(ranks.max()) for ranks in finite if ranks.size)])
        steps = np.unique(np.geomspace(1, largest, 200).round())
        for row, colour, dashes in styled(comparison):
            ordered = np.sort(row.ranks.ravel())
            shares = np.searchsorted(ordered, steps, side="right") / ordered.size
            axes.step(steps, 100 * shares, where="post", color=colour, linestyle=dashes, label=shorten(row.name))
        _finish(axes, "rank of the gold, at most (log scale)", "share of mentions (%)")
    return figure


def kb_size_curve(comparison: Comparison) -> Figure | None:
    """Top-1 over the size of the KB (`expected_top1`); None where not the whole KB was ranked."""
    head = comparison.group.head
    if head["protocol"] != "full_kb":
        return None
    sizes = curve_sizes(int(head["kb_size"]))
    with mpl.rc_context(STYLE):
        figure, axes = _lines_figure()
        for row, colour, dashes in styled(comparison):
            shares = np.mean([expected_top1(ranks, int(head["kb_size"]), sizes) for ranks in row.ranks], axis=0)
            axes.plot(sizes, 100 * shares, color=colour, linestyle=dashes, label=shorten(row.name))
        _finish(axes, "entities in the KB (log scale)", "expected Top-1 (%)")
    return figure


def judge_curve(comparison: Comparison) -> Figure | None:
    """Top-1 over the share of mentions that a judge reads; None where no system has a judge."""
    curves = judged_runs(comparison)
    if not curves:
        return None
    colours = {row.name: colour for row, colour, _ in styled(comparison)}
    with mpl.rc_context(STYLE):
        figure, axes = _lines_figure()
        lowest, highest = 1.0, 0.0
        for system, name, judge in curves:
            colour = colours[system.name]
            shares = [100 * step["share"] for step in judge["curve"]]
            top1 = [step["top1"] for step in judge["curve"]]
            axes.plot(shares, [100 * value for value in top1], color=colour, marker="o", label=shorten(name))
            lowest, highest = min(lowest, *top1), max(highest, *top1)
            if (control := judge.get("control")) is not None:
                at, value = 100 * judge["share"], control["top1"]
                label = shorten(f"{name}, others' texts")
                axes.plot([at], [100 * value], color=colour, marker="x", linestyle="", label=label)
                lowest, highest = min(lowest, value), max(highest, value)
        axes.tick_params(which="both", length=0)
        room = max(0.3, 15 * (highest - lowest))  # points: a judge of a few mentions gains little, and that is the plot
        axes.set_ylim(max(0.0, 100 * lowest - room), min(100.5, 100 * highest + room))
        axes.set_xlabel("mentions judged, those of which the ranker is least sure (%)")
        axes.set_ylabel("Top-1 (%)")
        _legend(axes)
    return figure


def curve_sizes(kb_size: int) -> NDArray[np.int64]:
    """About sixty sizes from 1 to the whole KB, evenly on a log scale.

    Example:
        >>> curve_sizes(4).tolist()
        [1, 2, 3, 4]
    """
    return np.unique(np.geomspace(1, kb_size, 60).round().astype(np.int64))


def styled(comparison: Comparison) -> list[tuple[System, str, str]]:
    """Each row with its colour and dashes; baselines are grey."""
    group = comparison.group
    grey = [(row, *GREYS[i % len(GREYS)]) for i, row in enumerate(group.baselines)]
    dashes = ("-", "-.", (0, (5, 1)))
    coloured = [
        (row, PALETTE[i % len(PALETTE)], dashes[i // len(PALETTE) % len(dashes)]) for i, row in enumerate(group.systems)
    ]
    return [*grey, *coloured]  # type: ignore[list-item]


def figures(comparison: Comparison) -> dict[str, Figure]:
    """The plots of a group by their titles."""
    found = {
        "Top-1 with 95% intervals": intervals(comparison),
        "Rank of the gold": rank_distribution(comparison),
        "Top-1 over the size of the KB": kb_size_curve(comparison),
        "Top-1 over the share of mentions judged": judge_curve(comparison),
    }
    return {title: figure for title, figure in found.items() if figure is not None}


def as_svg(figure: Figure, label: str, salt: str) -> str:
    """The figure as an <svg> element that follows the page's colours.

    Args:
        figure: The figure.
        label: What it shows, for readers who do not see it.
        salt: Keeps the ids of several figures in one page apart.
    """
    buffer = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", lambda tag: _of_page(tag[0], salt), text)  # tags alone: between them stand names
    text = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", re.sub(r'height="[^"]*pt"', "", text, count=1), count=1)
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _of_page(tag: str, salt: str) -> str:
    tag = re.sub(r' xmlns(:\w+)?="[^"]*"', "", tag)
    tag = re.sub(r'id="([^"]+)"', rf'id="{salt}-\1"', tag)
    tag = re.sub(r'(href="#|url\(#)', rf"\g<1>{salt}-", tag)
    tag = tag.replace(INK, "currentColor").replace(RULE, "var(--rule)")
    return re.sub(r"font-family: [^;\"]*", "font-family: inherit", tag)


def as_png(figure: Figure) -> bytes:
    """The figure as a PNG file on white."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=150, facecolor="white")
    return buffer.getvalue()


def shorten(name: str) -> str:
    """A name in one line that fits beside a plot.

    Example:
        >>> len(shorten("x" * 100)) == LABEL
        True
    """
    name = visible_line(name)
    return name if len(name) <= LABEL else name[: LABEL - 1] + "…"


def _lines_figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.4, 3.6), layout="constrained")
    return figure, figure.subplots()


def _finish(axes: Axes, x: str, y: str) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_minor_formatter("")
    axes.tick_params(which="both", length=0)
    lowest = min(float(np.min(line.get_ydata())) for line in axes.get_lines())
    axes.set_ylim(near(lowest / 100, 1)[0], 100.6)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    _legend(axes)


def _legend(axes: Axes) -> None:
    lines = axes.get_lines()  # each of them: by itself a legend leaves out names that begin with `_`
    names = [str(line.get_label()) for line in lines]
    axes.legend(lines, names, loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8.5)
