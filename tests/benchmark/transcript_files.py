"""What other tools printed (the folder transcripts), for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paddle_mobileseg.benchmark import importers
from paddle_mobileseg.benchmark.record import Record

TRANSCRIPTS = Path(__file__).parent / "transcripts"


def transcript(name: str) -> str:
    return (TRANSCRIPTS / f"{name}.txt").read_text(encoding="utf-8")


def tool_of(name: str) -> str:
    return next(each for each in importers.NAMES if name.startswith(each))


ALL = sorted(path.stem for path in TRANSCRIPTS.glob("*.txt"))


def read(name: str) -> list[Record]:
    return importers.read(tool_of(name), transcript(name))


def known(section: Any) -> Any:
    """What a section says: without null and empty."""
    if not isinstance(section, dict):
        return section
    inner = {name: known(each) for name, each in section.items()}
    return {name: each for name, each in inner.items() if each is not None and each not in ({}, [])}
