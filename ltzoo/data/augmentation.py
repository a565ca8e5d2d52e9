"""How training images are augmented, as a record."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Augmentation:
    """How a training image is augmented; all but the first two settings through timm.

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
    """

    crop_padding: int
    horizontal_flip: bool
    min_scale: float | None = None
    color_jitter: float = 0.0
    auto_augment: str | None = None
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        if self.crop_padding < 0:
            raise ValueError(f"crop_padding must be at least 0 pixels, not {self.crop_padding}")
        if self.min_scale is not None and not 0 < self.min_scale <= 1:
            raise ValueError(f"min_scale must be a share of the area, above 0 and at most 1, not {self.min_scale}")
        if self.min_scale is not None and self.crop_padding:
            raise ValueError("crop_padding and min_scale are two ways to crop; choose one")
        for name in ("color_jitter", "mixup", "cutmix"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or above, not {getattr(self, name)}")

        if self.color_jitter and self.auto_augment is not None and "3a" not in self.auto_augment:
            raise ValueError(
                f"with auto_augment {self.auto_augment} (--aa) timm ignores color_jitter {self.color_jitter}; "
                "add --color-jitter 0, or leave --aa out"
            )

    @property
    def batched(self) -> bool:
        """Whether crop and flip are all that is done to the pixels: these can be applied to a whole batch at once."""
        return self.min_scale is None and not self.color_jitter and self.auto_augment is None
