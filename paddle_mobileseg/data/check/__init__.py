"""Checking a data set: is every pair readable, do labels hold classes, what occurs how often, what occurs twice.

``pair`` reads one pair (in worker processes), ``survey`` adds the pairs of a split up, the rules in ``images``,
``labels`` and ``duplicates`` make findings of the sums. ``run`` is the whole check, ``quick`` the sample of it that
is taken when a training starts. Memory grows by about 1.2 kB an image, whatever the images' size.
"""

from paddle_mobileseg.data.check.run import Checked, check_dataset
from paddle_mobileseg.data.check.survey import Split

__all__ = ["Checked", "Split", "check_dataset"]
