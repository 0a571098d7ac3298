"""Names that were nearly right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


def did_you_mean(name: Any, known: Iterable[Any]) -> str:
    """``"; did you mean 'x'?"`` with the nearest known name, or nothing where none is near."""
    near = difflib.get_close_matches(str(name), [str(each) for each in known], n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
