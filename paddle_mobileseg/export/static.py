"""A network as Paddle's static graph, with what turns its logits into the wanted output at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from paddle_mobileseg.layers import eval_mode, valid_interpolate
from paddle_mobileseg.runtime.bundle import OUTPUT_OPS

INPUT_NAME = "x"
GRAPH, WEIGHTS = "model.json", "model.pdiparams"


class DeployNetwork(nn.Layer):
    """A network and its output operation.

    Args:
        network: gives a list whose first element are logits ``[N, C, H, W]``; for ``vim`` it has
            ``low_logits(x) -> [N, C, h, w]`` and, if corners are aligned, ``align_corners``.
        output_op: ``none`` (logits), ``softmax`` (over classes), ``argmax``, ``vim`` (valid interpolation,
            PP-MobileSeg).

    Raises:
        ValueError: unknown ``output_op``, or ``vim`` for a network without ``low_logits``.
    """

    def __init__(self, network: nn.Layer, output_op: str) -> None:
        super().__init__()
        if output_op not in OUTPUT_OPS:
            raise ValueError(f"output_op is {output_op!r}; expected one of {', '.join(OUTPUT_OPS)}")
        if output_op == "vim" and not hasattr(network, "low_logits"):
            raise ValueError(
                f"output_op 'vim' needs a network with low_logits(x), which {type(network).__name__} lacks; use "
                "'argmax'"
            )
        self.network = network
        self.output_op = output_op

    def forward(self, x: Tensor) -> Tensor:
        """``[N, 3, H, W]`` float32 to float32 ``[N, C, H, W]`` (none, softmax) or int32 labels ``[N, H, W]``."""
        if self.output_op == "vim":
            align_corners = getattr(self.network, "align_corners", False)
            return valid_interpolate(self.network.low_logits(x), x.shape[2:], align_corners)
        logits = self.network(x)[0]
        if self.output_op == "softmax":
            return F.softmax(logits, axis=1)
        if self.output_op == "argmax":
            return paddle.argmax(logits, axis=1, dtype="int32")
        return logits


def save_static(network: nn.Layer, folder: Path, output_op: str, input_shape: Sequence[int]) -> list[str]:
    """Write ``model.json`` and ``model.pdiparams``. The network's weights and modes are as before afterwards.

    Args:
        network: as for :class:`DeployNetwork`; it is traced in eval mode.
        folder: exists.
        output_op: as for :class:`DeployNetwork`.
        input_shape: [N, C, H, W], -1 where any size is to be taken.

    Returns:
        the names of the two files.
    """
    with eval_mode(network):
        deploy = DeployNetwork(network, output_op)
        deploy.eval()
        spec = paddle.static.InputSpec(list(input_shape), "float32", INPUT_NAME)
        static = paddle.jit.to_static(deploy, input_spec=[spec], full_graph=True)
        paddle.jit.save(static, str(folder / Path(GRAPH).stem))
    return [GRAPH, WEIGHTS]
