"""What a street stands in: sky, ground with lane markings, shadows, houses and trees."""

from __future__ import annotations

import cv2
import numpy as np

from paddle_mobileseg.data.scenes.canvas import (
    BUILDING,
    FAR,
    LANE_MARKING,
    ROAD,
    SIDEWALK,
    SKY,
    VEGETATION,
    Colour,
    Scene,
    mix,
    pick,
    shade,
)

WALLS = [
    (150, 148, 145), (112, 110, 112), (196, 180, 150), (160, 92, 74), (128, 80, 66), (214, 206, 190),
    (170, 186, 196), (186, 150, 96), (150, 160, 140), (96, 100, 110),
]  # fmt: skip
ROOFS = [(130, 70, 56), (90, 60, 52), (72, 74, 80), (110, 108, 106), (84, 92, 84)]
LEAVES = [(70, 105, 48), (52, 86, 50), (96, 116, 56), (120, 118, 50), (60, 96, 66), (150, 112, 46), (84, 120, 40)]
BARK = [(92, 74, 58), (74, 64, 56), (110, 98, 84)]
ASPHALT = [(96, 96, 98), (78, 78, 82), (116, 113, 110), (104, 98, 94)]
PAVING = [(158, 152, 144), (176, 166, 152), (140, 138, 138), (164, 140, 126), (184, 180, 174)]
ZENITH = {"sunny": (78, 128, 200), "overcast": (158, 164, 172), "dusk": (84, 92, 132)}
NEAREST_WALL = 1.0  # metres

SKYLINE = {"sunny": (188, 208, 228), "overcast": (196, 199, 202), "dusk": (206, 156, 124)}


def draw_sky(scene: Scene) -> None:
    """Fills the canvas with a sky: a gradient, clouds and, on clear days, the sun."""
    rng = scene.rng
    height, width = scene.canvas.labels.shape
    rows, columns = height // 4 + 1, width // 4 + 1
    top, bottom = (np.array(pick(rng, [tones[scene.light.kind]]), np.float32) for tones in (ZENITH, SKYLINE))
    part = np.clip(np.arange(rows, dtype=np.float32) * 4.0 / scene.camera.vanishing_xy[1], 0, 1)[:, None, None]
    sky = np.repeat(top + (bottom - top) * part, columns, axis=1)
    clouds = np.zeros((rows, columns), np.float32)
    for cells, weight in ((4, 1.0), (9, 0.6), (20, 0.35)):
        field = rng.standard_normal((cells, cells), dtype=np.float32)
        clouds += weight * cv2.resize(field, (columns, rows), interpolation=cv2.INTER_CUBIC)
    cover = np.clip(clouds + rng.uniform(-1.0, 0.6), 0, 1)[..., None] * rng.uniform(0.4, 0.9)
    sky += (0.4 * bottom + 0.6 * 245 - sky) * cover
    if scene.light.kind == "sunny" and rng.random() < 0.6:
        x = columns * (0.5 + scene.light.sun_side * rng.uniform(0.0, 0.4))
        y = rows * rng.uniform(0.05, 0.3)
        distance = np.hypot(np.arange(columns)[None] - x, np.arange(rows)[:, None] - y) / rows
        sky += (np.array([255, 250, 225]) - sky) * np.exp(-((distance / rng.uniform(0.06, 0.12)) ** 2))[..., None]
    scene.canvas.image[:] = cv2.resize(np.clip(sky, 0, 255).astype(np.uint8), (width, height))
    scene.canvas.labels[:] = SKY


def draw_ground(scene: Scene) -> None:
    """Draws grass, sidewalks, road and lane markings with the shadows that lie on them."""
    rng, street = scene.rng, scene.street
    grass, paving = pick(rng, LEAVES), pick(rng, PAVING, 7)
    asphalt = pick(rng, ASPHALT, 5)
    scene.canvas.polygon(scene.strip(-400, 400), grass, VEGETATION)
    for side in (-1, 1):
        curb, outer = street.curb(side), street.outer(side)
        scene.canvas.polygon(scene.strip(curb, outer), paving, SIDEWALK)
        joints = [
            scene.camera.project([(curb, 0, z), (outer, 0, z)]) for z in np.arange(2.0, 30.0, rng.uniform(0.8, 1.6))
        ]
        along = [scene.camera.project([(x, 0, 1.0), (x, 0, 40.0)]) for x in np.linspace(curb, outer, 4)[1:-1]]
        scene.canvas.lines(joints + along, shade(paving, rng.uniform(0.8, 0.92)), 2)
        scene.canvas.polygon(scene.strip(curb, curb + side * 0.22), shade(paving, rng.uniform(0.72, 1.15)), SIDEWALK)
    scene.canvas.polygon(scene.strip(street.road_left, street.road_right), asphalt, ROAD)
    _draw_repairs(scene, asphalt)
    _draw_markings(scene)
    if scene.light.shadow > 0:
        _draw_shadows(scene)
    _draw_ground_haze(scene)


def _draw_repairs(scene: Scene, asphalt: Colour) -> None:
    """Darker and lighter repairs in the asphalt."""
    rng, street = scene.rng, scene.street
    for _ in range(rng.integers(1, 6)):
        left = rng.uniform(street.road_left, street.road_right - 1.0)
        right = min(left + rng.uniform(0.6, 2.5), street.road_right)
        near = rng.uniform(2.5, 16.0)
        far = near + rng.uniform(0.8, 8.0)
        scene.canvas.polygon(scene.strip(left, right, near, far), shade(asphalt, rng.uniform(0.82, 1.14)))


def _draw_markings(scene: Scene) -> None:
    """Centre line, edge lines and sometimes a crossing; lines end where they would become too thin to tell."""
    rng, street = scene.rng, scene.street
    paint = pick(rng, [(226, 226, 222), (205, 205, 200), (222, 186, 80)])
    wide = rng.uniform(0.36, 0.5)
    center = (street.road_left + street.road_right) / 2
    reach = wide * scene.camera.focal_px / (6.0 * scene.camera.size_hw[0] / 360.0)
    dash, gap = rng.uniform(2.5, 4.5), rng.uniform(1.5, 3.0)
    if rng.random() < 0.25:
        dash, gap = FAR, 0.0
    start = rng.uniform(1.0, 4.0)
    while start < reach:
        end = min(start + dash, reach)
        scene.canvas.polygon(scene.strip(center - wide / 2, center + wide / 2, start, end), paint, LANE_MARKING)
        start = end + max(gap, 0.1)
    if rng.random() < 0.7:
        edge_paint = mix(paint, (225, 225, 222), 0.7)
        for side in (-1, 1):
            x = street.curb(side) - side * rng.uniform(0.35, 0.6)
            scene.canvas.polygon(scene.strip(x, x - side * wide, 0, 0.75 * reach), edge_paint, LANE_MARKING)
    if rng.random() < 0.4:
        near = rng.uniform(4.0, 7.0)
        far = near + rng.uniform(2.2, 3.2)
        period = rng.uniform(1.5, 1.8)
        for x in np.arange(street.road_left + 0.3, street.road_right - 0.6, period):
            scene.canvas.polygon(scene.strip(x, x + period / 2, near, far), paint, LANE_MARKING)


def _draw_shadows(scene: Scene) -> None:
    """Cast shadows of houses and of things outside the picture on the ground."""
    rng, street = scene.rng, scene.street
    shapes = []
    outer = street.outer(scene.light.sun_side) + scene.light.sun_side * 3
    reach = rng.uniform(0.0, street.road_right - street.road_left)
    start = 0.0
    while start < 60.0 and rng.random() < 0.9:
        end = start + rng.uniform(6.0, 25.0)
        edge = street.curb(scene.light.sun_side) - scene.light.sun_side * reach * rng.uniform(0.5, 1.0)
        shapes.append(scene.strip(outer, edge, start, end))
        start = end + rng.uniform(2.0, 10.0)
    for _ in range(rng.integers(0, 4)):
        x, z = rng.uniform(street.walk_left, street.walk_right), rng.uniform(4.0, 18.0)
        angles = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        radius = rng.uniform(0.8, 2.2) * rng.uniform(0.7, 1.1, angles.size)
        points = np.stack([x + radius * np.cos(angles), 0 * angles, z + 1.3 * radius * np.sin(angles)], axis=1)
        shapes.append(scene.camera.project(points))
    scene.canvas.darken(shapes, scene.light.shadow)


def _draw_ground_haze(scene: Scene) -> None:
    """Fades the ground towards the horizon."""
    first = max(0, int(scene.camera.vanishing_xy[1]))
    rows = np.arange(first, min(scene.canvas.labels.shape[0], first + scene.canvas.labels.shape[0] // 5))
    depth = scene.camera.eye_height * scene.camera.focal_px / np.maximum(rows - scene.camera.vanishing_xy[1], 1.0)
    part = np.asarray(scene.light.haze(np.minimum(depth, FAR)), np.float32)[:, None, None]
    area = scene.canvas.image[rows[0] : rows[-1] + 1]
    area[:] = (area + (np.asarray(scene.light.haze_colour, np.float32) - area) * part).astype(np.uint8)


def draw_backdrop(scene: Scene) -> None:
    """Draws a row of far houses and trees that hides the horizon."""
    rng = scene.rng
    width = scene.canvas.labels.shape[1]
    x = -rng.uniform(0, 0.1) * width
    base = scene.camera.vanishing_xy[1] + scene.camera.pixels(scene.camera.eye_height, FAR) + 2
    while x < width:
        step = rng.uniform(0.06, 0.16) * width
        top = base - scene.camera.pixels(rng.uniform(7, 22), FAR)
        if rng.random() < 0.6:
            colour = scene.light.seen(pick(rng, WALLS), FAR * 0.4)
            scene.canvas.polygon(np.array([(x, base), (x, top), (x + step, top), (x + step, base)]), colour, BUILDING)
        else:
            colour = scene.light.seen(pick(rng, LEAVES), FAR * 0.4)
            for part in np.linspace(0, 1, 6):
                radius = (base - top) * rng.uniform(0.5, 0.8)
                scene.canvas.ellipse((x + part * step, base - radius * 0.4), (radius, radius), colour, VEGETATION)
        x += step


def draw_houses(scene: Scene) -> None:
    """Draws a row of houses on each side of the street, far ones first."""
    rng = scene.rng
    tall = rng.uniform(6.0, 15.0)
    for side in (-1, 1):
        lots = []
        start = rng.uniform(-6.0, 4.0)
        while start < 95.0:
            end = start + rng.uniform(7.0, 17.0)
            lots.append((start, end))
            start = end + (rng.uniform(2.0, 9.0) if rng.random() < 0.3 else 0.0)
        for near, far in reversed(lots):
            front = scene.street.outer(side) + side * (
                rng.uniform(1.5, 3.0) if rng.random() < 0.3 else rng.uniform(0.0, 0.3)
            )
            height = max(4.5, tall * rng.uniform(0.6, 1.4))
            if far > 1.5:
                _draw_house(scene, side, front, (max(near, NEAREST_WALL), far), height)


def _draw_house(
    scene: Scene,
    side: int,
    front: float,
    depths: tuple[float, float],
    height: float,
) -> None:
    """One house: roof, the wall along the street with its windows, and the end wall that faces the camera."""
    rng = scene.rng
    near, far = depths
    back = front + side * rng.uniform(7.0, 11.0)
    wall = pick(rng, WALLS, 18)
    middle = scene.light.seen(shade(wall, scene.light.side_factor(side)), (near + far) / 2)
    end = scene.light.seen(shade(wall, 0.86), near)
    if rng.random() < 0.45:
        ridge, top = (front + back) / 2, height + rng.uniform(1.5, 3.5)
        slope = [(front, height, near), (front, height, far), (ridge, top, far), (ridge, top, near)]
        roof = scene.light.seen(shade(pick(rng, ROOFS), scene.light.side_factor(side)), (near + far) / 2)
        scene.fill(slope, roof, BUILDING)
        scene.fill([(front, height, near), (ridge, top, near), (back, height, near)], end, BUILDING)
    ends = [(front, 0, near), (front, height, near), (back, height, near), (back, 0, near)]
    scene.fill(ends, end, BUILDING)
    face = [(front, 0, near), (front, height, near), (front, height, far), (front, 0, far)]
    scene.fill(face, middle, BUILDING)
    if far > 60:
        return
    if rng.random() < 0.5:
        courses = [
            scene.camera.project([(front, y, near), (front, y, far)])
            for y in np.arange(0.4, height, rng.uniform(0.35, 0.6))
        ]
        scene.canvas.lines(courses, shade(middle, rng.uniform(0.86, 0.94)), 2)
    cornice = [(front, height, near), (front, height, far), (front, height - 0.4, far), (front, height - 0.4, near)]
    scene.fill(cornice, shade(middle, rng.uniform(0.7, 1.2)))
    _draw_windows(scene, front, depths, height, middle)


def _draw_windows(
    scene: Scene,
    front: float,
    depths: tuple[float, float],
    height: float,
    wall: Colour,
) -> None:
    """Rows of windows with frames, and a ground floor of doors or shop windows."""
    rng = scene.rng
    glass = pick(rng, [(60, 72, 88), (96, 116, 136), (44, 48, 54), (130, 146, 158)])
    lit = (236, 200, 120) if scene.light.kind == "dusk" else shade(glass, 1.4)
    frame = shade(wall, rng.choice([0.7, 1.3]))
    storey, pitch = rng.uniform(2.8, 3.4), rng.uniform(2.0, 3.2)
    wide, tall = pitch * rng.uniform(0.4, 0.65), storey * rng.uniform(0.42, 0.6)
    boxes = [
        (z, y, z + wide, y + tall)
        for y in np.arange(storey + 0.7, height - tall - 0.5, storey)
        for z in np.arange(depths[0] + 0.5, depths[1] - wide - 0.2, pitch)
    ]
    shop = rng.random() < 0.5
    boxes += [
        (z, 0.5 if shop else 0.9, z + (0.8 * pitch if shop else wide), 2.3)
        for z in np.arange(depths[0] + 0.4, depths[1] - 0.9 * pitch, pitch)
    ]
    if not boxes:
        return
    depth = sum(depths) / 2
    box = np.asarray(boxes)
    for grow, colour, chosen in (
        (0.14, frame, np.ones(len(box), bool)),
        (0.0, glass, np.ones(len(box), bool)),
        (0.0, lit, rng.random(len(box)) < 0.3),
    ):
        z0, y0, z1, y1 = (box[chosen] + np.array([-grow, -grow, grow, grow])).T
        x = np.full_like(z0, front)
        corners = np.stack([x, y0, z0, x, y1, z0, x, y1, z1, x, y0, z1], axis=1).reshape(-1, 3)
        shapes = scene.camera.project(corners).reshape(-1, 4, 2)
        scene.canvas.polygons(list(shapes), scene.light.seen(colour, depth))


def draw_tree(scene: Scene, x: float, depth: float) -> None:
    """Draws a tree: trunk and a ragged crown of many leaves in several shades."""
    rng = scene.rng
    leaf, bark = pick(rng, LEAVES, 16), pick(rng, BARK)
    trunk, radius = rng.uniform(1.8, 3.0), rng.uniform(1.3, 2.3)
    half = rng.uniform(0.17, 0.27)
    outline = [(x - half * 1.3, 0, depth), (x - half, trunk + 1, depth), (x + half, trunk + 1, depth)]
    scene.fill([*outline, (x + half * 1.3, 0, depth)], scene.light.seen(bark, depth), VEGETATION)
    canvas_radius = scene.camera.pixels(radius, depth)
    center = scene.camera.project([(x, trunk + 0.8 * radius, depth)])[0]
    draw_crown(scene, center, canvas_radius, rng.uniform(0.85, 1.2), leaf, depth)


def draw_bush(scene: Scene, x: float, depth: float) -> None:
    """Draws a low bush."""
    radius = scene.rng.uniform(0.45, 0.8)
    center = scene.camera.project([(x, 0.7 * radius, depth)])[0]
    draw_crown(scene, center, scene.camera.pixels(radius, depth), 0.8, pick(scene.rng, LEAVES, 16), depth)


def draw_crown(scene: Scene, center: np.ndarray, radius: float, stretch: float, leaf: Colour, depth: float) -> None:
    """Draws leaves around a canvas position: big clumps inside, small ones at the rim, lighter towards the sun."""
    rng = scene.rng
    clumps = int(np.clip(radius / 2.5, 10, 40))
    scene.canvas.ellipse(
        center, (radius * 0.75, radius * 0.75 * stretch), scene.light.seen(shade(leaf, 0.8), depth), VEGETATION
    )
    angles = rng.uniform(0, 2 * np.pi, 2 * clumps)
    reach = np.concatenate([np.sqrt(rng.random(clumps)) * 0.75, rng.uniform(0.8, 1.0, clumps)])
    sizes = np.concatenate([rng.uniform(0.16, 0.3, clumps), rng.uniform(0.09, 0.16, clumps)])
    offsets = np.stack([np.cos(angles) * reach, np.sin(angles) * reach], axis=1)
    bright = 0.9 - 0.22 * offsets[:, 1] + rng.uniform(-0.15, 0.15, 2 * clumps)
    if scene.light.kind != "overcast":
        bright += 0.15 * scene.light.sun_side * offsets[:, 0]
    order = np.argsort(-reach)
    for index in order:
        position = center + offsets[index] * radius * np.array([1.0, stretch])
        size = sizes[index] * radius
        scene.canvas.ellipse(
            position, (size, size), scene.light.seen(shade(leaf, float(bright[index])), depth), VEGETATION
        )
