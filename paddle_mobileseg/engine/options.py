"""How a training runs, as opposed to what is trained."""

from __future__ import annotations

from dataclasses import dataclass

PRECISIONS = ("fp32", "fp16", "bf16")
AMP_LEVELS = ("O1", "O2")


@dataclass(frozen=True)
class TrainOptions:
    """How a training runs. What is also a key of ``train_config`` has the same name there.

    Attributes:
        save_dir: receives checkpoints and logs.
        save_interval: iterations between checkpoints (and evaluations).
        log_iters: iterations between lines of the log.
        num_workers: processes that prepare batches; 0 prepares them in the training process.
        seed: of weights, shuffling and augmentation.
        keep_checkpoint_max: checkpoints to keep beside the best one.
        use_vdl: write VisualDL logs.
        do_eval: evaluate at each checkpoint and keep the best.
        early_stop: end after so many evaluations in a row without gain; ``None`` does not.
        ema_decay: average the weights with this decay; ``None`` does not.
        precision: ``fp32``, or what matrix products and convolutions are computed in on a GPU: ``fp16`` or ``bf16``.
        amp_level: of fp16 and bf16: ``O1``, or ``O2`` for nearly all operators in it; the weights stay float32. See
            :class:`paddle_mobileseg.engine.precision.Precision`.
        accumulate: micro-batches an iteration; each has ``batch_size`` images, and the gradient is their mean.
        to_static: train the network as Paddle's static graph.
        channels_last: let Paddle choose channels-last layouts (GPU, with fp16 or bf16).
        freeze_backbone: leave the backbone's weights and batch norm statistics as they are.
        resume_model: a checkpoint folder to go on from, or ``auto``: the newest whole one in ``save_dir``.
        allow_changes: resume although the configuration is another.
        ignore_head: of the weights that ``model.pretrained`` names, leave out the head's tensors of another shape.
        dry_run: build all, make a few steps, say what the training will need, and write nothing.
        command: the command line, for the record.

    Raises:
        ValueError: a value that is not possible.
    """

    save_dir: str = "output"
    save_interval: int = 1000
    log_iters: int = 10
    num_workers: int = 0
    seed: int = 0
    keep_checkpoint_max: int = 5
    use_vdl: bool = False
    do_eval: bool = False
    early_stop: int | None = None
    ema_decay: float | None = None
    precision: str = "fp32"
    amp_level: str = "O1"
    accumulate: int = 1
    to_static: bool = False
    channels_last: bool = False
    freeze_backbone: bool = False
    resume_model: str | None = None
    allow_changes: bool = False
    ignore_head: bool = False
    dry_run: bool = False
    command: str = ""

    def __post_init__(self) -> None:
        for name, choices in (("precision", PRECISIONS), ("amp_level", AMP_LEVELS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(choices)}")
        for name in ("save_interval", "log_iters", "keep_checkpoint_max", "accumulate", "early_stop"):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            if not whole and not (name == "early_stop" and value is None):
                raise ValueError(f"{name} is {value!r}; expected a whole number of at least 1")
        if self.to_static and self.channels_last:
            raise ValueError(
                "to_static and channels_last cannot be had together: Paddle's layout tuning is of dynamic graphs"
            )
