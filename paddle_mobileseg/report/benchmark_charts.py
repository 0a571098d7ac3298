"""Scatter, spread and series charts of the benchmark page, as inline SVG. Colours come from the style sheet."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from paddle_mobileseg.report.benchmark_labels import FAR, NEAR, Box, Rooms, leader, text_width
from paddle_mobileseg.report.charts import Place, nice_ticks, tick_text

LOG_RATIO = 12  # values further apart than that get a logarithmic axis
MARKS = {"measured": "circle", "imported": "square", "published": "diamond", "estimated": "triangle"}

_TARGET = 12.0  # radius of what a finger may touch around a mark
_STRIP = (1000, 36)  # of spread charts, in units that the page stretches
_SERIES = (1000, 60)


@dataclass(frozen=True)
class Size:
    """A chart's size and its type size, in the units of its viewBox."""

    name: str
    width: int
    height: int
    font: float

    @property
    def area(self) -> Box:
        """Where the points are."""
        return 48, 30, self.width - 18, self.height - 48

    @property
    def label_area(self) -> Box:
        """Where their labels may be: a little beyond, but not on the numbers of an axis."""
        left, top, right, bottom = self.area
        return left, top - 26, right + 16, bottom + 6


SIZES = (Size("wide", 700, 460, 12.5), Size("narrow", 340, 400, 12.5))


@dataclass(frozen=True)
class Point:
    """A point of a scatter chart.

    Attributes:
        x: such as a latency in ms, above 0.
        y: such as mIoU.
        network: labels stand nearer to points of their network than to others.
        label: written beside the point; empty for none.
        short: written instead where the label has no room, such as a number; empty for none.
        title: the point in words.
        href: where a click leads.
        kind: a key of ``MARKS``: where ``x`` comes from.
        solid: filled; a hollow mark for a ``y`` that was not measured.
        colour: number of the page's series colour, 0 to 7.
        front: whether it is on a Pareto front, and so is drawn larger and labelled first.
        number: of the record.
    """

    x: float
    y: float
    network: str
    label: str
    title: str
    href: str
    short: str = ""
    kind: str = "measured"
    solid: bool = True
    colour: int = 0
    front: bool = False
    number: int = 0


def log_ticks(low: float, high: float) -> list[float]:
    """Values 1, 2 or 5 times a power of ten that enclose ``low`` .. ``high``, both above 0.

    >>> log_ticks(3, 40)
    [2.0, 5.0, 10.0, 20.0, 50.0]
    """
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    steps = [float(f"{factor}e{power}") for power in powers for factor in (1, 2, 5)]
    first = max((i for i, step in enumerate(steps) if step <= low * (1 + 1e-9)), default=0)
    last = next(i for i, step in enumerate(steps) if step >= high * (1 - 1e-9))
    chosen = steps[first : last + 1] if last > first else steps[first : first + 2]
    if len(chosen) <= 9:
        return chosen
    decades = [step for step in chosen[1:-1] if f"{step:e}".startswith("1.0")]
    while len(decades) > 5:
        decades = decades[1::2]
    return sorted({chosen[0], *decades, chosen[-1]})


def step_line(front: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The line of a Pareto front: the best ``y`` that is to be had for each ``x``; it goes right, then up.

    >>> step_line([(2.0, 0.5), (1.0, 0.3)])
    [(1.0, 0.3), (2.0, 0.3), (2.0, 0.5)]
    """
    ordered = sorted(front)
    line = ordered[:1]
    for before, after in itertools.pairwise(ordered):
        line += [(after[0], before[1]), after]
    return line


def scatter(
    points: Sequence[Point],
    fronts: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    x_name: str,
    y_name: str,
    title: str,
    sizes: Sequence[str] = ("wide", "narrow"),
    zero: bool = False,
) -> Markup:
    """Points over latency, drawn for wide and for narrow screens; the style sheet shows one of the two.

    Args:
        points: at least one; all ``x`` above 0, finite.
        fronts: kind and points of each Pareto front.
        x_name, y_name: with their units.
        title: for a screen reader.
        sizes: names of ``SIZES``.
        zero: whether ``y`` starts at 0, or is logarithmic where its values are far apart.

    Raises:
        ValueError: no points.
    """
    if not points:
        raise ValueError("a chart needs at least one point")
    return Markup("").join(
        _scatter(points, fronts, (x_name, y_name), title, zero, size) for size in SIZES if size.name in sizes
    )


def _scatter(
    points: Sequence[Point],
    fronts: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    names: tuple[str, str],
    title: str,
    zero: bool,
    size: Size,
) -> Markup:
    xs, ys = [point.x for point in points], [point.y for point in points]
    across = _from_zero(xs, 6 if size.width > 400 else 4)
    upward = _from_zero(ys, 6) if zero else _around(ys)
    left, top, right, bottom = size.area

    def place(x: float, y: float) -> tuple[float, float]:
        return left + across.share(x) * (right - left), bottom - upward.share(y) * (bottom - top)

    x_name, y_name = (
        name + (", logarithmic" if axis.logarithmic else "") for name, axis in zip(names, (across, upward), strict=True)
    )
    parts = [*_grid(across.ticks, upward.ticks, place, size), *_names(f"{x_name} →", f"↑ {y_name}", size)]
    lines: list[Box] = []
    for kind, front in fronts:
        line = [place(*point) for point in step_line(front)]
        if len(front) > 1:
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y in line)
            parts.append(f'<path class="front {escape(kind)}" d="M{path}"/>')
            lines += [
                (min(a[0], b[0]) - 1, min(a[1], b[1]) - 1, max(a[0], b[0]) + 1, max(a[1], b[1]) + 1)
                for a, b in itertools.pairwise(line)
            ]
    kinds = list(MARKS)  # the smaller marks of what was measured lie on the others
    drawn = sorted(points, key=lambda point: (-kinds.index(point.kind), point.front))
    placed = [place(point.x, point.y) for point in drawn]
    parts += [_mark(point, at, placed) for point, at in zip(drawn, placed, strict=True)]
    parts += _labels(drawn, placed, lines, f"↑ {y_name}", size)
    return _svg(f"chart scatter {size.name}", size.width, size.height, title, parts)


@dataclass(frozen=True)
class _Axis:
    """Ticks from one end to the other, at least two."""

    ticks: list[float]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """How far a value is along the axis, 0 to 1."""
        first, last = self.ticks[0], self.ticks[-1]
        if self.logarithmic:
            return math.log(value / first) / math.log(last / first)
        return (value - first) / (last - first)


def _from_zero(values: Sequence[float], count: int) -> _Axis:
    """From 0; logarithmic where values above 0 are far apart. ``count``: about how many ticks."""
    low, high = min(values), max(values)
    if low > 0 and high > LOG_RATIO * low:
        return _Axis(log_ticks(low, high), True)
    return _Axis(nice_ticks(0, high, count))


def _around(values: Sequence[float]) -> _Axis:
    """From the least of the values to the largest."""
    low, high = min(values), max(values)
    apart = high - low > 1e-4 * abs(high)  # else the ticks would have equal texts
    return _Axis(nice_ticks(low, high, 6) if apart else nice_ticks(low * 0.95, high * 1.05 or 1.0, 4))


def _svg(classes: str, width: int, height: int, title: str, parts: Sequence[str], stretched: bool = False) -> Markup:
    stretch = ' preserveAspectRatio="none"' if stretched else ""
    role = "img" if stretched else "group"  # the marks of a scatter chart are links
    start = (
        f'<svg class="{classes}" viewBox="0 0 {width} {height}" role="{role}" aria-label="{escape(title)}"{stretch}>'
    )
    return Markup(start + "".join(parts) + "</svg>")


def _grid(x_ticks: Sequence[float], y_ticks: Sequence[float], place: Place, size: Size) -> Iterator[str]:
    left, top, right, bottom = size.area
    for tick in y_ticks:
        y = place(x_ticks[0], tick)[1]
        yield f'<path class="grid" d="M{left} {y:.1f}H{right}"/>'
        yield f'<text class="tick" x="{left - 7}" y="{y + 4:.1f}" text-anchor="end">{tick_text(tick)}</text>'
    for tick in x_ticks:
        x = place(tick, y_ticks[0])[0]
        yield f'<path class="grid" d="M{x:.1f} {top}V{bottom}"/>'
        yield f'<text class="tick" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{tick_text(tick)}</text>'


def _names(across: str, upward: str, size: Size) -> Iterator[str]:
    _, top, right, bottom = size.area
    yield f'<text class="axis" x="{right}" y="{bottom + 38}" text-anchor="end">{escape(across)}</text>'
    yield f'<text class="axis" x="4" y="{top - 16}">{escape(upward)}</text>'


def _mark(point: Point, at: tuple[float, float], placed: Sequence[tuple[float, float]]) -> str:
    """A mark, and around it what is touched: it ends halfway to the next mark, so that a mark behind others has its
    own too."""
    x, y = at
    circle = 6.0 if point.front else 4.5
    r = circle + 1.5  # of other shapes, which show behind a circle of the same place
    shapes = {
        "circle": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{circle}"/>',
        "square": f'<path d="M{x - r:.1f} {y - r:.1f}h{2 * r}v{2 * r}h{-2 * r}z"/>',
        "diamond": f'<path d="M{x:.1f} {y - r - 1:.1f}l{r + 1} {r + 1}l{-r - 1} {r + 1}l{-r - 1} {-r - 1}z"/>',
        "triangle": f'<path d="M{x:.1f} {y - r - 1:.1f}l{r + 1} {2 * r}h{-2 * r - 2}z"/>',
    }
    free = min((math.dist(at, other) / 2 for other in placed if other != at), default=_TARGET)
    classes = f"mark {point.kind} c{point.colour}{' solid' if point.solid else ''}{' best' if point.front else ''}"
    return (
        f'<a class="{classes}" href="{escape(point.href)}" data-n="{point.number}"><title>{escape(point.title)}</title>'
        f'<circle class="target" cx="{x:.1f}" cy="{y:.1f}" r="{max(min(free, _TARGET), 3):.1f}"/>'
        f"{shapes[MARKS[point.kind]]}</a>"
    )


def _labels(
    points: Sequence[Point], placed: Sequence[tuple[float, float]], lines: Sequence[Box], axis: str, size: Size
) -> Iterator[str]:
    """Labels where they have room; those of the fronts are placed first, then those of what was measured.

    Args:
        axis: the name of the upward axis, which is above it.
    """
    above = (0.0, 0.0, 8 + text_width(axis, size.font), size.area[1] - 8)
    marks = [(at, point.network) for point, at in zip(points, placed, strict=True)]
    rooms = Rooms(size.label_area, marks, lines, [above])
    kinds = list(MARKS)
    ordered = sorted(zip(points, placed, strict=True), key=lambda p: (not p[0].front, kinds.index(p[0].kind), p[0].x))
    for point, at in ordered:
        for text, name in ((point.label, point.network), (point.short, None)):
            extent = text_width(text, size.font), size.font * 1.25
            box = rooms.find(at, name, extent, FAR if point.front or name is None else NEAR) if text else None
            if box is not None:
                yield from _label(point, text, at, box, size)
                break


def _label(point: Point, text: str, at: tuple[float, float], box: Box, size: Size) -> Iterator[str]:
    line = leader(at, box)
    if line is not None:
        (x, y), (end_x, end_y) = line
        path = f"M{x:.1f} {y:.1f}L{end_x:.1f} {end_y:.1f}"
        yield f'<path class="leader" data-n="{point.number}" d="{path}"/>'
    left, _, right, bottom = box
    anchor = f'x="{(left + right) / 2:.1f}" y="{bottom - size.font * 0.32:.1f}" text-anchor="middle"'
    classes = "label best" if point.front else "label"
    yield f'<text class="{classes}" data-n="{point.number}" {anchor}>{escape(text)}</text>'


def thin(values: Sequence[float], most: int) -> list[float]:
    """At most ``most`` of the values at evenly spread places, first and last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def spread(raw: Sequence[float], low: float, high: float, marks: dict[str, float | None], most: int = 80) -> Markup:
    """All runs on a line: faint ticks, a box from ``min`` to ``p90``, and a tick for each of ``marks``.

    Args:
        raw: ms, or empty where only statistics are known; many are thinned, smallest and largest kept.
        low, high: the ends of the axis in ms, ``low`` below ``high``.
        marks: ``min``, ``median``, ``p90``, ``p99`` and ``first``; beyond the axis a mark is drawn at its end.
    """
    width, height = _STRIP

    def at(value: float) -> float:
        return round(min(max((value - low) / (high - low), 0.0), 1.0) * (width - 8)) + 4

    parts = [f'<path class="rail" d="M0 {height / 2:g}H{width}"/>']
    if marks["min"] is not None and marks["p90"] is not None:
        start, end = at(marks["min"]), at(marks["p90"])
        parts.append(f'<rect class="box" x="{start}" y="8" width="{max(end - start, 2)}" height="{height - 16}"/>')
    if raw:
        ticks = "".join(f"M{x} 10V{height - 10}" for x in sorted({at(value) for value in thin(sorted(raw), most)}))
        parts.append(f'<path class="runs" d="{ticks}"/>')
    for name in ("p99", "first", "median"):
        value = marks[name]
        if value is not None:
            top = {"median": 2, "p99": 6, "first": 4}[name]
            parts.append(f'<path class="{name}" d="M{at(value)} {top}V{height - top}"/>')
    words = ", ".join(f"{name} {value:.4g} ms" for name, value in marks.items() if value is not None)
    return _svg("spread", width, height, f"Spread of the runs: {words}", parts, stretched=True)


def series(raw: Sequence[float], low: float, high: float, median: float | None, most: int = 120) -> Markup:
    """The runs in their order, so that drift is seen; many are thinned, outliers kept.

    Args:
        raw: ms, at least one.
        low, high: the ends of the axis in ms, ``low`` below ``high``.
        median: drawn as a line.
    """
    width, height = _SERIES

    def up(value: float) -> float:
        return round((1 - min(max((value - low) / (high - low), 0.0), 1.0)) * (height - 8) + 4, 1)

    shown = extremes(raw, most)
    last = max(len(raw) - 1, 1)
    line = "L".join(f"{round(i / last * width)} {up(value):g}" for i, value in shown)
    if len(shown) == 1:
        line += f"L{width} {up(shown[0][1]):g}"
    parts = [] if median is None else [f'<path class="middle" d="M0 {up(median):g}H{width}"/>']
    parts.append(f'<path class="line" d="M{line}"/>')
    words = f"{len(raw)} runs in their order, {min(raw):.4g} to {max(raw):.4g} ms"
    return _svg("series", width, height, words, parts, stretched=True)


def extremes(values: Sequence[float], most: int) -> list[tuple[int, float]]:
    """(place, value) of at most ``most`` values: the smallest and the largest of each stretch of the sequence."""
    if len(values) <= most:
        return list(enumerate(values))
    bins = most // 2
    edges = [round(i * len(values) / bins) for i in range(bins + 1)]
    kept: set[int] = set()
    for a, b in itertools.pairwise(edges):
        kept |= {min(range(a, b), key=values.__getitem__), max(range(a, b), key=values.__getitem__)}
    return [(i, values[i]) for i in sorted(kept)]
