"""Training, evaluation, prediction and the checkpoints between them."""

from paddle_mobileseg.engine.checkpoint import Checkpoint, load_checkpoint
from paddle_mobileseg.engine.evaluator import Evaluation, evaluate
from paddle_mobileseg.engine.options import TrainOptions
from paddle_mobileseg.engine.predictor import predict
from paddle_mobileseg.engine.trainer import Trainer

__all__ = ["Checkpoint", "Evaluation", "TrainOptions", "Trainer", "evaluate", "load_checkpoint", "predict"]
