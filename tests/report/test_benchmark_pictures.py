from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg.report import benchmark_rows
from paddle_mobileseg.report.benchmark_pictures import DIFFERENT, comparisons, share_text
from tests.report.benchmark_reader import entries_of, page_of
from tests.report.made_records import make_record, make_samples


def test_slider_shows_both_and_where_they_differ(tmp_path: Path) -> None:
    same, other = make_record(number=1), make_record("topformer_base", number=2)
    same["samples"] = [make_samples(tmp_path, "same", wrong=False)]
    other["samples"] = [make_samples(tmp_path, "other")]
    found, count = comparisons(entries_of(same, other, folder=tmp_path))
    assert count == 2
    assert [each.share == 0 for each in found] == [True, False]
    with (
        Image.open(tmp_path / "samples" / "other-reference.png") as a,
        Image.open(tmp_path / "samples" / "other-labels.png") as b,
    ):
        assert found[1].share == (np.array(a) != np.array(b)).mean()
    assert [name for name, _ in found[0].classes][:3] == ["sky", "road", "pavement"]
    assert found[0].classes[0][1] == "#808080"
    for picture in (found[1].reference, found[1].labels, found[1].difference):
        assert picture is not None
        assert (picture.width, picture.height) == (240, 180)
        assert picture.uri.startswith("data:image/")
    assert (
        "#{:02x}{:02x}{:02x}".format(*DIFFERENT)
        in (Path(benchmark_rows.__file__).parent / "benchmark.html").read_text()
    )


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "all pixels have the same label"),
        (1e-6, "0.0001 % of the pixels have another label"),
        (0.0025, "0.25 % of the pixels have another label"),
        (0.5, "50.0 % of the pixels have another label"),
    ],
)
def test_shares_in_words(share: float, text: str) -> None:
    assert share_text(share) == text


def damage(folder: Path, sample: dict[str, str], how: str) -> dict[str, str]:
    labels = folder / sample["labels"]
    if how == "outside":
        shutil.copy(labels, folder.parent / "secret.png")
        return {**sample, "labels": "../secret.png"}
    if how == "absolute":
        return {**sample, "image": "/etc/hostname"}
    if how == "missing":
        labels.unlink()
    if how == "truncated":
        labels.write_bytes(labels.read_bytes()[:60])
    if how == "not a palette":
        Image.new("RGB", (240, 180)).save(labels)
    if how == "other size":
        Image.new("P", (20, 30)).save(labels)
    if how == "link":
        labels.unlink()
        (folder.parent / "secret.png").write_bytes((folder / sample["reference"]).read_bytes())
        labels.symlink_to(folder.parent / "secret.png")
    return sample


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("outside", "no picture beside the record"),
        ("absolute", "no picture beside the record"),
        ("link", "no picture beside the record"),
        ("missing", "is not there"),
        ("truncated", "Error: "),
        ("not a palette", "is not a palette PNG"),
        ("other size", "differ in size"),
    ],
)
def test_pictures_that_cannot_be_used_are_not_shown(tmp_path: Path, how: str, why: str) -> None:
    folder = tmp_path / "records"
    record = make_record()
    record["samples"] = [damage(folder, make_samples(folder, "a"), how)]
    ((found,), _) = comparisons(entries_of(record, folder=folder))
    assert found.reference is found.labels is found.difference is None
    assert why in (found.problem or "")
    assert str(tmp_path) not in (found.problem or "")


def test_a_page_says_that_pictures_cannot_be_shown(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    record = make_record()
    record["samples"] = [damage(folder, make_samples(folder, "a"), "missing")]
    page = page_of(tmp_path, record)
    assert "The pictures cannot be shown." in page.text("pictures")
    assert "a-labels.png is not there" in page.text("pictures")
    assert "img" not in [tag for tag, _ in page.tags]
