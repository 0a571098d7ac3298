"""Which layer is the first whose output an exported file changes?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn

from paddle_mobileseg.export.parity import Tolerance
from paddle_mobileseg.export.static import DeployNetwork
from paddle_mobileseg.export.targets import Graphs, Target
from paddle_mobileseg.layers import eval_mode
from paddle_mobileseg.runtime.session import backend_class


class UpToLayer(nn.Layer):
    """The network, whose output is that of one call of one of its layers.

    Args:
        deploy: the network with its output operation.
        number: of the call, counted over the calls of all layers without sublayers.

    Attributes:
        calls: names of the layers, in the order of their calls, as of the last run; of a list, dictionary or integer
            output there is no entry.
    """

    def __init__(self, deploy: DeployNetwork, number: int) -> None:
        super().__init__()
        self.deploy = deploy
        self.number = number
        self.calls: list[str] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls = []
        wanted: list[Tensor] = []
        hooks = []
        for name, layer in self.deploy.named_sublayers():
            if not list(layer.children()):
                hooks.append(layer.register_forward_post_hook(self._hook(name, wanted)))
        output = self.deploy(x)
        for hook in hooks:
            hook.remove()
        return wanted[0] if wanted else output

    def _hook(self, name: str, wanted: list[Tensor]) -> Callable[[nn.Layer, Any, Any], None]:
        def keep(layer: nn.Layer, inputs: Any, output: Any) -> None:
            if hasattr(output, "shape") and "float" in str(output.dtype):
                if len(self.calls) == self.number:
                    wanted.append(output)
                self.calls.append(name)

        return keep


def first_difference(
    graphs: Graphs, target: Target, batches: Sequence[np.ndarray], tolerance: Tolerance, options: dict[str, Any]
) -> str:
    """Search by halves: networks cut off behind a layer are written as the target is, run, and compared.

    Args:
        graphs: of the export that failed.
        target: whose file differs.
        batches: the graph's inputs.
        tolerance: ``max_abs_diff`` is what counts as a difference, as a share of the layer's largest value.
        options: of the target's backend.

    Returns:
        a sentence for the user.
    """
    probe = UpToLayer(graphs.deploy, -1)
    with paddle.no_grad(), eval_mode(probe):
        probe(paddle.to_tensor(batches[0]))
    names = list(probe.calls)
    low, high = 0, len(names)  # the first that differs is one of low..high; high stands for what follows all layers
    differences: dict[int, float] = {}
    while low < high:
        middle = (low + high) // 2
        difference = _difference(UpToLayer(graphs.deploy, middle), graphs, target, batches, options)
        if not difference <= tolerance.max_abs_diff:  # NaN differs
            differences[middle] = difference
            high = middle
        else:
            low = middle + 1
    if high == len(names):
        return f"All {len(names)} layers give the same; what differs is done after the last one, {names[-1]}."
    layer = dict(graphs.deploy.named_sublayers())[names[high]]
    before = f"; the one before it, {names[high - 1]}, agrees" if high else ""
    return (
        f"The first layer whose output differs is {names[high]} ({type(layer).__name__}), by "
        f"{differences[high]:.2%} of its largest value{before}."
    )


def _difference(
    probe: UpToLayer, graphs: Graphs, target: Target, batches: Sequence[np.ndarray], options: dict[str, Any]
) -> float:
    """Largest difference of the target's output from the network's, as a share of the network's largest value."""
    differences = []
    with tempfile.TemporaryDirectory(prefix="mobileseg-bisect-") as work:
        folder = Path(work) / "file"
        folder.mkdir()
        written = target.write(Graphs(probe, graphs.spec, Path(work), graphs.lite_precision), folder)
        runner = backend_class(target.backend)([folder / name for name in written.files], 1, **options)
        for x in batches:
            with paddle.no_grad(), eval_mode(probe):
                expected = probe(paddle.to_tensor(x)).numpy()
            found = runner.run(x)
            if found.shape != expected.shape:
                return float("inf")
            scale = max(float(np.abs(expected).max()), 1e-12)
            differences.append(np.abs(found.astype(np.float64) - expected).max() / scale)
    return float(np.max(differences))
