"""Training: a recipe becomes a run folder with its checkpoint, figures and pictures."""

from ltzoo.train.run_folder import RunFolder
from ltzoo.train.trainer import TrainOptions, train

__all__ = ["RunFolder", "TrainOptions", "train"]
