"""Run by the Python that has Paddle Lite (3.8 to 3.10, without NumPy and without this package): its converter.

Arguments: graph, weights, file to write without its suffix ``.nb``, processor, precision.
"""

import sys

from paddlelite import lite

_STORED_AS = {"int8-weights": "QUANT_INT8", "int16-weights": "QUANT_INT16"}


def main(graph, weights, target, processor, precision):
    opt = lite.Opt()
    if precision == "fp16":
        opt.enable_fp16()  # set_valid_places looks at it: after that, it does nothing, without a word
    opt.set_valid_places(processor)
    opt.set_model_file(graph)
    opt.set_param_file(weights)
    opt.set_model_type("naive_buffer")
    opt.set_optimize_out(target)
    if precision in _STORED_AS:
        opt.set_quant_model(True)
        opt.set_quant_type(_STORED_AS[precision])
    opt.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
