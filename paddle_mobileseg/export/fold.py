"""A network for deployment: batch norms folded into the convolutions before them, and no layer of training left."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.base.layer_helper import LayerHelper
from paddle.nn.layer.norm import _BatchNormBase

from paddle_mobileseg.layers import DropPath

Pair = tuple[nn.Conv2D, _BatchNormBase]

_TRAINING_ONLY = (nn.Dropout, nn.Dropout2D, nn.Dropout3D, nn.AlphaDropout, DropPath)
_PROBE_HW = (128, 160)
_WRONG = 1000.0  # added to what nothing should read


class BiasedConvolution(nn.Layer):
    """A convolution whose bias is one plain addition in the graph.

    ``nn.Conv2D`` reshapes its bias first, and Paddle Lite then joins neither the addition nor the activation behind it
    to the convolution, which made two networks a third slower on x86. In legacy graphs (Paddle Lite's) the bias stays
    a vector that is added along axis 1: the one form that it joins.
    """

    def __init__(self, conv: nn.Conv2D) -> None:
        super().__init__()
        self.weight = conv.weight
        self.bias = conv.bias
        self.register_buffer("shift", conv.bias.reshape([1, -1, 1, 1]))
        self._settings = {
            "stride": conv._stride,
            "padding": conv._updated_padding,
            "dilation": conv._dilation,
            "groups": conv._groups,
        }

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C_in, H, W]`` to ``[N, C, H', W']``."""
        y = F.conv2d(x, self.weight, **self._settings)
        if paddle.in_dynamic_mode() or paddle.framework.in_pir_mode():
            return y + self.shift
        helper = LayerHelper("elementwise_add")
        result = helper.create_variable_for_type_inference(y.dtype)
        inputs, outputs = {"X": [y], "Y": [self.bias]}, {"Out": [result]}
        helper.append_op(type="elementwise_add", inputs=inputs, outputs=outputs, attrs={"axis": 1})
        return result


def folded(network: nn.Layer) -> nn.Layer:
    """A copy in eval mode that computes the same with fewer operations; the network itself is not touched.

    A batch norm goes into a convolution if it is fed with that convolution's output, nothing else reads that output,
    and both layers run once. Other batch norms (behind a sum, say) stay. Who reads what is found by running the copy on
    noise, so that the network's structure does not matter. New weights are computed in float64: ``weight * s`` and
    ``(bias - mean) * s + shift`` with ``s = scale / sqrt(variance + epsilon)``. Dropout and drop path, which do nothing
    in eval mode, become identities.

    Args:
        network: ``[N, 3, H, W]`` to a list whose first element are the logits.

    Returns:
        the copy; it has no use in training.
    """
    network = copy.deepcopy(network)
    network.eval()
    replaced: dict[int, nn.Layer] = {
        id(layer): nn.Identity() for layer in network.sublayers() if isinstance(layer, _TRAINING_ONLY)
    }
    noise = np.random.default_rng(0).normal(size=(1, 3, *_PROBE_HW))
    with paddle.no_grad():
        x = paddle.to_tensor(noise, dtype=network.parameters()[0].dtype)
        pairs = _pairs(network, x)
        for conv, norm in _unread_elsewhere(network, x, network(x)[0].numpy(), pairs):
            _fold(conv, norm)
            replaced[id(norm)] = nn.Identity()
    for conv in network.sublayers():
        if type(conv) is nn.Conv2D and conv.bias is not None and _is_plain(conv):
            replaced[id(conv)] = BiasedConvolution(conv)
    for parent in network.sublayers(include_self=True):
        for name, child in list(parent.named_children()):
            if id(child) in replaced:
                parent.add_sublayer(name, replaced[id(child)])
    network.eval()
    return network


def _is_plain(conv: nn.Conv2D) -> bool:
    return conv._data_format == "NCHW" and conv._padding_mode == "zeros"


def _pairs(network: nn.Layer, x: Tensor) -> list[Pair]:
    """Convolutions and the batch norms that get their output, each of which runs once."""
    made: dict[int, tuple[Tensor, nn.Conv2D]] = {}  # the tensor is kept, so that no other gets its id
    pairs: list[Pair] = []
    calls: Counter[int] = Counter()

    def after_convolution(conv: nn.Conv2D, inputs: Any, output: Tensor) -> None:
        calls[id(conv)] += 1
        made[id(output)] = (output, conv)

    def before_norm(norm: _BatchNormBase, inputs: tuple[Tensor, ...]) -> None:
        calls[id(norm)] += 1
        if id(inputs[0]) in made:
            pairs.append((made[id(inputs[0])][1], norm))

    hooks = []
    for layer in network.sublayers():
        if isinstance(layer, nn.Conv2D):
            hooks.append(layer.register_forward_post_hook(after_convolution))
        elif isinstance(layer, _BatchNormBase):
            hooks.append(layer.register_forward_pre_hook(before_norm))
    _run(network, x, hooks)
    shares = Counter(id(conv.weight) for conv in network.sublayers() if isinstance(conv, nn.Conv2D))
    return [
        (conv, norm)
        for conv, norm in pairs
        if calls[id(conv)] == calls[id(norm)] == shares[id(conv.weight)] == 1 and _is_plain(conv)
    ]


def _unread_elsewhere(network: nn.Layer, x: Tensor, expected: np.ndarray, pairs: list[Pair]) -> list[Pair]:
    """Those pairs whose convolution's output only the batch norm reads: a wrong one for all others changes nothing."""
    hooks = []
    for conv, norm in pairs:
        right: list[Tensor] = []

        def after_convolution(_: nn.Layer, inputs: Any, output: Tensor, right: list[Tensor] = right) -> Tensor:
            right.append(output)
            return output + _WRONG

        def before_norm(_: nn.Layer, inputs: Any, right: list[Tensor] = right) -> Tensor:
            return right.pop()

        hooks += [conv.register_forward_post_hook(after_convolution), norm.register_forward_pre_hook(before_norm)]
    found = _run(network, x, hooks)
    if np.allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max()):
        return pairs
    if len(pairs) == 1:
        return []
    half = len(pairs) // 2
    return [pair for part in (pairs[:half], pairs[half:]) for pair in _unread_elsewhere(network, x, expected, part)]


def _run(network: nn.Layer, x: Tensor, hooks: list[Any]) -> np.ndarray:
    try:
        return network(x)[0].numpy()
    finally:
        for hook in hooks:
            hook.remove()


def _fold(conv: nn.Conv2D, norm: _BatchNormBase) -> None:
    mean, variance = (each.numpy().astype(np.float64) for each in (norm._mean, norm._variance))
    factor = 1 / np.sqrt(variance + np.float64(np.float32(norm._epsilon)))  # as Paddle's operator has it
    if norm.weight is not None:
        factor *= norm.weight.numpy()
    bias = (-mean if conv.bias is None else conv.bias.numpy() - mean) * factor
    if norm.bias is not None:
        bias += norm.bias.numpy()
    weight = conv.weight.numpy() * factor[:, None, None, None]
    if conv.bias is None:
        conv.bias = conv.create_parameter([len(bias)], dtype=conv.weight.dtype, is_bias=True)
    conv.weight.set_value(weight.astype(conv.weight.numpy().dtype))
    conv.bias.set_value(bias.astype(conv.weight.numpy().dtype))
