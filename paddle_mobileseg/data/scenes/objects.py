"""Things in a street: cars, persons, lamp posts and traffic signs."""

from __future__ import annotations

import numpy as np

from paddle_mobileseg.data.scenes.canvas import CAR, PERSON, POLE, SIGN, Colour, Scene, pick, shade

PAINTS = [
    (168, 32, 34), (36, 66, 132), (222, 222, 220), (36, 36, 40), (128, 130, 134), (186, 188, 190), (46, 92, 62),
    (200, 150, 40), (100, 48, 52), (70, 116, 158), (150, 120, 88),
]  # fmt: skip
CLOTHES = [
    (36, 38, 48), (52, 68, 112), (150, 40, 44), (200, 196, 188), (92, 96, 72), (212, 150, 60), (110, 78, 120),
    (70, 120, 130), (120, 90, 66), (90, 92, 96),
]  # fmt: skip
SKIN = [(226, 184, 154), (188, 136, 102), (132, 90, 66), (88, 60, 48)]
HAIR = [(40, 32, 28), (90, 62, 40), (170, 136, 84), (130, 128, 126)]
METAL = [(92, 94, 96), (60, 66, 64), (140, 142, 142), (70, 84, 72), (104, 90, 80)]

# Side view of a car as (along, up) in metres, from the lower front over the roof to the lower rear.
PROFILES = [
    [(2.1, 0.3), (2.15, 0.75), (1.1, 0.95), (0.4, 1.45), (-0.9, 1.45), (-1.5, 1.0), (-2.1, 0.92), (-2.1, 0.3)],
    [(1.85, 0.3), (1.9, 0.8), (1.0, 1.0), (0.4, 1.52), (-1.3, 1.5), (-1.75, 1.0), (-1.85, 0.9), (-1.85, 0.3)],
    [(2.2, 0.35), (2.25, 0.95), (1.7, 1.15), (1.1, 1.95), (-2.1, 2.0), (-2.2, 1.1), (-2.25, 1.0), (-2.25, 0.35)],
]
FRONT, WINDSCREEN, ROOF, REAR_WINDOW, REAR = 0, 2, 3, 4, 6
"""Positions in a profile of the edges that are the car's front, windscreen, roof, rear window and rear."""
# What is painted on signs: polygons of (across, up) in parts of the sign's radius.
SYMBOLS = [
    [[(-0.45, -0.12), (-0.45, 0.12), (0.45, 0.12), (0.45, -0.12)]],
    [
        [(-0.1, -0.4), (-0.1, 0.1), (0.1, 0.1), (0.1, -0.4)],
        [(-0.3, 0.1), (0.0, 0.45), (0.3, 0.1)],
    ],
    [
        [(-0.5, 0.08), (-0.5, 0.26), (0.5, 0.26), (0.5, 0.08)],
        [(-0.5, -0.26), (-0.5, -0.08), (0.2, -0.08), (0.2, -0.26)],
    ],
    [
        [(-0.32, -0.3), (-0.32, 0.3), (-0.16, 0.3), (-0.16, -0.3)],
        [(0.0, -0.3), (0.0, 0.3), (0.3, 0.3), (0.3, -0.3)],
    ],
]
WHEEL = np.stack([np.cos(np.linspace(0, 6, 14)), np.sin(np.linspace(0, 6, 14))], axis=1)


def draw_car(scene: Scene, x: float, depth: float, heading: float) -> None:
    """Draws a car with body, windows, lights, wheels and the dark place below it, its middle at (X, Z).

    `heading` is where it points, in radians: 0 away from the camera, pi towards it, pi/2 to the right.
    """
    rng = scene.rng
    profile = np.asarray(PROFILES[rng.integers(len(PROFILES))])
    paint = pick(rng, PAINTS, 18)
    glass = scene.light.seen(pick(rng, [(44, 50, 58), (74, 86, 98), (110, 124, 136)]), depth)
    half = rng.uniform(0.86, 0.98)
    across = np.where(profile[:, 1] > 1.2, half * 0.78, half)
    ahead, right = np.array([np.sin(heading), 0, np.cos(heading)]), np.array([np.cos(heading), 0, -np.sin(heading)])
    middle = np.array([x, 0, depth])
    spine = middle + profile[:, :1] * ahead + profile[:, 1:] * np.array([0, 1, 0])
    sides = {sign: spine + sign * across[:, None] * right for sign in (-1, 1)}

    corners = ((2.2, 1.1), (2.2, -1.1), (-2.2, -1.1), (-2.2, 1.1))
    floor = np.array([middle + along * ahead + aside * half * right for along, aside in corners])
    scene.canvas.darken([scene.camera.project(floor)], 0.55)
    for edge in range(len(profile) - 1):
        face = np.stack([sides[1][edge], sides[1][edge + 1], sides[-1][edge + 1], sides[-1][edge]])
        if not _is_seen(scene, face, middle):
            continue
        scene.fill(face, scene.light.seen(shade(paint, 1.12 if edge in (1, ROOF, 5) else 0.9), depth), CAR)
        if edge in (WINDSCREEN, REAR_WINDOW):
            scene.fill(_shrunk(face, 0.84), glass)
        if edge in (FRONT, REAR):
            _draw_car_end(scene, face, depth, is_rear=edge == REAR)
    for sign in (-1, 1):
        if _is_seen(scene, sides[sign][[0, 1, -2, -1]], middle):
            toward_sun = sign * right[0] * scene.light.sun_side > 0
            tone = 0.95 if scene.light.kind == "overcast" else (1.1 if toward_sun else 0.78)
            _draw_car_side(scene, sides[sign], scene.light.seen(shade(paint, tone), depth), glass, ahead)


def _is_seen(scene: Scene, face: np.ndarray, middle: np.ndarray) -> bool:
    """Whether a flat face, float [4, 3], of a body around `middle`, float [3], has its outer side to the camera."""
    normal = np.cross(face[1] - face[0], face[3] - face[0])
    center = face.mean(axis=0)
    outward = normal * np.sign(normal @ (center - middle - np.array([0, 0.75, 0])))
    return float(outward @ (center - np.array([0, scene.camera.eye_height, 0]))) < 0


def _shrunk(shape: np.ndarray, factor: float) -> np.ndarray:
    """The points, float [N, 3], moved towards their middle."""
    center = shape.mean(axis=0)
    return center + (shape - center) * factor


def _draw_car_end(scene: Scene, face: np.ndarray, depth: float, is_rear: bool) -> None:
    """Lamps, number plate and bumper on the front or rear of a car; the face is float [4, 3]."""
    low, high, far_low = (face[1], face[0], face[2]) if is_rear else (face[0], face[1], face[3])
    along, up = far_low - low, high - low

    def patch(start: float, end: float, bottom: float, top: float, colour: Colour) -> None:
        points = [low + a * along + b * up for a, b in ((start, bottom), (start, top), (end, top), (end, bottom))]
        scene.fill(np.array(points), scene.light.seen(colour, depth))

    lamp = (196, 30, 30) if is_rear else (240, 238, 220)
    patch(0.0, 1.0, -0.12, 0.14, (40, 40, 42))
    patch(0.04, 0.22, 0.55, 0.9, lamp)
    patch(0.78, 0.96, 0.55, 0.9, lamp)
    patch(0.36, 0.64, 0.25, 0.5, (228, 228, 220) if is_rear else (48, 48, 52))


def _draw_car_side(scene: Scene, outline: np.ndarray, paint: Colour, glass: Colour, ahead: np.ndarray) -> None:
    """One side of a car, its outline float [8, 3]: body, two windows and two wheels."""
    scene.fill(outline, paint, CAR)
    cabin = outline[2:6].copy()
    pillar = (cabin[1] + cabin[2]) / 2, (cabin[0] + cabin[3]) / 2
    scene.fill(_shrunk(np.array([cabin[0], cabin[1], *pillar]), 0.8), glass)
    scene.fill(_shrunk(np.array([cabin[2], cabin[3], *pillar[::-1]]), 0.8), glass)
    length = outline[0] - outline[-1]
    for part in (0.19, 0.8):
        hub = outline[-1] + part * length
        hub[1] = 0.34
        for radius, colour in ((0.35, (30, 30, 32)), (0.19, (140, 142, 146))):
            rim = hub + radius * (WHEEL[:, :1] * ahead + WHEEL[:, 1:] * np.array([0, 1, 0]))
            scene.fill(rim, scene.light.seen(colour, float(hub[2])), CAR)


def draw_person(scene: Scene, x: float, depth: float) -> None:
    """Draws a person who stands or walks at (X, Z): legs, torso, arms, head and hair."""
    rng = scene.rng
    size = rng.uniform(1.55, 1.95) / 1.75
    wide = rng.uniform(1.6, 1.9)
    top, trousers = pick(rng, CLOTHES, 20), pick(rng, CLOTHES, 20)
    skin, hair = pick(rng, SKIN), pick(rng, HAIR)
    step, turn = rng.uniform(0.0, 0.15), rng.choice([-1.0, 1.0])
    swing = rng.uniform(0.02, 0.1)

    def part(outline: list[tuple[float, float]], colour: Colour) -> None:
        points = [(turn * across * size * wide, up * size) for across, up in outline]
        scene.fill_upright(x, depth, points, colour, PERSON)

    shadow = scene.strip(x - 0.35, x + 0.35, depth - 0.2, depth + 0.2)
    scene.canvas.darken([shadow], 0.35)
    part([(-0.17, 0.92), (0.02, 0.92), (-0.05 - step, 0.0), (-0.2 - step, 0.0)], shade(trousers, 0.85))
    part([(-0.02, 0.92), (0.17, 0.92), (0.2 + step, 0.0), (0.05 + step, 0.0)], trousers)
    part([(-0.2 - step, 0.0), (-0.2 - step, 0.08), (0.0 - step, 0.08), (0.04 - step, 0.0)], (44, 38, 34))
    part([(0.05 + step, 0.0), (0.05 + step, 0.08), (0.25 + step, 0.08), (0.29 + step, 0.0)], (44, 38, 34))
    part([(-0.22, 1.42), (-0.13, 1.42), (-0.16 - swing, 0.8), (-0.25 - swing, 0.8)], shade(top, 0.8))
    part([(-0.21, 1.46), (0.21, 1.46), (0.19, 0.85), (-0.19, 0.85)], top)
    part([(0.13, 1.42), (0.23, 1.42), (0.27 + swing, 0.8), (0.17 + swing, 0.8)], shade(top, 0.88))
    part([(-0.06, 1.44), (0.06, 1.44), (0.06, 1.54), (-0.06, 1.54)], skin)
    center = scene.camera.project([(x, 1.61 * size, depth)])[0]
    radius = scene.camera.pixels(0.13 * size, depth)
    seen = scene.light.seen
    back_of_head = center + radius * np.array([0, -0.25])
    face = center + radius * np.array([0.2 * turn, 0.2])
    scene.canvas.ellipse(back_of_head, (radius, radius * 1.1), seen(hair, depth), PERSON)
    scene.canvas.ellipse(face, (radius * 0.8, radius), seen(skin, depth), PERSON)
    if rng.random() < 0.3:
        bag = pick(rng, CLOTHES, 20)
        part([(-0.42, 1.0), (-0.16, 1.0), (-0.16, 0.55), (-0.42, 0.55)], bag)


def draw_lamp_post(scene: Scene, x: float, depth: float, side: int) -> None:
    """Draws a lamp post at (X, Z) on that side of the street (-1 left, 1 right), its arm over the road."""
    rng = scene.rng
    metal = pick(rng, METAL)
    half, height = rng.uniform(0.16, 0.21), rng.uniform(4.5, 7.0)
    arm = -side * rng.uniform(0.8, 1.8)
    dusk = scene.light.kind == "dusk"

    def bar(low: tuple[float, float], high: tuple[float, float], colour: Colour, label: int | None = POLE) -> None:
        """Fills the upright rectangle between two opposite corners (across, up)."""
        outline = [low, (low[0], high[1]), high, (high[0], low[1])]
        scene.fill_upright(x, depth, outline, colour, label)

    bar((-half, 0), (half, height), metal)
    bar((-half * 1.6, 0), (half * 1.6, 0.7), shade(metal, 0.9))
    slanted = [(0, height - 0.25), (0, height), (arm, height + 0.2), (arm, height - 0.05)]
    scene.fill_upright(x, depth, slanted, metal, POLE)
    bar((arm * 0.7, height - 0.05), (arm * 1.35, height + 0.3), metal)
    bar((arm * 0.75, height - 0.05), (arm * 1.3, height + 0.06), (250, 226, 150) if dusk else (206, 206, 200))
    gleam = half * 0.5 * scene.light.sun_side
    bar((gleam - half * 0.2, 0), (gleam + half * 0.2, height), shade(metal, 1.3), None)


def draw_sign_post(scene: Scene, x: float, depth: float) -> None:
    """Draws a post at (X, Z) with one or two traffic signs on it."""
    rng = scene.rng
    metal = pick(rng, METAL)
    half, height = rng.uniform(0.14, 0.18), rng.uniform(2.6, 3.2)
    scene.fill_upright(x, depth, [(-half, 0), (-half, height), (half, height), (half, 0)], metal, POLE)
    bright = [(-half * 0.3, 0), (-half * 0.3, height), (half * 0.3, height), (half * 0.3, 0)]
    scene.fill_upright(x, depth, bright, shade(metal, 1.25))
    _draw_sign(scene, x, depth, height - 0.1)
    if rng.random() < 0.35:
        _draw_sign(scene, x, depth, height - 1.15)


def _regular(corners: int, radius: float, turn: float = 0.0) -> np.ndarray:
    """Corners (across, up), float [N, 2], of a regular polygon around the origin."""
    angles = 2 * np.pi * np.arange(corners) / corners + np.pi / 2 + turn
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)


def _draw_sign(scene: Scene, x: float, depth: float, up: float) -> None:
    """Draws one sign around height `up` in metres: a coloured plate, an inner field and a symbol."""
    rng = scene.rng
    red, blue, white = (186, 30, 36), (32, 78, 160), (236, 236, 232)
    yellow, green, black = (232, 186, 42), (28, 110, 72), (34, 34, 36)
    radius = rng.uniform(0.55, 0.7)
    wide = radius * rng.uniform(1.0, 1.5)
    box = np.array([(-wide, -radius * 0.8), (-wide, radius * 0.8), (wide, radius * 0.8), (wide, -radius * 0.8)])
    plates = [
        (_regular(18, radius), red, white, black),
        (_regular(18, radius), blue, blue, white),
        (_regular(3, radius * 1.25), red, white, black),
        (_regular(8, radius, np.pi / 8), red, red, white),
        (_regular(4, radius * 1.15), yellow, yellow, black),
        (box, blue, blue, white),
        (box, green, green, white),
        (box, white, yellow, black),
        (box, black, white, blue),
    ]
    plate, rim, field, symbol = plates[rng.integers(len(plates))]
    scene.fill_upright(x, depth, [(a, up + b) for a, b in plate], pick(rng, [rim]), SIGN)
    scene.fill_upright(x, depth, [(a * 0.74, up + b * 0.74) for a, b in plate], pick(rng, [field]))
    for outline in SYMBOLS[rng.integers(len(SYMBOLS))]:
        scene.fill_upright(x, depth, [(a * radius, up + b * radius) for a, b in outline], symbol)
