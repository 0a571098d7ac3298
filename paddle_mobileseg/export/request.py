"""What an export is asked for, checked before anything runs, and the preprocessing that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from paddle_mobileseg.data.transforms import Normalize
from paddle_mobileseg.runtime.bundle import MANIFEST, OUTPUT_OPS

# Format to write: backend that runs it, and with which it is proved.
BACKEND_OF = {"paddle": "paddle", "onnx": "onnxruntime"}

_CHANGE_SIZE = ("Resize", "ResizeByLong", "ResizeByShort", "LimitLong", "Padding")
# What other commands leave in a bundle's folder; it is about the bundle that is replaced.
_LEFT_BY_OTHERS = {"latency.json"}


def check_request(output_op: str, formats: Sequence[str]) -> None:
    """Raises:
    ValueError: unknown ``output_op`` or format, or no format.
    """
    if output_op not in OUTPUT_OPS:
        raise ValueError(f"output_op is {output_op!r}; expected one of {', '.join(OUTPUT_OPS)}")
    unknown = [each for each in formats if each not in BACKEND_OF]
    if isinstance(formats, str) or unknown or not formats:
        raise ValueError(f"formats is {formats!r}; expected some of {', '.join(BACKEND_OF)}")


def checked_shape(shape: Sequence[int | None] | None) -> list[int]:
    """``[N, 3, H, W]`` with -1 for what is dynamic; ``None`` as a whole, or in a place, means dynamic too.

    Raises:
        ValueError: not four whole numbers from 1 or -1, other than 3 channels, or only one of H and W fixed.
    """
    if shape is None:
        return [-1, 3, -1, -1]
    checked = [-1 if n is None else n for n in shape]
    if len(checked) != 4 or not all(type(n) is int and (n == -1 or n > 0) for n in checked):
        raise ValueError(f"input_shape is {list(shape)}; expected [N, C, H, W], each a positive number, or -1 for any")
    if checked[1] not in (3, -1):
        raise ValueError(
            f"input_shape is {list(shape)}; expected 3 channels (RGB) in the second place, not {checked[1]}"
        )
    if (checked[2] == -1) != (checked[3] == -1):
        raise ValueError(f"input_shape is {list(shape)}; fix both height and width, or neither (-1)")
    return [checked[0], 3, *checked[2:]]


def check_target(save_dir: Path) -> None:
    """Refuse to replace anything but a bundle of this project.

    Raises:
        ValueError: a file has the name, or the folder holds other things than a bundle's files.
    """
    if not save_dir.exists():
        return
    if not save_dir.is_dir():
        raise ValueError(f"{save_dir} is a file; choose another folder for the bundle")
    present = {path.name for path in save_dir.iterdir()}
    others = sorted(present - _bundle_files(save_dir / MANIFEST))
    if others:
        raise ValueError(
            f"{save_dir} holds {others[0]!r}, which is no part of a bundle; choose another, new or empty, folder"
        )


def deploy_transforms(transforms: Sequence[dict[str, Any]], input_shape: Sequence[int]) -> list[dict[str, Any]]:
    """Evaluation's transforms, made to give the size that a graph of fixed size takes.

    Args:
        transforms: as in the YAML.
        input_shape: [N, C, H, W]. Where H and W are fixed and the transforms do not end at exactly that size, one
            ``Resize`` replaces all that change the size.
    """
    size_wh = [input_shape[3], input_shape[2]]
    changing = [spec for spec in transforms if spec["type"] in _CHANGE_SIZE]
    if size_wh[0] == -1 or (changing and _fixed_size(changing[-1]) == size_wh):
        return [dict(spec) for spec in transforms]
    rest = [dict(spec) for spec in transforms if spec["type"] not in _CHANGE_SIZE]
    return [{"type": "Resize", "target_size": size_wh}, *rest]


def describe_normalization(transforms: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What happens to pixel values, for programs that do it themselves.

    Returns:
        ``range``: [least, largest] value that the graph gets; ``normalization``: ``(v / scale - mean) / std`` for
        8-bit ``v``, with one or three numbers in ``mean`` and ``std``; ``None`` if values stay 0 to 255.
    """
    specs = [spec for spec in transforms if spec["type"] == "Normalize"]
    if not specs:
        return {"range": [0.0, 255.0], "normalization": None}
    step = Normalize(**{key: value for key, value in specs[0].items() if key != "type"})
    least, largest = (0 - step.mean) / step.std, (1 - step.mean) / step.std
    return {
        "range": [round(float(least.min()), 6), round(float(largest.max()), 6)],
        "normalization": {"scale": 255.0, "mean": step.mean.tolist(), "std": step.std.tolist()},
    }


def _fixed_size(spec: dict[str, Any]) -> list[int] | None:
    """[width, height] that a transform gives whatever the image's size, if it does so."""
    exact = spec["type"] == "Padding" or (
        spec["type"] == "Resize" and not spec.get("keep_ratio") and not spec.get("size_divisor")
    )
    return list(spec.get("target_size", ())) if exact else None


def _bundle_files(manifest: Path) -> set[str]:
    """Names that a bundle's folder may hold; none if there is no readable manifest of ours."""
    try:
        files = yaml.safe_load(manifest.read_text(encoding="utf-8"))["Bundle"]["files"]
        return {MANIFEST, *files, *_LEFT_BY_OTHERS}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        return set()
