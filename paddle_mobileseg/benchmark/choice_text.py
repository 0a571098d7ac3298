"""A choice as text for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paddle_mobileseg import tables

if TYPE_CHECKING:
    from paddle_mobileseg.benchmark.choose import Candidate, Choice, Front, Limits


def text(choice: Choice) -> str:
    """The lists, the nearest misses where there is none, and what was left out."""
    lines = [f"device: {choice.device}", f"asked for: {_asked(choice.limits)}"]
    for front in choice.fronts:
        lines += ["", _title(front), _table(front, choice.limits)]
    if not choice.fronts:
        lines += ["", "Nothing keeps to the limits."]
        lines += [f"nearest: {each.name}: {each.reason}" for each in choice.nearest]
    if choice.left_out:
        lines += ["", f"left out ({len(choice.left_out)}):"]
        lines += [f"  {each.name}: {each.reason}" for each in choice.left_out]
    return "\n".join(lines)


def _asked(limits: Limits) -> str:
    what = f"{limits.statistic} of the {'whole frame' if limits.what == 'frame' else 'network'}"
    parts = [what if limits.max_latency_ms is None else f"{what} at most {limits.max_latency_ms:g} ms"]
    if limits.max_size_mb is not None:
        parts.append(f"files of at most {limits.max_size_mb:g} MB")
    if limits.classes:
        parts.append(f"classes {', '.join(limits.classes)}")
    if limits.min_miou is not None:
        parts.append(f"mIoU at least {limits.min_miou:g}")
    return "; ".join(parts)


def _title(front: Front) -> str:
    if front.accuracy is None:
        return f"Latency {front.latency}, accuracy not known: all that keep to the limits, fastest first"
    return f"Latency {front.latency}, {front.accuracy}: those that no other one beats in both"


def _table(front: Front, limits: Limits) -> str:
    rows: list[tuple[str, ...]] = [("", f"{limits.statistic} ms", "MB", "accuracy", "")]
    rows += [_row(each) for each in front.candidates]
    return tables.plain(rows)


def _row(each: Candidate) -> tuple[str, ...]:
    error = "" if each.error is None else f" (within {each.error:.0%})"
    size = "-" if each.size_mb is None else f"{each.size_mb:.2f}"
    score = "-" if each.score is None else f"{each.score:.4f}"
    return each.name, f"{each.latency_ms:.2f}{error}", size, score, each.about
