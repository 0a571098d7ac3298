"""Where things stand: draws lots for camera, street and light and places the objects of a scene."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from paddle_mobileseg.data.scenes import objects, surroundings
from paddle_mobileseg.data.scenes.canvas import SUPERSAMPLING, Camera, Canvas, Light, Scene, Street

Placed = tuple[float, Callable[[], None]]
"""Depth of an object in metres and the call that draws it."""


def set_up(rng: np.random.Generator, size_hw: tuple[int, int]) -> Scene:
    """An empty scene of that size in pixels: camera, street and light drawn by lot."""
    height, width = size_hw[0] * SUPERSAMPLING, size_hw[1] * SUPERSAMPLING
    camera = Camera(
        size_hw=(height, width),
        focal_px=rng.uniform(0.95, 1.1) * height,
        vanishing_xy=(rng.uniform(0.38, 0.62) * width, rng.uniform(0.40, 0.50) * height),
        eye_height=rng.uniform(1.7, 2.4),
    )
    road, offset = rng.uniform(6.4, 8.4), rng.uniform(-1.6, 1.6)
    left, right = -road / 2 + offset, road / 2 + offset
    street = Street(left - rng.uniform(2.0, 3.6), left, right, right + rng.uniform(2.0, 3.6))
    kind = str(rng.choice(["sunny", "overcast", "dusk"], p=[0.5, 0.3, 0.2]))
    light = Light(
        kind=kind,
        sun_side=int(rng.choice([-1, 1])),
        shadow=float(rng.uniform(0.3, 0.5)) if kind == "sunny" else 0.0,
        haze_colour={"sunny": (196, 208, 222), "overcast": (188, 191, 195), "dusk": (170, 140, 130)}[kind],
        haze_depth=float(rng.uniform(60, 220)),
    )
    return Scene(Canvas(size_hw), camera, street, light, rng)


def draw_objects(scene: Scene) -> None:
    """Places trees, cars, posts, signs and persons along the street and draws them from far to near."""
    placed = [*_place_plants(scene), *_place_cars(scene), *_place_posts(scene), *_place_persons(scene)]
    for _, draw in sorted(placed, key=lambda item: -item[0]):
        draw()


def _row(scene: Scene, x: float, near: float, far: float, gap: tuple[float, float]) -> list[float]:
    """Depths in metres along a line at position X, from the first one that is in the picture, with gaps by lot."""
    depths = []
    depth = max(near, scene.camera.depth_inside(x)) + scene.rng.uniform(0, gap[0])
    while depth < far:
        depths.append(float(depth))
        depth += scene.rng.uniform(*gap)
    return depths


def _place_plants(scene: Scene) -> list[Placed]:
    placed: list[Placed] = []
    for side in (-1, 1):
        x = scene.street.outer(side) - side * scene.rng.uniform(0.0, 0.5)
        gap = scene.rng.uniform(4.0, 14.0)
        for depth in _row(scene, x, 6.0, 22.0, (gap, 2 * gap)):
            draw = surroundings.draw_tree if scene.rng.random() < 0.75 else surroundings.draw_bush
            placed.append((depth, partial(draw, scene, x, depth)))
    return placed


def _place_cars(scene: Scene) -> list[Placed]:
    """Cars parked at both curbs, cars on the move and sometimes one that crosses the street."""
    rng, street = scene.rng, scene.street
    placed: list[Placed] = []
    for side in (-1, 1):
        x = street.curb(side) - side * 1.15
        heading = 0.0 if side > 0 else np.pi
        share = rng.uniform(0.15, 0.7)
        for depth in _row(scene, x, 6.0, 18.0, (5.2, 7.5)):
            if rng.random() < share:
                placed.append((depth, partial(objects.draw_car, scene, x, depth, heading + rng.normal(0, 0.04))))
    middle = (street.road_left + street.road_right) / 2
    for _ in range(rng.integers(1, 3)):
        side = int(rng.choice([-1, 1]))
        x = middle + side * rng.uniform(0.9, 1.3)
        depth = float(rng.uniform(7.0, 17.0))
        heading = (0.0 if side > 0 else np.pi) + rng.normal(0, 0.05)
        if all(abs(depth - other) > 3.0 for other, _ in placed):
            placed.append((depth, partial(objects.draw_car, scene, x, depth, heading)))
    if rng.random() < 0.15:
        depth = float(rng.uniform(9.0, 15.0))
        x = rng.uniform(street.road_left, street.road_right)
        placed.append((depth, partial(objects.draw_car, scene, x, depth, rng.choice([-1, 1]) * np.pi / 2)))
    return placed


def _place_posts(scene: Scene) -> list[Placed]:
    """Lamp posts and signs at the curbs, near enough to be several pixels wide."""
    placed: list[Placed] = []
    for side in (-1, 1):
        x = scene.street.curb(side) + side * scene.rng.uniform(0.35, 0.6)
        is_lamp = scene.rng.random() < 0.5
        for depth in _row(scene, x, 4.5, 9.5, (2.0, 4.5)):
            if is_lamp:
                placed.append((depth, partial(objects.draw_lamp_post, scene, x, depth, side)))
            else:
                placed.append((depth, partial(objects.draw_sign_post, scene, x, depth)))
            is_lamp = not is_lamp
    return placed


def _place_persons(scene: Scene) -> list[Placed]:
    rng, street = scene.rng, scene.street
    placed: list[Placed] = []
    for _ in range(rng.integers(2, 5)):
        side = int(rng.choice([-1, 1]))
        x = street.curb(side) + (street.outer(side) - street.curb(side)) * rng.uniform(0.3, 0.9)
        if rng.random() < 0.3:
            x = rng.uniform(street.road_left, street.road_right)
        nearest = max(4.0, scene.camera.depth_inside(x))
        depth = float(rng.uniform(nearest, max(7.0, nearest + 1.0)))
        placed.append((depth, partial(objects.draw_person, scene, x, depth)))
    return placed
