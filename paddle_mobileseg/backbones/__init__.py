"""Backbones, one file a family."""

from paddle_mobileseg.backbones.strideformer import StrideFormer, strideformer_base, strideformer_tiny

__all__ = ["StrideFormer", "strideformer_base", "strideformer_tiny"]
