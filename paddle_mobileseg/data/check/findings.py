"""What the check found: the form in which rules report and the page, the text and the JSON show it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

ERROR, WARNING, NOTE = LEVELS = ("error", "warning", "note")


@dataclass(frozen=True)
class Item:
    """The files that a finding is about (an image, its label, another image) and what is the matter with them."""

    image: str | None = None
    label: str | None = None
    detail: str = ""
    other: str | None = None

    def text(self) -> str:
        """One line for people."""
        names = " and ".join(shown(path) for path in (self.image, self.label, self.other) if path is not None)
        return ": ".join(part for part in (names, self.detail) if part)


@dataclass(frozen=True)
class Finding:
    """One kind of problem in one split (or between splits).

    Attributes:
        level: ``error`` (training or evaluation would stop or give wrong numbers), ``warning`` or ``note``.
        code: a fixed name, such as ``label-values``.
        splits: the splits it is about.
        message: what is the matter, with numbers.
        advice: what to do; may be empty.
        items: all files concerned.
    """

    level: str
    code: str
    splits: tuple[str, ...]
    message: str
    advice: str = ""
    items: Sequence[Item] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "level": self.level,
            "code": self.code,
            "splits": list(self.splits),
            "message": self.message,
            "advice": self.advice,
            "count": len(self.items),
            "items": [{key: value for key, value in asdict(item).items() if value} for item in self.items],
        }


def shown(path: str) -> str:
    """A file name that a terminal and UTF-8 can take: undecodable bytes and control characters become U+FFFD."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def plural(count: int, one: str, many: str = "") -> str:
    """``1 label``, ``2 labels``, ``1,234 labels``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(parts: Sequence[str], most: int = 8) -> str:
    """``a, b, c and 3 more``."""
    rest = len(parts) - most
    return ", ".join(parts[:most]) + (f" and {rest} more" if rest > 0 else "")
