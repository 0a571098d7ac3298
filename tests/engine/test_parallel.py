"""Training in two processes on the CPU: equal weights, disjoint data, one writer."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg import networks
from paddle_mobileseg.config import build, load_config
from paddle_mobileseg.data.loader import train_batches
from paddle_mobileseg.engine import load_checkpoint, parallel
from paddle_mobileseg.engine.parallel import Ranks
from tests.launched import launched

# Trains, and writes of every iteration what this process holds and saw.
SCRIPT = """
import hashlib, json, sys
import numpy as np
from paddle_mobileseg.config import load_config
from paddle_mobileseg.engine import Trainer, TrainOptions, hooks, trainer as module

config, folder, record = sys.argv[1:]

def digest(arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()

seen = []
original = module.train_batches
def recorded(*words, **more):
    for batch in original(*words, **more):
        seen.append(batch["files"])
        yield batch
module.train_batches = recorded

states = []
class Watch(hooks.Hook):
    def after_step(self, trainer, step):
        state = trainer.network.state_dict()
        optimizer = trainer.optimizer.state_dict()
        states.append({
            "loss": step.loss,
            "weights": digest(t.numpy() for t in state.values()),
            "statistics": digest(t.numpy() for name, t in state.items() if name.endswith(("_mean", "_variance"))),
            "average": digest(t.numpy() for t in trainer.average.average.values()),
            "optimizer": digest(optimizer[k].numpy() for k in optimizer if hasattr(optimizer[k], "numpy")),
        })
        if trainer.ranks.number == 0:
            np.savez(f"{record}/weights{step.iteration}.npz", **{n: t.numpy() for n, t in state.items()})
default = hooks.default_hooks
hooks.default_hooks = lambda trainer: [*default(trainer), Watch()]

options = TrainOptions(folder, save_interval=2, log_iters=1, ema_decay=0.9, do_eval=True)
trainer = Trainer(load_config(config), options)
trainer.run()
with open(f"{record}/rank{trainer.ranks.number}.json", "w") as file:
    json.dump({"files": seen, "states": states, "iteration": trainer.iteration}, file)
"""

EXCHANGE = """
import json, pathlib, sys
import numpy as np
import paddle
from paddle import nn
from paddle_mobileseg.engine import parallel

ranks = parallel.join()
class Net(nn.Layer):
    def __init__(self):
        super().__init__()
        for name in ("both", "one", "none"):
            self.add_sublayer(name, nn.Linear(2, 1, bias_attr=False))
        self.moving, self.fixed = nn.BatchNorm2D(1), nn.BatchNorm2D(1, use_global_stats=True)
    def forward(self, x):
        y = self.both(x).sum()
        return y + self.one(x).sum() if ranks.number == 1 else y

network = Net()
network.none.weight.stop_gradient = False
for layer in (network.moving, network.fixed):
    layer._mean.set_value(np.array([1.0 + ranks.number], np.float32))
seen = []
for wish in (False, True):
    network(paddle.full([1, 2], ranks.number + 1)).backward()
    stop, loss = parallel.exchange(network, ranks, wish and ranks.number == 1, [10.0 + ranks.number, 3.0])
    grads = {n: getattr(network, n).weight.grad for n in ("both", "one", "none")}
    seen.append({
        "stop": stop, "loss": loss,
        "grads": {n: None if g is None else g.flatten().tolist() for n, g in grads.items()},
        "means": [network.moving._mean.item(), network.fixed._mean.item()],
    })
    for p in network.parameters():
        p.clear_gradient(False)
half = paddle.to_tensor(np.array([1.0, 60000.0], np.float16) * (1 if ranks.number else 0.5))
parallel._average([half, paddle.full([1], float(ranks.number))], ranks)
seen.append([str(half.dtype), half.astype("float32").tolist()])
own = nn.Linear(2, 2)
own.weight.set_value(np.full([2, 2], ranks.number, np.float32))
parallel.share_weights(own, ranks)
seen.append(own.weight.numpy().tolist())
seen.append([parallel.gather(ranks.number * 10, ranks), parallel.broadcast(f"from {ranks.number}", ranks)])
try:
    parallel.compare({"the seed": 5, "the crop": [64, 64 + ranks.number]}, ranks)
except ValueError as error:
    seen.append(str(error))
parallel.wait_for_all(ranks)
pathlib.Path(sys.argv[1], f"exchange{ranks.number}.json").write_text(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def twice(config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two equal jobs of two processes: the folders with their records."""
    records = []
    for number in range(2):
        folder = tmp_path_factory.mktemp(f"job{number}")
        (folder / "record").mkdir()
        script = folder / "script.py"
        script.write_text(SCRIPT)
        with launched(folder, script, config_file, folder / "out", folder / "record") as job:
            assert job.wait() == 0, job.printed()
        records.append(folder / "record")
    return records


def ranks_of(record: Path) -> list[dict[str, object]]:
    return [json.loads((record / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def test_processes_hold_the_same_after_every_iteration(twice: list[Path]) -> None:
    first, second = ranks_of(twice[0])
    assert first["states"] == second["states"]
    assert first["iteration"] == second["iteration"] == 4
    for key in ("weights", "statistics", "average", "optimizer", "loss"):
        assert len({state[key] for state in first["states"]}) == 4, key  # each iteration changed it


def test_a_job_gives_the_same_bits_twice(twice: list[Path]) -> None:
    assert ranks_of(twice[0]) == ranks_of(twice[1])


def test_processes_read_disjoint_files(twice: list[Path], config_file: Path) -> None:
    first, second = (rank["files"] for rank in ranks_of(twice[0]))
    assert len(first) == len(second) == 4
    for one, other in zip(first, second, strict=True):
        assert len({*one, *other}) == len(one) + len(other) == 4
    dataset = build.dataset(load_config(config_file), "train")
    whole = [batch["files"] for batch in train_batches(dataset, 4, 4, seed=0)]
    assert [one + other for one, other in zip(first, second, strict=True)] == whole


def test_only_the_first_process_writes(twice: list[Path]) -> None:
    folder = twice[0].parent / "out"
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["iter"] for line in lines if line["kind"] == "train"] == [1, 2, 3, 4]
    assert [line["iter"] for line in lines if line["kind"] == "val"] == [2, 4]
    losses = [state["loss"] for state in ranks_of(twice[0])[0]["states"]]
    assert [line["loss"] for line in lines if line["kind"] == "train"] == pytest.approx(losses, rel=1e-12)
    assert load_checkpoint(folder / "best_model").iteration in (2, 4)


def test_the_other_machine_needs_no_output_folder(config_file: Path, tmp_path: Path) -> None:
    """Rank 1 may neither make nor write the folder that rank 0 trains into."""
    script = tmp_path / "train.py"
    script.write_text(
        "import os, sys\n"
        "from paddle_mobileseg.cli import main\n"
        "folder = sys.argv.pop()\n"
        "if os.environ['PADDLE_TRAINER_ID'] == '1':\n"
        "    folder = '/proc/no/such/folder'\n"
        "sys.exit(main([*sys.argv[1:], '--save_dir', folder]))\n"
    )
    folder = tmp_path / "out"
    words = ["train", "--config", config_file, "--iters", "2", "--save_interval", "1", "--do_eval"]
    with launched(tmp_path, script, *words, folder) as job:
        assert job.wait() == 0, job.printed()
    assert {path.name for path in folder.glob("iter_*")} == {"iter_1", "iter_2"}


def test_ctrl_c_under_the_launcher_leaves_a_checkpoint(config_file: Path, repository: Path, tmp_path: Path) -> None:
    script, folder = repository / "tools" / "train.py", tmp_path / "out"
    words = ["--iters", "100000", "--log_iters", "1", "--save_dir", folder]
    with launched(tmp_path, script, "--config", config_file, *words) as job:
        log = folder / "log.jsonl"
        job.wait_until(lambda: log.is_file() and log.read_text().count("\n") >= 3)
        os.killpg(job.process.pid, signal.SIGINT)  # as a terminal does
        job.wait()

        (saved,) = folder.glob("iter_*")
        assert load_checkpoint(saved).iteration == int(saved.name[5:]) >= 3
        for rank in (0, 1):
            assert f"interrupted: stopped after iteration {saved.name[5:]} of 100000" in job.log(rank), job.printed()
            assert str(saved) in job.log(rank)


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory: pytest.TempPathFactory) -> list[list[object]]:
    """What each of two processes saw of the operations."""
    folder = tmp_path_factory.mktemp("exchange")
    script = folder / "exchange.py"
    script.write_text(EXCHANGE)
    with launched(folder, script, folder) as job:
        assert job.wait() == 0, job.printed()
    return [json.loads((folder / f"exchange{rank}.json").read_text()) for rank in (0, 1)]


def test_processes_agree_on_gradients_and_on_stopping(exchanged: list[list[object]]) -> None:
    for rank in (0, 1):
        for seen, stop in zip(exchanged[rank][:2], (False, True), strict=True):
            assert seen["stop"] is stop
            assert seen["loss"] == [10.5, 3.0]
            # 1 and 2; nothing and 2; nothing at all, which the optimizer must go on to leave alone
            assert seen["grads"] == {"both": [1.5, 1.5], "one": [1.0, 1.0], "none": None}


def test_moving_statistics_are_averaged_and_fixed_ones_left_alone(exchanged: list[list[object]]) -> None:
    assert [seen["means"] for seen in exchanged[0][:2]] == [[1.5, 1.0], [1.5, 1.0]]
    assert [seen["means"] for seen in exchanged[1][:2]] == [[1.5, 2.0], [1.5, 2.0]]


def test_half_precision_is_added_up_in_float32(exchanged: list[list[object]]) -> None:
    # 30000 + 60000 is infinite in float16; the mean is not.
    assert exchanged[0][2] == exchanged[1][2] == ["paddle.float16", [0.75, 44992.0]]
    assert float(np.float16(45000.0)) == 44992.0


def test_everyone_gets_the_first_ones_weights_and_values(exchanged: list[list[object]]) -> None:
    for seen in exchanged:
        assert seen[3] == [[0, 0], [0, 0]]
        assert seen[4] == [[0, 10], "from 0"]


def test_different_starts_are_named(exchanged: list[list[object]]) -> None:
    for seen in exchanged:
        assert seen[5] == (
            "the processes were started differently: the crop is [64, 64] in rank 0 and [64, 65] in rank 1; use the "
            "same command, files and versions everywhere"
        )


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PADDLE_TRAINERS_NUM": "two"}, "PADDLE_TRAINERS_NUM is 'two'; expected a whole number"),
        ({"PADDLE_TRAINERS_NUM": "2", "PADDLE_TRAINER_ID": "-1"}, "PADDLE_TRAINER_ID is '-1'"),
        ({"PADDLE_TRAINERS_NUM": "2", "PADDLE_TRAINER_ID": "2"}, "ids go from 0 to 1"),
        ({"PADDLE_TRAINERS_NUM": "2", "PADDLE_TRAINER_ID": "1"}, "neither PADDLE_MASTER nor PADDLE_TRAINER_ENDPOINTS"),
        ({"PADDLE_TRAINERS_NUM": "2", "PADDLE_MASTER": "here"}, "neither PADDLE_MASTER nor PADDLE_TRAINER_ENDPOINTS"),
    ],
)
def test_variables_of_the_launcher_are_checked(
    variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=words):
        parallel.join()


def test_one_process_needs_nobody() -> None:
    alone = parallel.join()
    assert (alone.number, alone.count) == (0, 1)
    assert parallel.gather("value", alone) == ["value"]
    assert parallel.broadcast("value", alone) == "value"


def test_batch_norm_is_synchronised_on_gpus_only_and_keeps_its_names() -> None:
    network = nn.Sequential(
        nn.Conv2D(3, 4, 1),
        nn.Sequential(nn.BatchNorm2D(4), nn.ReLU()),
        nn.BatchNorm2D(4, weight_attr=False, bias_attr=False, use_global_stats=True),
        nn.BatchNorm2D(4, weight_attr=False, bias_attr=False),
    )
    before = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    trained = [parameter.name for parameter in network.parameters()]

    if not paddle.is_compiled_with_cuda():
        assert parallel.synchronise_batch_norm(network, Ranks(0, 2)) is network
        assert type(network[1][0]) is nn.BatchNorm2D
    after = parallel.with_sync_batch_norm(network)

    assert [type(layer) for layer in (after[1][0], after[2], after[3])] == [
        nn.SyncBatchNorm,
        nn.BatchNorm2D,
        nn.BatchNorm2D,
    ]
    assert set(after.state_dict()) == set(before)
    for name, tensor in after.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name])
    assert [parameter.name for parameter in after.parameters()] == trained


@pytest.mark.parametrize("name", networks.names())
def test_networks_keep_their_names_with_synchronised_batch_norm(name: str) -> None:
    network = networks.get(name).build(3)
    shapes = {key: tensor.shape for key, tensor in network.state_dict().items()}
    moving = [each for each in network.sublayers() if isinstance(each, nn.BatchNorm2D) and not each._use_global_stats]

    converted = parallel.with_sync_batch_norm(network)

    assert {key: tensor.shape for key, tensor in converted.state_dict().items()} == shapes
    layers = [type(each) for each in converted.sublayers()]
    assert layers.count(nn.SyncBatchNorm) == len(moving) > 0


def test_shares_are_disjoint_and_make_up_the_whole_batch(config_file: Path) -> None:
    dataset = build.dataset(load_config(config_file), "train")
    whole = list(train_batches(dataset, 2, 5, seed=3))
    shares = [list(train_batches(dataset, 1, 5, seed=3, rank=rank, ranks=2)) for rank in (0, 1)]

    for batch, first, second in zip(whole, *shares, strict=True):
        assert batch["files"] == first["files"] + second["files"]
        np.testing.assert_array_equal(batch["img"], np.concatenate([first["img"], second["img"]]))
