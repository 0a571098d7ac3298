"""Eager forward of every network against PaddleSeg's own class.

In eval mode, batch 1, all cores. The two networks take turns, the first to go changing every time, so that whatever
else the machine does hits both; the ratio is that of the medians, and above 1 ours is the faster. Freed memory is kept,
as in the `mobileseg` commands: otherwise a network is 15 % slower or faster by where its memory happens to lie.
"""

from __future__ import annotations

import argparse
import time
from datetime import date
from statistics import median
from typing import Any

from paddle_mobileseg import machine, networks
from paddle_mobileseg.cpu import import_paddle, keep_freed_memory, use_all_cores

WARMUP_TURNS = 2


def times_ms(pair: list[Any], image: Any, turns: int) -> list[float]:
    """Median time of one forward of each network."""
    import paddle

    times: list[list[float]] = [[] for _ in pair]
    with paddle.no_grad():
        for turn in range(WARMUP_TURNS + turns):
            for i in (0, 1) if turn % 2 else (1, 0):
                start = time.perf_counter()
                pair[i](image)[0].numpy()
                if turn >= WARMUP_TURNS:
                    times[i].append(1000 * (time.perf_counter() - start))
    return [median(taken) for taken in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--networks", nargs="+", metavar="NAME", help="which to measure (default: all)")
    parser.add_argument("--turns", type=int, default=15, help="measured runs of each network")
    parser.add_argument("--size", type=int, nargs=2, default=(512, 512), help="height and width of the image")
    args = parser.parse_args()
    use_all_cores()
    keep_freed_memory()
    import_paddle()
    import paddle

    records = [networks.get(name) for name in args.networks or networks.names()]
    about = machine.describe()
    packages = ", ".join(f"{name} {about['packages'][name]}" for name in ("paddlepaddle", "paddleseg"))
    print(f"{about['cpu']}, {about['logical_cores']} cores, {packages}, {date.today()}\n")
    print("| network | PaddleSeg ms | ours ms | ratio |\n|---|---|---|---|")
    image = paddle.rand([1, 3, *args.size])
    for record in (each for each in records if each.in_paddleseg):
        pair = [record.build_paddleseg(), record.build()]
        for network in pair:
            network.eval()
        theirs, ours = times_ms(pair, image, args.turns)
        print(f"| {record.title} | {theirs:.0f} | {ours:.0f} | {theirs / ours:.2f} |", flush=True)


if __name__ == "__main__":
    main()
