"""Semantic segmentation for phones and other small devices, with PaddlePaddle.

Importing this package imports neither Paddle nor PaddleSeg: a deployment machine needs only
NumPy, OpenCV and the runtime of its choice (see :mod:`paddle_mobileseg.runtime`).
"""

__version__ = "0.1.0"
