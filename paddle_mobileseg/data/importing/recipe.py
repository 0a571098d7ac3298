"""A configuration that trains one of our networks on an imported data set."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from textwrap import indent
from typing import Any

import numpy as np

LONGEST = 640  # images are trained at most at this many pixels on their long side, as for a phone
SHORTEST = 128  # and at least at this many on their short side
_STEP = 32  # sides are multiples of the networks' largest stride
_EPOCHS = 60
_COARSER_LOGITS = 0.4  # weight of the loss of each of the network's further logits, as in configs/

_TEMPLATE = """\
# {title} on {classes} classes, written by mobileseg import-dataset. All of it may be changed, here or, value by value,
# on the command line: --opts train_config.seed=1
batch_size: {batch_size}  # images a step, in each process
iters: {iters}  # steps: {epochs} times through the training images

train_dataset:
  type: Dataset  # the pairs of images and labels that train.txt lists
  mode: train
{data}
  transforms:
    - type: RandomResize  # into this box (long and short side), then by a random factor
      scale: {box}
      ratio_range: [0.75, 1.25]
    - type: RandomPaddingCrop
      crop_size: {crop}  # [width, height], multiples of 32
    - type: RandomHorizontalFlip  # remove it where left and right are not alike, as for text or arrows
    - type: RandomDistort
      brightness_range: 0.4
      contrast_range: 0.4
      saturation_range: 0.4
    - type: Normalize
      mean: [0.485, 0.456, 0.406]
      std: [0.229, 0.224, 0.225]
{val}
model:
{model}
  # To start from published weights: mobileseg train --ignore_head --opts model.pretrained=NAME, where NAME is
  # {published}

optimizer:
  type: AdamW
  weight_decay: 0.01
  custom_cfg:
    - name: pos_embed
      weight_decay_mult: 0.0
    - name: bn
      weight_decay_mult: 0.0

lr_scheduler:
  type: PolynomialDecay
  learning_rate: 0.003  # for random weights; a third of it or less for published ones
  end_lr: 0
  power: 0.9
  warmup_iters: {warmup}
  warmup_start_lr: 1.0e-5

loss:
  types:
    - type: CrossEntropyLoss
      # weight: a list with a number for each class, where some are rare; mobileseg check-dataset suggests one
  coef: {coef}  # one for each of the network's logits in training

train_config:
  save_interval: {save_interval}  # steps between checkpoints and, with --do_eval, evaluations
  log_iters: 20
  keep_checkpoint_max: 2
  ema_decay: {ema_decay}  # the weights' moving average is what is evaluated and saved
"""

_VALIDATION = """
val_dataset:
  type: Dataset
  mode: val
{data}
  transforms:
    - type: Resize
{resize}
    - type: Normalize
      mean: [0.485, 0.456, 0.406]
      std: [0.229, 0.224, 0.225]
"""


@dataclass(frozen=True)
class Sizes:
    """Sizes to train and evaluate at, in pixels, as YAML has them: [width, height].

    Attributes:
        box: that images are scaled into, the long side first.
        crop: of training.
        uniform: whether all images have one size, which ``crop`` then stands for.
    """

    box: list[int]
    crop: list[int]
    uniform: bool


def sizes_for(sizes_hw: Sequence[tuple[int, int]]) -> Sizes:
    """Sizes that fit images of these heights and widths.

    Upright and lying images together are cropped to squares.
    """
    long, short = median(max(size) for size in sizes_hw), median(min(size) for size in sizes_hw)
    factor = min(LONGEST / long, max(1.0, SHORTEST / short))
    box = [max(2 * _STEP, round(side * factor / _STEP) * _STEP) for side in (long, short)]
    lying = {width >= height for height, width in sizes_hw}
    crop = [box[1], box[1]] if len(lying) == 2 else box if True in lying else box[::-1]
    return Sizes(box, list(crop), len(set(sizes_hw)) == 1)


def config_text(
    root: str,
    network_name: str,
    class_names: Sequence[str],
    palette: np.ndarray,
    sizes: Sizes,
    images: int,
    validates: bool,
    separator: str = " ",
) -> str:
    """The YAML file, with comments, for ``images`` training images.

    Raises:
        KeyError: there is no network of that name.
    """
    import yaml

    from paddle_mobileseg import networks
    from paddle_mobileseg.weights import catalog

    network = networks.get(network_name)
    batch_size = min(8, max(2, images // 8), images)
    iters = min(max(round(_EPOCHS * images / batch_size), 300), 20_000)
    published = [name for name, entry in catalog.entries().items() if entry.network == network_name]
    data = {
        "dataset_root": root,
        "num_classes": len(class_names),
        "separator": separator,
        "class_names": list(class_names),
        "palette": palette.tolist(),
    }
    resize: dict[str, Any] = {"target_size": sizes.crop}
    if not sizes.uniform:
        resize = {"target_size": sizes.box, "keep_ratio": True, "size_divisor": _STEP}
    return _TEMPLATE.format(
        title=network.title,
        classes=len(class_names),
        batch_size=batch_size,
        iters=iters,
        epochs=round(iters * batch_size / images),
        data=_lines(data, 2),
        val=_VALIDATION.format(data=_lines(data, 2), resize=_lines(resize, 6)) if validates else "",
        box=sizes.box,
        crop=sizes.crop,
        model=indent(yaml.safe_dump(_model(network.spec(len(class_names))), sort_keys=False).rstrip(), "  "),
        published=" or ".join(published) or "that of a published file (none of this network is in the catalogue)",
        warmup=min(150, iters // 10),
        coef=[1] + [_COARSER_LOGITS] * (_train_logits(network_name) - 1),
        save_interval=max(iters // 8, 1),
        ema_decay=round(1 - 10 / iters, 4),
    )


@functools.cache
def _train_logits(network_name: str) -> int:
    """Logits that a network gives in training; only the network itself knows."""
    from paddle_mobileseg import networks

    return networks.get(network_name).build().num_train_logits


def _lines(values: dict[str, Any], blanks: int) -> str:
    """A line of YAML for each value."""
    import yaml

    lines = []
    for key, value in values.items():
        text = yaml.safe_dump({key: value}, default_flow_style=True, allow_unicode=True, width=float("inf"))
        lines.append(" " * blanks + text.rstrip()[1:-1])
    return "\n".join(lines)


def _model(spec: dict[str, Any]) -> dict[str, Any]:
    """The network for a short training from random weights: no stochastic depth, one learning rate for all of it."""
    from paddle_mobileseg.config.components import accepts, find_component

    backbone = dict(spec["backbone"])
    backbone.pop("lr_mult", None)
    if accepts(find_component(backbone, "model.backbone"), "drop_path_rate"):
        backbone["drop_path_rate"] = 0.0
    return {"type": spec["type"], "num_classes": spec["num_classes"], **spec, "backbone": backbone}
