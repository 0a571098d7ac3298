"""One HTML page about a trained network, made from the files that the other commands wrote."""

from paddle_mobileseg.report.html import write_report

__all__ = ["write_report"]
