"""A legacy graph to a Paddle Lite file (``.nb``), by Paddle Lite's converter ``opt`` in its own Python."""

from __future__ import annotations

from pathlib import Path

from paddle_mobileseg.export import operators
from paddle_mobileseg.export.child import ConversionError, run
from paddle_mobileseg.files import atomic_path
from paddle_mobileseg.runtime import lite_environment
from paddle_mobileseg.runtime.lite_file import LiteFile, clean_header, nb_header

PROCESSORS = ("arm", "x86")
# fp16: arithmetic in half precision; the others store the weights in fewer bits and compute in fp32.
PRECISIONS = ("fp32", "fp16", "int8-weights", "int16-weights")
SUFFIX = ".nb"

# How opt says that the disk is full, before it aborts.
_CANNOT_WRITE = "Check failed: (fwrite("

_CHILD = Path(__file__).with_name("lite_opt_child.py")


def convert(
    graph: Path, weights: Path, target: Path, valid_target: str, precision: str = "fp32", timeout_s: float = 600
) -> dict[str, str]:
    """Convert, and check that the file is whole and for that processor. The same graph gives the same bytes.

    Args:
        graph, weights: ``legacy.pdmodel`` and ``legacy.pdiparams``.
        target: the ``.nb`` file to write; it takes this name when it is whole.
        valid_target: ``arm`` or ``x86``.
        precision: one of :data:`PRECISIONS`. ``fp16`` is for ``arm`` and needs a Paddle Lite built with fp16 and a
            processor of ARMv8.2 or later; docs/reference/lite.md says what each does.
        timeout_s: the converter is stopped after so many seconds.

    Returns:
        names and versions of the tools that made it.

    Raises:
        ConversionError: the graph has an operator that Paddle Lite does not run rightly there, or no weights; the
            converter failed, died of a signal, took too long, or wrote no whole file; with its last words.
        ValueError: an unknown processor or precision, or fp16 for x86, or another suffix than ``.nb``.
        FileNotFoundError: no such graph.
        ImportError: there is no Paddle Lite here; the message says how to get it.
        OSError: the target's folder cannot be written, or is full.
    """
    _check(graph, weights, target, valid_target, precision)
    environment = lite_environment.require()
    found = [finding for finding in operators.lint(graph) if valid_target in finding.processors]
    if found:
        hint = "\nIts input size is open; export at one height and width" if operators.open_size(graph) else ""
        raise ConversionError(
            f"{graph} would not run rightly with Paddle Lite on {valid_target}:\n  "
            + "\n  ".join(map(str, found))
            + hint
        )
    what = f"conversion of {graph.name} to Paddle Lite for {valid_target}"
    with atomic_path(target) as temporary:
        stem = str(temporary)[: -len(SUFFIX)]  # opt itself adds .nb
        # -I: nothing of this process's Python reaches the other one.
        command = [str(environment.python), "-I", str(_CHILD), str(graph), str(weights), stem, valid_target, precision]
        try:
            said = run(command, timeout_s, what)
        except ConversionError as error:
            if _CANNOT_WRITE in str(error):
                raise OSError(f"cannot write {target}: no space left in {target.parent}; free some") from error
            raise
        header = _checked(temporary, what, said)
        _check_header(header, valid_target, precision, what)
        clean_header(temporary)
    return {"paddlelite opt": header.version}


def _check(graph: Path, weights: Path, target: Path, processor: str, precision: str) -> None:
    if processor not in PROCESSORS:
        raise ValueError(f"valid_target is {processor!r}; expected one of {', '.join(PROCESSORS)}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
    if precision == "fp16" and processor != "arm":
        raise ValueError(f"precision fp16 is for arm only, and valid_target is {processor}; use fp32")
    if target.suffix != SUFFIX:
        raise ValueError(f"Paddle Lite's files end in {SUFFIX}; got {target}")
    if not graph.is_file():
        raise FileNotFoundError(f"there is no graph {graph}; export the format paddle-legacy first")
    if not weights.is_file() or weights.stat().st_size == 0:
        raise ConversionError(
            f"there are no weights {weights}: Paddle Lite converts only graphs that have parameters, and Paddle "
            "writes no such file for a network without"
        )


def _checked(path: Path, what: str, said: str) -> LiteFile:
    if not path.is_file() or path.stat().st_size == 0:
        raise ConversionError(f"{what} ended without an error and without a file; is the disk full? It said:\n  {said}")
    try:
        return nb_header(path)
    except ValueError as error:
        raise ConversionError(f"{what} wrote no whole file; is the disk full? {error}") from error


def _check_header(header: LiteFile, processor: str, precision: str, what: str) -> None:
    if header.target not in (processor, "host"):
        raise ConversionError(f"{what} made a file for {header.target}")
    if header.fp16 != (precision == "fp16"):
        made = "with" if header.fp16 else "without"
        raise ConversionError(f"{what} made a file {made} half-precision operators, and {precision} was wanted")
