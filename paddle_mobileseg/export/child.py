"""Converters run in a child process, because what they cannot convert ends the process that they run in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paddle_mobileseg.child_process import run_to_end


class ConversionError(ValueError):
    """The converter refused the graph, crashed, or took too long."""


def run(command: Sequence[str], timeout_s: float, what: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a command and turn its failure into an error.

    Args:
        what: the beginning of the message.
        environment: environment variables; by default this process's.

    Returns:
        what it wrote to its output.

    Raises:
        ConversionError: it returned non-zero, was killed by a signal, was still running after ``timeout_s``, or could
            not be started; with the last lines that it wrote.
    """
    try:
        return run_to_end(command, timeout_s, what, environment)
    except TimeoutError as error:
        raise ConversionError(
            f"{what} was stopped after {timeout_s:g} s; allow more time, or export without it"
        ) from error
    except ChildProcessError as error:
        raise ConversionError(str(error)) from error
    except OSError as error:
        raise ConversionError(f"{what} could not start {command[0]}: {error.strerror or error}") from error
