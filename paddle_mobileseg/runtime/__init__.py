"""Running an exported bundle: needs NumPy, OpenCV, PyYAML and the chosen backend, and Paddle only as that backend."""

from paddle_mobileseg.runtime.bundle import Bundle, load_bundle
from paddle_mobileseg.runtime.session import Session, available_backends

__all__ = ["Bundle", "Session", "available_backends", "load_bundle"]
