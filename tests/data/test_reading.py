"""Decoding of good, odd, broken and hostile files."""

from __future__ import annotations

import io
import resource
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg.data import reading
from paddle_mobileseg.data.reading import read_image, read_label


def photo(height: int = 60, width: int = 80) -> np.ndarray:
    """A smooth RGB image, which JPEG keeps nearly as it is."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], axis=2).astype(np.uint8)


def save(path: Path, pixels: np.ndarray, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bit_depth: int, colour_type: int, pixels: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(pixels)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_png_is_read_exactly(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "a.png", photo()))
    assert image.dtype == np.uint8 and image.flags.writeable
    np.testing.assert_array_equal(image, photo())


def test_jpeg_equals_opencv(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", photo(), quality=90)
    expected = cv2.imread(str(path))[:, :, ::-1]
    assert np.abs(read_image(path).astype(int) - expected).max() <= 1


def test_gray_jpeg_becomes_rgb(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "a.jpg", np.full((8, 9), 77, np.uint8)))
    np.testing.assert_array_equal(image, np.full((8, 9, 3), 77))


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", np.full((16, 16, 3), (200, 100, 50), np.uint8), mode="CMYK", quality=95)
    assert np.abs(read_image(path).astype(int) - (200, 100, 50)).max() <= 6


def test_alpha_is_dropped(tmp_path: Path) -> None:
    rgba = np.dstack([photo(), np.zeros((60, 80), np.uint8)])
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", rgba)), photo())


def test_gray_alpha_becomes_rgb(tmp_path: Path) -> None:
    pixels = np.dstack([np.full((4, 5), 9, np.uint8), np.full((4, 5), 100, np.uint8)])
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", pixels)), np.full((4, 5, 3), 9))


def test_palette_image_becomes_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(tmp_path / "a.png")
    expected = [[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [40, 50, 60]]]
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)


def test_16_bit_gray_keeps_the_high_byte(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256], [32768, 65280, 65535]], np.uint16)
    image = read_image(save(tmp_path / "a.png", values))
    np.testing.assert_array_equal(image[:, :, 1], [[0, 0, 1], [128, 255, 255]])


def test_16_bit_rgb_keeps_the_high_byte(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1, 1, 16, 2, b"\0" + struct.pack(">HHH", 65535, 32768, 255)))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), [[[255, 128, 0]]])


def test_float_image_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tiff", np.full((3, 3), 0.5, np.float32))
    with pytest.raises(ValueError, match=r"a\.tiff.*brightness range"):
        read_image(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_as_opencv_does(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.jpg", photo(), quality=95, exif=exif)
    image = read_image(path)
    assert image.shape == ((60, 80, 3) if orientation < 5 else (80, 60, 3))
    assert np.abs(image.astype(int) - cv2.imread(str(path))[:, :, ::-1]).max() <= 1


def test_orientation_6_turns_clockwise(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = read_image(save(tmp_path / "a.jpg", photo(), quality=95, exif=exif))
    assert np.abs(image.astype(int) - np.rot90(photo(), -1)).max() <= 12


def test_broken_exif_is_ignored(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", photo(), exif=b"Exif\0\0MM\0*\xff\xff\xff\xffnonsense")
    assert read_image(path).shape == (60, 80, 3)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.9])
def test_truncated_jpeg(tmp_path: Path, kept: float, progressive: bool) -> None:
    path = save(tmp_path / "a.jpg", photo(200, 300), quality=95, progressive=progressive)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(ValueError, match=r"a\.jpg.*(truncated|not an image)"):
        read_image(path)


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.9])
def test_truncated_png(tmp_path: Path, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    path = save(tmp_path / "a.png", noise)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(ValueError, match=r"a\.png.*truncated"):
        read_image(path)
    with pytest.raises(ValueError, match=r"a\.png.*truncated"):
        read_label(path)


def test_damaged_png(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.png.*corrupt"):
        read_image(path)


@pytest.mark.parametrize(
    "content", [b"this is text\n" * 50, b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF\n"]
)
def test_not_an_image(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.jpg"):
        read_image(tmp_path / "a.jpg")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ValueError, match=r"a\.jpg: the file is empty"):
        read_image(tmp_path / "a.jpg")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg"):
        read_image(tmp_path / "nowhere.jpg")
    with pytest.raises(OSError, match=tmp_path.name):
        read_image(tmp_path)


@pytest.mark.parametrize("size", [(60_000, 60_000), (20_000, 6_000)])
def test_huge_image_is_refused_without_decoding(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "a.png").write_bytes(png(*size, 8, 2, b"\0" * 1000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"a\.png: too large.*100 million"):
        read_image(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png: too large"):
        read_label(tmp_path / "a.png")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB; decoded: more than 300 000


def test_size_limit_is_inclusive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png", photo(60, 80))
    monkeypatch.setattr(reading, "MAX_PIXELS", 4800)
    assert read_image(path).shape == (60, 80, 3)
    monkeypatch.setattr(reading, "MAX_PIXELS", 4799)
    with pytest.raises(ValueError, match="80 x 60 pixels"):
        read_image(path)


def test_metadata_bomb_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(photo()).save(buffer, format="PNG")
    data = buffer.getvalue()
    bomb = png_chunk(b"zTXt", b"comment\0\0" + zlib.compress(b"\0" * 200_000_000, 9))
    (tmp_path / "a.png").write_bytes(data[:33] + bomb + data[33:])
    with pytest.raises(ValueError, match=r"a\.png"):
        read_image(tmp_path / "a.png")


def test_gray_label(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2], [10, 254, 255]], np.uint8)
    label = read_label(save(tmp_path / "a.png", values))
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, values)


def test_palette_label_gives_indices(tmp_path: Path) -> None:
    values = np.array([[0, 1], [2, 255]], np.uint8)
    image = Image.fromarray(values)
    image.putpalette(list(np.random.default_rng(0).integers(0, 256, 768)))
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label(tmp_path / "a.png"), values)


def test_16_bit_label(tmp_path: Path) -> None:
    values = np.array([[0, 300], [65535, 7]], np.uint16)
    label = read_label(save(tmp_path / "a.png", values))
    assert label.dtype == np.int32
    np.testing.assert_array_equal(label, values)


def test_bilevel_label(tmp_path: Path) -> None:
    label = read_label(save(tmp_path / "a.png", np.array([[False, True]])))
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, [[0, 1]])


@pytest.mark.parametrize(("bits", "packed", "expected"), [(2, 0b00011011, [0, 1, 2, 3]), (4, 0x0F, [0, 15])])
def test_gray_label_of_few_bits_keeps_its_numbers(tmp_path: Path, bits: int, packed: int, expected: list[int]) -> None:
    (tmp_path / "a.png").write_bytes(png(len(expected), 1, bits, 0, bytes([0, packed])))
    np.testing.assert_array_equal(read_label(tmp_path / "a.png"), [expected])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_label_with_colours_is_refused(tmp_path: Path, mode: str) -> None:
    path = save(tmp_path / "a.png", photo(), mode=mode)
    with pytest.raises(ValueError, match=rf"a\.png: a label file has one channel.*{mode}"):
        read_label(path)
