"""What is said of a child process that failed."""

from __future__ import annotations

import signal

_LAST_LINES = 8


def how_it_ended(status: int) -> str:
    """A process's exit status in words: ``failed (exit status 1)``, ``died of SIGABRT``."""
    if status >= 0:
        return f"failed (exit status {status})"
    names = {number.value: number.name for number in signal.Signals}
    return f"died of {names.get(-status, f'signal {-status}')}"


def last_words(text: str) -> str:
    """The last lines that are not empty, indented by two."""
    lines = [line for line in text.splitlines() if line.strip()][-_LAST_LINES:]
    return "\n  ".join(lines or ["(none)"])
