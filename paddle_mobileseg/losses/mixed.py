"""A weighted sum of losses on the same logits."""

from __future__ import annotations

from collections.abc import Sequence

from paddle import Tensor, nn

from paddle_mobileseg import registry


@registry.register("losses")
class MixedLoss(nn.Layer):
    """``sum(coef[i] * losses[i](logits, labels))``.

    Args:
        losses: loss layers.
        coef: as many factors.

    ``forward`` gives the list of weighted losses, as PaddleSeg's training loop expects; ours adds them up.

    Raises:
        ValueError: different numbers of losses and factors.
    """

    def __init__(self, losses: Sequence[nn.Layer], coef: Sequence[float]) -> None:
        super().__init__()
        if len(losses) != len(coef):
            raise ValueError(f"MixedLoss got {len(losses)} losses and {len(coef)} coef; expected as many of each")
        self.losses = nn.LayerList(losses)
        self.coef = [float(c) for c in coef]

    def forward(self, logits: Tensor, labels: Tensor) -> list[Tensor]:
        return [c * loss(logits, labels) for c, loss in zip(self.coef, self.losses, strict=True)]
