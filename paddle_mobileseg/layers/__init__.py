"""Blocks that the networks share, each written once."""

from paddle_mobileseg.layers.activation import activation
from paddle_mobileseg.layers.channels import round_channels, shuffle_halves
from paddle_mobileseg.layers.conv import ConvBNAct, SqueezeExcite
from paddle_mobileseg.layers.drop_path import DropPath
from paddle_mobileseg.layers.head import FuseHead
from paddle_mobileseg.layers.label_tail import interpolated_labels
from paddle_mobileseg.layers.mode import eval_mode
from paddle_mobileseg.layers.pooling import adaptive_avg_pool, global_avg_pool
from paddle_mobileseg.layers.sea_attention import SeaAttention
from paddle_mobileseg.layers.vim import valid_interpolate

__all__ = [
    "ConvBNAct",
    "DropPath",
    "FuseHead",
    "SeaAttention",
    "SqueezeExcite",
    "activation",
    "adaptive_avg_pool",
    "eval_mode",
    "global_avg_pool",
    "interpolated_labels",
    "round_channels",
    "shuffle_halves",
    "valid_interpolate",
]
