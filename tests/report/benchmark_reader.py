"""A benchmark page as its reader finds it."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from paddle_mobileseg.benchmark import record as records
from paddle_mobileseg.report.benchmark_entries import Entry, make_entries
from paddle_mobileseg.report.benchmark_page import write_benchmark_report


class Reader(HTMLParser):
    """Tags with their attributes, ids, and the text of each section."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._section = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self._section = dict(attrs)["id"] or ""

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.setdefault(self._section, []).append(" ".join(data.split()))

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.tags if attribute in attrs]

    def text(self, section: str) -> str:
        return " ".join(self.texts.get(section, []))


def page_of(folder: Path, *made: records.Record) -> Reader:
    for each in made:
        records.write(folder / "records", each)
    return Reader(write_benchmark_report([folder / "records"], folder / "page.html").read_text(encoding="utf-8"))


def entries_of(*made: records.Record, folder: Path | None = None) -> list[Entry]:
    return make_entries([(each, folder) for each in made])
