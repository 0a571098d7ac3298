"""From a checkpoint to a bundle: graphs, manifest, and the proof that they give the network's own labels."""

from paddle_mobileseg.export.exporter import export_checkpoint
from paddle_mobileseg.export.onnx_convert import ConversionError
from paddle_mobileseg.export.parity import ParityError, Tolerance

__all__ = ["ConversionError", "ParityError", "Tolerance", "export_checkpoint"]
