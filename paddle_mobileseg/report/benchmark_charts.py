"""Scatter, spread and series charts of the benchmark page, as inline SVG. Colours come from the style sheet."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from paddle_mobileseg.report.charts import Place, nice_ticks, tick_text

LOG_RATIO = 12  # latencies further apart than that get a logarithmic axis
MARKS = {"measured": "circle", "imported": "square", "published": "diamond", "estimated": "triangle"}

_STRIP = (1000, 36)  # of spread charts, in units that the page stretches
_SERIES = (1000, 60)

Box = tuple[float, float, float, float]  # left, top, right, bottom


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


SIZES = (Size("wide", 700, 460, 12.5), Size("narrow", 340, 400, 12.5))


@dataclass(frozen=True)
class Point:
    """A point of a scatter chart.

    Attributes:
        x: such as a latency in ms, above 0.
        y: such as mIoU.
        label: written beside the point; empty for none.
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
    label: str
    title: str
    href: str
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
        zero: whether ``y`` starts at 0.

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
    logarithmic = max(xs) > LOG_RATIO * min(xs)
    x_ticks = log_ticks(min(xs), max(xs)) if logarithmic else nice_ticks(0, max(xs), 6 if size.width > 400 else 4)
    low, high = 0.0 if zero else min(ys), max(ys)
    apart = high - low > 1e-4 * abs(high)  # else the ticks would have equal texts
    y_ticks = nice_ticks(low, high, 6) if apart else nice_ticks(low * 0.95, high * 1.05 or 1.0, 4)
    left, top, right, bottom = size.area

    def place(x: float, y: float) -> tuple[float, float]:
        if logarithmic:
            across = math.log(x / x_ticks[0]) / math.log(x_ticks[-1] / x_ticks[0])
        else:
            across = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return left + across * (right - left), bottom - up * (bottom - top)

    parts = [*_grid(x_ticks, y_ticks, place, size), *_names(names, logarithmic, size)]
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
    drawn = sorted(points, key=lambda point: point.front)
    placed = [place(point.x, point.y) for point in drawn]
    parts += [_mark(point, x, y) for point, (x, y) in zip(drawn, placed, strict=True)]
    parts += _labels(drawn, placed, lines, size)
    return _svg(f"chart scatter {size.name}", size.width, size.height, title, parts)


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


def _names(names: tuple[str, str], logarithmic: bool, size: Size) -> Iterator[str]:
    _, top, right, bottom = size.area
    note = ", logarithmic" if logarithmic else ""
    yield f'<text class="axis" x="{right}" y="{bottom + 38}" text-anchor="end">{escape(names[0])}{note} →</text>'
    yield f'<text class="axis" x="4" y="{top - 16}">↑ {escape(names[1])}</text>'


def _mark(point: Point, x: float, y: float) -> str:
    r = 6.0 if point.front else 4.5
    shapes = {
        "circle": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>',
        "square": f'<path d="M{x - r:.1f} {y - r:.1f}h{2 * r}v{2 * r}h{-2 * r}z"/>',
        "diamond": f'<path d="M{x:.1f} {y - r - 2:.1f}l{r + 2} {r + 2}l{-r - 2} {r + 2}l{-r - 2} {-r - 2}z"/>',
        "triangle": f'<path d="M{x:.1f} {y - r - 1:.1f}l{r + 1} {2 * r}h{-2 * r - 2}z"/>',
    }
    classes = f"mark {point.kind} c{point.colour}{' solid' if point.solid else ''}{' best' if point.front else ''}"
    return (
        f'<a class="{classes}" href="{escape(point.href)}" data-n="{point.number}">'
        f'<title>{escape(point.title)}</title><circle class="target" cx="{x:.1f}" cy="{y:.1f}" r="12"/>'
        f"{shapes[MARKS[point.kind]]}</a>"
    )


def _labels(
    points: Sequence[Point], placed: Sequence[tuple[float, float]], lines: Sequence[Box], size: Size
) -> Iterator[str]:
    """Labels where they cover neither a mark nor each other, nor a line if it can be; without room there is none.

    Those of the fronts are placed first.
    """
    marks = [(x - 7.0, y - 7.0, x + 7.0, y + 7.0) for x, y in placed]
    taken: list[Box] = []
    order = sorted(range(len(points)), key=lambda i: (not points[i].front, points[i].x))
    for i in order:
        if not points[i].label:
            continue
        (x, y), best = placed[i], points[i].front
        text = points[i].label
        others = [mark for j, mark in enumerate(marks) if j != i]
        extent = text_width(text, size.font), size.font * 1.25
        box = find_room(x, y, extent, [*others, *taken, *lines], size.area, 22)
        box = box or find_room(x, y, extent, [*others, *taken], size.area, 125 if best else 22)
        if box is None:
            continue
        taken.append(box)
        left, top, right, bottom = box
        near = min(max(x, left), right), min(max(y, top), bottom)
        if math.dist(near, (x, y)) > 16:
            yield f'<path class="leader" d="M{x:.1f} {y:.1f}L{near[0]:.1f} {near[1]:.1f}"/>'
        anchor = f'x="{(left + right) / 2:.1f}" y="{bottom - size.font * 0.32:.1f}" text-anchor="middle"'
        yield f'<text class="label{" best" if best else ""}" data-n="{points[i].number}" {anchor}>{escape(text)}</text>'


def text_width(text: str, font: float) -> float:
    """An upper estimate for the width of a text in sans-serif fonts, in the unit of ``font``."""
    return font * sum(0.36 if c in "iljtfr.,:;'| ()[]" else 0.95 if c in "mwMW@%" else 0.66 for c in text) + 4


def find_room(
    x: float, y: float, extent: tuple[float, float], taken: Sequence[Box], area: Box, farthest: float
) -> Box | None:
    """The box nearest to a point that is inside ``area`` and touches none of ``taken``; ``None`` if there is none.

    Args:
        x, y: the point.
        extent: width and height of the box.
        farthest: from the point.
    """
    width, height = extent
    for distance in (each for each in (9, 14, 22, 34, 50, 70, 95, 125) if each <= farthest):
        for across, up in ((1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)):
            reach = distance if not (across and up) else distance * 0.75
            middle_x = x + across * (reach + width / 2)
            middle_y = y - up * (reach + height / 2)
            box = (middle_x - width / 2, middle_y - height / 2, middle_x + width / 2, middle_y + height / 2)
            inside = box[0] >= area[0] and box[1] >= area[1] and box[2] <= area[2] and box[3] <= area[3]
            if inside and not any(overlaps(box, other) for other in taken):
                return box
    return None


def overlaps(a: Box, b: Box) -> bool:
    """Whether two boxes share more than an edge."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


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
