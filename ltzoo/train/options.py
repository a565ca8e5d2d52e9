"""What a run needs beside its recipe."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainOptions:
    """What a run needs beside its recipe. But for seed, subset and held-out images, none of it is to change a figure.

    Attributes:
        data_dir: holds a folder a data set.
        output: the run folder is `output/NAME/seedN`.
        seed: of weights, order, augmentation and noise.
        subset: a file that names the training images in the place of the recipe's rule; an override of the recipe where
            they are others.
        hold_out: images of each class to hold out of the training split and to measure in the place of the test set,
            which is not loaded then; an override of the recipe. Class counts stay the benchmark's. None: the test set.
        download: fetch a missing data set.
        resume: go on with a run that is there, or begin it.
        save_epochs: epochs, from 1, after which the checkpoint is kept; may differ where a run is gone on with.
        val_interval: epochs from one evaluation to the next; the last epoch is always evaluated.
        channels_last: memory format of images and weights; None for the faster one on the device.
        capture: on CUDA, run each step as one graph.
        compile_backend: backend of `torch.compile`, None for eager.
        threads: CPU threads; None for one where images are small, else one a core.
        trackers: names of Accelerate's trackers that get each epoch's row.
    """

    data_dir: Path
    output: Path
    seed: int = 0
    subset: Path | None = None
    hold_out: int | None = None
    download: bool = False
    resume: bool = False
    save_epochs: tuple[int, ...] = ()
    val_interval: int = 1
    channels_last: bool | None = None
    capture: bool = True
    compile_backend: str | None = None
    threads: int | None = None
    trackers: tuple[str, ...] = ()
