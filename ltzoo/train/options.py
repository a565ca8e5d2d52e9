"""What a run needs beside its recipe."""

from dataclasses import dataclass
from pathlib import Path

from ltzoo.data.files import Place


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
            which is not loaded then; for images in files also a share of each class's. An override of the recipe. Class
            counts stay the benchmark's; where the images lie in files, they are of what is left. None: the test set.
        download: fetch a missing data set.
        resume: go on with a run that is there, or begin it.
        save_epochs: epochs, from 1, after which the checkpoint is kept; may differ where a run is gone on with.
        val_interval: epochs from one evaluation to the next; the last epoch is always evaluated.
        channels_last: memory format of images and weights; None for the faster one on the device.
        capture: on CUDA, run each step as one graph.
        compile_backend: backend of `torch.compile`, None for eager.
        threads: CPU threads; None for one where images are small, else one a core.
        workers: processes that decode images; None for one a core, up to 8 for each process that trains. Images in
            memory that are only cropped and flipped need none.
        sync_bn: in several processes on CUDA, let BatchNorm see all their images.
        image_root: what paths in lists are relative to; None for the list's own folder.
        image_column: where tables have the images.
        label_column: where tables have the labels.
        skip_unreadable: leave out at most so many images that cannot be read, which are looked for before training;
            None: do not look, and stop at the first.
        image_cache: a folder that keeps images of a smaller `input.shorter_side`.
        trackers: names of Accelerate's trackers that get each epoch's row.
    """

    data_dir: Path
    output: Path
    seed: int = 0
    subset: Path | None = None
    hold_out: int | float | None = None
    download: bool = False
    resume: bool = False
    save_epochs: tuple[int, ...] = ()
    val_interval: int = 1
    channels_last: bool | None = None
    capture: bool = True
    compile_backend: str | None = None
    threads: int | None = None
    workers: int | None = None
    sync_bn: bool = False
    image_root: Path | None = None
    image_column: str = "image"
    label_column: str = "label"
    skip_unreadable: int | None = None
    image_cache: Path | None = None
    trackers: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        """Where files are looked for."""
        return Place(self.data_dir, self.image_root, self.image_column, self.label_column, self.download)
