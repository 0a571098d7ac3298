"""What :mod:`paddle_mobileseg.export.onnx_convert` runs in a child process: convert, tidy up, check, save."""

from __future__ import annotations

import sys

import onnx
import paddle
import paddle2onnx


def main(graph: str, weights: str, target: str, opset: str) -> None:
    """Write ``target``; arguments as for :func:`paddle_mobileseg.export.onnx_convert.convert`."""
    paddle.disable_signal_handler()  # its report of an abort would bury the converter's own words
    paddle2onnx.export(
        graph,
        weights,
        target,
        opset_version=int(opset),
        auto_upgrade_opset=False,
        optimize_tool=None,  # the default one would install packages
    )
    model = onnx.load(target)
    drop_unused_nodes(model.graph)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target)


def drop_unused_nodes(graph: onnx.GraphProto) -> None:
    """Remove nodes that no output depends on; paddle2onnx leaves hundreds of constants, and runtimes warn of each."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):  # nodes come in the order of computation
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))


if __name__ == "__main__":
    main(*sys.argv[1:])
