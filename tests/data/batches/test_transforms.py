"""Training transforms: every policy of timm gives an image whatever is drawn, and what timm itself gives."""

import pickle
import random

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from timm.data import create_transform
from timm.data.auto_augment import AugmentOp

from ltzoo.data import NATURAL_BENCHMARKS, Augmentation, ModelInput
from ltzoo.data.batches import train_transform
from ltzoo.errors import InputError
from ltzoo.recipes import override
from ltzoo.registry import get_recipe

SIDE = 8
DATA_SET = (
    NATURAL_BENCHMARKS["imagefolder"]
    .with_counts((2, 1), ("a", "b"), ModelInput(SIDE, (0.5,) * 3, (0.5,) * 3, 1.0, "bilinear"))
    .data_set
)
IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
POLICIES = (
    "rand-m9-mstd0.5-inc1",
    "rand-m2",
    "rand-m10-inc1",
    "rand-m30-mmax40-inc1",
    "v0",
    "v0r",
    "original",
    "augmix-m5-w4",
)


def seed(number):
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002
    torch.manual_seed(number)


def drawn(policy):
    return train_transform(DATA_SET, Augmentation(0, False, auto_augment=policy))


@pytest.fixture
def bits(monkeypatch):
    """How many bits were kept, each time."""
    found = []
    posterize = ImageOps.posterize

    def kept(image, number):
        found.append(number)
        return posterize(image, number)

    monkeypatch.setattr(ImageOps, "posterize", kept)
    return found


@pytest.mark.parametrize("policy", POLICIES)
def test_every_draw_gives_an_image_and_the_one_that_timm_gives_where_it_gives_one(policy, bits):
    """timm's posterize to no bits at all is an error of Pillow; ours keeps one bit."""
    ours = drawn(policy)
    theirs = create_transform(
        (3, SIDE, SIDE),
        is_training=True,
        scale=(1.0, 1.0),
        ratio=(1.0, 1.0),
        hflip=0.0,
        color_jitter=0.0,
        auto_augment=policy,
        interpolation="bilinear",
        mean=DATA_SET.mean,
        use_prefetcher=True,
    )
    compared, kept = 0, []
    for number in range(80):
        seed(number)
        del bits[:]
        found = torch.as_tensor(ours(IMAGE))
        kept += bits
        assert found.shape == (3, SIDE, SIDE)
        seed(number)
        try:
            expected = theirs(IMAGE)
        except ValueError:
            assert bits[-1] < 1
            continue
        assert torch.equal(found, torch.as_tensor(expected))
        compared += 1
    assert compared > 25
    assert kept and min(kept) >= 1


def test_a_transform_can_be_sent_to_a_worker_and_leaves_timm_as_it_is():
    transform = drawn("rand-m10-inc1")
    copy = pickle.loads(pickle.dumps(transform))
    for number in range(20):
        seed(number)
        expected = torch.as_tensor(transform(IMAGE))
        seed(number)
        assert torch.equal(torch.as_tensor(copy(IMAGE)), expected)
    with pytest.raises(ValueError, match="bits"):
        AugmentOp("PosterizeIncreasing", prob=1.0, magnitude=10)(IMAGE)


def test_color_jitter_is_never_ignored_silently():
    """timm leaves it out beside all policies but `3a`."""
    with pytest.raises(ValueError, match=r"^with auto_augment v0 \(--aa\) timm ignores color_jitter 0.4; add --color-"):
        Augmentation(0, False, color_jitter=0.4, auto_augment="v0")
    assert "ColorJitter" not in str(drawn("v0"))
    jittered = train_transform(DATA_SET, Augmentation(0, False, color_jitter=0.4, auto_augment="3a"))
    assert "ColorJitter" in str(jittered)


def test_a_recipe_that_jitters_takes_a_policy_in_its_place():
    recipe = get_recipe("resnet50_imagenetlt_ce_sgd")
    assert recipe.augmentation.color_jitter
    settings = {"views.0.auto_augment": "rand-m9-mstd0.5"}
    with pytest.raises(InputError, match=r"add --color-jitter 0, or leave --aa out"):
        override(recipe, settings)
    assert override(recipe, settings | {"views.0.color_jitter": 0}).augmentation.auto_augment == "rand-m9-mstd0.5"
