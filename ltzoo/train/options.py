"""The options of a run in addition to its recipe."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ltzoo.data.files import ClassFolder, DataLocation
from ltzoo.train.val_interval import EVERY_EPOCH, ValInterval


@dataclass(frozen=True)
class TrainOptions:
    """The options of a run in addition to its recipe.

    Threads, memory format, capture and compilation affect its figures by rounding alone; output, workers and trackers
    do not affect them.

    Attributes:
        data_dir: the folder that has one folder per data set.
        output: the run folder is `output/NAME/seedN`.
        seed: seed of initial weights, order, augmentation and noise.
        first_stages: the folder of run folders that must hold the first stages of second stages; None: they are looked
            for in `output`, then among the checkpoints in LTZOO_HUB or the package.
        subset: a file with the indices of the training images, used instead of the recipe's rule; an override of the
            recipe if the images differ.
        hold_out: images per class to hold out of the training split and to measure on instead of the test set, which is
            not loaded then; for images in files also a share of each class. This is an override of the recipe. Class
            counts remain the benchmark's; for images in files they are those of the remaining images. None: the test
            set is used.
        download: download a missing data set.
        resume: continue an existing run, or begin a new one if there is none.
        save_epochs: epochs, from 1, after which a checkpoint is saved; may differ when a run is resumed.
        half: write the final checkpoint in float16, and measure it so; False: only if that changes the accuracy of no
            class. May differ when a run is resumed.
        val_interval: which epochs are evaluated.
        channels_last: memory format of images and weights; None for the faster one on the device.
        capture: on CUDA, run each step as one graph.
        compile_backend: backend of `torch.compile`, None for eager.
        threads: CPU threads; None for torch's own number, and on a CPU for a single one if images are small, else one
            per core.
        tune: on a CPU, try threads, memory format and compilation before the run, unless they are given here.
        workers: worker processes that decode images; None for one per core, at most 8 per training process. Images in
            memory that are only cropped and flipped need none.
        sync_bn: with several processes on CUDA, compute BatchNorm's statistics over the images of all of them.
        image_root: the folder that paths in lists are relative to; None for the list's own folder.
        image_column: the column of images in tables.
        label_column: the column of labels in tables.
        skip_unreadable: the largest number of unreadable images to leave out; all images are checked before training.
            None: images are not checked, and training stops at the first unreadable one.
        image_cache: a folder that stores images resized to `input.shorter_side`.
        cache_features: the folder that keeps the features of un-augmented images; the head is then trained on them.
            None: each epoch computes the features of augmented images.
        trackers: names of Accelerate's trackers that log each epoch's row.
        class_folder: which of several nested folders is the class, see `DataLocation`.
        image_suffix: what the names in lists and tables lack, see `DataLocation`.
        start_stated: what the user states of the weights of `start`, for the model card: `license`, `data`; empty for
            nothing.
    """

    data_dir: Path
    output: Path
    seed: int = 0
    subset: Path | None = None
    hold_out: int | float | None = None
    download: bool = False
    resume: bool = False
    save_epochs: tuple[int, ...] = ()
    half: bool = False
    val_interval: ValInterval = EVERY_EPOCH
    channels_last: bool | None = None
    capture: bool = True
    compile_backend: str | None = None
    threads: int | None = None
    tune: bool = False
    workers: int | None = None
    sync_bn: bool = False
    image_root: Path | None = None
    image_column: str = "image"
    label_column: str = "label"
    skip_unreadable: int | None = None
    image_cache: Path | None = None
    trackers: tuple[str, ...] = ()
    first_stages: Path | None = None
    cache_features: Path | None = None
    class_folder: ClassFolder = "first"
    image_suffix: str = ""
    start_stated: Mapping[str, str] = field(default_factory=dict)

    @property
    def location(self) -> DataLocation:
        """Where the images in files are."""
        return DataLocation(
            self.data_dir,
            self.image_root,
            self.image_column,
            self.label_column,
            self.download,
            self.class_folder,
            self.image_suffix,
        )
