"""What an export is asked for, checked before anything runs, and the preprocessing that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from paddle_mobileseg.data.transforms import Normalize
from paddle_mobileseg.export.lite_convert import PRECISIONS
from paddle_mobileseg.export.parity import Tolerance
from paddle_mobileseg.export.static import INPUT_FORMATS, GraphSpec
from paddle_mobileseg.runtime.bundle import MANIFEST, MANIFEST_JSON, OUTPUT_OPS

FORMATS = ("paddle", "paddle-legacy", "onnx", "lite-x86", "lite-arm")
# In Paddle Lite 2.13 a network that is run at another size than its first gives wrong numbers or ends the process.
NEEDS_SIZE = (
    "Paddle Lite's files are for one size: give batch, height and width in input_shape (1 3 H W) and, with "
    "resize_in_graph, height and width in image_size"
)

_CHANGE_SIZE = ("Resize", "ResizeByLong", "ResizeByShort", "LimitLong", "Padding")


@dataclass(frozen=True)
class Request:
    """What to export.

    Args:
        output_op: what the graph gives: ``none`` (logits), ``softmax``, ``argmax`` or ``vim`` (int32 labels).
        input_shape: [N, C, H, W] that the network gets, -1 or ``None`` for any; ``None`` as a whole: all but the
            channels. With H and W fixed, images are resized to that size; otherwise they go through the
            configuration's ``export.transforms`` or, without those, evaluation's transforms.
        formats: some of :data:`FORMATS`.
        input_format: ``float32`` (NCHW, normalised by the caller) or ``uint8`` (NHWC RGB, normalised by the graph).
        resize_in_graph: with ``uint8`` and H and W fixed: the graph takes images of another size and resizes them.
        image_size: [H, W] of those images; ``None`` for any.
        lite_precision: one of :data:`PRECISIONS`: how Paddle Lite stores weights, or computes (fp16, ARM only).
        tolerance: of parity.
        arm_runner: command that runs ARM files, see :mod:`paddle_mobileseg.runtime.lite_backend`.
        bisect: after a hop that failed, look for the first layer that differs.

    Raises:
        ValueError: an unknown name, or values that contradict each other.
    """

    output_op: str = "argmax"
    input_shape: Sequence[int | None] | None = None
    formats: Sequence[str] = ("paddle", "onnx")
    input_format: str = "float32"
    resize_in_graph: bool = False
    image_size: Sequence[int] | None = None
    lite_precision: str = "fp32"
    tolerance: Tolerance = field(default_factory=Tolerance)
    arm_runner: str | None = None
    bisect: bool = False

    def __post_init__(self) -> None:
        for name, known in (
            ("output_op", OUTPUT_OPS),
            ("input_format", INPUT_FORMATS),
            ("lite_precision", PRECISIONS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}")
        unknown = [each for each in self.formats if each not in FORMATS]
        if isinstance(self.formats, str) or unknown or not self.formats:
            raise ValueError(f"formats is {self.formats!r}; expected some of {', '.join(FORMATS)}")
        lite = any(each.startswith("lite") for each in self.formats)
        if self.lite_precision != "fp32" and not lite:
            raise ValueError(f"lite_precision is {self.lite_precision!r}, but no format of Paddle Lite is written")
        if self.lite_precision == "fp16" and "lite-arm" not in self.formats:
            raise ValueError("lite_precision 'fp16' is for ARM; add the format lite-arm")
        if self.arm_runner is not None and "lite-arm" not in self.formats:
            raise ValueError("arm_runner runs the file of the format lite-arm; add that format")
        if self.is_open and lite:
            raise ValueError(NEEDS_SIZE)
        if self.resize_in_graph and (self.input_format != "uint8" or self.shape[2] == -1):
            raise ValueError(
                "resize_in_graph needs input_format 'uint8' and the network's height and width in input_shape"
            )
        if self.image_size is not None and not self.resize_in_graph:
            raise ValueError("image_size is that of images which the graph resizes; add resize_in_graph")
        if self.image_size is not None and (
            len(self.image_size) != 2 or not all(type(n) is int and n > 0 for n in self.image_size)
        ):
            raise ValueError(f"image_size is {self.image_size!r}; expected [height, width], positive whole numbers")

    @property
    def shape(self) -> list[int]:
        """[N, 3, H, W] that the network gets; -1 for any."""
        return checked_shape(self.input_shape)

    @property
    def is_open(self) -> bool:
        """Whether the graph takes any batch or any size."""
        return -1 in (self.shape[0], *self.graph_size)

    @property
    def graph_size(self) -> list[int]:
        """Height and width of the graph's input; -1 for any."""
        if not self.resize_in_graph:
            return self.shape[2:]
        return list(self.image_size or (-1, -1))

    def graph(self, transforms: Sequence[dict[str, Any]]) -> tuple[GraphSpec, list[dict[str, Any]]]:
        """The graph, and what is left to do before it.

        Args:
            transforms: that give what the network gets, see :func:`deploy_transforms`.

        Raises:
            ValueError: uint8 images, whose size would have to change after they were normalised.
        """
        if self.input_format == "float32":
            return GraphSpec(self.output_op, self.shape), list(transforms)
        kinds = [spec["type"] for spec in transforms]
        if "Normalize" in kinds and any(kind in _CHANGE_SIZE for kind in kinds[kinds.index("Normalize") :]):
            raise ValueError(
                "the transforms change the image's size after Normalize, which a graph for uint8 images cannot do; put "
                "Normalize last, or export with input_format 'float32'"
            )
        before = [spec for spec in transforms if spec["type"] != "Normalize"]
        normalization = describe_normalization(transforms)["normalization"]
        if not self.resize_in_graph:
            return GraphSpec(self.output_op, self.shape, "uint8", normalization), before
        batch, channels, *size_hw = self.shape
        shape = [batch, channels, *self.graph_size]
        resized = [{"type": "Resize", "target_size": shape[:1:-1]}] if self.image_size else []
        return GraphSpec(self.output_op, shape, "uint8", normalization, size_hw), resized


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
        return {MANIFEST, MANIFEST_JSON, *files}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        return set()
