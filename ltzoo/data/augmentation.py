"""How training images are augmented, as a record."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Augmentation:
    """How a training image is augmented; `crop_padding`, flips and `cutout` are ours, the others timm's.

    Attributes:
        crop_padding: black pixels added on each side before a random crop of the original size; 0: no crop.
        horizontal_flip: mirror each image with probability 1/2.
        min_scale: the smallest share of the area for a crop of random size and shape (timm's --scale); None: no such
            crop.
        color_jitter: strength of random changes of brightness, contrast and saturation; 0: none.
        auto_augment: a policy in timm's notation (--aa), such as `rand-m9-mstd0.5`; None: none. With a policy timm
            ignores `color_jitter`, unless it is a `3a`.
        mixup: alpha of mixup (Zhang 2018); 0: none. With both mixup and CutMix, each batch gets one of the two. Each
            process mixes its own share of the batch.
        cutmix: alpha of CutMix (Yun 2019); 0: none.
        alternate_flip: every image is mirrored in every other epoch, instead of at random (Jordan 2024, section 3.6);
            which images begin mirrored is drawn once.
        cutout: side in pixels of a black square at a random centre, clipped at the border (DeVries 2017); 0: none.
        mixup_off_epoch: the epoch, from 0, from which on mixup and CutMix are off (timm's --mixup-off-epoch); None:
            they stay on.
    """

    crop_padding: int
    horizontal_flip: bool
    min_scale: float | None = None
    color_jitter: float = 0.0
    auto_augment: str | None = None
    mixup: float = 0.0
    cutmix: float = 0.0
    alternate_flip: bool = False
    cutout: int = 0
    mixup_off_epoch: int | None = None

    def __post_init__(self) -> None:
        if self.crop_padding < 0:
            raise ValueError(f"crop_padding must be at least 0 pixels, not {self.crop_padding}")
        if self.min_scale is not None and not 0 < self.min_scale <= 1:
            raise ValueError(f"min_scale must be a share of the area, above 0 and at most 1, not {self.min_scale}")
        if self.min_scale is not None and self.crop_padding:
            raise ValueError("crop_padding and min_scale are two ways to crop; choose one")
        for name in ("color_jitter", "mixup", "cutmix", "cutout"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or above, not {getattr(self, name)}")
        if self.alternate_flip and self.horizontal_flip:
            raise ValueError("horizontal_flip and alternate_flip are two ways to mirror images; choose one")
        if self.mixup_off_epoch is not None and self.mixup_off_epoch < 0:
            raise ValueError(f"mixup_off_epoch must be 0 or above, not {self.mixup_off_epoch}")
        if self.mixup_off_epoch is not None and not (self.mixup or self.cutmix):
            raise ValueError(
                f"mixup_off_epoch {self.mixup_off_epoch} (--mixup-off-epoch) has no effect without mixup and CutMix; "
                "add --mixup or --cutmix, or leave it out"
            )
        if self.color_jitter and self.auto_augment is not None and "3a" not in self.auto_augment:
            raise ValueError(
                f"with auto_augment {self.auto_augment} (--aa) timm ignores color_jitter {self.color_jitter}; "
                "add --color-jitter 0, or leave --aa out"
            )

    def in_epoch(self, epoch: int) -> "Augmentation":
        """Return the augmentation in an epoch, from 0: without mixup and CutMix from `mixup_off_epoch` on."""
        if self.mixup_off_epoch is None or epoch < self.mixup_off_epoch:
            return self
        return replace(self, mixup=0.0, cutmix=0.0, mixup_off_epoch=None)

    def scaled(self, epochs: int, of: int) -> "Augmentation":
        """Scale `mixup_off_epoch` to a training of `epochs` instead of `of` epochs, rounding down."""
        if self.mixup_off_epoch is None:
            return self
        return replace(self, mixup_off_epoch=self.mixup_off_epoch * epochs // of)

    @property
    def batched(self) -> bool:
        """Whether a whole batch can be augmented at once: crop, flip and cutout can, timm's transforms cannot."""
        return self.min_scale is None and not self.color_jitter and self.auto_augment is None
