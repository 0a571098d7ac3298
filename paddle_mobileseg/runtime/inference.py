"""Labels of image and video files from a bundle: what ``mobileseg infer`` does.

Needs what :class:`Session` needs, and Pillow, which reads images here as in training and writes palette PNGs.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from paddle_mobileseg.data.input_files import ImageFile, find_images_and_videos, told
from paddle_mobileseg.data.palette import encode_label_png, overlay
from paddle_mobileseg.data.pictures import LABELS, OVERLAYS, encode_jpeg, write_all
from paddle_mobileseg.data.reading import read_image
from paddle_mobileseg.files import atomic_path, make_output_folder
from paddle_mobileseg.progress import progress
from paddle_mobileseg.runtime.session import Session
from paddle_mobileseg.runtime.video import VideoReader, VideoWriter

_OF_ONE_FILE = (OSError, ValueError, RuntimeError, cv2.error)


class Inferred(NamedTuple):
    """What came of all files.

    Attributes:
        images, videos: how many were done.
        failures: a line for each file that could not be, beginning with its name, in their order.
    """

    images: int
    videos: int
    failures: list[str]


def infer(session: Session, source: str | Path, save_dir: str | Path, alpha: float = 0.5) -> Inferred:
    """Label files; one that cannot be read, or does not fit the network, is passed over and reported.

    Names are those of ``mobileseg predict``. Of an image: ``pseudo_color_prediction/NAME.png`` (8-bit palette PNG of
    class numbers) and ``added_prediction/NAME.jpg`` (the image under the colours), at the image's own size. Of a video:
    ``pseudo_color_prediction/NAME.SUFFIX/NNNNNN.png`` for each frame, from 000000, and ``added_prediction/NAME.mp4``.
    Every file appears whole or not at all, and several processes may write the same ones.

    Args:
        session: of the bundle.
        source: an image, a video, a ``.txt`` list, or a folder with everything below it (but earlier results).
        save_dir: output folder.
        alpha: weight of the colours in the overlays, 0 (the image alone) to 1.

    Raises:
        FileNotFoundError: no such source.
        ValueError: no image or video in it, or ``alpha`` out of range.
        OSError: the output folder cannot be written.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; expected a number from 0 (the image alone) to 1 (the colours alone)")
    folder = Path(save_dir)
    files = find_images_and_videos(source, but_below=[folder / LABELS, folder / OVERLAYS])
    make_output_folder(folder)
    images, videos = [f for f in files if not f.is_video], [f for f in files if f.is_video]
    failures: dict[ImageFile, str] = {}
    for file in progress(images, total=len(images), name="infer"):
        try:
            image = read_image(file.path)
            png, jpeg = _encoded(image, session.run(image), session.bundle.palette, alpha)
        except _OF_ONE_FILE as error:
            failures[file] = told(file.path, error)
            continue
        write_all(folder, [(f"{LABELS}/{file.name}.png", png), (f"{OVERLAYS}/{file.name}.jpg", jpeg)])
    for file in videos:
        try:
            _infer_video(session, file, folder, alpha)
        except _OF_ONE_FILE as error:
            failures[file] = told(file.path, error)
    bad_videos = sum(file.is_video for file in failures)
    return Inferred(
        len(images) - len(failures) + bad_videos,
        len(videos) - bad_videos,
        [failures[file] for file in files if file in failures],
    )


def _encoded(image: np.ndarray, labels: np.ndarray, palette: np.ndarray, alpha: float) -> tuple[bytes, bytes]:
    return encode_label_png(labels, palette), encode_jpeg(overlay(image, labels, palette, alpha))


def _infer_video(session: Session, file: ImageFile, folder: Path, alpha: float) -> None:
    """Frame by frame; no more than one is held in memory.

    Raises:
        ValueError: it cannot be read, or ends early; what could be read is written.
    """
    palette = session.bundle.palette
    labels_name = f"{LABELS}/{file.name}{file.path.suffix}"
    overlays = folder / OVERLAYS / f"{file.name}.mp4"
    with VideoReader(file.path) as video:
        with atomic_path(overlays) as temporary, VideoWriter(temporary, video.fps, video.size_hw) as writer:
            for number, frame in enumerate(progress(video, total=video.announced, name=file.path.name)):
                labels = session.run(frame)
                writer.add(overlay(frame, labels, palette, alpha))
                write_all(folder, [(f"{labels_name}/{number:06d}.png", encode_label_png(labels, palette))])
        _remove_frames_from(folder / labels_name, video.frames)
        video.check_complete()


def _remove_frames_from(folder: Path, count: int) -> None:
    """Those that an earlier, longer video of this name has left."""
    for path in folder.glob("*.png"):
        if path.stem.isdecimal() and int(path.stem) >= count:
            path.unlink(missing_ok=True)
