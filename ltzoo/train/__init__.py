"""Training: trains a recipe and writes a run folder with checkpoint, figures and plots."""

from ltzoo.train.options import TrainOptions
from ltzoo.train.run_folder import RunFolder
from ltzoo.train.side_by_side import train, train_all

__all__ = ["RunFolder", "TrainOptions", "train", "train_all"]
