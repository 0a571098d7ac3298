"""A page of a run as its reader finds it, and changes to what it is made of."""

from __future__ import annotations

import json
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from paddle_mobileseg.benchmark import record as records
from paddle_mobileseg.report import write_report
from tests.report.conftest import make_record

VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Text by the nearest ``id`` around it, rows of tables, attributes of tags; unbalanced tags are an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[tuple[str, str]] = []
        self.texts: dict[str, list[str]] = defaultdict(list)
        self.rows: dict[str, list[list[str]]] = defaultdict(list)
        self.tags: dict[str, list[dict[str, str | None]]] = defaultdict(list)
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        found = dict(attrs)
        self.tags[tag].append(found)
        if tag in VOID:
            return
        around = self.stack[-1][1] if self.stack else ""
        known = tag in ("section", "ul", "footer") and found.get("id")
        self.stack.append((tag, known or around))
        if tag == "tr":
            self.rows[self.stack[-1][1]].append([])
        elif tag in ("td", "th"):
            self.rows[self.stack[-1][1]][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags[tag].append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack and self.stack[-1][0] == tag, (tag, self.stack)
        self.stack.pop()

    def handle_data(self, data: str) -> None:
        if not self.stack or not data.strip() or self.stack[-1][0] == "style":
            return
        name = self.stack[-1][1]
        self.texts[name].append(" ".join(data.split()))
        if any(tag in ("td", "th") for tag, _ in self.stack):
            cell = self.rows[name][-1]
            cell[-1] = f"{cell[-1]} {data.strip()}".strip()

    def text(self, name: str) -> str:
        return " ".join(self.texts[name])


def report(made, **options: object) -> Page:
    arguments = {"bundle_dirs": [made.bundle], "records": [made.records], **options}
    path = write_report(made.run, made.run.parent / "report.html", **arguments)
    return Page(path.read_text(encoding="utf-8"))


def change(path: Path, **values: object) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **values}))


def add_record(made, status: str = "ok", **changes: dict[str, Any] | str | None) -> Path:
    """One more record, of ONNX Runtime on 4 threads with a median of 12 ms; sections are updated, others replaced."""
    record = make_record(made.bundle, "onnxruntime", 4, [11.0, 12.0, 13.0], 20.0, 15.0)
    record["status"], record["created"] = status, "2026-01-04T05:06:07Z"
    for name, value in changes.items():
        record[name] = {**record[name], **value} if isinstance(record[name], dict) and value else value
    return records.write(made.records, record)
