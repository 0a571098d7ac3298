"""Where the time goes: per operator of an exported graph, per layer of the Paddle network.

:func:`profile_bundle` gives the times of a record's ``operators``; :mod:`~paddle_mobileseg.benchmark.profiling.layers`
counts multiply-accumulate operations and parameters; :func:`write_profile` and :func:`write_layers` write both as CSV
and text. docs/learn/profile.md says what each backend offers.
"""

from paddle_mobileseg.benchmark.profiling.events import Profile
from paddle_mobileseg.benchmark.profiling.run import profile, profile_bundle
from paddle_mobileseg.benchmark.profiling.write import write_layers, write_profile

__all__ = ["Profile", "profile", "profile_bundle", "write_layers", "write_profile"]
