"""The sections of the report as plain values: numbers, or ``None`` for what was not measured."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from paddle_mobileseg.data.palette import default_palette
from paddle_mobileseg.report import measurements
from paddle_mobileseg.report.benchmark_entries import Entry
from paddle_mobileseg.report.charts import Curve, curves_chart, line_chart
from paddle_mobileseg.report.reading import BundleFiles, RunFiles, number

_MB = 1e6
_MOST_CURVES = 20


def title(run: RunFiles, config: dict[str, Any], bundles: list[BundleFiles]) -> str:
    """Name of the network, with its backbone where the configuration has one."""
    stored = [run.checkpoint or {}, *(bundle.about for bundle in bundles)]
    model = _section(config, "model")
    network = next((each["network"] for each in stored if each.get("network")), model.get("type") or "Unknown network")
    backbone = _section(model, "backbone").get("type")
    return f"{network} · {backbone}" if backbone else str(network)


def dataset(run: RunFiles, config: dict[str, Any]) -> str:
    """Name of the data set."""
    scores = run.scores or {}
    return str(scores.get("dataset") or _section(config, "val_dataset").get("type") or "unknown data set")


def headline(run: RunFiles, bundles: list[BundleFiles], records: list[Entry]) -> list[dict[str, str | None]]:
    """The numbers at the top: ``name``, ``value`` (text or ``None``), ``unit``, ``note``, ``command`` to use."""
    about = [bundle.about for bundle in bundles]
    parameters = _first_number([run.checkpoint or {}, *about], "num_parameters")
    macs = _first_number(about, "macs")
    value, note = measurements.latency_card(records)
    return [
        _miou_card(run),
        _card("Parameters", "train", None if parameters is None else f"{parameters / 1e6:.2f}", "M"),
        _card("MACs", "export", None if macs is None else f"{macs / 1e9:.2f}", "G", _macs_note(bundles)),
        _size_card(bundles),
        _card("Best latency", "benchmark", value, "ms", note),
    ]


def _card(name: str, command: str, value: str | None, unit: str = "", note: str = "") -> dict[str, str | None]:
    return {"name": name, "command": command, "value": value, "unit": unit, "note": note}


def _miou_card(run: RunFiles) -> dict[str, str | None]:
    measured = number((run.scores or {}).get("miou"))
    if run.scores is not None and measured is not None:
        images = run.scores.get("images")
        notes = [f"{images} images" if images else "", _evaluated(run.scores)]
        return _card("mIoU", "val", f"{measured:.3f}", note=", ".join(filter(None, notes)))
    best = _best_evaluation(run)
    if best is None:
        return _card("mIoU", "val", None)
    return _card("mIoU", "val", f"{best['miou']:.3f}", note=f"during training, iteration {best['iter']}")


def _size_card(bundles: list[BundleFiles]) -> dict[str, str | None]:
    sizes = backend_sizes(bundles)
    if not sizes:
        return _card("Size on disk", "export", None)
    smallest = min(sizes, key=lambda name: sizes[name])
    rest = [f"{name} {size:.1f} MB" for name, size in sizes.items() if name != smallest]
    return _card("Size on disk", "export", f"{sizes[smallest]:.1f}", "MB", ", ".join([smallest, *rest]))


def notices(run: RunFiles, bundles: list[BundleFiles]) -> list[str]:
    """Warnings: parts that do not belong together, exports that failed, files that changed."""
    found = []
    trained = _section(run.checkpoint or {}, "sha256").get("model.pdparams")
    evaluated = (run.scores or {}).get("checkpoint_sha256")
    if trained and evaluated and trained != evaluated:
        found.append("The scores below are of another checkpoint than this run's best_model: evaluate again.")
    reference = evaluated or trained
    for bundle in bundles:
        source = bundle.about.get("source_checkpoint_sha256")
        if reference and source and source != reference:
            found.append(
                f"The bundle {bundle.folder.name} was exported from another checkpoint than the scores are of."
            )
    found += [
        f"Parity failed: {row['stage']} of {row['bundle']}." for row in parity_rows(bundles) if row["passed"] is False
    ]
    found += [f"{row['bundle']}/{row['name']}: {row['state']}." for row in file_rows(bundles) if row["state"]]
    return found


def charts(run: RunFiles) -> list[dict[str, Any]]:
    """The training curves: ``name``, ``svg`` (``None`` without points) and ``note``."""
    wanted = [
        ("Loss", run.train, "loss"),
        ("Learning rate", run.train, "lr"),
        ("Validation mIoU", run.evaluations, "miou"),
    ]
    result = []
    for name, records, key in wanted:
        values = [(float(each["iter"]), number(each.get(key))) for each in records]
        points = [(x, y) for x, y in values if y is not None]
        if not points:
            result.append({"name": name, "svg": None, "note": ""})
            continue
        last = f"last {points[-1][1]:.3g}"
        best = max(points, key=lambda point: point[1])
        note = f"best {best[1]:.3f} at {best[0]:.0f}" if key == "miou" else last
        if len(points) < len(values):
            note += f"; {len(values) - len(points)} without a finite number left out"
        svg = line_chart(points, f"{name} over iterations", f"{len(points)} records, {note}", mark_best=key == "miou")
        result.append({"name": name, "svg": svg, "note": note})
    return result


_ENDS = {"early_stop": " (early stop: no more gain)", "interrupted": " (interrupted)", "error": " (ended by an error)"}


def training_summary(run: RunFiles) -> str:
    """Iterations, time and speed of the training in words; empty without a log of training."""
    if not run.train:
        return ""
    done = run.train[-1]["iter"]
    end = _ENDS.get(run.ended or "", "") if run.iters != done or run.ended == "early_stop" else ""
    total = f" of {run.iters:,.0f}" if run.iters is not None and run.iters > done else ""
    parts = [f"{done:,}{total} iterations{end}".replace(",", "\u202f")]
    if run.elapsed_s is not None:
        parts.append(duration(run.elapsed_s))
    speeds = [speed for each in run.train if (speed := number(each.get("images_per_s"))) is not None]
    if speeds:
        parts.append(f"median {statistics.median(speeds):.1f} images/s")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """1 h 05 min, 8 min 12 s, 41 s."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def class_rows(run: RunFiles, names: list[str], palette: np.ndarray | None) -> list[dict[str, Any]]:
    """IoU of each class, the best first, classes that do not occur last: ``name``, ``iou``, ``colour``."""
    source = run.scores if (run.scores or {}).get("iou") else _best_evaluation(run)
    rows = [
        {
            "name": name,
            "iou": number(value),
            "colour": css_colour(palette, names.index(name)) if name in names else None,
        }
        for name, value in ((source or {}).get("iou") or {}).items()
    ]
    return sorted(rows, key=lambda row: -1.0 if row["iou"] is None else row["iou"], reverse=True)


def class_curves(run: RunFiles, names: list[str], palette: np.ndarray | None) -> dict[str, Any] | None:
    """IoU of each class over the evaluations during training: ``svg`` and ``note``; ``None`` below two evaluations.

    Of many classes those that are worst at the end are shown.
    """
    if len(run.evaluations) < 2:
        return None
    known = {name: None for each in run.evaluations for name in _section(each, "iou")}
    curves = []
    for number_of_class, name in enumerate(known):
        values = [(float(each["iter"]), number(_section(each, "iou").get(name))) for each in run.evaluations]
        points = [(x, y) for x, y in values if y is not None]
        colour = css_colour(palette, names.index(name) if name in names else number_of_class)
        if points:
            curves.append(Curve(name, colour, points))
    if not curves:
        return None
    shown = sorted(curves, key=lambda curve: curve.points[-1][1])[:_MOST_CURVES]
    note = f"{len(run.evaluations)} evaluations during training, {len(shown)} classes"
    if len(shown) < len(curves):
        note = f"{len(run.evaluations)} evaluations during training, the {len(shown)} worst of {len(curves)} classes"
    return {"svg": curves_chart(shown, "IoU of each class over iterations", note), "note": note}


def scores(run: RunFiles) -> dict[str, Any] | None:
    """Means of the evaluation and how it was made; ``None`` if there was none."""
    if run.scores is None:
        return None
    means = {name: number(run.scores.get(key)) for name, key in _MEANS.items()}
    return {"means": means, "images": run.scores.get("images"), "protocol": _protocol(run.scores)}


def _protocol(scores: dict[str, Any]) -> str:
    """How scores were made, in words."""
    how = _section(scores, "eval")
    scales = how.get("scales") or [1.0]
    words = ["single scale" if scales == [1.0] else f"scales {', '.join(f'{scale:g}' for scale in scales)}"]
    words += [word for key, word in (("flip", "flipped"), ("flip_vertical", "flipped vertically")) if how.get(key)]
    window, stride = (how.get(key) for key in ("crop_size", "stride"))
    if window and stride:
        words.append(f"windows of {window[0]}×{window[1]} pixels every {stride[0]}×{stride[1]}")
    return ", ".join(filter(None, [*words, _evaluated(scores)]))


def _evaluated(scores: dict[str, Any]) -> str:
    """What was evaluated; empty where it is not recorded."""
    backend = scores.get("backend")
    if backend is None:
        return ""
    return "the checkpoint" if backend == "dygraph" else f"the exported file on {backend}"


_MEANS = {"mIoU": "miou", "Pixel accuracy": "accuracy", "Kappa": "kappa", "Dice": "dice"}


def parity_rows(bundles: list[BundleFiles]) -> list[dict[str, Any]]:
    """A row for each stage of each bundle that was compared with the trained network."""
    keys = ("label_agreement", "boundary_agreement", "max_abs_diff", "mean_abs_diff", "miou_change")
    return [
        {
            "bundle": bundle.folder.name,
            "stage": str(row.get("stage", "")).replace("->", " → "),
            "images": row.get("images"),
            "tolerance": row.get("tolerance"),
            "passed": row.get("passed"),
            **{key: number(row.get(key)) for key in keys},
        }
        for bundle in bundles
        for row in bundle.about.get("parity") or []
    ]


def file_rows(bundles: list[BundleFiles]) -> list[dict[str, Any]]:
    """A row for each file of each bundle: size found on disk, hash noted at export, ``state`` if something is wrong."""
    rows = []
    for bundle in bundles:
        for name, noted in _section(bundle.about, "files").items():
            path = bundle.folder / name
            size = path.stat().st_size if path.is_file() else None
            state = (
                "not there" if size is None else "size differs from the export" if size != noted.get("bytes") else ""
            )
            megabytes = None if size is None else size / _MB
            sha256 = str(noted.get("sha256") or "")
            rows.append(
                {"bundle": bundle.folder.name, "name": name, "mb": megabytes, "sha256": sha256[:12], "state": state}
            )
    return rows


def backend_sizes(bundles: list[BundleFiles]) -> dict[str, float]:
    """Megabytes (10^6 bytes) of the files that each backend needs; of several bundles the smallest."""
    sizes: dict[str, float] = {}
    for bundle in bundles:
        found = {row["name"]: row["mb"] for row in file_rows([bundle])}
        for backend, names in _section(bundle.about, "backends").items():
            parts = [size for name in names if (size := found.get(name)) is not None]
            if parts and len(parts) == len(names):
                sizes[backend] = min(sum(parts), sizes.get(backend, float("inf")))
    return sizes


def hints(run: RunFiles, bundles: list[BundleFiles]) -> dict[str, str]:
    """The commands that make what can be missing."""
    folder = shlex.quote(str(run.folder))
    bundle = shlex.quote(str(bundles[0].folder if bundles else run.folder.parent / "bundle"))
    records = shlex.quote(str(run.folder.parent / "records"))
    return {
        "train": f"mobileseg train --config CONFIG.yml --do_eval --save_dir {folder}",
        "val": f"mobileseg val --model_path {folder}/best_model --save_dir {folder}",
        "export": f"mobileseg export --model_path {folder}/best_model --save_dir {bundle}",
        "benchmark": f"mobileseg benchmark --bundle {bundle} --output {records}",
    }


def commands(
    run: RunFiles, bundles: list[BundleFiles], records: list[Entry], given: Sequence[str], out_html: str
) -> list[dict[str, Any]]:
    """The commands that repeat this page: ``name``, ``line`` (or lines) and whether it was ``recorded`` when it ran.

    Args:
        run, bundles, records: what the page shows.
        given: files and folders of records that it was asked to read.
        out_html: the page.
    """
    hint = hints(run, bundles)
    folders = ["--bundle", *(str(bundle.folder) for bundle in bundles)] if bundles else []
    measured = dict.fromkeys(entry.record["command"] for entry in records if entry.record["command"])
    recorded = {
        "train": (run.environment or {}).get("command"),
        "val": (run.scores or {}).get("command"),
        "export": next((bundle.about["command"] for bundle in bundles if bundle.about.get("command")), None),
        "benchmark": "\n".join(measured),
        "report": shlex.join(["mobileseg", "report", *given, "--run", str(run.folder), *folders, "--output", out_html]),
    }
    return [{"name": name, "line": str(line or hint[name]), "recorded": bool(line)} for name, line in recorded.items()]


def css_colour(palette: np.ndarray | None, index: int) -> str:
    """``#rrggbb`` of a class; without a palette, or beyond it, the default colour."""
    colours = palette if palette is not None and index < len(palette) else default_palette(index + 1)
    return "#" + "".join(f"{int(channel):02x}" for channel in colours[index])


def _best_evaluation(run: RunFiles) -> dict[str, Any] | None:
    scored = [each for each in run.evaluations if number(each.get("miou")) is not None]
    return max(scored, key=lambda each: each["miou"], default=None)


def _section(content: dict[str, Any], key: str) -> dict[str, Any]:
    value = content.get(key)
    return value if isinstance(value, dict) else {}


def _first_number(sources: list[dict[str, Any]], key: str) -> float | None:
    return next((value for source in sources if (value := number(source.get(key))) is not None), None)


def _macs_note(bundles: list[BundleFiles]) -> str:
    size = next((bundle.about["macs_size_hw"] for bundle in bundles if bundle.about.get("macs_size_hw")), None)
    return "" if size is None else f"at {size[1]}×{size[0]}"
