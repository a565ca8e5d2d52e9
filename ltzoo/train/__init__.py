"""Training: trains a recipe and writes a run folder with checkpoint, figures and plots."""

from ltzoo.train.cuda_graph import CaptureError
from ltzoo.train.options import TrainOptions
from ltzoo.train.run_folder import RunFolder
from ltzoo.train.side_by_side import train, train_all
from ltzoo.train.val_interval import ValInterval

__all__ = ["CaptureError", "RunFolder", "TrainOptions", "ValInterval", "train", "train_all"]
