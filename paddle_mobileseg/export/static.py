"""A network as Paddle's static graph, with what belongs to deployment before and behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from paddle_mobileseg.layers import eval_mode, interpolated_labels, valid_interpolate
from paddle_mobileseg.runtime.bundle import OUTPUT_OPS

INPUT_NAME = "x"
GRAPH, WEIGHTS = "model.json", "model.pdiparams"
INPUT_FORMATS = ("float32", "uint8")
# From small logits; both give the arg-max of interpolated logits, of all classes or of those that occur.


@dataclass(frozen=True)
class GraphSpec:
    """What goes into an exported graph and what comes out.

    Args:
        output_op: ``none`` (logits), ``softmax`` (over classes), ``argmax``, or ``vim`` (valid interpolation,
            PP-MobileSeg); the last two give int32 labels.
        input_shape: [N, 3, H, W] of the input, whatever its layout; -1 for any.
        input_format: ``float32`` (NCHW, normalised by the caller) or ``uint8`` (NHWC RGB, normalised by the graph).
        normalization: with ``uint8``: ``{"scale", "mean", "std"}`` for ``(v / scale - mean) / std``, with one or three
            numbers in ``mean`` and ``std``; ``None`` where the network takes 0 to 255.
        resize_hw: with ``uint8``: the graph resizes images to this height and width (bilinear, half-pixel centres, no
            antialiasing: OpenCV's INTER_LINEAR without its rounding) and gives its output at that size.

    Raises:
        ValueError: an unknown name, a wrong shape, or a normalisation or size that the input's format does not have.
    """

    output_op: str
    input_shape: Sequence[int] = (-1, 3, -1, -1)
    input_format: str = "float32"
    normalization: dict[str, Any] | None = None
    resize_hw: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if self.output_op not in OUTPUT_OPS:
            raise ValueError(f"output_op is {self.output_op!r}; expected one of {', '.join(OUTPUT_OPS)}")
        if self.input_format not in INPUT_FORMATS:
            raise ValueError(f"input_format is {self.input_format!r}; expected one of {', '.join(INPUT_FORMATS)}")
        shape = list(self.input_shape)
        if len(shape) != 4 or shape[1] != 3 or not all(type(n) is int and (n == -1 or n > 0) for n in shape):
            raise ValueError(f"input_shape is {shape}; expected [N, 3, H, W], each a positive number, or -1 for any")
        if self.input_format == "float32" and (self.normalization is not None or self.resize_hw is not None):
            raise ValueError(
                "normalisation and resize are part of a graph for uint8 images only; use input_format 'uint8'"
            )
        if self.resize_hw is not None and (
            len(self.resize_hw) != 2 or not all(type(n) is int and n > 0 for n in self.resize_hw)
        ):
            raise ValueError(f"resize_hw is {self.resize_hw!r}; expected [height, width], positive whole numbers")
        if self.normalization is not None:
            _normalization(self.normalization)

    @property
    def graph_shape(self) -> list[int]:
        """The input's own shape: [N, 3, H, W] for float32, [N, H, W, 3] for uint8; -1 for any."""
        n, channels, height, width = self.input_shape
        return [n, height, width, channels] if self.input_format == "uint8" else [n, channels, height, width]

    @property
    def network_hw(self) -> list[int]:
        """Height and width that the network gets and labels have; -1 for any."""
        return list(self.input_shape[2:] if self.resize_hw is None else self.resize_hw)

    @property
    def layout(self) -> str:
        """``NCHW`` or ``NHWC``."""
        return "NHWC" if self.input_format == "uint8" else "NCHW"

    @property
    def output_dtype(self) -> str:
        """``float32`` or, for labels, ``int32``."""
        return "float32" if self.output_op in ("none", "softmax") else "int32"

    @property
    def input_spec(self) -> paddle.static.InputSpec:
        """For ``paddle.jit.to_static``."""
        return paddle.static.InputSpec(self.graph_shape, self.input_format, INPUT_NAME)


class DeployNetwork(nn.Layer):
    """A network, preprocessing before it if the images are uint8, and its output operation.

    Args:
        network: gives a list whose first element are logits ``[N, C, H, W]``. If it has ``low_logits(x) -> [N, C, h,
            w]``, which it interpolates to the input's size (with ``align_corners``, if it has that attribute), labels
            are made from those; ``vim`` needs them.
        spec: of input and output.

    Raises:
        ValueError: ``vim`` for a network without ``low_logits``.
    """

    def __init__(self, network: nn.Layer, spec: GraphSpec) -> None:
        super().__init__()
        if spec.output_op == "vim" and not hasattr(network, "low_logits"):
            raise ValueError(
                f"output_op 'vim' needs a network with low_logits(x), which {type(network).__name__} lacks; use "
                "'argmax'"
            )
        self.network = network
        self.spec = spec
        factor, offset = (None, None) if spec.normalization is None else _normalization(spec.normalization)
        self.register_buffer("factor", None if factor is None else paddle.to_tensor(factor))
        self.register_buffer("offset", None if offset is None else paddle.to_tensor(offset))

    def forward(self, x: Tensor) -> Tensor:
        """Images of ``spec.graph_shape`` to float32 ``[N, C, H, W]`` (none, softmax) or int32 labels ``[N, H, W]``."""
        x = self._prepared(x)
        if self.spec.output_op in ("argmax", "vim") and hasattr(self.network, "low_logits"):
            labels = valid_interpolate if self.spec.output_op == "vim" else interpolated_labels
            return labels(self.network.low_logits(x), x.shape[2:], getattr(self.network, "align_corners", False))
        logits = self.network(x)[0]
        if self.spec.output_op == "softmax":
            # Paddle Lite on x86 does not subtract the maximum by itself, and overflows above 88.
            return F.softmax(logits - logits.max(axis=1, keepdim=True), axis=1)
        if self.spec.output_op == "argmax":
            return paddle.argmax(logits, axis=1, dtype="int32")
        return logits

    def _prepared(self, x: Tensor) -> Tensor:
        if self.spec.input_format == "float32":
            return x
        x = x.astype("float32").transpose([0, 3, 1, 2])
        if self.spec.resize_hw is not None:
            x = F.interpolate(x, size=list(self.spec.resize_hw), mode="bilinear", align_corners=False)
        return x if self.factor is None else x * self.factor + self.offset


def _normalization(values: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """``(v / scale - mean) / std`` as ``v * factor + offset``: float32 ``[1, 3, 1, 1]`` each."""
    if not isinstance(values, dict) or set(values) != {"scale", "mean", "std"}:
        raise ValueError(f"normalization is {values!r}; expected a dict with scale, mean and std")
    mean, std = (np.ravel(np.asarray(values[key], np.float64)) for key in ("mean", "std"))
    if mean.size not in (1, 3) or std.size not in (1, 3) or not (std > 0).all() or not values["scale"] > 0:
        raise ValueError(f"normalization is {values!r}; expected 1 or 3 numbers in mean and std, scale and std above 0")
    ones = np.ones(3)
    factor, offset = ones / (values["scale"] * std), -ones * mean / std
    return factor.astype(np.float32).reshape(1, 3, 1, 1), offset.astype(np.float32).reshape(1, 3, 1, 1)


def save_static(deploy: DeployNetwork, folder: Path, spec: GraphSpec) -> list[str]:
    """Write ``model.json`` and ``model.pdiparams``. The network's weights and modes are as before afterwards.

    Args:
        deploy: traced in eval mode.
        folder: exists.
        spec: of ``deploy``.

    Returns:
        the names of the two files.
    """
    with eval_mode(deploy), paddle.utils.unique_name.guard():  # the same file whatever was exported before
        static = paddle.jit.to_static(deploy, input_spec=[spec.input_spec], full_graph=True)
        try:
            paddle.jit.save(static, str(folder / Path(GRAPH).stem))
        finally:
            static.forward.rollback()
    return [GRAPH, WEIGHTS]
