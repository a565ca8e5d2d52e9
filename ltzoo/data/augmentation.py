"""How training images are augmented, as a record."""

from dataclasses import dataclass, replace
from typing import Literal

CIFAR10_POLICY = "cifar10"
"""The `auto_augment` that is torchvision's; timm has no policy for CIFAR."""


@dataclass(frozen=True)
class Augmentation:
    """How a training image is augmented: one view of it.

    The order is crop, flip, rotation, policy, colour jitter, grey, blur, Cutout, normalisation; mixup and CutMix follow
    on whole batches. Crop with padding, flips and Cutout are ours, the others timm's and torchvision's.

    Attributes:
        crop_padding: black pixels added on each side before a random crop of the original size; 0: no crop.
        horizontal_flip: mirror each image with probability 1/2.
        min_scale: the smallest share of the area for a crop of random size and shape (timm's --scale); None: no such
            crop.
        color_jitter: strength of random changes of brightness, contrast and saturation; 0: none.
        auto_augment: a policy in timm's notation (--aa), such as `rand-m9-mstd0.5`, or `cifar10`, AutoAugment's policy
            for CIFAR-10 (Cubuk 2019); None: none. With a policy of its own timm ignores `color_jitter`, unless it is a
            `3a`, or `jitter_before_policy` is set.
        mixup: alpha of mixup (Zhang 2018); 0: none. With both mixup and CutMix, each batch gets one of the two. Each
            process mixes its own share of the batch.
        cutmix: alpha of CutMix (Yun 2019); 0: none.
        alternate_flip: every image is mirrored in every other epoch, instead of at random (Jordan 2024, section 3.6);
            which images begin mirrored is drawn once.
        cutout: side in pixels of a black square at a random centre, clipped at the border (DeVries 2017); 0: none.
        mixup_off_epoch: the epoch, from 0, from which on mixup and CutMix are off (timm's --mixup-off-epoch); None:
            they stay on.
        rotation: the image is turned by an angle drawn between minus and plus so many degrees, over black; 0: not.
        color_jitter_hue: strength of random changes of hue, at most 0.5, made together with `color_jitter`; 0: none.
        color_jitter_prob: probability that an image is jittered at all (timm's --color-jitter-prob).
        grayscale_prob: probability that it loses its colours (timm's --grayscale-prob).
        gaussian_blur_prob: probability that it is blurred, by a Gaussian with a standard deviation drawn between 0.1
            and 2 pixels (timm's --gaussian-blur-prob).
        interpolation: how a crop of random size and shape, and what timm's policy moves, are resampled; None: as images
            of the data set are resized.
        jitter_before_policy: colours are jittered before a policy of timm's, which otherwise makes timm ignore
            `color_jitter`.
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
    rotation: float = 0.0
    color_jitter_hue: float = 0.0
    color_jitter_prob: float = 1.0
    grayscale_prob: float = 0.0
    gaussian_blur_prob: float = 0.0
    interpolation: Literal["bilinear", "bicubic"] | None = None
    jitter_before_policy: bool = False

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
        if not 0 <= self.rotation <= 180:
            raise ValueError(f"rotation must be an angle between 0 and 180 degrees, not {self.rotation}")
        if not 0 <= self.color_jitter_hue <= 0.5:
            raise ValueError(f"color_jitter_hue must be between 0 and 0.5, not {self.color_jitter_hue}")
        for name in ("color_jitter_prob", "grayscale_prob", "gaussian_blur_prob"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be a probability, between 0 and 1, not {getattr(self, name)}")
        if self.color_jitter_prob != 1 and not (self.color_jitter or self.color_jitter_hue):
            raise ValueError(
                f"color_jitter_prob {self.color_jitter_prob} has no effect without color_jitter and color_jitter_hue; "
                "set one of them, or leave it out"
            )
        if self.interpolation not in (None, "bilinear", "bicubic"):
            raise ValueError(f"interpolation must be bilinear, bicubic or null, not {self.interpolation!r}")
        if self.interpolation and self.min_scale is None and self.auto_augment in (None, CIFAR10_POLICY):
            raise ValueError(
                f"interpolation {self.interpolation} has no effect without min_scale and without a policy of timm's; "
                "leave it out"
            )
        by_policy = self.auto_augment not in (None, CIFAR10_POLICY) and "3a" not in (self.auto_augment or "")
        if self.jitter_before_policy and not (by_policy and (self.color_jitter or self.color_jitter_hue)):
            raise ValueError(
                "jitter_before_policy has an effect only with color_jitter and a policy of timm's (--aa), not with "
                f"color_jitter {self.color_jitter} and auto_augment {self.auto_augment}; leave it out"
            )
        ignored = by_policy and not self.jitter_before_policy
        for name in ("color_jitter", "color_jitter_hue"):
            if ignored and getattr(self, name):
                raise ValueError(
                    f"with auto_augment {self.auto_augment} (--aa) timm ignores {name} {getattr(self, name)}; "
                    f"add {'--color-jitter 0' if name == 'color_jitter' else f'{name} 0'}, or leave --aa out"
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
        of_one_image = (
            self.min_scale,
            self.auto_augment is not None,
            self.color_jitter,
            self.color_jitter_hue,
            self.rotation,
            self.grayscale_prob,
            self.gaussian_blur_prob,
        )
        return not any(of_one_image)
