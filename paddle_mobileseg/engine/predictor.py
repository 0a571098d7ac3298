"""Prediction on image files: label PNGs with a palette, and overlays to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from paddle import nn

from paddle_mobileseg.data.input_files import ImageFile, find_images, told
from paddle_mobileseg.data.palette import encode_label_png, overlay
from paddle_mobileseg.data.pictures import LABELS, OVERLAYS, Encoded, encode_jpeg, write_all
from paddle_mobileseg.data.preprocess import Preprocess, TransInfo
from paddle_mobileseg.data.reading import read_image
from paddle_mobileseg.engine.inference import SlidingWindow, infer_batch
from paddle_mobileseg.engine.parallel import Ranks
from paddle_mobileseg.engine.sharing import ALONE, Shares
from paddle_mobileseg.files import make_output_folder
from paddle_mobileseg.progress import progress

__all__ = ["LABELS", "OVERLAYS", "ImageFile", "find_images", "predict", "recoloured"]


def predict(
    network: nn.Layer,
    preprocess: Preprocess,
    images: Sequence[ImageFile],
    save_dir: str | Path,
    palette: np.ndarray,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    *,
    flip_vertical: bool = False,
    window: SlidingWindow | None = None,
    batch_size: int = 1,
    ranks: Ranks | None = None,
) -> list[str]:
    """Predict on images; one that cannot be read, or does not fit the network, is passed over and reported.

    Writes ``pseudo_color_prediction/NAME.png`` (8-bit palette PNG, class numbers) and ``added_prediction/NAME.jpg``
    (the image under the colours), each at the image's own size.

    Args:
        network: is put into eval mode.
        preprocess: the validation steps of the network's data.
        images: from :func:`find_images`, the same in all processes.
        save_dir: output folder.
        palette: ``[C, 3]`` uint8.
        scales, flip, flip_vertical, window: as in :func:`paddle_mobileseg.engine.inference.infer_batch`.
        batch_size: consecutive images of which those of equal size go through the network together.
        ranks: of this process, where several share the images out; only the first one writes.

    Returns:
        A line for each image that could not be predicted, in their order; empty if all went well. In all processes
        the same.

    Raises:
        OSError: the output folder cannot be written.
    """
    ranks = ranks or ALONE
    folder = Path(save_dir)
    if ranks.number == 0:
        make_output_folder(folder)
    network.eval()
    shares = Shares(len(images), batch_size, ranks)

    def label(tensors: np.ndarray, trans_infos: Sequence[TransInfo]) -> list[np.ndarray]:
        return infer_batch(network, tensors, trans_infos, scales, flip, flip_vertical, window)

    def results() -> Iterator[list[_Result]]:
        chunks = shares.chunks
        for chunk in progress(chunks, total=len(chunks), name="predict") if ranks.number == 0 else chunks:
            yield _predicted(label, preprocess, [(index, images[index]) for index in chunk], palette)

    failures: dict[int, str] = {}
    for finished in shares.rounds(results()):
        for result in (each for chunk in finished for each in chunk):
            if result.failure:
                failures[result.index] = result.failure
            elif ranks.number == 0:
                write_all(folder, result.files)
    return [failures[index] for index in sorted(failures)]


@dataclass(frozen=True)
class _Result:
    """What came of the image with this index: files to write, or why there are none."""

    index: int
    files: list[Encoded] = field(default_factory=list)
    failure: str = ""


def _predicted(
    label: Callable[[np.ndarray, Sequence[TransInfo]], list[np.ndarray]],
    preprocess: Preprocess,
    chunk: Sequence[tuple[int, ImageFile]],
    palette: np.ndarray,
) -> list[_Result]:
    results: list[_Result] = []
    ready: dict[tuple[int, ...], list[tuple[int, ImageFile, np.ndarray, np.ndarray, TransInfo]]] = {}
    for index, file in chunk:
        try:
            image = read_image(file.path)
            tensor, trans_info = preprocess(image)
            ready.setdefault(tensor.shape, []).append((index, file, image, tensor, trans_info))
        except (OSError, ValueError, cv2.error) as error:
            results.append(_Result(index, failure=told(file.path, error)))
    for group in ready.values():
        try:
            found = label(np.stack([tensor for *_, tensor, _ in group]), [info for *_, info in group])
        except ValueError as error:
            results.extend(_Result(index, failure=told(file.path, error)) for index, file, *_ in group)
            continue
        for (index, file, image, *_), labels in zip(group, found, strict=True):
            try:
                png, jpeg = encode_label_png(labels, palette), encode_jpeg(overlay(image, labels, palette))
            except (ValueError, cv2.error) as error:
                results.append(_Result(index, failure=told(file.path, error)))
                continue
            results.append(_Result(index, [(f"{LABELS}/{file.name}.png", png), (f"{OVERLAYS}/{file.name}.jpg", jpeg)]))
    return results


def recoloured(palette: np.ndarray, custom_color: Sequence[int]) -> np.ndarray:
    """A palette whose first classes have other colours.

    Args:
        palette: ``[C, 3]`` uint8 RGB.
        custom_color: as PaddleSeg has it: red, green and blue, 0 to 255, of the first class, of the second, and so on.

    Returns:
        ``[C, 3]`` uint8 RGB.

    Raises:
        ValueError: no three numbers for each class, or more classes than there are.
    """
    if len(custom_color) % 3 or len(custom_color) > palette.size or not all(0 <= n <= 255 for n in custom_color):
        raise ValueError(
            f"custom_color is {', '.join(map(str, custom_color))}; expected red, green and blue, 0 to 255, of at most "
            f"{len(palette)} classes"
        )
    colours = np.array(palette, np.uint8)
    colours.reshape(-1)[: len(custom_color)] = custom_color
    return colours
