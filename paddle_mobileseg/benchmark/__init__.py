"""How long a network takes, and on which machine."""

from paddle_mobileseg.benchmark.bundle import benchmark_bundle
from paddle_mobileseg.benchmark.latency import measure, measure_all, read_record, write_record

__all__ = ["benchmark_bundle", "measure", "measure_all", "read_record", "write_record"]
