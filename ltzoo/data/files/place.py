"""Where a split's files are looked for."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """Where a split's files are looked for.

    Attributes:
        data_dir: for ImageNet-LT and iNaturalist 2018 what holds `imagenetlt/` or `inat18/`; for images of one's own
            their folder, a list (.csv, .txt) or a Hub data set: `hfds/USER/NAME[@REVISION]`, `hfds//path/to/a/copy`.
        image_root: what the paths in lists are relative to; None: the list's own folder.
        image_column: the column of images in a table or a Hub data set; timm's `--input-key`.
        label_column: the column of labels; timm's `--target-key`.
        download: fetch a Hub data set that is not in the cache of `datasets`.
    """

    data_dir: Path
    image_root: Path | None = None
    image_column: str = "image"
    label_column: str = "label"
    download: bool = False
