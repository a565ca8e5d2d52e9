"""Views of an image, and the input of ImageNet's networks, that the protocols of several papers share."""

from dataclasses import replace

from ltzoo.data import Augmentation
from ltzoo.recipes.parts import Input

AUTO_AUGMENTED = Augmentation(crop_padding=4, horizontal_flip=True, auto_augment="cifar10", cutout=16)
"""CIFAR under AutoAugment and Cutout: the classifier's view in Cui 2021 and the protocols that follow it."""

CROPPED = Augmentation(crop_padding=0, horizontal_flip=True, min_scale=0.08)
"""A crop of random size and a flip, torchvision's default."""

RAND_AUGMENTED = replace(CROPPED, color_jitter=0.4, auto_augment="rand-n2-m10-mstd0.5", jitter_before_policy=True)
"""The view that the classifier of a contrastive method is trained on. In its code the policy resamples by bilinear or
bicubic interpolation at random, here by the bilinear one of the crop."""

IMAGENET_INPUT = Input(
    size=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), crop_pct=0.875, interpolation="bilinear"
)
"""ImageNet's own mean and standard deviation."""
