"""Polygons, circles and run lengths as pixels, against hand-made maps and independent code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from paddle_mobileseg.data.importing import shapes


def drawn(region: shapes.Region, size_hw: tuple[int, int]) -> np.ndarray:
    canvas = np.zeros(size_hw, dtype=np.uint8)
    region.paint(canvas, 1)
    return canvas


def polygon(points: object, size_hw: tuple[int, int]) -> np.ndarray:
    return drawn(shapes.polygon(np.asarray(points, dtype=np.float64), size_hw), size_hw)


def rows(*lines: str) -> np.ndarray:
    return np.array([[int(character == "#") for character in line] for line in lines], dtype=np.uint8)


def inside_by_winding_angle(points: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Whether each pixel's centre is in a simple polygon: the angle that the corners go round it is a turn."""
    centres = np.stack(np.meshgrid(np.arange(size_hw[1]) + 0.5, np.arange(size_hw[0]) + 0.5), axis=-1)
    towards = points[:, None, None] - centres
    after = np.roll(towards, -1, axis=0)
    cross = towards[..., 0] * after[..., 1] - towards[..., 1] * after[..., 0]
    dot = (towards * after).sum(-1)
    return np.abs(np.arctan2(cross, dot).sum(0)) > np.pi


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        # Whole coordinates are the borders of pixels: columns 1 to 3, rows 1 and 2.
        ([(1, 1), (4, 1), (4, 3), (1, 3)], rows("......", ".###..", ".###..", "......")),
        # Half coordinates go through centres, which belong to the side of larger x and y.
        ([(1.5, 0.5), (3.5, 0.5), (3.5, 2.5), (1.5, 2.5)], rows(".##...", ".##...", "......", "......")),
        ([(1.6, 0.6), (3.4, 0.6), (3.4, 1.4), (1.6, 1.4)], rows("......", "......", "......", "......")),
        # A triangle: centres left of the line x = y, which has (0.5, 0.5) and so on on it.
        ([(0, 0), (4, 4), (0, 4)], rows("......", "#.....", "##....", "###...")),
        ([(0, 0), (4, 0), (4, 4)], rows("####..", ".###..", "..##..", "...#..")),
        # Cut off at every side.
        ([(-9, -9), (2, -9), (2, 99), (-9, 99)], rows("##....", "##....", "##....", "##....")),
        ([(-1e9, -1e9), (1e9, -1e9), (1e9, 1e9), (-1e9, 1e9)], rows("######", "######", "######", "######")),
        ([(7, 1), (9, 1), (9, 3)], rows("......", "......", "......", "......")),
        ([(1, -5), (4, -5), (4, -1)], rows("......", "......", "......", "......")),
        # It crosses itself: what is covered twice is outside.
        ([(0, 0), (6, 0), (6, 4), (0, 4), (0, 0), (2, 1), (4, 1), (4, 3), (2, 3), (2, 1)],
         rows("######", "##..##", "##..##", "######")),
        # No area.
        ([(1, 1), (4, 1), (4, 1)], rows("......", "......", "......", "......")),
        ([(1, 0), (1, 4), (1, 2)], rows("......", "......", "......", "......")),
    ],
)  # fmt: skip
def test_polygons_by_hand(points: list[tuple[float, float]], expected: np.ndarray) -> None:
    assert np.array_equal(polygon(points, (4, 6)), expected)
    assert np.array_equal(polygon(points[::-1], (4, 6)), expected)


def test_a_concave_polygon() -> None:
    points = [(1, 0), (6, 0), (6, 5), (4, 5), (4, 2), (3, 2), (3, 5), (1, 5)]
    assert np.array_equal(polygon(points, (5, 6)), rows(".#####", ".#####", ".##.##", ".##.##", ".##.##"))


@pytest.mark.parametrize("seed", range(20))
def test_polygons_hold_the_pixels_whose_centres_they_hold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
    radius = rng.uniform(3, 40, len(angles))
    points = np.stack([30 + radius * np.cos(angles), 20 + radius * np.sin(angles)], axis=1)
    expected = inside_by_winding_angle(points, (43, 57))
    assert np.array_equal(polygon(points, (43, 57)), expected)


def test_polygons_that_share_edges_neither_overlap_nor_leave_gaps() -> None:
    rng = np.random.default_rng(3)
    corners = {(x, y): (x * 10 + rng.uniform(-3, 3), y * 10 + rng.uniform(-3, 3)) for x in range(6) for y in range(5)}
    counts = np.zeros((40, 50), dtype=int)
    for x in range(5):
        for y in range(4):
            four = [corners[x, y], corners[x + 1, y], corners[x + 1, y + 1], corners[x, y + 1]]
            split = [[four[0], four[1], four[2]], [four[0], four[2], four[3]]]
            counts += sum(polygon(each, (40, 50)).astype(int) for each in split)
    assert (counts[3:-3, 3:-3] == 1).all()
    assert counts.max() == 1


def test_rectangles_and_circles() -> None:
    corners = np.array([(4.2, 3.4), (0.7, 1.2)])  # in any order
    expected = rows("......", ".###..", ".###..", "......")
    assert np.array_equal(drawn(shapes.rectangle(corners, (4, 6)), (4, 6)), expected)

    centre, edge = (3.0, 2.0), (3.0, 4.1)
    y, x = np.mgrid[:4, :6] + 0.5
    expected = ((x - 3) ** 2 + (y - 2) ** 2 <= 2.1**2).astype(np.uint8)
    assert expected.sum() == 12
    assert np.array_equal(drawn(shapes.circle(np.array([centre, edge]), (4, 6)), (4, 6)), expected)
    outside = shapes.circle(np.array([(-20.0, 50.0), (-18.0, 50.0)]), (4, 6))
    assert drawn(outside, (4, 6)).sum() == 0


@pytest.mark.parametrize(("top", "left"), [(0, 0), (-1, 2), (2, -1), (3, 5), (-9, 0), (9, 9)])
def test_bitmaps_are_cut_off_at_the_image(top: int, left: int) -> None:
    mask = np.array([[1, 0, 1], [0, 1, 1]], dtype=bool)
    expected = np.zeros((24, 26), dtype=np.uint8)
    expected[10 + top : 12 + top, 10 + left : 13 + left] = mask
    assert np.array_equal(drawn(shapes.bitmap(mask, top, left, (4, 6)), (4, 6)), expected[10:14, 10:16])


def test_unions_count_each_pixel_once() -> None:
    parts = [np.array([(0, 0), (3, 0), (3, 2), (0, 2)], float), np.array([(2, 1), (5, 1), (5, 4), (2, 4)], float)]
    region = shapes.union([shapes.polygon(each, (4, 6)) for each in parts])
    assert np.array_equal(drawn(region, (4, 6)), rows("###...", "#####.", "..###.", "..###."))
    assert region.area == 6 + 9 - 1
    assert shapes.union([]).area == 0


# ------------------------------------------------------------------------------------------------------- run lengths
def encoded(counts: list[int]) -> str:
    """COCO's compressed form, written after the description in its mask API: groups of five bits, the sign extended."""
    text = ""
    for index, count in enumerate(counts):
        value = count - counts[index - 2] if index > 2 else count
        while True:
            bits, value = value & 0b11111, value >> 5  # an arithmetic shift: negative numbers end at -1
            more = value != (-1 if bits & 0b10000 else 0)
            text += chr(48 + bits + (0b100000 if more else 0))
            if not more:
                break
    return text


def counts_of(mask: np.ndarray) -> list[int]:
    counts, last = [0], 0
    for pixel in mask.T.ravel().tolist():
        if pixel == last:
            counts[-1] += 1
        else:
            counts.append(1)
            last = pixel
    return counts


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_run_lengths_come_back(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    size_hw = (int(rng.integers(1, 60)), int(rng.integers(1, 80)))
    mask = (rng.random(size_hw) < share).astype(np.uint8)
    counts = counts_of(mask)
    assert shapes.unpack_counts(encoded(counts)) == counts
    region = shapes.run_lengths(counts, size_hw)
    assert np.array_equal(drawn(region, size_hw), mask)
    assert region.area == mask.sum()


def test_run_lengths_by_hand() -> None:
    # Columns from top to bottom: 2 outside, 3 inside, 1 outside, 2 inside, 1 outside.
    assert np.array_equal(drawn(shapes.run_lengths([2, 3, 1, 2, 1], (3, 3)), (3, 3)), rows(".##", ".##", "#.."))
    assert drawn(shapes.run_lengths([9], (3, 3)), (3, 3)).sum() == 0
    assert drawn(shapes.run_lengths([0, 9], (3, 3)), (3, 3)).sum() == 9


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("", []),
        ("0", [0]),
        ("?", [15]),
        ("`0", [16]),  # 10000 alone would be negative
        ("`T1", [16 + 4 * 32 + 1 * 1024]),
        ("2312", [2, 3, 1, 5]),  # the fourth is the difference to the second
        ("231N", [2, 3, 1, 1]),  # 11110 is -2
    ],
)
def test_compressed_counts_by_hand(text: str, counts: list[int]) -> None:
    assert shapes.unpack_counts(text) == counts


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shapes.run_lengths([4, 4], (3, 3)), "add up to 8, not to 3 x 3 = 9"),
        (lambda: shapes.run_lengths([-1, 10], (3, 3)), "whole numbers from 0"),
        (lambda: shapes.run_lengths([4.0, 5.0], (3, 3)), "whole numbers from 0"),
        (lambda: shapes.run_lengths([True, 8], (3, 3)), "whole numbers from 0"),
        (lambda: shapes.run_lengths([10**30], (3, 3)), "whole numbers from 0"),
        (lambda: shapes.unpack_counts("2 3"), "character ' '"),
        (lambda: shapes.unpack_counts("2é"), "character 'é'"),
        (lambda: shapes.unpack_counts("23`"), "ends within a number"),
        (lambda: shapes.unpack_counts("o" * 1000), "no part of COCO's compressed form"),
    ],
)
def test_wrong_run_lengths_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        call()
