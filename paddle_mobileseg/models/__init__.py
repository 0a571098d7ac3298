"""Segmentation networks, one file a family."""

from paddle_mobileseg.models.pp_mobileseg import PPMobileSeg

__all__ = ["PPMobileSeg"]
