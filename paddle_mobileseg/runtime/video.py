"""Frames of video files, one at a time, with the FFmpeg that is part of OpenCV."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

_USUAL_FPS = 25.0  # of a file that does not say
_MAX_FPS = 1000.0


class VideoReader:
    """A video's frames in order; iterating over it gives ``[H, W, 3]`` uint8 RGB.

    Frames are turned upright if the file says how. All have the size of the first one.

    Args:
        path: the file.

    Attributes:
        size_hw: of its frames, in pixels.
        fps: frames a second; 25 where the file does not say.
        announced: how many frames the file says to have; 0 if it does not say.
        frames: how many were read.

    Raises:
        FileNotFoundError: no such file.
        ValueError: nothing can be read from it; frames change their size on the way.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"there is no video {path}")
        self._path = path
        self._capture = cv2.VideoCapture(str(path))
        found, self._first = self._capture.read()
        if not found:
            self._capture.release()
            raise ValueError(
                f"{path}: no video that OpenCV can read (damaged, cut off, or of an unknown kind); "
                "`ffmpeg -i IN -c:v libx264 OUT.mp4` converts one"
            )
        self.size_hw: tuple[int, int] = self._first.shape[:2]
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if math.isfinite(fps) and 0 < fps <= _MAX_FPS else _USUAL_FPS
        announced = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.announced = int(announced) if math.isfinite(announced) and announced > 0 else 0
        self.frames = 0

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()

    def __iter__(self) -> Iterator[np.ndarray]:
        found, frame = True, self._first
        while found:
            if frame.shape[:2] != self.size_hw:
                raise ValueError(
                    f"{self._path}: frame {self.frames} has {frame.shape[1]}x{frame.shape[0]} pixels, those before it "
                    f"{self.size_hw[1]}x{self.size_hw[0]}; a video must keep its size"
                )
            self.frames += 1
            yield np.ascontiguousarray(frame[:, :, ::-1])
            found, frame = self._capture.read()

    def check_complete(self) -> None:
        """After the last frame: were there as many as announced? Some formats announce an estimate: 2 % are allowed,
        at least one frame.

        Raises:
            ValueError: it ended early.
        """
        if self.frames < self.announced - max(1, 0.02 * self.announced):
            raise ValueError(
                f"{self._path}: damaged or cut off: it ended after {self.frames} of {self.announced} frames, which "
                "are done"
            )


class VideoWriter:
    """Writes an MPEG-4 file without sound. Its sides are even: of odd ones the last row or column is there twice.

    Args:
        path: the file, ending in ``.mp4``.
        fps: frames a second.
        size_hw: of the frames, in pixels.

    Attributes:
        frames: how many were added.

    Raises:
        OSError: it cannot be written, at the latest when the ``with`` block ends.
    """

    def __init__(self, path: Path, fps: float, size_hw: tuple[int, int]) -> None:
        height, width = size_hw
        self._path = path
        self._odd = (height % 2, width % 2)
        self.frames = 0
        size_wh = (width + self._odd[1], height + self._odd[0])
        self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size_wh)
        if not self._writer.isOpened():
            raise OSError(
                f"cannot write an MPEG-4 video of {width}x{height} pixels to {path.name}: OpenCV {cv2.__version__} has "
                "no encoder for it (opencv-python-headless from pip has one), or the disk is full"
            )

    def add(self, frame: np.ndarray) -> None:
        """``[H, W, 3]`` uint8 RGB of the size given."""
        rows, columns = self._odd
        if rows or columns:
            frame = np.pad(frame, ((0, rows), (0, columns), (0, 0)), mode="edge")
        self._writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
        self.frames += 1

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.release()
        if kind is None:
            self._check_written()

    def _check_written(self) -> None:
        """OpenCV says nothing about a full disk."""
        written = cv2.VideoCapture(str(self._path))
        frames = int(written.get(cv2.CAP_PROP_FRAME_COUNT)) if written.isOpened() else 0
        written.release()
        if frames < self.frames:
            raise OSError(
                f"only {frames} of {self.frames} frames of {self._path.name} could be written; is the disk full?"
            )
