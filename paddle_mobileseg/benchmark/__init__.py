"""How long a network takes, and on which machine."""

from paddle_mobileseg.benchmark.latency import measure, measure_all, read_record, write_record
from paddle_mobileseg.benchmark.machine import describe

__all__ = ["describe", "measure", "measure_all", "read_record", "write_record"]
