"""Training and reading by our engine against PaddleSeg's.

For each network two child processes train on the same images, one with `paddleseg.core.train` and what PaddleSeg's own
SegBuilder makes of a YAML, one with our Trainer and the same YAML. They take turns of a few iterations each, so that
whatever else the machine does hits both, with as many OpenMP threads and data workers. The ratio is that of the
medians, and above 1 ours is the faster. The loss is that of the network's published recipe.

PaddleSeg 2.8.0 does not train on Paddle 3.3.1 as it is. What is changed here: floats and integers may be added and
multiplied inside its losses, as Paddle 2 allowed; and its log is left out, because it indexes scalars.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from paddle_mobileseg import machine, networks
from paddle_mobileseg.config import load_config
from paddle_mobileseg.cpu import import_paddle, keep_freed_memory, use_all_cores
from paddle_mobileseg.data import synthetic

REPOSITORY = Path(__file__).resolve().parents[1]
CAMVID = REPOSITORY.parent / "shared" / "data" / "camvid"
NETWORKS = ["mobileseg_mobilenetv3", "pp_mobileseg_tiny", "pp_liteseg_stdc1", "topformer_tiny"]
ENGINES = ["paddleseg", "ours"]
PARTS = ["reading", "forward", "loss", "backward", "optimiser"]
FOREVER = 10**7
SKIPPED = 3  # batches that may have been prepared while the other engine had its turn
MARK = "engine_speed "


# In the child processes


class Turns:
    """Splits what a child does into turns, which the parent asks for, and times what happens in them."""

    def __init__(self) -> None:
        self.left = -1
        self.seconds: dict[str, float] = defaultdict(float)
        self.records: list[dict[str, float]] = []
        self.begin = self.cpu_begin = 0.0

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, its time counted as ``part``."""

        def call(*args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[part] += time.perf_counter() - begin

        return call

    def after(self, images: int) -> None:
        """One unit of work is done; wait for the parent where the turn is over."""
        now = time.perf_counter()
        cpu = time.process_time() - self.cpu_begin
        self.records.append({"images": images, "all": now - self.begin, "cpu": cpu, **self.seconds})
        self.left -= 1
        if self.left <= 0:
            print(MARK + json.dumps(self.records), flush=True)
            self.left = int(sys.stdin.readline() or sys.exit())
            self.records = []
        self.seconds.clear()
        self.begin, self.cpu_begin = time.perf_counter(), time.process_time()

    def watch_training(self, network: Any, losses: list[Any], optimizer: Any, dataset: Any, batch_size: int) -> None:
        import paddle

        network.forward = self.timed("forward", network.forward)
        for loss in losses:
            loss.forward = self.timed("loss", loss.forward)
        paddle.Tensor.backward = self.timed("backward", paddle.Tensor.backward)
        for name in {"sample", "__getitem__"} & set(dir(type(dataset))):
            setattr(type(dataset), name, self.timed("reading", getattr(type(dataset), name)))
        step = self.timed("optimiser", optimizer.step)

        def step_and_count() -> None:
            step()
            self.after(batch_size)

        optimizer.step = step_and_count


def mixed_arithmetic(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A loss during which floats and integers may be added and multiplied."""
    import paddle

    originals = {name: getattr(paddle.Tensor, name) for name in ("__add__", "__mul__")}

    def promoting(name: str) -> Callable[[Any, Any], Any]:
        def operation(self: Any, other: Any) -> Any:
            if isinstance(other, paddle.Tensor) and self.is_floating_point() != other.is_floating_point():
                self, other = (each.astype("float32") for each in (self, other))
            return originals[name](self, other)

        return operation

    def call(*args: Any) -> Any:
        for name in originals:
            setattr(paddle.Tensor, name, promoting(name))
        try:
            return forward(*args)
        finally:
            for name, original in originals.items():
                setattr(paddle.Tensor, name, original)

    return call


def paddleseg_child(config: str, num_workers: int, pipeline: bool) -> None:
    os.environ.setdefault("GLOG_minloglevel", "2")
    import paddle
    from paddleseg.core import train
    from paddleseg.cvlibs import Config, SegBuilder
    from paddleseg.utils import worker_init_fn

    cfg = Config(config)
    builder = SegBuilder(cfg)
    turns = Turns()
    dataset = builder.train_dataset
    if pipeline:
        sampler = paddle.io.DistributedBatchSampler(dataset, cfg.batch_size, shuffle=True, drop_last=True)
        loader = paddle.io.DataLoader(
            dataset, batch_sampler=sampler, num_workers=num_workers, return_list=True, worker_init_fn=worker_init_fn
        )
        while True:
            for batch in loader:
                _ = batch["img"], batch["label"].astype("int64")
                turns.after(cfg.batch_size)
    for loss in builder.loss["types"]:
        loss.forward = mixed_arithmetic(loss.forward)
    turns.watch_training(builder.model, builder.loss["types"], builder.optimizer, dataset, cfg.batch_size)
    train(
        builder.model,
        dataset,
        optimizer=builder.optimizer,
        save_dir=str(Path(config).parent / "paddleseg"),
        iters=cfg.iters,
        batch_size=cfg.batch_size,
        save_interval=FOREVER,
        log_iters=FOREVER,
        num_workers=num_workers,
        losses=builder.loss,
    )


def our_child(config: str, num_workers: int, pipeline: bool) -> None:
    keep_freed_memory()
    import_paddle()
    import paddle

    from paddle_mobileseg.config import build
    from paddle_mobileseg.data.loader import train_batches
    from paddle_mobileseg.engine import Trainer, TrainOptions

    cfg = load_config(config)
    turns = Turns()
    if pipeline:
        for batch in train_batches(build.dataset(cfg, "train"), cfg.batch_size, FOREVER, 0, num_workers=num_workers):
            _ = paddle.to_tensor(batch["img"]), paddle.to_tensor(batch["label"])
            turns.after(cfg.batch_size)
    options = TrainOptions(
        save_dir=str(Path(config).parent / "ours"), save_interval=FOREVER, log_iters=FOREVER, num_workers=num_workers
    )
    trainer = Trainer(cfg, options)
    losses = [loss for _, loss in trainer.losses]
    turns.watch_training(trainer.network, losses, trainer.optimizer, trainer.train_dataset, cfg.batch_size)
    trainer.run()


# In the parent


class Child:
    """One engine at work in a process of its own."""

    def __init__(self, engine: str, config: Path, num_workers: int, threads: int, pipeline: bool = False) -> None:
        command = [sys.executable, __file__, "--child", engine, str(config), str(num_workers), str(int(pipeline))]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "SEG_HOME": str(config.parent)}
        environment["PYTHONWARNINGS"] = "ignore"
        self.log = (config.parent / f"{engine}.log").open("w+")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment,
            text=True,
            start_new_session=True,
        )

    def ready(self) -> list[dict[str, float]]:
        """Wait for the end of a turn and return its records; the first turn of all is one unit."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(MARK):
                return json.loads(line[len(MARK) :])
        self.log.seek(0)
        raise ChildProcessError(f"{self.process.args[2:5]} ended early:\n{self.log.read()[-3000:]}")

    def turn(self, units: int) -> list[dict[str, float]]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{units}\n")
        self.process.stdin.flush()
        return self.ready()

    def stop(self) -> None:
        """End it, and the workers that it forked: those of PaddleSeg's loader outlive it and hold its pipes."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.log):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def in_turns(
    config: Path, args: argparse.Namespace, units: int, skipped: int, num_workers: int, pipeline: bool = False
) -> dict[str, list[dict[str, float]]]:
    """The records of both engines, a unit of work each."""
    children: dict[str, Child] = {}
    records: dict[str, list[dict[str, float]]] = {engine: [] for engine in ENGINES}
    try:
        for engine in ENGINES:
            children[engine] = Child(engine, config, num_workers, args.threads, pipeline)
        for child in children.values():
            child.ready()
        for turn in range(args.turns):
            for engine in ENGINES if turn % 2 else ENGINES[::-1]:
                records[engine] += children[engine].turn(skipped + units)[skipped:]
    finally:
        for child in children.values():
            child.stop()
    return records


def write_config(folder: Path, name: str, args: argparse.Namespace, root: Path, num_classes: int) -> Path:
    """The YAML that both engines train with."""
    record = networks.get(name)
    recipe = load_config(REPOSITORY / "configs" / record.recipe)
    height, width = args.size
    with (REPOSITORY / "configs/_base_/datasets/camvid_480x352.yml").open() as file:
        transforms = yaml.safe_load(file)["train_dataset"]["transforms"]
    for transform in transforms:
        if "crop_size" in transform:
            transform["crop_size"] = [width, height]
    loss = recipe.loss
    if args.loss != "recipe":
        loss["types"] = [{"type": args.loss}] * len(loss["coef"])
    files = {"dataset_root": str(root), "train_path": str(root / "train.txt"), "num_classes": num_classes}
    config = {
        "batch_size": args.batch_size,
        "iters": FOREVER,
        "train_dataset": {"type": "Dataset", **files, "mode": "train", "transforms": transforms},
        "model": record.spec(num_classes),
        "loss": {"types": loss["types"], "coef": loss["coef"]},
        "optimizer": {"type": "AdamW", "weight_decay": 0.01},
        "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.001, "end_lr": 0, "power": 0.9},
    }
    path = folder / name / "config.yml"
    path.parent.mkdir()
    path.write_text(yaml.dump(config, Dumper=_NoAliases, sort_keys=False), encoding="utf-8")
    return path


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def images_per_s(records: list[dict[str, float]]) -> float:
    return median(record["images"] / record["all"] for record in records)


def rows(records: dict[str, list[dict[str, float]]]) -> str:
    theirs, ours = (images_per_s(records[engine]) for engine in ENGINES)
    return f"{theirs:.2f} | {ours:.2f} | {ours / theirs:.2f} |"


def parts(title: str, records: dict[str, list[dict[str, float]]]) -> Iterator[str]:
    """Where the milliseconds of an iteration go, a row for each engine, and how many of all cores it took."""
    for engine in ENGINES:
        spent = {part: 1000 * median(record.get(part, 0.0) for record in records[engine]) for part in PARTS}
        whole, cpu = (1000 * median(record[key] for record in records[engine]) for key in ("all", "cpu"))
        cells = [*spent.values(), max(whole - sum(spent.values()), 0.0), whole, cpu]
        yield f"| {title} | {engine} | {' | '.join(f'{cell:.0f}' for cell in cells)} |"


def measure(args: argparse.Namespace, folder: Path) -> None:
    root, num_classes = args.data_root, 11
    if not (root / "train.txt").is_file():
        root, num_classes = folder / "scenes", len(synthetic.CLASS_NAMES)
        synthetic.write_dataset(root, train=4 * args.batch_size, val=1, progress=False)
    about = machine.describe()
    packages = ", ".join(f"{name} {about['packages'][name]}" for name in ("paddlepaddle", "paddleseg", "numpy"))
    print(f"{about['cpu']}, {about['logical_cores']} cores, Python {about['python']}, {packages}, {date.today()}")
    print(f"{root.name}, batch {args.batch_size}, {args.size[1]}x{args.size[0]}, {args.threads} threads\n")
    print("| network, loss | workers | PaddleSeg images/s | ours images/s | ratio |\n|---|---|---|---|---|")
    details = []
    for name in args.networks:
        config = write_config(folder, name, args, root, num_classes)
        loss = yaml.safe_load(config.read_text())["loss"]["types"][0]
        losses = " + ".join(each["type"].removesuffix("Loss") for each in loss.get("losses", [loss]))
        title = f"{networks.get(name).title}, {losses}"
        for workers in args.num_workers:
            records = in_turns(config, args, args.iters, 1, workers)
            print(f"| {title} | {workers} | {rows(records)}", flush=True)
            details += parts(f"{title}, {workers} workers", records)
    records = in_turns(config, args, args.batches, SKIPPED, 1, pipeline=True)
    print(f"| reading alone | 1 | {rows(records)}\n")
    print(f"| ms an iteration | engine | {' | '.join(PARTS)} | rest | all | CPU |\n|{'---|' * (len(PARTS) + 5)}")
    print("\n".join(details))


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        engine, config, num_workers, pipeline = sys.argv[2:]
        (our_child if engine == "ours" else paddleseg_child)(config, int(num_workers), pipeline == "1")
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--networks", nargs="+", metavar="NAME", default=NETWORKS, help="which to train")
    parser.add_argument("--loss", default="recipe", help="type of the loss on all logits, in place of the recipe's")
    parser.add_argument("--data_root", type=Path, default=CAMVID, help="CamVid; generated scenes where it is absent")
    parser.add_argument("--turns", type=int, default=5, help="turns of each engine")
    parser.add_argument("--iters", type=int, default=3, help="measured iterations of a turn (one more goes before)")
    parser.add_argument("--batches", type=int, default=30, help="measured batches of a turn of reading alone")
    parser.add_argument("--num_workers", type=int, nargs="+", default=[0], help="processes that read; 0: the trainer")
    parser.add_argument("--size", type=int, nargs=2, default=(352, 480), help="height and width of the crops")
    parser.add_argument("--batch_size", type=int, default=4)
    use_all_cores()
    threads = int(os.environ["OMP_NUM_THREADS"])
    parser.add_argument("--threads", type=int, default=threads, help="OpenMP threads of each engine")
    args = parser.parse_args()
    import_paddle()
    with tempfile.TemporaryDirectory() as folder:
        measure(args, Path(folder))


if __name__ == "__main__":
    main()
