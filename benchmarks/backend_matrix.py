"""Every network on every backend: exports each with each output operation, and proves every file on images.

Networks have random weights (``paddle_mobileseg.export.untrained``) and the classes of their recipe. A cell is the
share of pixels whose label the exported file gives as the network itself does. ARM files are run where an ARM runner is
given; otherwise their operators are checked and the x86 file, made from the same graph, stands for them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import date
from pathlib import Path
from typing import Any

from paddle_mobileseg import machine, networks, tables
from paddle_mobileseg.files import write_json, write_text

FORMATS = ("paddle", "onnx", "lite-x86", "lite-arm")
OUTPUTS = ("none", "argmax", "vim")
IMAGES = 2


def export_cells(
    name: str, formats: tuple[str, ...], outputs: tuple[str, ...], size: int, arm_runner: str | None
) -> list[dict[str, Any]]:
    """Export one network with each output operation; a record for each file, with the error where there is one."""
    from paddle_mobileseg.data.synthetic import render_scene
    from paddle_mobileseg.export import export_checkpoint
    from paddle_mobileseg.export.untrained import untrained_checkpoint

    checkpoint = untrained_checkpoint(name)
    images = [render_scene(seed)[0][:size, :size] for seed in range(IMAGES)]
    cells = []
    for output_op in outputs:
        cell = {"network": name, "output_op": output_op}
        with tempfile.TemporaryDirectory() as folder:
            try:
                bundle = export_checkpoint(
                    checkpoint,
                    Path(folder) / "bundle",
                    calib_images=images,
                    output_op=output_op,
                    input_shape=[1, 3, size, size],
                    formats=formats,
                    arm_runner=arm_runner,
                )
            except (ValueError, ImportError, OSError) as error:
                cells += [{**cell, "target": target, "error": str(error)} for target in formats]
                continue
            parity = {row["stage"]: row["label_agreement"] for row in bundle.about["parity"]}
            for target, entry in bundle.about["targets"].items():
                backend = next(key for key, files in bundle.about["backends"].items() if files == entry["files"])
                cells.append(
                    {
                        **cell,
                        "target": target,
                        "agreement": parity.get(f"dynamic->{backend}"),
                        "operators": entry["operators"],
                        "bytes": sum(bundle.about["files"][file]["bytes"] for file in entry["files"]),
                        "error": None,
                    }
                )
    return cells


def outputs_of(name: str) -> tuple[str, ...]:
    """One of the output operations: the networks of the list have them in turn."""
    return (OUTPUTS[networks.names().index(name) % len(OUTPUTS)],)


def export_all(
    names: list[str], formats: tuple[str, ...], size: int, jobs: int, arm_runner: str | None, one_output: bool = False
) -> list[dict[str, Any]]:
    """All cells, in the order of ``names``; ``jobs`` networks at a time, each in a process of its own."""
    cells: dict[str, list[dict[str, Any]]] = {}
    # A process for each network: what one leaves in Paddle's caches slows the next one down.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, max_tasks_per_child=1) as pool:
        waiting = {
            pool.submit(
                export_cells, name, formats, outputs_of(name) if one_output else OUTPUTS, size, arm_runner
            ): name
            for name in names
        }
        for done in as_completed(waiting):
            name = waiting[done]
            cells[name] = done.result()
            failed = [cell for cell in cells[name] if cell["error"]]
            print(f"{len(cells)}/{len(names)} {name}: {f'{len(failed)} failed' if failed else 'all equal'}", flush=True)
    return [cell for name in names for cell in cells[name]]


def markdown(cells: list[dict[str, Any]], size: int) -> str:
    """The page docs/reference/backends.md."""
    by_place = {(cell["network"], cell["target"], cell["output_op"]): cell for cell in cells}
    names = list(dict.fromkeys(cell["network"] for cell in cells))
    targets = list(dict.fromkeys(cell["target"] for cell in cells))
    agreement = [("network", *(f"{target} {op}" for target in targets for op in OUTPUTS))]
    sizes = [("network", *(f"{target} {what}" for target in targets for what in ("MB", "ops")))]
    for name in names:
        agreement.append((name, *(_cell(by_place[name, target, op]) for target in targets for op in OUTPUTS)))
        shown = [by_place[name, target, "argmax"] for target in targets]
        sizes.append((name, *(text for cell in shown for text in _size(cell))))
    versions = machine.package_versions()
    seen = ", ".join(
        f"{key} {versions[key]}" for key in ("paddlepaddle", "paddle2onnx", "onnxruntime") if key in versions
    )
    return PAGE.format(
        size=size,
        images=IMAGES,
        agreement=tables.markdown(agreement),
        sizes=tables.markdown(sizes),
        conditions=f"{date.today()}, {machine.describe()['cpu']}, {seen}, paddlelite {_lite_version()}",
    )


PAGE = """# Every network on every backend

Written by

```bash
python benchmarks/backend_matrix.py --output docs/reference/backends.md
```

({conditions}). Each network, with random weights and its
recipe's classes, was exported at {size}x{size} and each file run on {images} images: the share of pixels, in percent,
whose label is that of the network in Paddle's dynamic mode. `checked`: the operators of the ARM file hold none of the
known traps ([lite.md](lite.md)), and the x86 file made from the same graph was run; the ARM file itself was not, since
no ARM runner was given. Below 99.9 an export fails. `make test` makes a third of this
table, `make test-slow` all of it.

## Labels equal

{agreement}

## Size and operators

Labels out (`argmax`). Operators are those of the file before its runtime optimises it; of Paddle Lite's files those
of the graph that they were made from.

{sizes}
"""


def _cell(cell: dict[str, Any]) -> str:
    if cell["error"]:
        return "failed"
    return "checked" if cell["agreement"] is None else f"{100 * cell['agreement']:.3f}"


def _size(cell: dict[str, Any]) -> tuple[str, str]:
    return ("", "") if cell["error"] else (f"{cell['bytes'] / 1e6:.2f}", str(cell["operators"]))


def _lite_version() -> str:
    from paddle_mobileseg.runtime import lite_environment

    environment = lite_environment.find()
    return "none" if environment is None else environment.version


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=networks.names(), help="default: all")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=FORMATS)
    parser.add_argument("--size", type=int, default=256, help="height and width in pixels")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="networks at a time")
    parser.add_argument("--arm_runner", metavar="CMD", help="command that runs ARM files")
    parser.add_argument("--output", type=Path, help="Markdown file to write (default: print it)")
    parser.add_argument("--one_output", action="store_true", help="one output operation a network; needs --json")
    parser.add_argument("--json", type=Path, help="file for all cells")
    args = parser.parse_args()
    if args.one_output and not args.json:
        parser.error("--one_output has not all cells of the page; give --json for those that it has")
    cells = export_all(args.networks, tuple(args.formats), args.size, args.jobs, args.arm_runner, args.one_output)
    if args.json:
        write_json(args.json, cells)
    if args.one_output:
        return 1 if any(cell["error"] for cell in cells) else 0
    page = markdown(cells, args.size)
    if args.output:
        write_text(args.output, page)
    else:
        print(page)
    for cell in cells:
        if cell["error"]:
            print(f"{cell['network']} {cell['target']} {cell['output_op']}: {cell['error']}")
    return 1 if any(cell["error"] for cell in cells) else 0


if __name__ == "__main__":
    raise SystemExit(main())
