"""The section ``accuracy`` of a benchmark record, from scores that were measured before.

Only scores of one pass over each image at its own scale are taken: a latency is that of one pass, and what several
scales, mirrored copies or windows gain would cost several.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from paddle_mobileseg.benchmark.plan import Plan
from paddle_mobileseg.files import sha256
from paddle_mobileseg.runtime.bundle import MANIFEST, Bundle, load_bundle

_CONFIG = "config.yml"
_CHECKPOINT_BACKEND = "dygraph"
_OWN_DATA = "Dataset"  # the class for any data with lists of files
_ROUNDING = 1e-6
_AGAIN = "; evaluate again with `mobileseg val --save_dir FOLDER`"


def from_scores(val_json: str | Path, bundle: Bundle, backend: str) -> dict[str, Any]:
    """Scores that ``mobileseg val --save_dir`` wrote, of this bundle or of the checkpoint that it was made from.

    Args:
        val_json: ``of`` becomes ``exported file`` if it is of ``val --bundle``, ``checkpoint`` if of
            ``val --model_path``.
        bundle: which the scores must belong to: by the hash of its manifest, which has those of all its files, or by
            that of the checkpoint's weights.
        backend: that the record is of. Scores of an exported file count for the backend that gave them only.

    Returns:
        the section, shares 0 to 1, IoU in the order of the bundle's classes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged (also NaN, or a share above 1), of another bundle, checkpoint, backend or other classes, or
            not of one pass over each image.
    """
    path = Path(val_json)
    content = _read(path)
    of = _origin(path, content, bundle, backend)
    _check_one_pass(path, content.get("eval"))
    dataset = content.get("dataset")
    if not isinstance(dataset, str) or not dataset:
        raise ValueError(f"{path}: 'dataset' is {dataset!r}; expected the name of the data set{_AGAIN}")
    command = content.get("command") or f"mobileseg val ({path.name})"
    date = content.get("date")
    source = f"{command}, {date}" if date else str(command)
    return _section(path, content, bundle, of, _named(dataset, content.get("dataset_folder")), source)


def of_plans(scores: Sequence[Path], plans: Sequence[Plan]) -> list[dict[str, Any] | None]:
    """The section for each plan: of the scores of its own file, else of its checkpoint's, else of what the bundle
    carries.

    Args:
        scores: files that ``mobileseg val`` wrote.
        plans: what is to be measured.

    Raises:
        FileNotFoundError, ValueError: as :func:`from_scores` and :func:`from_manifest`; also scores of a backend that
            is not measured, or of none of the bundles.
    """
    contents = {path: _read(path) for path in scores}
    bundles = {plan.bundle: load_bundle(plan.bundle) for plan in plans}
    for path, content in contents.items():
        if content["backend"] not in (_CHECKPOINT_BACKEND, *(plan.backend for plan in plans)):
            raise ValueError(
                f"{path} has scores of the backend {content['backend']!r}, which is not measured; measured are "
                f"{', '.join(dict.fromkeys(plan.backend for plan in plans))}"
            )
        if not any(_belongs(content, bundle) for bundle in bundles.values()):
            _origin(path, content, next(iter(bundles.values())), content["backend"])  # says what differs
    sections = []
    for plan in plans:
        bundle = bundles[plan.bundle]
        fitting = [
            path
            for name in (plan.backend, _CHECKPOINT_BACKEND)
            for path, content in contents.items()
            if content["backend"] == name and _belongs(content, bundle)
        ]
        sections.append(from_scores(fitting[0], bundle, plan.backend) if fitting else from_manifest(bundle))
    return sections


def from_manifest(bundle: Bundle) -> dict[str, Any] | None:
    """The checkpoint's scores that a bundle carries, from an evaluation during training; ``of`` is ``checkpoint``.

    Returns:
        the section; ``None`` where the manifest has no scores, or the bundle's configuration names no data set or
        evaluates with several scales, mirrored copies or windows.

    Raises:
        FileNotFoundError: the bundle's configuration is not there.
        ValueError: it was changed, or the scores are damaged or of other classes.
    """
    metrics = bundle.about.get("metrics")
    if not isinstance(metrics, dict) or metrics.get("miou") is None or _CONFIG not in bundle.about["files"]:
        return None
    bundle.verify([bundle.folder / _CONFIG])
    config = yaml.safe_load((bundle.folder / _CONFIG).read_text(encoding="utf-8"))
    parts = config if isinstance(config, dict) else {}
    data = parts.get("val_dataset") or {}
    how = parts.get("test_config") or {}
    if not data.get("type") or how.get("aug_eval") or how.get("is_slide"):
        return None
    dataset = _named(str(data["type"]), Path(data.get("dataset_root") or "").name)
    return _section(bundle.folder / MANIFEST, metrics, bundle, "checkpoint", dataset, "evaluation during training")


def _named(dataset: str, folder: Any) -> str:
    """The name of a data set; of one that the configuration describes itself, that of its folder."""
    return folder if dataset == _OWN_DATA and isinstance(folder, str) and folder else dataset


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"there are no scores {path}; `mobileseg val --save_dir FOLDER` writes FOLDER/val.json")

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no number")

    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}){_AGAIN}") from error
    if not isinstance(content, dict) or "miou" not in content or "backend" not in content:
        raise ValueError(f"{path} holds no scores of `mobileseg val`: expected an object with 'miou' and 'backend'")
    return content


def _hashes(content: dict[str, Any], bundle: Bundle) -> tuple[Any, Any]:
    """Of what the scores are of, and of that of the bundle."""
    if content["backend"] == _CHECKPOINT_BACKEND:
        return content.get("checkpoint_sha256"), bundle.about.get("source_checkpoint_sha256") or None
    return content.get("bundle_sha256"), sha256(bundle.folder / MANIFEST)


def _belongs(content: dict[str, Any], bundle: Bundle) -> bool:
    found, wanted = _hashes(content, bundle)
    return wanted is not None and found == wanted


def _origin(path: Path, content: dict[str, Any], bundle: Bundle, backend: str) -> str:
    """``exported file`` or ``checkpoint``, if the scores are of that of the bundle."""
    evaluated = content["backend"]
    found, wanted = _hashes(content, bundle)
    what = "checkpoint" if evaluated == _CHECKPOINT_BACKEND else "exported file"
    if wanted is None:
        raise ValueError(
            f"{path} has scores of a checkpoint, but {bundle.folder} was made from none (random weights); leave "
            "the scores out, or export the checkpoint"
        )
    if found != wanted:
        means = "the bundle" if what == "exported file" else "the checkpoint it was made from"
        raise ValueError(
            f"{path} has scores of another {'bundle' if what == 'exported file' else what} (sha256 {_short(found)}) "
            f"than {bundle.folder} ({_short(wanted)}); evaluate {means}"
        )
    if what == "exported file" and evaluated != backend:
        raise ValueError(
            f"{path} has scores of the backend {evaluated!r}, but the record is of {backend!r}; give scores of the "
            f"checkpoint, which count for every backend, or of `mobileseg val --bundle ... --backend {backend}`"
        )
    return what


def _short(digest: Any) -> str:
    return f"{digest[:12]}..." if isinstance(digest, str) and digest else "not noted"


def _check_one_pass(path: Path, how: Any) -> None:
    if not isinstance(how, dict):
        raise ValueError(f"{path} does not say how it was evaluated ('eval'){_AGAIN}")
    scales = how.get("scales")
    extra = [name for name in ("flip", "flip_vertical", "crop_size") if how.get(name)]
    if scales != [1.0]:
        extra.insert(0, f"scales {scales}")
    if extra:
        raise ValueError(
            f"{path} was evaluated with {', '.join(extra)}, which costs more than the one pass that is timed; evaluate "
            "without --aug_eval and --is_slide"
        )


def _section(path: Path, scores: dict[str, Any], bundle: Bundle, of: str, dataset: str, source: str) -> dict[str, Any]:
    images = scores.get("images")
    if images is not None and (isinstance(images, bool) or not isinstance(images, int) or images < 1):
        raise ValueError(f"{path}: 'images' is {images!r}; expected how many were evaluated, 1 or more{_AGAIN}")
    miou = _share(path, "miou", scores.get("miou"))
    return {
        "of": of,
        "dataset": dataset,
        "images": images,
        "miou": miou,
        "pixel_accuracy": _share(path, "accuracy", scores.get("accuracy")),
        "iou": _iou(path, scores.get("iou"), bundle, miou),
        "source": source,
    }


def _iou(path: Path, iou: Any, bundle: Bundle, miou: float | None) -> dict[str, float | None] | None:
    """IoU by class, which must be the bundle's classes and have the mean that is noted."""
    if iou is None:
        return None
    names = bundle.class_names
    if not isinstance(iou, dict) or list(iou) != list(dict.fromkeys(names)):
        got = f"{len(iou)} classes ({', '.join(list(iou)[:3])}, ...)" if isinstance(iou, dict) else repr(iou)
        raise ValueError(
            f"{path}: 'iou' has {got}, but {bundle.folder} has {len(names)} ({', '.join(names[:3])}, ...), in this "
            "order; evaluate on the data set that it was trained for"
        )
    values = {name: _share(path, f"iou.{name}", value) for name, value in iou.items()}
    known = [value for value in values.values() if value is not None]
    mean = sum(known) / len(known) if known else None
    same = mean == miou if mean is None or miou is None else math.isclose(mean, miou, abs_tol=_ROUNDING)
    if len(iou) == len(names) and not same:
        raise ValueError(f"{path} was changed: 'miou' is {miou}, but the mean of 'iou' is {mean}{_AGAIN}")
    return values


def _share(path: Path, name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{path}: {name!r} is {value!r}; expected a number from 0 to 1, or null{_AGAIN}")
    return float(value)
