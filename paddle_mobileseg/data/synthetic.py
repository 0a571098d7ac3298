"""Synthetic street scenes with exact labels: pictures to learn and to test on without a download.

A scene is a street in perspective under some weather: houses, trees, cars, persons, lamp posts and signs, drawn from
far to near so that near things hide far ones. All of it follows from a seed. `write_dataset` writes scenes as an
ordinary list-file dataset folder.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np

from paddle_mobileseg.data.palette import write_label_png
from paddle_mobileseg.data.scenes import layout, surroundings
from paddle_mobileseg.data.scenes.canvas import CLASS_NAMES
from paddle_mobileseg.files import atomic_path, write_text
from paddle_mobileseg.progress import progress as shown

__all__ = ["CLASS_NAMES", "GENERATOR_VERSION", "PALETTE", "render_scene", "scene_seed", "write_dataset"]

GENERATOR_VERSION = 1
"""Raised whenever the same seed gives other pictures, so that folders of an older generator are not reused."""

PALETTE = np.array(
    [
        (128, 176, 224),  # sky
        (140, 76, 60),  # building
        (92, 140, 48),  # vegetation
        (110, 72, 120),  # road
        (232, 124, 204),  # sidewalk
        (24, 36, 160),  # car
        (220, 28, 64),  # person
        (168, 168, 168),  # pole
        (240, 208, 32),  # sign
        (240, 240, 240),  # lane_marking
    ],
    np.uint8,
)
"""uint8 [classes, 3], RGB, a colour for each of `CLASS_NAMES`."""

SMALLEST_SIDE = 64
MAX_SCENES = 1_000_000
"""Scenes of one split at most; keeps the seeds of training and validation scenes apart."""

SETTINGS_FILE = "scenes.json"
UNFINISHED_FILE = "scenes.unfinished.json"


def render_scene(seed: int, size_hw: tuple[int, int] = (360, 480)) -> tuple[np.ndarray, np.ndarray]:
    """Draws the street scene of a seed.

    Args:
        seed: whole number from 0; the same seed and size give the same bytes.
        size_hw: height and width of the picture in pixels, each at least 64.

    Returns:
        The picture, uint8 [H, W, 3] RGB, and its labels, uint8 [H, W] with indices into `CLASS_NAMES`.

    Raises:
        ValueError: a negative seed or too small a size.
    """
    if seed < 0:
        raise ValueError(f"the seed of a scene is a whole number from 0, not {seed}")
    if min(size_hw) < SMALLEST_SIDE:
        raise ValueError(f"size_hw is {tuple(size_hw)}; a scene needs at least {SMALLEST_SIDE} pixels on each side")
    rng = np.random.default_rng(seed)
    scene = layout.set_up(rng, size_hw)
    surroundings.draw_sky(scene)
    surroundings.draw_ground(scene)
    surroundings.draw_backdrop(scene)
    surroundings.draw_houses(scene)
    layout.draw_objects(scene)
    return scene.canvas.finish(rng)


def scene_seed(seed: int, split: str, index: int) -> int:
    """The seed of one scene of a dataset; no two splits, indices (below 1,000,000) or dataset seeds share one.

    Args:
        seed: of the dataset, from 0.
        split: train or val.
        index: of the scene within its split, from 0.
    """
    return (2 * seed + (split == "val")) * MAX_SCENES + index


def write_dataset(
    root: str | os.PathLike[str],
    train: int = 240,
    val: int = 40,
    seed: int = 0,
    size_hw: tuple[int, int] = (360, 480),
    progress: bool = True,
) -> None:
    """Writes a dataset folder of synthetic scenes, or goes on with one that was not finished.

    The folder holds images/{train,val}/NNNN.jpg, labels/{train,val}/NNNN.png (8-bit palette PNGs of class indices),
    train.txt and val.txt with a line "image label" each, labels.txt with a class name a line, and scenes.json with the
    settings, written last. A complete folder of the same settings is left as it is; missing files are added.

    Args:
        root: the folder, made if it is missing.
        train: number of training scenes, from 1 to 1,000,000.
        val: number of validation scenes, from 1 to 1,000,000; none of them is a training scene.
        seed: whole number from 0 that all scenes follow from.
        size_hw: height and width of the pictures in pixels, each at least 64.
        progress: tell on stderr how far the work has come.

    Raises:
        ValueError: the folder holds something else or scenes of other settings, or a setting is out of range.
        OSError: the folder cannot be written to.
    """
    if not 1 <= train <= MAX_SCENES or not 1 <= val <= MAX_SCENES or seed < 0 or min(size_hw) < SMALLEST_SIDE:
        raise ValueError(
            f"cannot make {train} training and {val} validation scenes of size {tuple(size_hw)} from seed {seed}: "
            f"expected 1 to {MAX_SCENES} scenes each, a height and width from {SMALLEST_SIDE} and a seed from 0"
        )
    folder = Path(root)
    counts = {"train": train, "val": val}
    settings = {"generator": GENERATOR_VERSION, "seed": seed, "size_hw": [int(n) for n in size_hw], **counts}
    _check_folder(folder, settings)
    missing = [
        (split, index)
        for split, count in counts.items()
        for index in range(count)
        if not all((folder / path).is_file() for path in _scene_paths(split, index))
    ]
    lists = {f"{split}.txt": [" ".join(_scene_paths(split, i)) for i in range(n)] for split, n in counts.items()}
    lists["labels.txt"] = list(CLASS_NAMES)
    if not missing and all((folder / name).is_file() for name in (*lists, SETTINGS_FILE)):
        return

    for split in counts:
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
    if not (folder / SETTINGS_FILE).is_file():
        write_text(folder / UNFINISHED_FILE, json.dumps(settings, indent=2))
    for split, index in shown(missing, len(missing), "drawing scenes") if progress else missing:
        image, labels = render_scene(scene_seed(seed, split, index), size_hw)
        _write_scene(folder, split, index, image, labels)
    for name, lines in lists.items():
        write_text(folder / name, "".join(f"{line}\n" for line in lines))
    if (folder / UNFINISHED_FILE).is_file():
        os.replace(folder / UNFINISHED_FILE, folder / SETTINGS_FILE)


def _check_folder(folder: Path, settings: dict[str, object]) -> None:
    """Refuses a folder that is neither empty nor, whole or unfinished, the dataset of these settings."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; the scenes need a folder of their own")
    advice = "nothing was changed; choose another folder or delete this one"
    for path in (folder / SETTINGS_FILE, folder / UNFINISHED_FILE):
        if not path.is_file():
            continue
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if found == settings:
            return
        raise ValueError(
            f"{folder} holds scenes of other settings: expected {settings}, but {path.name} has {found}; {advice}"
        )
    raise ValueError(f"{folder} is not empty and holds no synthetic scenes ({SETTINGS_FILE} is missing); {advice}")


def _scene_paths(split: str, index: int) -> tuple[str, str]:
    """Image and label file of a scene, relative to the dataset folder."""
    return f"images/{split}/{index:04d}.jpg", f"labels/{split}/{index:04d}.png"


def _write_scene(folder: Path, split: str, index: int, image: np.ndarray, labels: np.ndarray) -> None:
    image_path, label_path = (folder / path for path in _scene_paths(split, index))
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])
    with atomic_path(image_path) as temporary:
        temporary.write_bytes(encoded.tobytes())
    write_label_png(label_path, labels, PALETTE)
