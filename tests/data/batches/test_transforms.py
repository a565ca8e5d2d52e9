"""Training transforms: every policy of timm gives an image whatever is drawn, and what timm itself gives."""

import pickle
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from timm.data import create_transform
from timm.data.auto_augment import AugmentOp
from timm.data.transforms import RandomResizedCropAndInterpolation
from torchvision import transforms

from ltzoo.data import DATASETS, NATURAL_BENCHMARKS, Augmentation, ModelInput
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
SIMILARITY = Augmentation(
    0, True, min_scale=0.2, color_jitter=0.4, color_jitter_hue=0.1, color_jitter_prob=0.8, grayscale_prob=0.2
)
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


def test_color_jitter_comes_before_a_policy_where_it_is_asked_for():
    jittered = Augmentation(0, False, color_jitter=0.4, auto_augment="rand-n2-m10-mstd0.5", jitter_before_policy=True)
    steps = train_transform(DATA_SET, jittered).transforms
    apart = train_transform(DATA_SET, replace(jittered, color_jitter=0.0, jitter_before_policy=False)).transforms
    kinds = [type(step).__name__ for step in steps]
    place = kinds.index("RandomApply")
    assert kinds[:place] + kinds[place + 1 :] == [type(step).__name__ for step in apart]
    assert kinds[place + 1] == "RandAugment"
    (jitter,) = steps[place].transforms
    assert (steps[place].p, jitter.brightness, jitter.saturation, jitter.hue) == (1, (0.6, 1.4), (0.6, 1.4), None)
    both = replace(jittered, color_jitter_hue=0.1, color_jitter_prob=0.8)
    assert train_transform(DATA_SET, both).transforms[place].p == 0.8


@pytest.mark.parametrize("fields", [{"auto_augment": "rand-m9"}, {"color_jitter": 0.4}, {"auto_augment": "cifar10"}])
def test_color_jitter_does_not_come_before_a_policy_that_is_not_there(fields):
    with pytest.raises(ValueError, match=r"^jitter_before_policy has an effect only"):
        Augmentation(0, False, jitter_before_policy=True, **fields)


def test_a_recipe_that_jitters_takes_a_policy_in_its_place():
    recipe = get_recipe("resnet50_imagenetlt_ce_sgd")
    assert recipe.augmentation.color_jitter
    settings = {"views.0.auto_augment": "rand-m9-mstd0.5"}
    with pytest.raises(InputError, match=r"add --color-jitter 0, or leave --aa out"):
        override(recipe, settings)
    assert override(recipe, settings | {"views.0.color_jitter": 0}).augmentation.auto_augment == "rand-m9-mstd0.5"


def cifar_image():
    return Image.fromarray(np.random.default_rng(1).integers(1, 256, (32, 32, 3), dtype=np.uint8))


def both(augmentation, steps, count=60):
    """The transform of a CIFAR image, and these steps one after the other, from the same draws."""
    transform, image = train_transform(DATASETS["cifar10"], augmentation), cifar_image()
    for number in range(count):
        seed(number)
        found = torch.as_tensor(transform(image))
        seed(number)
        expected = image
        for step in steps:
            expected = step(expected)
        yield found, torch.as_tensor(np.array(expected)).permute(2, 0, 1)


def test_autoaugment_for_cifar_follows_crop_flip_and_rotation():
    steps = [
        transforms.RandomCrop(32, 4),
        RandomResizedCropAndInterpolation(32, (1.0, 1.0), (1.0, 1.0)),  # timm's draws, for no change
        transforms.RandomHorizontalFlip(),
        transforms.RandomRotation(15),
        transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10, fill=(128, 128, 128)),
    ]
    changed = 0
    for found, expected in both(Augmentation(4, True, rotation=15, auto_augment="cifar10"), steps):
        assert torch.equal(found, expected)
        changed += not torch.equal(found, torch.as_tensor(np.array(cifar_image())).permute(2, 0, 1))
    assert changed == 60


def test_the_similarity_view_is_crop_flip_jitter_grey_and_blur():
    steps = [
        RandomResizedCropAndInterpolation(32, (0.2, 1.0), interpolation="bilinear"),
        transforms.RandomHorizontalFlip(),
        transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
        transforms.RandomGrayscale(0.2),
        transforms.RandomApply([transforms.GaussianBlur(23, (0.1, 2.0))], 0.5),
    ]
    view = replace(SIMILARITY, gaussian_blur_prob=0.5, interpolation="bilinear")
    for found, expected in both(view, steps):
        assert torch.equal(found, expected)


def test_shares_of_grey_and_jittered_images():
    view = replace(SIMILARITY, min_scale=1.0, horizontal_flip=False)
    transform, image = train_transform(DATASETS["cifar10"], view), Image.new("RGB", (32, 32), (200, 120, 40))
    grey = same = 0
    for number in range(400):
        seed(number)
        red, green, blue = torch.as_tensor(transform(image))[:, 0, 0].tolist()
        grey += red == green == blue
        same += (red, green, blue) == (200, 120, 40)
    assert grey / 400 == pytest.approx(0.2, abs=0.06)
    assert same / 400 == pytest.approx(0.2 * 0.8, abs=0.06)


def test_cutout_comes_last_so_that_its_square_is_black():
    view = Augmentation(0, False, auto_augment="cifar10", cutout=16)
    for number in range(40):
        seed(number)
        found = torch.as_tensor(train_transform(DATASETS["cifar10"], view)(Image.new("RGB", (32, 32), (99, 120, 40))))
        assert int((found == 0).all(dim=0).sum()) >= 64


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rotation": 181.0}, "rotation must be an angle between 0 and 180 degrees, not 181.0"),
        ({"rotation": -1.0}, "rotation must be an angle"),
        ({"color_jitter_hue": 0.6}, "color_jitter_hue must be between 0 and 0.5, not 0.6"),
        ({"color_jitter_prob": 1.5, "color_jitter": 0.4}, "color_jitter_prob must be a probability"),
        ({"color_jitter_prob": 0.5}, "has no effect without color_jitter and color_jitter_hue; set one of them"),
        ({"grayscale_prob": -0.1}, "grayscale_prob must be a probability, between 0 and 1, not -0.1"),
        ({"interpolation": "nearest", "min_scale": 0.5}, "interpolation must be bilinear, bicubic or null, not 'nea"),
        ({"interpolation": "bicubic"}, "interpolation bicubic has no effect without min_scale and without a policy of"),
        ({"gaussian_blur_prob": 2.0}, "gaussian_blur_prob must be a probability"),
        ({"color_jitter_hue": 0.1, "auto_augment": "rand-m9"}, "timm ignores color_jitter_hue 0.1; add color_jitter_h"),
    ],
)
def test_what_cannot_be_drawn_is_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        Augmentation(0, False, **fields)


def test_images_smaller_than_the_blur_are_refused():
    with pytest.raises(InputError, match="gaussian_blur_prob needs images of more than 11 pixels a side, not 8"):
        train_transform(DATA_SET, Augmentation(0, False, gaussian_blur_prob=0.5))
    digits = DATASETS["digits"]
    blurred = train_transform(digits, Augmentation(0, False, gaussian_blur_prob=1.0))
    assert torch.as_tensor(blurred(Image.new("L", (16, 16), 7))).shape == (1, 16, 16)


@pytest.mark.parametrize(
    "view",
    [Augmentation(2, True, rotation=15, auto_augment="cifar10"), SIMILARITY, replace(SIMILARITY, min_scale=None)],
)
def test_grey_images_take_every_view(view):
    transform = train_transform(DATASETS["digits"], view)
    for number in range(60):
        seed(number)
        image = Image.fromarray(np.random.default_rng(number).integers(0, 256, (16, 16), dtype=np.uint8))
        assert torch.as_tensor(transform(image)).shape == (1, 16, 16)
