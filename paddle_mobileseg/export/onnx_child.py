"""What :mod:`paddle_mobileseg.export.onnx_convert` runs in a child process: convert, simplify, fold, check, save."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import onnx
import onnxruntime
import paddle
import paddle2onnx

from paddle_mobileseg.export.onnx_rewrite import fold_channels

_CONTROL_FLOW = {"If", "Loop", "Scan"}


def main(graph: str, weights: str, target: str, opset: str) -> None:
    """Write ``target``, and the packages' versions as the last line of output; arguments as for
    :func:`paddle_mobileseg.export.onnx_convert.convert`."""
    paddle.disable_signal_handler()  # its report of an abort would bury the converter's own words
    converted = paddle2onnx.export(
        graph,
        weights,
        opset_version=int(opset),
        auto_upgrade_opset=False,
        optimize_tool=None,  # the default one would install packages
    )
    model = onnx.load_model_from_string(converted)
    drop_unused_nodes(model.graph)
    model = fold_channels(simplified(model, Path(target).parent))
    drop_unused_nodes(model.graph)
    found = sorted({node.op_type for node in model.graph.node} & _CONTROL_FLOW)
    if found:
        raise RuntimeError(f"the ONNX graph has control flow ({', '.join(found)}), which other runtimes refuse")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target)
    print(json.dumps({package.__name__: package.__version__ for package in (onnx, paddle2onnx, onnxruntime)}))


def simplified(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """The same graph with constants computed, identities removed and biases joined to convolutions.

    ONNX Runtime's optimiser does it, at the level that changes no operator to one of its own; paddle2onnx leaves two
    to seven times as many nodes.

    Args:
        model: is not changed.
        folder: for temporary files.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".onnx") as temporary:
        before, after = Path(temporary) / "before.onnx", Path(temporary) / "after.onnx"
        onnx.save(model, before)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(after)
        options.log_severity_level = 3
        onnxruntime.InferenceSession(str(before), options, providers=["CPUExecutionProvider"])
        result = onnx.load(after)
    used = {node.domain for node in result.graph.node}
    opsets = [each for each in result.opset_import if each.domain in used]
    del result.opset_import[:]
    result.opset_import.extend(opsets)
    return result


def drop_unused_nodes(graph: onnx.GraphProto) -> None:
    """Remove nodes and weights that no output depends on; paddle2onnx leaves hundreds, and runtimes warn of each."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):  # nodes come in the order of computation
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    weights = [each for each in graph.initializer if each.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(weights)


if __name__ == "__main__":
    main(*sys.argv[1:])
