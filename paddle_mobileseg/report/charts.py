"""Line charts as inline SVG. Colours come from the page's style sheet, so that they follow light and dark."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

WIDTH, HEIGHT = 420, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 34
_MAX_POINTS = 240  # more are averaged: a page is no wider than that many visible steps
_MAX_DOTS = 40

Place = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """One of several in a chart: a name, a colour ``#rrggbb`` and (iteration, value), finite, by rising iteration."""

    name: str
    colour: str
    points: Sequence[tuple[float, float]]


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers that enclose ``low`` .. ``high``, at least two of them.

    >>> nice_ticks(0, 0.83)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if high <= low:
        low, high = (0.0, 1.0) if low == 0 else (min(0.0, low), max(0.0, low))
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * f for f in (1, 2, 2.5, 5, 10) if power * f >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.10g}") for i in range(first, last + 1)]


def average_in_bins(points: Sequence[tuple[float, float]], bins: int = _MAX_POINTS) -> list[tuple[float, float]]:
    """At most ``bins`` points, each the mean of neighbouring ones; unchanged if there are no more than that."""
    if len(points) <= bins:
        return list(points)
    edges = [round(i * len(points) / bins) for i in range(bins + 1)]
    groups = [points[a:b] for a, b in itertools.pairwise(edges)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]


def tick_text(value: float) -> str:
    """A short text: 0.0025, 0.2, 15, 20k, 6e-05."""
    if abs(value) >= 1000:
        return f"{value / 1000:g}k"
    if value != 0 and abs(value) < 1e-3:
        mantissa, exponent = f"{value:.6e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.6g}"


def line_chart(points: Sequence[tuple[float, float]], title: str, description: str, mark_best: bool = False) -> Markup:
    """A curve over training iterations.

    Args:
        points: (iteration, value), by rising iteration, finite, at least one; many are averaged in bins.
        title: for a screen reader, and shown by browsers on hovering.
        description: the curve in words.
        mark_best: put a larger dot and the value at the highest point.

    Returns:
        an ``<svg>`` element with the classes ``chart``, ``grid``, ``tick``, ``curve``, ``dot`` and ``best``.

    Raises:
        ValueError: no points.
    """
    if not points:
        raise ValueError("a chart needs at least one point")
    shown = average_in_bins(points)
    parts, place = _axes(shown, points[-1][0])
    placed = [place(*point) for point in shown]
    parts.append('<path class="curve" d="M' + "L".join(f"{x:.1f} {y:.1f}" for x, y in placed) + '"/>')
    if len(shown) <= _MAX_DOTS:
        parts += [
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>iteration {at:g}: {value:.4g}</title></circle>'
            for (x, y), (at, value) in zip(placed, shown, strict=True)
        ]
    if mark_best:
        parts.append(_best_mark(max(points, key=lambda point: point[1]), place))
    return _svg(parts, title, description)


def curves_chart(curves: Sequence[Curve], title: str, description: str) -> Markup:
    """Several curves over training iterations, in colours of their own.

    Args:
        curves: at least one point in all.
        title, description: as for :func:`line_chart`.

    Returns:
        an ``<svg>`` element with the classes ``chart``, ``grid``, ``tick``, ``halo`` and ``coloured``.

    Raises:
        ValueError: no points.
    """
    points = [point for curve in curves for point in curve.points]
    if not points:
        raise ValueError("a chart needs at least one point")
    parts, place = _axes(points, max(x for x, _ in points))
    for curve in curves:
        line = "L".join(f"{x:.1f} {y:.1f}" for x, y in itertools.starmap(place, average_in_bins(curve.points)))
        if line:  # the halo, because a colour may be that of the page
            parts.append(
                f'<g><title>{escape(curve.name)}</title><path class="halo" d="M{line}"/>'
                f'<path class="coloured" style="stroke:{escape(curve.colour)}" d="M{line}"/></g>'
            )
    return _svg(parts, title, description)


def _svg(parts: list[str], title: str, description: str) -> Markup:
    label = escape(f"{title}: {description}")
    start = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
    texts = f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
    return Markup(start + texts + "".join(parts) + "</svg>")


def _axes(points: Sequence[tuple[float, float]], last: float) -> tuple[list[str], Place]:
    """Grid and ticks for the points of iterations up to the last one, and where a point goes."""
    y_ticks = nice_ticks(min(0.0, *(y for _, y in points)), max(y for _, y in points))
    x_ticks = [tick for tick in nice_ticks(0, last, 6) if tick <= last] or [0.0]
    right = max(last, 1)

    def place(x: float, y: float) -> tuple[float, float]:
        across = x / right
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return _LEFT + across * (WIDTH - _LEFT - _RIGHT), HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM)

    parts = []
    for tick in y_ticks:
        _, y = place(0, tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick_text(tick)}</text>')
    for tick in x_ticks:
        x, _ = place(tick, y_ticks[0])
        parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 12}" text-anchor="middle">{tick_text(tick)}</text>')
    return parts, place


def _best_mark(best: tuple[float, float], place: Place) -> str:
    x, y = place(*best)
    end = x > WIDTH - 80
    below = y < _TOP + 24
    return (
        f'<circle class="best" cx="{x:.1f}" cy="{y:.1f}" r="5"/><text class="best" x="{x + (-2 if end else 0):.1f}" '
        f'y="{y + (22 if below else -12):.1f}" text-anchor="{"end" if end else "middle"}">{best[1]:.3f}</text>'
    )
