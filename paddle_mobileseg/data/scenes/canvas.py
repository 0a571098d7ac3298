"""Camera, light and the pair of canvases (picture and labels) that a scene is drawn on.

Lengths in the scene are metres: X to the right of the camera, Y up from the road, Z away from the camera. Pixel
positions are (x, y) on the canvas, which is `SUPERSAMPLING` times as large as the finished picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

SUPERSAMPLING = 2
NEAR_PLANE = 0.8
"""Nothing is projected from nearer than this many metres."""
FAR = 150.0
"""Depth in metres at which the ground ends."""

Colour = tuple[float, float, float]
"""RGB, each 0 to 255."""

CLASS_NAMES = (
    "sky",
    "building",
    "vegetation",
    "road",
    "sidewalk",
    "car",
    "person",
    "pole",
    "sign",
    "lane_marking",
)
SKY, BUILDING, VEGETATION, ROAD, SIDEWALK, CAR, PERSON, POLE, SIGN, LANE_MARKING = range(len(CLASS_NAMES))

# Strength of the fine-grained and of the blotchy texture of each class, in gray levels.
FINE_TEXTURE = np.array([0.5, 4.0, 8.0, 5.0, 4.0, 1.5, 3.0, 2.0, 1.0, 5.0], np.float32)
BLOTCHY_TEXTURE = np.array([0.5, 3.0, 11.0, 3.0, 4.0, 1.0, 4.0, 2.0, 1.0, 4.0], np.float32)


def shade(colour: Colour, factor: float) -> Colour:
    """The RGB colour made darker (factor < 1) or lighter (factor > 1), kept within 0 to 255."""
    return (min(255.0, colour[0] * factor), min(255.0, colour[1] * factor), min(255.0, colour[2] * factor))


def mix(first: Colour, second: Colour, part: float) -> Colour:
    """The RGB colour that lies `part` (0 to 1) of the way from `first` to `second`."""
    a, b, c = (x + (y - x) * part for x, y in zip(first, second, strict=True))
    return a, b, c


def pick(rng: np.random.Generator, colours: Sequence[Colour], jitter: float = 12.0) -> Colour:
    """One of the RGB colours at random, each channel moved by up to `jitter`."""
    base = np.array(colours[int(rng.integers(len(colours)))])
    red, green, blue = np.clip(base + rng.uniform(-jitter, jitter, 3), 0, 255).tolist()
    return red, green, blue


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along the street.

    `size_hw` is the canvas in pixels, `focal_px` the focal length in canvas pixels, `vanishing_xy` the vanishing point
    of the street in canvas pixels and `eye_height` the height of the camera above the road in metres.
    """

    size_hw: tuple[int, int]
    focal_px: float
    vanishing_xy: tuple[float, float]
    eye_height: float

    def project(self, points: np.ndarray | Sequence[Sequence[float] | np.ndarray]) -> np.ndarray:
        """Scene points, float [N, 3] (X, Y, Z) in metres -> canvas positions, float [N, 2] (x, y)."""
        xyz = np.asarray(points, float)
        scale = self.focal_px / np.maximum(xyz[:, 2], NEAR_PLANE)
        x = self.vanishing_xy[0] + xyz[:, 0] * scale
        y = self.vanishing_xy[1] + (self.eye_height - xyz[:, 1]) * scale
        return np.stack([x, y], axis=1)

    def pixels(self, metres: float, depth: float) -> float:
        """Length in canvas pixels of something that many metres long at that depth."""
        return metres * self.focal_px / depth

    def depth_inside(self, x: float, margin: float = 0.05) -> float:
        """The depth in metres from which position X is in the picture, at least `margin` of its width from the edge."""
        width = self.size_hw[1]
        room = (1 - margin) * width - self.vanishing_xy[0] if x > 0 else self.vanishing_xy[0] - margin * width
        return abs(x) * self.focal_px / max(room, 1.0)


@dataclass(frozen=True)
class Light:
    """Weather and time of day.

    `kind` is sunny, overcast or dusk. `sun_side` (-1 left, 1 right) is where the light comes from, `shadow` the part of
    the light that a cast shadow takes (0: no shadows). `haze_colour` (RGB) is what things fade to with distance and
    `haze_depth` the distance in metres at which about 63 % of it is reached.
    """

    kind: str
    sun_side: int
    shadow: float
    haze_colour: Colour
    haze_depth: float

    def side_factor(self, side: int) -> float:
        """Brightness of a wall that stands on that side of the street (-1 left, 1 right)."""
        if self.kind == "overcast":
            return 0.95
        return 0.72 if side == self.sun_side else 1.08

    def haze(self, depth: float | np.ndarray) -> float | np.ndarray:
        """Part of the haze colour, 0 to 1, in what is seen at that depth in metres."""
        return 1.0 - np.exp(-np.asarray(depth, float) / self.haze_depth)

    def seen(self, colour: Colour, depth: float) -> Colour:
        """The RGB colour as it looks from that depth in metres."""
        return mix(colour, self.haze_colour, float(self.haze(depth)))


class Canvas:
    """The picture (uint8 [H, W, 3] RGB) and the labels (uint8 [H, W]), drawn together and larger than the final size.

    Whatever is drawn later hides what was drawn before. A shape with label None changes only the picture: it is a
    detail on a surface that has its label already.
    """

    def __init__(self, size_hw: tuple[int, int]) -> None:
        self.size_hw = size_hw
        height, width = size_hw[0] * SUPERSAMPLING, size_hw[1] * SUPERSAMPLING
        self.image = np.zeros((height, width, 3), np.uint8)
        self.labels = np.zeros((height, width), np.uint8)

    def polygon(self, points: np.ndarray, colour: Colour, label: int | None = None) -> None:
        """Fills one polygon, float [N, 2] canvas positions."""
        self.polygons([points], colour, label)

    def polygons(self, shapes: Iterable[np.ndarray], colour: Colour, label: int | None = None) -> None:
        """Fills polygons that do not overlap one another, each float [N, 2] canvas positions."""
        corners = [np.round(shape).astype(np.int32) for shape in shapes]
        if not corners:
            return
        cv2.fillPoly(self.image, corners, colour)
        if label is not None:
            cv2.fillPoly(self.labels, corners, label)

    def ellipse(
        self, center: np.ndarray | Sequence[float], axes: tuple[float, float], colour: Colour, label: int | None = None
    ) -> None:
        """Fills an upright ellipse; `axes` are its half width and half height in canvas pixels."""
        middle = (round(center[0]), round(center[1]))
        radii = (max(1, round(axes[0])), max(1, round(axes[1])))
        cv2.ellipse(self.image, middle, radii, 0, 0, 360, colour, -1)
        if label is not None:
            cv2.ellipse(self.labels, middle, radii, 0, 0, 360, label, -1)

    def lines(self, paths: Iterable[np.ndarray], colour: Colour, thickness: int = 1) -> None:
        """Draws open lines on the picture only, each float [N, 2] canvas positions."""
        cv2.polylines(self.image, [np.round(path).astype(np.int32) for path in paths], False, colour, thickness)

    def darken(self, shapes: Sequence[np.ndarray], strength: float) -> None:
        """Takes `strength` (0 to 1) of the light away inside the polygons, each float [N, 2] canvas positions."""
        if not shapes:
            return
        limit = np.array(self.labels.shape[::-1])
        corners = [np.round(shape).astype(np.int32) for shape in shapes]
        left, top = np.clip(np.concatenate(corners).min(axis=0), 0, limit)
        right, bottom = np.clip(np.concatenate(corners).max(axis=0) + 1, 0, limit)
        if right <= left or bottom <= top:
            return
        mask = np.zeros((bottom - top, right - left), np.uint8)
        for corner in corners:
            cv2.fillPoly(mask, [corner], 255, offset=(-int(left), -int(top)))
        area = self.image[top:bottom, left:right]
        np.copyto(area, cv2.convertScaleAbs(area, alpha=1.0 - strength), where=mask[..., None] > 0)

    def finish(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Scales down to the final size and adds texture, blur, tone and noise.

        Returns the picture, uint8 [H, W, 3] RGB, and the labels, uint8 [H, W].
        """
        height, width = self.size_hw
        half = SUPERSAMPLING // 2
        labels = np.ascontiguousarray(self.labels[half::SUPERSAMPLING, half::SUPERSAMPLING])
        small = cv2.resize(self.image, (width, height), interpolation=cv2.INTER_AREA)
        textured = small.astype(np.float32) + _texture(labels, rng)[..., None]
        if rng.random() < 0.6:
            textured = cv2.GaussianBlur(textured, (0, 0), rng.uniform(0.4, 0.8)).astype(np.float32)
        toned = cv2.LUT(np.clip(textured, 0, 255).astype(np.uint8), _tone_curves(rng))
        noise = rng.standard_normal((height, width, 3), dtype=np.float32) * np.float32(rng.uniform(1.0, 5.0))
        return np.clip(toned + noise, 0, 255).astype(np.uint8), labels


def _texture(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness changes, float32 [H, W], with each class's own grain."""
    height, width = labels.shape
    strength = rng.uniform(0.6, 1.4, (2, len(CLASS_NAMES))).astype(np.float32)
    fine = rng.standard_normal((height, width), dtype=np.float32)
    coarse = rng.standard_normal((height // 4 + 1, width // 4 + 1), dtype=np.float32)
    blotchy = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return fine * (FINE_TEXTURE * strength[0])[labels] + blotchy * (BLOTCHY_TEXTURE * strength[1])[labels]


def _tone_curves(rng: np.random.Generator) -> np.ndarray:
    """Exposure, gamma and colour temperature of the camera as a uint8 [1, 256, 3] table."""
    warmth = rng.uniform(-0.09, 0.09)
    gains = rng.uniform(0.82, 1.12) * np.array([1 + warmth, 1.0, 1 - warmth])
    levels = (np.arange(256) / 255.0) ** rng.uniform(0.8, 1.25)
    return np.clip(levels[None, :, None] * gains * 255.0, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Street:
    """Positions X in metres, from left to right, of the edges of sidewalks and road."""

    walk_left: float
    road_left: float
    road_right: float
    walk_right: float

    def curb(self, side: int) -> float:
        """X of the road's edge on that side (-1 left, 1 right)."""
        return self.road_left if side < 0 else self.road_right

    def outer(self, side: int) -> float:
        """X of the sidewalk's outer edge on that side (-1 left, 1 right)."""
        return self.walk_left if side < 0 else self.walk_right


@dataclass(frozen=True)
class Scene:
    """What every drawing needs: where to draw, the camera, the street, the light and the scene's random numbers."""

    canvas: Canvas
    camera: Camera
    street: Street
    light: Light
    rng: np.random.Generator

    def fill(
        self, points: np.ndarray | Sequence[Sequence[float] | np.ndarray], colour: Colour, label: int | None = None
    ) -> None:
        """Fills a flat polygon given by scene points, float [N, 3] in metres, with a colour as it is seen."""
        self.canvas.polygon(self.camera.project(points), colour, label)

    def fill_upright(
        self, x: float, depth: float, outline: Sequence[Sequence[float]], colour: Colour, label: int | None = None
    ) -> None:
        """Fills a polygon that stands at (X, depth) facing the camera; `outline` is [(across, up), ...] in metres."""
        points = [(x + across, up, depth) for across, up in outline]
        self.fill(points, self.light.seen(colour, depth), label)

    def strip(self, left: float, right: float, near: float = 0.0, far: float = FAR) -> np.ndarray:
        """Outline on the canvas, float [4, 2], of the ground between two positions X and two depths Z."""
        return self.camera.project([(left, 0, near), (left, 0, far), (right, 0, far), (right, 0, near)])
