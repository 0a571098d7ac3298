"""Measuring bundles on backends and devices, and what follows from it: records, comparison, choice."""
