"""One-stage methods on ImageNet-LT and iNaturalist 2018: the settings of their code, and what is marked as ours."""

from dataclasses import replace

import pytest

from ltzoo.data import Augmentation, InversePowerSampler
from ltzoo.losses import BCL, GLMC, RIDE, SADE, PaCo, ProCo
from ltzoo.recipes import Input, recipe_from_dict, recipe_to_dict
from ltzoo.registry import get_recipe

# Epochs, warm-up, decay (or drops), learning rate, weight decay, Nesterov, batch, grouping, and whether the code
# selects the epoch on the test images, as our rule of a paper does.
SETTINGS = """
imagenetlt ride  | 100 5  | 60:0.1 80:0.01      | 0.1   2e-4 yes | 256 | no
inat18     ride  | 100 5  | 60:0.1 80:0.01      | 0.2   2e-4 yes | 512 | yes
imagenetlt sade  | 180 0  | cosine              | 0.025 5e-4 yes | 64  | no
inat18     sade  | 100 5  | 60:0.1 80:0.01      | 0.2   2e-4 yes | 512 | yes
imagenetlt paco  | 400 10 | cosine_after_warmup | 0.02  5e-4 no  | 128 | yes
inat18     paco  | 400 10 | cosine_after_warmup | 0.02  1e-4 no  | 128 | yes
imagenetlt bcl   | 90 0   | cosine_after_warmup | 0.1   5e-4 no  | 256 | no
inat18     bcl   | 100 0  | cosine_after_warmup | 0.2   1e-4 no  | 256 | yes
imagenetlt proco | 90 0   | cosine_after_warmup | 0.1   5e-4 no  | 256 | yes
inat18     proco | 90 0   | cosine_after_warmup | 0.2   1e-4 no  | 256 | yes
imagenetlt glmc  | 135 10 | cosine_after_warmup | 0.1   2e-4 no  | 120 | yes
inat18     glmc  | 120 10 | cosine_after_warmup | 0.1   1e-4 no  | 128 | yes
"""
LOSSES = {
    ("imagenetlt", "ride"): RIDE(0.5, 30.0, 0.2, 0.02, 80, 0.9999),
    ("inat18", "ride"): RIDE(0.5, 30.0, 0.2, 0.015, 80, 0.9999),
    ("imagenetlt", "sade"): SADE(2.0),
    ("inat18", "sade"): SADE(1.0),
    **dict.fromkeys((("imagenetlt", "paco"), ("inat18", "paco")), PaCo(0.2, 0.05, 0.999, 8192, 2048, 128)),
    **dict.fromkeys((("imagenetlt", "bcl"), ("inat18", "bcl")), BCL(0.07, 30.0, 1.0, 0.35, 2048, 1024)),
    **dict.fromkeys((("imagenetlt", "proco"), ("inat18", "proco")), ProCo(0.07, 30.0, 1.0, 2048, 1024)),
    ("imagenetlt", "glmc"): GLMC(1.0, 10.0, 135, 256),
    ("inat18", "glmc"): GLMC(1.0, 10.0, 120, 256),
}
NETWORKS = {"glmc": "resnext50"}
"""Where it is not ResNet-50."""
CROPPED = Augmentation(0, True, min_scale=0.08)
CLASSIFIED = replace(CROPPED, color_jitter=0.4, auto_augment="rand-n2-m10-mstd0.5", jitter_before_policy=True)
COMPARED = replace(CROPPED, color_jitter=0.4, grayscale_prob=0.2, interpolation="bilinear")
OF_THREE = replace(COMPARED, color_jitter_hue=0.1, color_jitter_prob=0.8)
VIEWS = {
    "paco": (CLASSIFIED, replace(COMPARED, gaussian_blur_prob=0.5)),
    "bcl": (CLASSIFIED, OF_THREE, OF_THREE),
    "proco": (CLASSIFIED, OF_THREE, OF_THREE),
    "glmc": tuple(replace(COMPARED, gaussian_blur_prob=0.5, **mixed) for mixed in ({"mixup": 1.0}, {"cutmix": 1.0})),
}


def name_of(benchmark, method):
    return f"{NETWORKS.get(method, 'resnet50')}_{benchmark}_{method}_sgd"


@pytest.mark.parametrize("line", SETTINGS.strip().splitlines(), ids=lambda line: "_".join(line.split()[:2]))
def test_settings_are_those_of_the_methods_code(line):
    (benchmark, method), epochs, decay, rates, batch, selects = (cell.split() for cell in line.split("|"))
    recipe = get_recipe(name_of(benchmark, method))
    schedule, optimizer = recipe.schedule, recipe.optimizer
    assert [schedule.epochs, schedule.warmup_epochs] == list(map(int, epochs))
    if ":" in decay[0]:
        found = dict(zip(schedule.milestones, schedule.factors, strict=True))
        assert found == {int(epoch): float(factor) for epoch, factor in (drop.split(":") for drop in decay)}
    else:
        assert schedule.decay == decay[0]
    assert (optimizer.lr, optimizer.weight_decay, optimizer.momentum) == (float(rates[0]), float(rates[1]), 0.9)
    assert (optimizer.nesterov, optimizer.kind) == (rates[2] == "yes", "sgd")
    assert (recipe.batch_size, recipe.subset, recipe.groups) == (int(batch[0]), "whole", "count")
    assert (recipe.paper_rule is not None) == (selects == ["yes"])
    assert recipe.loss == LOSSES[benchmark, method]
    plain = replace(CROPPED, color_jitter=0.4) if benchmark == "imagenetlt" else CROPPED
    assert recipe.views == VIEWS.get(method, (plain,))
    colours = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    colours = ((0.466, 0.471, 0.380), (0.195, 0.194, 0.192)) if benchmark == "inat18" else colours
    assert recipe.input == Input(224, *colours, 0.875, "bilinear")
    suffixes = {"ride": "_3experts", "sade": "_3experts", "bcl": "_cosine", "proco": "_cosine", "glmc": "_32x4d"}
    assert recipe.architecture == f"{NETWORKS.get(method, 'resnet50')}{suffixes.get(method, '')}"
    assert recipe.partners == (InversePowerSampler(0.2) if method == "glmc" else None)
    assert recipe_from_dict(recipe_to_dict(recipe)) == recipe


def test_what_no_paper_gives_is_ours():
    found = {key: get_recipe(name_of(*key)).source.ours for key in LOSSES}
    of_method = {"paco": ("sampler",), "proco": ("sampler",), "glmc": ("groups",)}
    expected = {key: of_method.get(key[1], ()) for key in LOSSES} | {("imagenetlt", "sade"): ("architecture",)}
    assert found == expected


def test_the_cosine_begins_after_warm_up_and_ends_after_the_last_epoch():
    """Worked out for PaCo: 10 of 400 epochs of warm-up, then a cosine over 391 parts, whose last is after the end."""
    schedule = get_recipe("resnet50_imagenetlt_paco_sgd").schedule
    # From epoch 10 on (1 + cos(pi * part / 391)) / 2, with part 1, 196 and 390.
    expected = {0: 0.1, 9: 1.0, 10: 0.999983861, 205: 0.497991334, 399: 1.613927e-05}
    assert {epoch: schedule.factor(epoch) for epoch in expected} == pytest.approx(expected, rel=1e-5)
