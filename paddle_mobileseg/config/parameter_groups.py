"""Groups of parameters with their own learning rate and weight decay, as ``optimizer.custom_cfg`` describes them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paddle import nn

_LOGGER = logging.getLogger("paddle_mobileseg")


def parameter_groups(model: nn.Layer, groups: list[dict[str, Any]], weight_decay: float | None) -> list[Any]:
    """Sort the trainable parameters of a model into groups.

    A parameter belongs to the first group whose ``name`` is a part of the parameter's name. ``lr_mult`` is a factor on
    the scheduled learning rate and ``weight_decay_mult`` one on ``weight_decay``. ``lr_multi``, which the published
    PP-MobileSeg configs have, was never read by PaddleSeg, so it has no effect here either.

    Args:
        model: the network; parameters with ``stop_gradient`` are left out.
        groups: the items of ``custom_cfg``.
        weight_decay: of the optimizer, or None.

    Returns:
        Paddle's ``parameters`` argument: a plain list without groups, otherwise a list of mappings, none of them empty,
        the rest last.

    Raises:
        ValueError: nothing in the model is trainable.
    """
    trainable = [(name, each) for name, each in model.named_parameters() if not each.stop_gradient]
    if not trainable:
        raise ValueError(f"{type(model).__name__} has no trainable parameter, so there is nothing to optimize")
    ignored = [group["name"] for group in groups if "lr_multi" in group]
    if ignored:
        _LOGGER.info(
            "optimizer.custom_cfg: `lr_multi` of %s is ignored, as in the published trainings (write `lr_mult`)",
            ", ".join(ignored),
        )
    if not groups:
        return [parameter for _, parameter in trainable]
    members: list[list[Any]] = [[] for _ in range(len(groups) + 1)]
    for name, parameter in trainable:
        fitting = (index for index, group in enumerate(groups) if group["name"] in name)
        members[next(fitting, -1)].append(parameter)
    described = [
        {"params": part, **_options(group, weight_decay)} for part, group in zip(members, [*groups, {}], strict=True)
    ]
    for group, part in zip(groups, members, strict=False):
        if not part:
            _LOGGER.info("optimizer.custom_cfg: the group %r matches no parameter that is still free", group["name"])
    return [each for each in described if each["params"]]


def _options(group: dict[str, Any], weight_decay: float | None) -> dict[str, float]:
    options = {}
    if "lr_mult" in group:
        # In a group Paddle takes this value as a factor, not as a rate.
        options["learning_rate"] = float(group["lr_mult"])
    if weight_decay is not None and "weight_decay_mult" in group:
        options["weight_decay"] = weight_decay * float(group["weight_decay_mult"])
    return options
