"""Losses of the recipes, in the place of PaddleSeg's (several of which fail or mislead on today's Paddle)."""

from paddle_mobileseg.losses.cross_entropy import CrossEntropyLoss
from paddle_mobileseg.losses.dice import DiceLoss
from paddle_mobileseg.losses.lovasz import LovaszSoftmaxLoss
from paddle_mobileseg.losses.mixed import MixedLoss
from paddle_mobileseg.losses.ohem import OhemCrossEntropyLoss

__all__ = ["CrossEntropyLoss", "DiceLoss", "LovaszSoftmaxLoss", "MixedLoss", "OhemCrossEntropyLoss"]
