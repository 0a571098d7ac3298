"""Segmentation networks, one file a family. The registry imports every module of this folder."""
