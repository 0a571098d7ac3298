"""The page of ``mobileseg check-dataset``."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg.data.check import Checked, Split, check_dataset
from paddle_mobileseg.data.palette import default_palette
from paddle_mobileseg.report.dataset_page import highlight, label_colours, write_page

PALETTE = default_palette(3)


class Page(HTMLParser):
    """Tags with their attributes, and the text outside the style sheet."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def pairs(root: Path, split: str, count: int) -> list[tuple[str, str | None]]:
    rng = np.random.default_rng(count)
    made: list[tuple[str, str | None]] = []
    for number in range(count):
        image, label = root / f"{split} {number} <i>&.png", root / f"{split} {number}_l.png"
        Image.fromarray(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)).save(image)
        Image.fromarray(rng.integers(0, 2, (300, 400), dtype=np.uint8)).save(label)
        made.append((str(image), str(label)))
    return made


@pytest.fixture
def checked(tmp_path: Path) -> Checked:
    """Three training and two validation pairs; a label with a wrong value, a broken image."""
    train, val = pairs(tmp_path, "train", 3), pairs(tmp_path, "val", 2)
    label = np.zeros((300, 400), np.uint8)
    label[:, :200], label[:10] = 7, 255
    Image.fromarray(label).save(str(train[1][1]))
    Path(val[0][0]).write_bytes(b"broken")
    names = ["sky", "<script>alert(1)</script>", "sea"]
    return check_dataset([Split("train", train, names, PALETTE), Split("val", val, names, PALETTE)], num_workers=0)


@pytest.fixture
def text(checked: Checked, tmp_path: Path) -> str:
    write_page(checked, tmp_path / "check.html", "mobileseg check-dataset --config <x>.yml", "Streets, data/<s>")
    return (tmp_path / "check.html").read_text(encoding="utf-8")


def test_everything_is_on_the_page(text: str) -> None:
    page = Page(text)
    assert page.open == []
    for words in (
        "1 label holds values that are no class: 7",
        "1 image cannot be read",
        "class 2 (sea) never occurs",
        "median frequency balancing",
        "weight: [",
        "train 1_l.png",
        "mobileseg check-dataset --config <x>.yml",
        "Data set check: Streets, data/<s>",
    ):
        assert words in page.text
    badges = [str(a["class"]) for tag, a in page.tags if tag == "span" and "badge" in str(a.get("class"))]
    assert badges == ["badge error", "badge error", "badge warning"]


def test_names_are_escaped(text: str) -> None:
    page = Page(text)
    assert "<script" not in text and "<i>" not in text
    assert "1 <script>alert(1)</script>" in page.text
    assert "val 0 <i>&.png" in page.text
    assert {tag for tag, _ in page.tags} & {"script", "i", "link", "iframe"} == set()


def test_the_page_needs_no_network(text: str) -> None:
    assert not re.search(r"https?://|url\(|@import", text)
    assert "default-src 'none'; img-src data:" in text
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text


def test_pictures(text: str) -> None:
    pictures = [a for tag, a in Page(text).tags if tag == "img"]
    assert all(str(a["src"]).startswith("data:image/") and a["alt"] for a in pictures)
    shown = next(a for a in pictures if a["alt"] == "label train 1_l.png")
    content = base64.b64decode(str(shown["src"]).partition(",")[2])
    pixels = np.array(Image.open(io.BytesIO(content)))
    assert pixels.shape == (210, 280, 3)
    assert pixels[150, 10].tolist() == [255, 0, 255]
    assert pixels[150, 270].tolist() == PALETTE[0].tolist()
    assert pixels[2, 10].tolist() == [0, 0, 0]
    assert "not there" not in Page(text).text


def test_bars_are_the_shares(checked: Checked, text: str) -> None:
    widths = [float(each) for each in re.findall(r'class="fill" style="width:([0-9.]+)%"', text)]
    shares = [s.class_pixels[c] / s.class_pixels.sum() for c in (0, 1) for s in checked.surveys.values()]
    assert widths == pytest.approx([100 * share / max(shares) for share in shares], abs=0.006)


def test_label_colours_of_16_bits_and_of_files_that_count_from_one() -> None:
    split = Split("train", [], ["a", "b", "c"], PALETTE, ignored=0, first=1)
    colours = label_colours(np.array([[0, 1, 3, 4, 70000, -1]], np.int32), split)
    wrong = [255, 0, 255]
    assert colours.tolist() == [[[0, 0, 0], PALETTE[0].tolist(), PALETTE[2].tolist(), wrong, wrong, wrong]]


def test_highlight_shows_one_class() -> None:
    split = Split("train", [], ["a", "b", "c"], PALETTE)
    image = np.full((90, 90, 3), 100, np.uint8)
    label = np.zeros((90, 90), np.uint8)
    label[20:60, 20:60] = 1
    shown = highlight(image, label, split, 1)
    assert shown[40, 40].tolist() == (0.35 * 100 + 0.65 * PALETTE[1]).astype(int).tolist()
    assert shown[5, 5].tolist() == [40, 40, 40]
    assert shown[20, 40].tolist() == [255, 255, 255]
    with pytest.raises(ValueError, match="differ in size"):
        highlight(image, label[:5], split, 1)


def test_nothing_to_show(tmp_path: Path) -> None:
    write_page(check_dataset([], num_workers=0), tmp_path / "check.html")
    page = Page((tmp_path / "check.html").read_text())
    assert "Nothing was found." in page.text and "No label could be read" in page.text


def test_a_folder_in_the_place_of_the_page(checked: Checked, tmp_path: Path) -> None:
    (tmp_path / "check.html").mkdir()
    with pytest.raises(IsADirectoryError):
        write_page(checked, tmp_path / "check.html")
