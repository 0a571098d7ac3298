"""Two or more measurements: which is faster, as far as they can tell.

The ratio is that of the medians, B / A: below 1 B is faster. Its confidence interval is the bootstrap's
(:mod:`paddle_mobileseg.benchmark.bootstrap`). B is called faster or slower only where the whole interval is beyond a
margin: 2 % where the two took turns in one run. Where they did not, the interval knows nothing of what changed between
the runs, and the margin is 10 %. All else is "cannot tell".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from paddle_mobileseg import tables
from paddle_mobileseg.benchmark import bootstrap, identity
from paddle_mobileseg.benchmark.record import Record, read_folder, refuse_to_replace
from paddle_mobileseg.files import write_json

MARGIN = 0.02
MARGIN_APART = 0.10  # of records that were not measured in turns
MAX_RATIO = 1.05  # of a regression
RESAMPLES = 2000
WHATS = ("network", "frame")
FASTER, SLOWER, CANNOT_TELL = "faster", "slower", "cannot tell"


@dataclass(frozen=True)
class Pair:
    """B against the baseline A.

    Attributes:
        a, b: what they are.
        a_ms, b_ms: medians, in milliseconds; ``None`` where there is none.
        ratio: ``b_ms / a_ms``.
        low, high: its confidence interval; ``None`` where it cannot be had.
        verdict: ``faster`` (B is), ``slower`` or ``cannot tell``.
        same_within: the margin as a share where the whole interval is inside it, else ``None``.
        margin: the share by which B must differ at least.
        in_turns: whether the two were measured in turns.
        reasons: why no verdict can be given.
        notes: what the reader should know beside it.
    """

    a: str
    b: str
    a_ms: float | None
    b_ms: float | None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: str = CANNOT_TELL
    same_within: float | None = None
    margin: float = MARGIN
    in_turns: bool = False
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """Every further record against the first.

    Attributes:
        what: ``network`` or ``frame``, the time compared.
        level: of the confidence intervals.
        pairs: one for each record but the first.
    """

    what: str
    level: float
    pairs: list[Pair]

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)

    def text(self) -> str:
        """A table, with reasons and notes below it."""
        first = self.pairs[0]
        rows = [("", "median ms", "B / A", f"{self.level:.0%} interval", "verdict")]
        rows.append((f"A  {first.a}", _number(first.a_ms), "1", "", "baseline"))
        lines = []
        for letter, pair in zip(_letters(len(self.pairs)), self.pairs, strict=True):
            interval = "-" if pair.low is None or pair.high is None else f"{pair.low:.3f} to {pair.high:.3f}"
            same = "" if pair.same_within is None else f" (same within {pair.same_within:.0%})"
            ratio = "-" if pair.ratio is None else f"{pair.ratio:.3f}"
            rows.append((f"{letter}  {pair.b}", _number(pair.b_ms), ratio, interval, pair.verdict + same))
            lines += [f"{letter}: no verdict: {reason}" for reason in pair.reasons]
            lines += [f"{letter}: {note}" for note in pair.notes]
        about = f"Time of the {self.what}. Ratio below 1: faster than A. Verdict where the whole interval is beyond "
        margins = sorted({pair.margin for pair in self.pairs})
        return "\n".join([tables.plain(rows), about + " or ".join(f"{m:.0%}" for m in margins) + ".", *lines])


def compare(
    records: Sequence[Record],
    seed: int = 0,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    what: str = "network",
    margin: float = MARGIN,
) -> Comparison:
    """Compare records with the first one.

    Args:
        records: two or more; the first is the baseline A.
        seed: of the bootstrap; the same seed gives the same interval.
        level: of the confidence interval, more than 0 and less than 1.
        resamples: of the bootstrap, 100 or more.
        what: ``network`` or ``frame`` (the whole frame).
        margin: share below which a difference does not matter, 0 or more; records that were not measured in turns get
            at least ``MARGIN_APART``.

    Raises:
        ValueError: fewer than two records, or an argument out of range.
    """
    if len(records) < 2:
        raise ValueError(f"{len(records)} record(s) to compare; give two or more, the first is the baseline")
    if what not in WHATS:
        raise ValueError(f"what is {what!r}; expected one of {', '.join(WHATS)}")
    for name, fine, expected in (
        ("level", 0 < level < 1, "a share between 0 and 1, such as 0.95"),
        ("resamples", resamples >= 100, "100 or more"),
        ("margin", 0 <= margin < 1, "a share from 0 to 1, such as 0.02"),
    ):
        if not fine:
            raise ValueError(f"{name} is {locals()[name]}; expected {expected}")
    names = identity.labels(records)
    pairs = [
        _pair(records[0], record, (names[0], name), what, margin, seed, level, resamples)
        for record, name in zip(records[1:], names[1:], strict=True)
    ]
    return Comparison(what, level, pairs)


def run(
    paths: Sequence[str | Path],
    baseline: str | Path | None = None,
    max_ratio: float = MAX_RATIO,
    json_path: str | Path | None = None,
    what: str = "network",
) -> tuple[str, int]:
    """The command ``compare``.

    Args:
        paths: records, or folders of records; without ``baseline`` the first record is A, in the order given.
        baseline: record or folder that the records may not be slower than.
        max_ratio: with ``baseline``: the largest ratio allowed, 1 or more.
        json_path: where to write the result as JSON.
        what: ``network`` or ``frame``.

    Returns:
        text to print, and the exit status: 1 where something became slower than ``max_ratio`` allows, or failed.

    Raises:
        FileNotFoundError: a path is not there.
        ValueError: damaged records, nothing to compare, or an argument out of range.
        OSError: ``json_path`` cannot be written, or is a record.
    """
    from paddle_mobileseg.benchmark import regressions as checks

    refuse_to_replace(json_path)
    if baseline is None:
        comparison = compare([record for path in paths for record in read_folder(Path(path))], what=what)
        text, status, content = comparison.text(), 0, comparison.as_json()
    else:
        result = checks.regressions(read_folder(*paths), read_folder(baseline), max_ratio, what=what)
        text, status, content = result.text(), int(bool(result.failed)), result.as_json()
    if json_path is not None:
        write_json(json_path, content)
    return text, status


def median_ms(record: Record, what: str) -> float | None:
    """Median of the network or of the frame, in milliseconds; ``None`` where it is not known."""
    summary = (record["timing"] or {}).get(what)
    return None if summary is None else summary["median"]


def raw_ms(record: Record, what: str) -> list[float] | None:
    """Every timed run of the network or of the frame; ``None`` where there is no list."""
    summary = (record["timing"] or {}).get(what)
    return None if summary is None else summary["raw"]


def _pair(
    a: Record, b: Record, names: tuple[str, str], what: str, margin: float, seed: int, level: float, resamples: int
) -> Pair:
    a_ms, b_ms = median_ms(a, what), median_ms(b, what)
    reasons, notes = _reasons(a, b, what), _notes(a, b)
    ratio = None if a_ms is None or b_ms is None else b_ms / a_ms
    a_raw, b_raw = raw_ms(a, what), raw_ms(b, what)
    if a_raw is None or b_raw is None:
        if ratio is None:
            missing = " and ".join(name for name, ms in (("A", a_ms), ("it", b_ms)) if ms is None)
            reasons.append(f"no median of the {what} in {missing}")
        else:
            reasons.append("statistics only, without the single times: nothing says how sure the ratio is")
        return Pair(*names, a_ms, b_ms, ratio, margin=margin, reasons=reasons, notes=notes)
    turns = _turns(a, b, a_raw, b_raw)
    if turns is None:
        margin = max(margin, MARGIN_APART)
        notes.append(f"{_why_no_turns(a, b)}: drift between the runs is not covered, so the margin is {margin:.0%}")
        interval = bootstrap.of_runs([a_raw], [b_raw], seed=seed, level=level, resamples=resamples)
    else:
        interval = bootstrap.of_turns(a_raw, turns[0], b_raw, turns[1], seed=seed, level=level, resamples=resamples)
    if interval.low is None:
        reasons.append(
            f"{interval.blocks} independent blocks of runs, an interval needs {bootstrap.MIN_BLOCKS}; measure longer"
        )
    verdict, same = judge(interval.low, interval.high, margin)
    return Pair(
        *names,
        a_ms,
        b_ms,
        interval.ratio,
        interval.low,
        interval.high,
        CANNOT_TELL if reasons else verdict,
        margin if same and not reasons else None,
        margin,
        turns is not None,
        reasons,
        notes,
    )  # fmt: skip


def judge(low: float | None, high: float | None, margin: float) -> tuple[str, bool]:
    """The verdict that an interval allows, and whether all of it is inside the margin."""
    if low is None or high is None:
        return CANNOT_TELL, False
    if high < 1 / (1 + margin):
        return FASTER, False
    if low > 1 + margin:
        return SLOWER, False
    return CANNOT_TELL, low >= 1 / (1 + margin) and high <= 1 + margin


def _turns(a: Record, b: Record, a_raw: list[float], b_raw: list[float]) -> tuple[list[int], list[int]] | None:
    """Turns of both where they took turns in one run, and have enough of them in common."""
    one, other = a["protocol"], b["protocol"]
    if one["group"] is None or one["group"] != other["group"] or one["turns"] is None or other["turns"] is None:
        return None
    if len(one["turns"]) != len(a_raw) or len(other["turns"]) != len(b_raw):
        return None
    common = set(one["turns"]) & set(other["turns"])  # a turn that was thrown away is missing
    return (one["turns"], other["turns"]) if len(common) >= bootstrap.MIN_BLOCKS else None


def _why_no_turns(a: Record, b: Record) -> str:
    group = a["protocol"]["group"]
    if group is None or group != b["protocol"]["group"]:
        return "not measured in turns"
    return f"measured in turns, but fewer than {bootstrap.MIN_BLOCKS} are in both (--preset paddle-lite has more)"


def _reasons(a: Record, b: Record, what: str) -> list[str]:
    """Why the two cannot be compared."""
    reasons = [f"{name} is {why}" for name, record in (("A", a), ("it", b)) if (why := identity.why_unusable(record))]
    for name, record in (("A", a), ("it", b)):
        if (kind := record["origin"]["kind"]) in ("published", "estimated"):
            reasons.append(f"{name} is {kind}, not measured")
    if a["id"] is not None and a["id"] == b["id"]:
        reasons.append("it is the same record as A")
    if identity.device_id(a) is None or identity.device_id(b) is None:
        reasons.append("the device is not known")
    elif identity.device_id(a) != identity.device_id(b):
        reasons.append(f"different devices: {identity.device_name(a)} and {identity.device_name(b)}")
    one, other = identity.measured(a), identity.measured(b)
    refused = ["input shape", "classes present"] + (["frame size"] if what == "frame" else [])
    reasons += [_differ(name, one, other) for name in refused if one[name] != other[name]]
    labels = [each["output"] in ("argmax", "vim") for each in (one, other)]
    if one["output"] != other["output"] and labels[0] != labels[1]:
        reasons.append(_differ("output", one, other) + ": one gives labels, the other does not")
    units = {(record["timing"] or {}).get("unit", "ms") for record in (a, b)}
    if units != {"ms"}:
        reasons.append(f"times in {' and '.join(sorted(map(str, units)))}; expected ms")
    return reasons


def _notes(a: Record, b: Record) -> list[str]:
    one, other = identity.measured(a), identity.measured(b)
    told = ("precision", "output", "threads", "cores", "power mode", "options", "preset", "input", "classes")
    notes = [_differ(name, one, other) for name in told if one[name] != other[name]]
    for name, record in (("A", a), ("it", b)):
        if record["origin"]["kind"] == "imported":
            notes.append(f"{name} is imported from {record['origin']['importer'] or 'another tool'}")
    vim_noise = [r for r in (a, b) if r["model"]["output_op"] == "vim" and r["input"]["kind"] == "random"]
    if vim_noise:
        notes.append("VIM's speed on random input means nothing")
    return notes


def _differ(name: str, one: dict[str, Any], other: dict[str, Any]) -> str:
    return f"{name} differs: {identity.shown(one[name])} and {identity.shown(other[name])}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _letters(count: int) -> Sequence[str]:
    return [chr(ord("B") + i) if count < 26 else f"B{i + 1}" for i in range(count)]
