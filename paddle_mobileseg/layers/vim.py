"""Valid Interpolate Module: upsample only the classes that occur (PP-MobileSeg, arXiv 2304.05152, section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor

from paddle_mobileseg.layers.label_tail import interpolated_labels


def valid_interpolate(logits: Tensor, size_hw: Sequence[int], align_corners: bool = False) -> Tensor:
    """Labels at full resolution from low-resolution logits.

    A class takes part in the upsampling only if it is the best one somewhere in the batch at low resolution. The result
    is exactly the arg-max over those classes' interpolated logits. It can differ from the arg-max over all classes only
    where a class wins between four low-resolution pixels without winning at any pixel of the batch.

    Written so that Paddle, ONNX Runtime and Paddle Lite all run it: no loop or branch, no index_put; the maximum is
    taken one axis pair at a time and compared with a tensor, and the list of classes is flattened by ``reshape``,
    because Paddle Lite's converter or its ARM kernels fail on the other forms.

    Args:
        logits: ``[N, C, h, w]`` float.
        size_hw: height and width of the result.
        align_corners: as in ``F.interpolate``.

    Returns:
        ``[N, H, W]`` int32, values 0 to C - 1.
    """
    num_classes = logits.shape[1]
    best = logits.max(axis=1, keepdim=True)
    reach = (logits - best).max(axis=[2, 3]).max(axis=0)  # [C]: 0 where the class wins somewhere, negative elsewhere
    present = paddle.nonzero(reach >= paddle.zeros([num_classes], dtype=logits.dtype)).reshape([-1])
    winner = interpolated_labels(paddle.gather(logits, present, axis=1), size_hw, align_corners, dtype="int64")
    labels = paddle.gather(present, winner.reshape([-1]), axis=0)
    return labels.reshape([-1, *size_hw]).astype("int32")
