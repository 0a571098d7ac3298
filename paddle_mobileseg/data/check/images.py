"""Rules about images: readable, as large as their labels, and of a size that the training's crop fits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from paddle_mobileseg.data.check.findings import ERROR, NOTE, WARNING, Finding, plural
from paddle_mobileseg.data.check.survey import Survey

# code: (level, one, several, advice); the files are those that the survey found.
_BY_CODE = {
    "file-missing": (ERROR, "listed file is not there", "listed files are not there", "correct the list or the folder"),
    "image-unreadable": (
        ERROR,
        "image cannot be read",
        "images cannot be read",
        "copy the files again from their source, or take the pairs out of the list",
    ),
    "label-unreadable": (
        ERROR,
        "label cannot be read",
        "labels cannot be read",
        "copy the files again from their source, or take the pairs out of the list",
    ),
    "size-mismatch": (
        ERROR,
        "image and its label differ in size",
        "images differ in size from their labels",
        "resize labels with nearest neighbours only, so that no new values arise",
    ),
    "image-blank": (WARNING, "image is of one colour", "images are of one colour", "look at the files"),
    "image-dark": (
        WARNING,
        "16-bit image is nearly black",
        "16-bit images are nearly black",
        "only the high byte of each sample is read: samples of 10 or 12 bits must be scaled to 16 bits first",
    ),
    "image-16-bit": (NOTE, "image has 16 bits", "images have 16 bits", "the high byte is used"),
    "image-exif": (
        NOTE,
        "image is turned on reading",
        "images are turned on reading",
        "cameras note in EXIF how they were held; labels must be drawn on the picture as viewers show it",
    ),
    "image-alpha": (NOTE, "image has transparency", "images have transparency", "it is ignored"),
}
_KEEP_SIZE = (
    "RandomHorizontalFlip", "RandomVerticalFlip", "RandomDistort", "PhotoMetricDistortion", "Normalize", "RandomBlur",
    "ResizeStepScaling",
)  # fmt: skip
_FIXED_SIZE = ("RandomPaddingCrop", "RandomCenterCrop", "PaddingByAspectRatio", "Padding")


def image_findings(survey: Survey) -> Iterator[Finding]:
    """What is wrong with the images of one split, and with the files as such."""
    name = survey.split.name
    for code, (level, one, several, advice) in _BY_CODE.items():
        if items := survey.found[code]:
            yield Finding(level, code, (name,), plural(len(items), one, several), advice, items)
    gray = survey.found["image-gray"]
    if gray and survey.split.img_channels == 3:
        part = "all images are" if len(gray) == survey.read else plural(len(gray), "image is", "images are")
        advice = "img_channels: 1 would do for them" if len(gray) == survey.read else ""
        yield Finding(NOTE, "image-gray", (name,), f"{part} gray; they are read as RGB", advice, gray)


def size_findings(survey: Survey, batch_size: int = 1) -> Iterator[Finding]:
    """Whether the transforms of training fit the images' sizes."""
    name, transforms = survey.split.name, survey.split.transforms
    if name != "train" or not survey.sizes:
        return
    if batch_size > 1 and len(survey.sizes) > 1 and not any(_fixes_size(each) for each in transforms):
        yield Finding(
            ERROR,
            "sizes-differ",
            (name,),
            f"the images have {len(survey.sizes)} sizes, no transform brings them to one, and batch_size is "
            f"{batch_size}: they cannot be put together",
            "add RandomPaddingCrop or Resize to train_dataset.transforms",
        )
    crop = _crop_and_scales(transforms)
    if crop is not None:
        yield from _crop_findings(survey, *crop)


def _crop_findings(survey: Survey, crop: tuple[int, int], low: float, high: float) -> Iterator[Finding]:
    def smaller(scale: float) -> int:
        return sum(n for (w, h), n in survey.sizes.items() if round(w * scale) < crop[0] or round(h * scale) < crop[1])

    always, sometimes, total = smaller(high), smaller(low), sum(survey.sizes.values())
    size = f"the crop of {crop[0]} x {crop[1]}"
    if always:
        scaled = "" if high == 1 else f", also when enlarged {high:g} times"
        text = (
            f"{always:,} of {plural(total, 'image')} are smaller than {size} in width or height{scaled}: always padded"
        )
        advice = "a smaller crop_size trains on less padding"
        yield Finding(WARNING, "crop-too-large", (survey.split.name,), text, advice)
    elif sometimes:
        text = f"{sometimes:,} of {plural(total, 'image')} are smaller than {size} at the smallest scale ({low:g}): "
        yield Finding(NOTE, "crop-padded", (survey.split.name,), text + "padded where so scaled")


def _fixes_size(transform: Any) -> bool:
    name = type(transform).__name__
    return name in _FIXED_SIZE or (name == "Resize" and not getattr(transform, "keep_ratio", False))


def _crop_and_scales(transforms: Any) -> tuple[tuple[int, int], float, float] | None:
    """(width, height) of the crop and the range of scales before it; ``None`` where other steps come before it."""
    low = high = 1.0
    for transform in transforms:
        name = type(transform).__name__
        if name == "RandomPaddingCrop":
            width, height = transform.crop_size
            return (int(width), int(height)), low, high
        if name not in _KEEP_SIZE:
            return None
        if name == "ResizeStepScaling":
            low, high = low * transform.min_scale_factor, high * transform.max_scale_factor
    return None


def size_statistics(survey: Survey) -> dict[str, Any]:
    """Number of sizes, smallest, median and largest width and height, the commonest sizes; empty without images."""
    if not survey.sizes:
        return {}
    result: dict[str, Any] = {"distinct": len(survey.sizes)}
    for axis, name in enumerate(("width", "height")):
        sides = sorted((size[axis], count) for size, count in survey.sizes.items())
        passed = np.cumsum([count for _, count in sides])
        median = sides[int(np.searchsorted(passed, (survey.read + 1) // 2))][0]
        result[name] = {"min": sides[0][0], "median": median, "max": sides[-1][0]}
    result["commonest"] = [{"size_wh": list(size), "images": count} for size, count in survey.sizes.most_common(5)]
    return result
