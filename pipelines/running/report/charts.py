"""Charts as SVG, drawn by Matplotlib, whose colours follow the page's light or dark theme."""

from __future__ import annotations

import hashlib
import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours drawn with, and the page's custom properties that take their place.
_COLOURS: Final = {
    "#010101": "text",
    "#020202": "quiet",
    "#030303": "line",
    "#040404": "accent",
    "#050505": "bar",
    "#060606": "second",
}
TEXT, QUIET, LINE, ACCENT, BAR, SECOND = _COLOURS
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "towermill",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "text.color": TEXT,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.labelcolor": QUIET,
}
_WIDTH: Final = 5.3


class Drawing:
    """A chart being drawn.

    Attributes
    ----------
    axes
        Matplotlib's axes.
    svg
        The finished chart, once the `with` block of `drawing` has ended.
    """

    def __init__(self, axes: Axes) -> None:
        self.axes, self.svg = axes, ""


@contextmanager
def drawing(height: float = 2.6) -> Iterator[Drawing]:
    """Yield axes to draw on; afterwards `svg` is the chart, `height` inches high.

    Examples
    --------
    >>> with drawing() as chart:
    ...     _ = chart.axes.plot([1, 2], color=ACCENT)
    >>> "var(--accent)" in chart.svg, "<?xml" in chart.svg
    (True, False)
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        chart = Drawing(figure.add_subplot())
        yield chart
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    chart.svg = _themed(text.getvalue())


def _themed(svg: str) -> str:
    """Return an SVG for inline use: themed colours, ids of its own, as wide as its place."""
    prefix = f"c{hashlib.sha256(svg.encode()).hexdigest()[:8]}-"
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'href="#', f'href="#{prefix}', svg)
    svg = svg.replace("url(#", f"url(#{prefix}")
    for colour, name in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def bars(
    values: Mapping[str, float], intervals: Mapping[str, Sequence[float] | None], first: str
) -> str:
    """Return horizontal bars with their intervals, the bar `first` in the accent colour."""
    names = list(values)
    with drawing(0.55 + 0.38 * len(names)) as chart:
        axes, places = chart.axes, np.arange(len(names))
        colours = [ACCENT if name == first else BAR for name in names]
        axes.barh(places, list(values.values()), color=colours, height=0.66)
        most = max([0.0, *values.values(), *(i[1] for i in intervals.values() if i)])
        for place, (name, value) in enumerate(values.items()):
            interval = intervals.get(name)
            end = value if interval is None else interval[1]
            if interval is not None:
                axes.plot(interval, [place, place], color=TEXT, linewidth=1.2)
            axes.text(end + 0.02 * most, place, f"{value:.4f}", va="center")
        axes.set_xlim(0, 1.18 * most or 1)
        _rows(axes, names)
    return chart.svg


def differences(found: Mapping[str, tuple[float, Sequence[float] | None]]) -> str:
    """Return differences as points with intervals, beside a line at 0."""
    names = list(found)
    with drawing(0.7 + 0.38 * len(names)) as chart:
        axes = chart.axes
        axes.axvline(0, color=QUIET, linewidth=1)
        for place, (value, interval) in enumerate(found.values()):
            if interval is not None:
                axes.plot(interval, [place, place], color=ACCENT, linewidth=2.2)
            axes.plot([value], [place], "o", color=ACCENT, markersize=5)
            end = value if interval is None else interval[1]
            axes.annotate(
                f"{value:+.4f}", (end, place), (7, 0), textcoords="offset points", va="center"
            )
        low, high = axes.get_xlim()
        axes.set_xlim(low, high + 0.2 * (high - low))
        axes.margins(y=0.3)
        _rows(axes, names)
    return chart.svg


def over_time(starts: Sequence[Any], counts: ArrayLike, width: Any) -> str:
    """Return the number of rows in each interval of time."""
    with drawing() as chart:
        chart.axes.bar(starts, counts, width=width, align="edge", color=ACCENT)
        chart.axes.grid(axis="y")
        _plain_dates(chart.axes)
    return chart.svg


def long_tail(counts: ArrayLike, label: str) -> str:
    """Return counts by rank, both axes logarithmic."""
    from matplotlib.ticker import FuncFormatter

    ranked = np.sort(np.asarray(counts))[::-1]
    ranked = ranked[ranked > 0]
    # A line needs no more points than pixels.
    ranks = np.unique(np.geomspace(1, len(ranked), 300).astype(int))
    with drawing() as chart:
        axes = chart.axes
        axes.plot(ranks, ranked[ranks - 1], color=ACCENT)
        axes.fill_between(ranks, ranked[ranks - 1], ranked[-1], color=BAR)
        axes.set(xscale="log", yscale="log", xlabel="rank", ylabel=label)
        axes.margins(x=0)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
        axes.grid()
    return chart.svg


def histogram(values: ArrayLike, label: str, of: str) -> str:
    """Return a histogram of counts from 0, in bins that double."""
    numbers = np.asarray(values)
    top = int(np.ceil(np.log2(max(int(numbers.max(initial=1)), 1) + 1)))
    edges = np.array([0, *(2**power for power in range(top + 1))])
    found, _ = np.histogram(numbers, edges)
    names = [str(low) if high - low == 1 else f"{low}–{high - 1}" for low, high in _pairs(edges)]
    shown = slice(int(np.argmax(found > 0)), None)
    with drawing() as chart:
        axes = chart.axes
        axes.bar(names[shown], found[shown], color=ACCENT, width=0.86)
        axes.set(xlabel=label, ylabel=of)
        axes.tick_params(axis="x", rotation=35 if len(names) > 7 else 0, length=0)
        axes.grid(axis="y")
    return chart.svg


def curve(epochs: Sequence[float], values: Sequence[float], label: str, best: float | None) -> str:
    """Return a curve over epochs, its `best` epoch marked."""
    from matplotlib.ticker import MaxNLocator

    with drawing() as chart:
        axes = chart.axes
        axes.plot(epochs, values, "o-" if len(epochs) < 30 else "-", color=ACCENT, markersize=3)
        if best is not None:
            value = values[list(epochs).index(best)]
            axes.axvline(best, color=SECOND, linewidth=1, linestyle="--")
            axes.plot([best], [value], "o", color=SECOND, markersize=7)
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid()
    return chart.svg


def slice_points(found: Mapping[str, Mapping[str, float]], first: str) -> str:
    """Return a row of points for each slice: `first` filled, the other names hollow."""
    marks = itertools.cycle("Ds^vX")
    others = [name for name in next(iter(found.values())) if name != first]
    with drawing(0.95 + 0.36 * len(found)) as chart:
        axes, places = chart.axes, np.arange(len(found))
        for name in others:
            theirs = [values.get(name, np.nan) for values in found.values()]
            hollow = {"color": QUIET, "markerfacecolor": "none", "markersize": 6, "zorder": 3}
            axes.plot(theirs, places, next(marks), label=name, **hollow)  # type: ignore[arg-type]
        own = [values[first] for values in found.values()]
        axes.hlines(places, 0, own, color=BAR, linewidth=3, zorder=2)
        axes.plot(own, places, "o", color=ACCENT, markersize=9, zorder=4, label=first)
        axes.set_xlim(0)
        axes.set_ylim(-0.6, len(found) - 0.4)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, fontsize=9)
        _rows(axes, list(found))
    return chart.svg


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0, labelcolor=TEXT)
    axes.invert_yaxis()
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


def _plain_dates(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.margins(x=0.01)


def _pairs(edges: ArrayLike) -> Iterator[tuple[int, int]]:
    yield from itertools.pairwise(np.asarray(edges).tolist())
