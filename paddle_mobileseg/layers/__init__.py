"""Blocks that the networks share, each written once."""

from paddle_mobileseg.layers.activation import activation
from paddle_mobileseg.layers.conv import ConvBNAct, SqueezeExcite
from paddle_mobileseg.layers.drop_path import DropPath
from paddle_mobileseg.layers.mode import eval_mode
from paddle_mobileseg.layers.sea_attention import SeaAttention
from paddle_mobileseg.layers.vim import valid_interpolate

__all__ = [
    "ConvBNAct",
    "DropPath",
    "SeaAttention",
    "SqueezeExcite",
    "activation",
    "eval_mode",
    "valid_interpolate",
]
