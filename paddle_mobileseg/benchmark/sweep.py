"""The command ``benchmark``: many measurements, each record written as soon as it is there.

The measurements of one bundle on this machine take turns with each other (with ``interleave`` those of all bundles, for
a comparison); those on a device come one after the other. A sweep that was ended goes on with ``resume``: what is
measured already is left out.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paddle_mobileseg import tables
from paddle_mobileseg.benchmark import accuracy, describe, identity, record
from paddle_mobileseg.benchmark.devices import Device, open_device
from paddle_mobileseg.benchmark.devices.base import without_address
from paddle_mobileseg.benchmark.devices.remote import measure_remote
from paddle_mobileseg.benchmark.devices.remote_runner import find_programs
from paddle_mobileseg.benchmark.local import measure_local, outputs_folder
from paddle_mobileseg.benchmark.plan import LOCAL, Plan
from paddle_mobileseg.benchmark.planning import Failed
from paddle_mobileseg.benchmark.profiling.write import write_layers, write_profile
from paddle_mobileseg.benchmark.protocol import Protocol
from paddle_mobileseg.benchmark.record import Record
from paddle_mobileseg.benchmark.samples import golden_labels, write_samples
from paddle_mobileseg.files import make_output_folder
from paddle_mobileseg.progress import duration
from paddle_mobileseg.runtime.bundle import load_bundle

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sweep:
    """What to measure, and how.

    Attributes:
        plans: the measurements, all on the same device.
        protocol: how each is made.
        output: folder of the records.
        command: that repeats all of it, for the records.
        resume: leave out what ``output`` has a valid record of.
        interleave: let the measurements of different bundles take turns too.
        runner: for a device: the program that runs ``.nb`` files there, or a folder with it and its libraries.
        accuracy: ``val.json`` with scores of the bundle's files or of its checkpoint.
        samples: whether to put pictures of the bundle's images and labels beside the records (local ones only).
        failed: networks that could not be exported; each gives a record.
    """

    plans: Sequence[Plan]
    protocol: Protocol
    output: Path
    command: str | None = None
    resume: bool = False
    interleave: bool = False
    runner: Path | None = None
    accuracy: Sequence[Path] = ()
    samples: bool = True
    failed: Sequence[Failed] = ()


def run(sweep: Sweep, say: Say = print) -> int:
    """Measure, write the records, and say how each went.

    Returns:
        the exit status: 1 if a measurement failed or a file gave wrong or late outputs.

    Raises:
        ValueError: nothing to measure, or scores of another network.
        OSError: the folder cannot be written, or the device cannot be used.
        KeyboardInterrupt: with what is written already.
    """
    if not sweep.plans and not sweep.failed:
        raise ValueError("there is nothing to measure: give bundles, backends and threads")
    make_output_folder(sweep.output)
    written = [_write(_failure(each, sweep), sweep.output, say) for each in sweep.failed]
    written += _measured(sweep, say)
    for folder in dict.fromkeys(plan.bundle for plan in sweep.plans if plan.profile):
        say(write_layers(load_bundle(folder), sweep.output))
    if written:
        say(table(written))
    say(f"{_records(len(written))} in {sweep.output}")
    return int(any(each["status"] == "failed" or _is_wrong(each) for each in written))


def _is_wrong(made: Record) -> bool:
    """Whether outputs were not what they should be: measuring again on a quieter machine will not help."""
    reasons = made["validity"]["reasons"]
    return (made["parity"] or {}).get("passed") is False or any(reason.startswith("output ") for reason in reasons)


def _measured(sweep: Sweep, say: Say) -> list[Record]:
    """The records of the plans, written."""
    spec = sweep.plans[0].device if sweep.plans else LOCAL
    device = None if spec == LOCAL else open_device(spec)
    scores = accuracy.of_plans(sweep.accuracy, sweep.plans)  # before anything is measured, or left out
    left = _left(sweep, device, say)
    plans = [sweep.plans[number] for number in left]
    batches = _measured_here(plans, sweep, say) if device is None else _measured_there(device, plans, sweep, say)
    start = time.monotonic()
    written: list[Record] = []
    try:
        for batch in batches:
            for each in batch:
                each["accuracy"] = scores[left[len(written)]]
                written.append(_write(each, sweep.output, say))
            if more := len(plans) - len(written):
                pace = (time.monotonic() - start) / len(written)
                say(f"{len(written)} of {len(plans)} done, about {duration(pace * more)} left")
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(
            f"{_records(len(written))} in {sweep.output}; the same command with --resume measures what is left"
        ) from error
    return written


def _records(count: int) -> str:
    return f"{count} new record{'' if count == 1 else 's'}"


def _left(sweep: Sweep, device: Device | None, say: Say) -> list[int]:
    """Numbers of the plans, with ``resume`` less those that there is a valid record of."""
    if not sweep.resume:
        return list(range(len(sweep.plans)))
    fingerprint = _fingerprint(sweep, device)
    problems: list[str] = []
    there = {each["key"] for each in record.read_folder(sweep.output, problems=problems) if each["status"] == "ok"}
    for problem in problems:
        say(f"passed over: {problem}")
    left = [
        number
        for number, plan in enumerate(sweep.plans)
        if plan.key(sweep.protocol, load_bundle(plan.bundle), fingerprint) not in there
    ]
    say(f"{len(sweep.plans) - len(left)} of {len(sweep.plans)} are measured already")
    if any(plan.profile for plan in sweep.plans) and len(left) < len(sweep.plans):
        say("times per operator are taken with measurements only: not of what is measured already (leave out --resume)")
    return left


def _fingerprint(sweep: Sweep, device: Device | None) -> str | None:
    """Of what measures: this machine, or a device with the programs that run there."""
    if device is None:
        return describe.local_device()["fingerprint"]
    programs = find_programs(sweep.runner)
    try:
        device.check()
        return programs.on(device.section()["fingerprint"])
    finally:
        device.cleanup()


def _measured_there(device: Device, plans: list[Plan], sweep: Sweep, say: Say) -> Iterator[list[Record]]:
    """One after the other."""
    for each in measure_remote(device, plans, sweep.protocol, sweep.command, sweep.runner, say):
        yield [each]


def _measured_here(plans: list[Plan], sweep: Sweep, say: Say) -> Iterator[list[Record]]:
    """Those that take turns together, with the pictures of what the files gave."""
    for _, group in itertools.groupby(plans, key=lambda plan: None if sweep.interleave else plan.bundle):
        batch = list(group)
        with tempfile.TemporaryDirectory(prefix="mobileseg-benchmark-") as work:
            outputs = Path(work) if sweep.samples else None
            measured = measure_local(batch, sweep.protocol, sweep.command, say, outputs)
            for number, (plan, each) in enumerate(zip(batch, measured, strict=True)):
                if outputs is not None and each["error"] is None:
                    each["samples"] = _samples(plan.bundle, outputs_folder(outputs, number), sweep.output, say)
        yield measured


def _samples(bundle_dir: Path, outputs: Path, folder: Path, say: Say) -> list[dict[str, str]]:
    """Pictures of what a file gave for the bundle's golden inputs; none where they cannot be made."""
    count = len(list(outputs.glob("labels_*.npy")))
    images, labels = ([np.load(outputs / f"{name}_{i}.npy") for i in range(count)] for name in ("image", "labels"))
    try:
        bundle = load_bundle(bundle_dir)
        return write_samples(folder, images, golden_labels(bundle), labels, bundle.palette)
    except (OSError, ValueError) as error:  # a measurement is not lost for a picture
        say(f"no pictures of {bundle_dir}: {error}")
        return []


def _failure(failed: Failed, sweep: Sweep) -> Record:
    """The record of a network that has no bundle."""
    made = record.empty()
    made["tool"] = describe.tool_section()
    made["device"] = describe.local_device()
    made["command"] = without_address(sweep.command)
    made["model"]["network"] = failed.network
    return record.fail(made, "ExportError", "export", failed.message)


def _write(made: Record, folder: Path, say: Say) -> Record:
    try:
        path = record.write(folder, made)
    except ValueError as error:  # numbers that cannot be: what was measured is no result, but that it was, is
        made = _bad(made, str(error))
        path = record.write(folder, made)
    say(f"{path.name}: {line(made)}")
    if made["operators"]:
        say(write_profile(made["operators"], folder, path.stem))
    return made


def _bad(made: Record, message: str) -> Record:
    """A record of what cannot be written as one; with as much of it as is in order."""
    bad = record.fail(record.empty(), "bad_record", "record", message)
    for name in ("tool", "toolchain", "command", "device", "model", "backend", "protocol"):
        kept, bad[name] = bad[name], made[name]
        try:
            record.validate(bad)
        except ValueError:
            bad[name] = kept
    return bad


def line(made: Record) -> str:
    """A line on a record; the reasons why it must not be used on lines of their own."""
    what = f"{identity.network(made)} on {made['backend']['requested']}, {_threads(made['backend']['threads'])}"
    if made["status"] == "failed":
        return f"{what}: failed: {made['error']['message']}"
    timing = made["timing"]
    found = identity.figure(timing["network"]) or identity.figure(timing["stages"]["compute"])  # benchmark_bin's
    if found is None:
        text = f"{what}: no time of the network"
    else:
        text = f"{what}: {found[1]:.2f} ms" + ("" if found[0] == "median" else f" ({found[0]})")
    return text if made["status"] == "ok" else "\n  ".join([f"{text}, NOT VALID", *made["validity"]["reasons"]])


def _threads(count: int | None) -> str:
    return "threads unknown" if count is None else identity.threads_text(count)


def table(records: Sequence[Record]) -> str:
    """All records, for a terminal: milliseconds, and megabytes (10^6 bytes) of resident memory."""
    head = ("network", "backend", "threads", "status", "median ms", "p90 ms", "first ms", "whole frame ms", "peak MB")
    return tables.plain([head, *(_row(each) for each in records)])


def _row(made: Record) -> tuple[str, ...]:
    timing = made["timing"] or {}
    network, frame, first = (timing.get(name) or {} for name in ("network", "frame", "first"))
    peak = made["memory"]["peak_resident_bytes"]
    return (
        identity.network(made),
        made["backend"]["requested"],
        str(made["backend"]["threads"] or "-"),
        made["status"],
        *(
            _ms(value)
            for value in (network.get("median"), network.get("p90"), first.get("network"), frame.get("median"))
        ),
        "-" if peak is None else f"{peak / 1e6:.0f}",
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
