"""What a benchmark is made of: bundles times backends times threads; and bundles of networks to try a device with."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from paddle_mobileseg import networks
from paddle_mobileseg.benchmark.describe import FORMATS
from paddle_mobileseg.benchmark.devices import open_device
from paddle_mobileseg.benchmark.devices.remote_runner import check_power_mode
from paddle_mobileseg.benchmark.pipeline import load_frames
from paddle_mobileseg.benchmark.plan import LOCAL, Plan
from paddle_mobileseg.child_process import how_it_ended, last_words
from paddle_mobileseg.cpu import import_paddle
from paddle_mobileseg.data.input_files import find_images
from paddle_mobileseg.files import make_output_folder
from paddle_mobileseg.runtime import Bundle, available_backends, load_bundle
from paddle_mobileseg.runtime.session import MOST_THREADS, check_options, files_key

ALL = "all"
_ON_DEVICES = ("lite-arm", "lite")  # Paddle Lite's files for ARM, and for a device with an x86 processor
# Share of equal labels: with random weights, two classes are nearly equal on many pixels, and rounding decides.
_TOLERANCE = "0.99"
_LAST_WORK_S = 10.0  # for an export that is interrupted to remove what it wrote


class Failed(NamedTuple):
    """A network that could not be exported, and why."""

    network: str
    message: str


def plans(
    bundles: Sequence[Path], backends: Sequence[str] | None, threads: Sequence[int], *, device: str, **how: Any
) -> list[Plan]:
    """Every bundle on every backend with every number of threads.

    Args:
        bundles: folders.
        backends: by default those that work here and that the bundle has files for; on a device ``lite-arm``, or
            ``lite`` where its processor is an x86 one.
        threads: of the operators, each from 1. A backend or a number given twice counts once.
        device: see :class:`Plan`.
        how: the rest of :class:`Plan`.

    Raises:
        FileNotFoundError: no bundle there, or no images.
        ValueError: a damaged bundle or image, an unknown backend, one that the bundle has no files for or that does not
            run on the device, or what this machine or the device cannot do.
    """
    check(backends, threads, device, how)
    found = []
    for folder in bundles:
        names = _backends(load_bundle(folder), backends, device)
        if device == LOCAL:
            for name in names:
                check_options(name, how.get("options") or {})
        found += [Plan(Path(folder), name, count, device, **how) for name in names for count in dict.fromkeys(threads)]
    if found and found[0].images is not None:  # a mistake in the command is no record of each plan
        if device == LOCAL:
            load_frames(found[0], load_bundle(found[0].bundle))
        else:
            find_images(found[0].images)
    return found


def check(backends: Sequence[str] | None, threads: Sequence[int], device: str, how: Mapping[str, Any]) -> None:
    """What can be said of a command before there are bundles; arguments as of :func:`plans`.

    Raises:
        ValueError: see :func:`plans`.
    """
    for name in backends or ():
        files_key(name)
    if not all(1 <= count <= MOST_THREADS for count in threads):
        raise ValueError(f"--threads is {' '.join(map(str, threads))}; expected whole numbers from 1 to {MOST_THREADS}")
    if min(how.get("affinity") or [0]) < 0:
        raise ValueError(f"--affinity is {' '.join(map(str, how['affinity']))}; expected numbers of cores, from 0")
    if device == LOCAL:
        _check_here(how)
        if list(backends or ()) != ["lite-arm"]:  # whose program may run elsewhere
            _check_cores(threads, how.get("affinity"))
    else:
        open_device(device)  # nothing is asked of it yet
        if how.get("options"):
            raise ValueError("--backend_options is for this machine; a device takes none")
        if how.get("power_mode") is not None:
            check_power_mode(how["power_mode"])
        for name, value in (("--frame_size", how.get("frame_hw")), ("--profile", how.get("profile"))):
            if value:
                raise ValueError(f"{name} is for this machine; on a device the network alone is measured")
        if set(backends or ()) - set(_ON_DEVICES):
            raise ValueError(
                f"--backends is {' '.join(backends or ())}; on a device it is lite-arm, Paddle Lite's file for ARM (or "
                "lite, its file for x86)"
            )


def _check_here(how: Mapping[str, Any]) -> None:
    """What this machine cannot do, before anything is measured."""
    if how.get("power_mode") is not None:
        raise ValueError(f"--power_mode is {how['power_mode']}; it is for devices, this machine has none to set")
    if (size_hw := how.get("frame_hw")) and not all(1 <= side <= 1 << 14 for side in size_hw):
        raise ValueError(f"--frame_size is {size_hw[1]} {size_hw[0]}; expected width and height from 1 to 16384")


def _check_cores(threads: Sequence[int], affinity: Sequence[int] | None) -> None:
    """Threads beyond the cores wait for each other, so that no measurement of them is valid."""
    if not hasattr(os, "sched_getaffinity"):
        return
    allowed = os.sched_getaffinity(0)
    cores = set(affinity or allowed)
    if not cores <= allowed:
        raise ValueError(
            f"--affinity is {' '.join(map(str, affinity or ()))}; expected some of the cores "
            f"{' '.join(map(str, sorted(allowed)))}"
        )
    if max(threads) > len(cores):
        raise ValueError(
            f"--threads is {' '.join(map(str, threads))}, but the cores that may be used are "
            f"{' '.join(map(str, sorted(cores)))}; threads that wait for each other measure nothing: give at most "
            f"{len(cores)}"
        )


def _backends(bundle: Bundle, asked: Sequence[str] | None, device: str) -> list[str]:
    asked = asked or (_ON_DEVICES[:1] if device != LOCAL else None)
    if asked:
        for name in asked:
            bundle.files_of(files_key(name))
        return list(dict.fromkeys(asked))
    held = bundle.about["backends"]
    usable = [name for name in available_backends() if files_key(name) in held]
    if not usable:
        raise ValueError(
            f"no backend can run {bundle.folder}: it has files for {', '.join(held) or 'none'}, installed are "
            f"{', '.join(available_backends()) or 'none'}; install one of those that it has files for"
        )
    return usable


def export_networks(
    names: Sequence[str],
    size_hw: Sequence[int] | None,
    output_op: str,
    backends: Sequence[str] | None,
    device: str,
    folder: Path,
    say: Callable[[str], None] = print,
) -> tuple[list[Path], list[Failed]]:
    """Bundles of networks with random weights: ``<folder>/<network>_<height>x<width>_<output_op>``.

    A bundle that is there already and was exported by the same command is used again.

    Args:
        names: of :func:`paddle_mobileseg.networks.names`, or ``all``.
        size_hw: height and width of the input; by default what the network's recipe trains at.
        output_op: what the graph gives.
        backends: that are to have files; by default those that work here.
        device: where they are to run.
        folder: where bundles are kept.
        say: where progress goes.

    Returns:
        the bundles, and what could not be exported.

    Raises:
        KeyError: an unknown network.
        ValueError: a size below 1.
        OSError: the folder cannot be written.
    """
    if size_hw is not None and min(size_hw) < 1:
        raise ValueError(f"--image_size is {list(size_hw)}; expected height and width, whole numbers of at least 1")
    import_paddle()
    chosen = networks.names() if list(names) == [ALL] else list(dict.fromkeys(names))
    records = [networks.get(name) for name in chosen]
    make_output_folder(folder)
    formats = _formats(backends, device)
    bundles: list[Path] = []
    failed: list[Failed] = []
    for number, record in enumerate(records, 1):
        height, width = size_hw or record.size_hw
        target = folder / f"{record.name}_{height}x{width}_{output_op}"
        words = ["export", "--network", record.name, "--save_dir", str(target), "--output_op", output_op]
        words += ["--input_shape", "1", "3", str(height), str(width), "--tolerance", _TOLERANCE, "--formats", *formats]
        if _is_there(target, words):
            say(f"{number}/{len(records)} {target}: there already")
        else:
            say(f"{number}/{len(records)} {target}: exporting to {', '.join(formats)}")
            if why := _export(words):
                say(f"  failed: {why}")
                failed.append(Failed(record.name, why))
                continue
        bundles.append(target)
    return bundles, failed


def _formats(backends: Sequence[str] | None, device: str) -> list[str]:
    """Of files that the backends run; a backend of TensorRT runs those of another one."""
    names = backends or (available_backends() if device == LOCAL else _ON_DEVICES[:1])
    return list(dict.fromkeys(FORMATS[files_key(name)] for name in names))


def _is_there(target: Path, words: Sequence[str]) -> bool:
    try:
        bundle = load_bundle(target)
        bundle.verify()
    except (OSError, ValueError):
        return False
    return bundle.about.get("command") == shlex.join(["mobileseg", *words])


def _export(words: Sequence[str]) -> str | None:
    """Export in a process of its own, for memory and because what one leaves in Paddle slows the next one down; why it
    failed, or ``None``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "paddle_mobileseg.cli", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        printed, _ = process.communicate()
    except BaseException:  # Ctrl-C: it may clean up
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LAST_WORK_S)
        process.kill()
        raise
    if process.returncode == 0:
        return None
    errors = [line for line in printed.splitlines() if line.startswith("error: ")]
    return (
        errors[-1].removeprefix("error: ") if errors else f"{how_it_ended(process.returncode)}: {last_words(printed)}"
    )
