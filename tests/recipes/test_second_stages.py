"""Second stages: what a recipe takes from its first stage, and what it has of its own."""

from dataclasses import replace

import pytest

from ltzoo.data import Augmentation, ClassAwareSampler, InstanceSampler
from ltzoo.errors import InputError
from ltzoo.losses import CE, DROLT, BalancedSoftmax, InversePower, LabelAwareSmoothing, NoReweighting
from ltzoo.recipes import (
    PROTOCOLS,
    DisAlignHead,
    FirstStage,
    LinearHead,
    NearestMeanHead,
    Optimizer,
    ScaledHead,
    Schedule,
    TauNormHead,
    Trainable,
    compose_second_stage,
    get_recipe,
    list_recipes,
    override,
    recipe_from_dict,
    recipe_to_dict,
    register_recipe,
)
from ltzoo.recipes.protocols import DIGITS
from ltzoo.recipes.protocols.second_stage import FIELDS
from ltzoo.sharpness import SAM, NoPerturbation


@pytest.mark.parametrize("perturbation", ["sgd", "sam", "imbsam", "ssesam"])
def test_crt_retrains_the_classifier_of_the_first_stage_that_its_name_says(perturbation):
    recipe, first = (get_recipe(f"resnet20_digitslt_{method}_{perturbation}") for method in ("crt", "ce"))
    own = {"name", "start", "trainable", "sampler", "perturbation", "schedule", "source"}
    assert replace(recipe, **{field: getattr(first, field) for field in own}) == first
    assert recipe.start == FirstStage(first.name, "fresh")
    assert recipe.trainable == Trainable("head", "clean")
    assert recipe.sampler == ClassAwareSampler(per_class=4, epoch="whole_batches")
    assert (recipe.loss, recipe.perturbation) == (CE(), NoPerturbation())
    assert recipe.schedule == Schedule(10, 0, (), (), "cosine")
    assert "kang2020" in recipe.source.cites


CLASS_AWARE = ClassAwareSampler(per_class=4, epoch="whole_batches")
STAGES = {
    # What each method's code does: baselines of Kang 2020 and Zhang 2021, and ours (bsrt).
    "crt": ("fresh", "clean", LinearHead(), CLASS_AWARE, CE(), NoReweighting(), 10),
    "lws": ("kept", "clean", ScaledHead(lr_factor=0), CLASS_AWARE, CE(), NoReweighting(), 5),
    "taunorm": ("kept", "frozen", TauNormHead(tau=1.0), InstanceSampler(), CE(), NoReweighting(), 0),
    "ncm": ("fresh", "frozen", NearestMeanHead(), InstanceSampler(), CE(), NoReweighting(), 0),
    "disalign": ("kept", "clean", DisAlignHead(), InstanceSampler(), CE(), InversePower(1.2), 10),
    "bsrt": ("fresh", "clean", LinearHead(), InstanceSampler(), BalancedSoftmax(), NoReweighting(), 10),
}


@pytest.mark.parametrize("method", STAGES)
@pytest.mark.parametrize("network", ["resnet20_digitslt", "resnet32_cifar10lt", "resnet32_cifar100lt"])
def test_second_stages_are_what_their_authors_code_does(network, method):
    kept, batchnorm, head, sampler, loss, reweighting, epochs = STAGES[method]
    for perturbation in ("sgd", "sam", "imbsam", "ssesam"):
        recipe, first = (get_recipe(f"{network}_{word}_{perturbation}") for word in (method, "ce"))
        assert recipe.start == FirstStage(first.name, kept)
        assert recipe.trainable == Trainable("head", batchnorm)
        assert (recipe.head, recipe.sampler, recipe.loss, recipe.reweighting) == (head, sampler, loss, reweighting)
        assert recipe.perturbation == NoPerturbation()
        assert recipe.schedule == Schedule(epochs, 0, (), (), "cosine" if epochs else "steps")
        for field in ("optimizer", "batch_size", "views", "groups", "subset", "paper_rule"):
            assert getattr(recipe, field) == getattr(first, field), field
        # No paper has them on CIFAR with this first stage.
        assert recipe.source.ours == (() if network == "resnet20_digitslt" else FIELDS)
        assert not recipe.published
        assert PROTOCOLS[recipe.protocol].contradictions(recipe) == []


AUTO_AUGMENTED = Augmentation(4, True, auto_augment="cifar10", cutout=16)


@pytest.mark.parametrize(
    ("network", "draws", "epochs", "view"),
    [
        ("resnet32_cifar10lt", 50_000, (80, 20), AUTO_AUGMENTED),
        ("resnet32_cifar100lt", 50_000, (80, 20), AUTO_AUGMENTED),
        ("resnet20_digitslt", 1300, (16, 4), Augmentation(2, False)),
    ],
)
def test_the_two_stages_of_dro_lt_after_ce(network, draws, epochs, view):
    ce, backbone, head = (get_recipe(f"{network}_{word}_sgd") for word in ("ce", "drolt_backbone", "drolt"))
    assert (backbone.start, head.start) == (FirstStage(ce.name, "kept"), FirstStage(backbone.name, "kept"))
    assert (backbone.trainable, head.trainable) == (Trainable("backbone", "clean"), Trainable("head", "frozen"))
    assert (backbone.loss, head.loss) == (DROLT(1.0, 1.0), CE())
    assert (backbone.optimizer, head.optimizer) == tuple(Optimizer(lr, 0.9, 1e-4, False) for lr in (0.005, 0.01))
    counts = ce.data.class_counts
    assert max(counts) * len(counts) == draws
    for recipe, length in zip((backbone, head), epochs, strict=True):
        assert recipe.schedule == Schedule(length, 0, (), ())
        assert {recipe.schedule.factor(epoch) for epoch in range(length)} == {1.0}
        assert recipe.sampler == ClassAwareSampler(per_class=4, draws=draws)
        assert recipe.sampler.length(sum(counts), recipe.batch_size) == draws
        assert recipe.views == (view,)
        assert (recipe.head, recipe.perturbation, recipe.batch_size) == (LinearHead(), NoPerturbation(), ce.batch_size)
        assert "samuel2021" in recipe.source.cites
        assert recipe_from_dict(recipe_to_dict(recipe)) == recipe
        assert PROTOCOLS[recipe.protocol].contradictions(recipe) == []
    on_cifar = ((("start", "loss"), ("start",))) if "cifar" in network else ((), ())
    assert (backbone.source.ours, head.source.ours) == on_cifar
    plain = replace(head, views=ce.views, start=FirstStage(ce.name, "kept"))
    wrong = ["views", "start"] if "cifar" in network else ["start"]
    assert PROTOCOLS[head.protocol].contradictions(plain) == wrong


MISLAS = {
    # What the code of Zhong 2021 has: smoothing of the largest and smallest class, factor, shifted BatchNorm, mixup.
    "resnet32_cifar10lt": (0.3, 0.0, 0.5, False, 1.0),
    "resnet32_cifar100lt": (0.4, 0.1, 0.2, True, 1.0),
    "resnet50_imagenetlt": (0.3, 0.0, 0.05, True, 0.2),
    "resnet50_inat18": (0.3, 0.0, 0.05, True, 0.2),
    "resnet50_imagefolder": (0.3, 0.0, 0.05, True, 0.2),
    "resnet20_digitslt": (0.1, 0.0, 0.2, False, 1.0),
    "resnet9_cifar10lt": (0.3, 0.0, 0.5, False, 1.0),
    "resnet9_cifar100lt": (0.4, 0.1, 0.2, True, 1.0),
}


@pytest.mark.parametrize("network", MISLAS)
def test_both_stages_of_mislas(network):
    most, least, factor, shifted, mixup = MISLAS[network]
    for perturbation in ("sgd",) if network == "resnet50_inat18" else ("sgd", "sam", "ssesam"):
        recipe, first = (get_recipe(f"{network}_{word}_{perturbation}") for word in ("mislas", "ce_mixup"))
        assert recipe.start == FirstStage(first.name, "kept")
        assert recipe.trainable == Trainable("head", "clean" if shifted else "frozen")
        assert recipe.head == ScaledHead(factor)
        assert recipe.loss == LabelAwareSmoothing(most, least)
        assert recipe.sampler == ClassAwareSampler(per_class=4, epoch="one_more_batch")
        assert recipe.schedule == Schedule(10, 0, (), (), "cosine")
        sgd = Optimizer(0.1, 0.9, 5e-4, nesterov=False) if "resnet9" in network else first.optimizer
        assert (recipe.optimizer, recipe.batch_size) == (sgd, first.batch_size)
        assert recipe.views == (replace(first.augmentation, mixup=0.0),)
        assert (first.loss, first.augmentation.mixup, recipe.perturbation) == (CE(), mixup, NoPerturbation())
        assert first.perturbation.name == perturbation
        for each in (recipe, first):
            assert PROTOCOLS[each.protocol].contradictions(each) == []
    assert not get_recipe(f"{network}_mislas_sgd").source.ours


@pytest.mark.parametrize(
    ("name", "optimizer", "epochs", "batch"),
    [
        ("resnet32_cifar10lt", (0.1, 2e-4), 200, 128),
        ("resnet32_cifar100lt", (0.1, 2e-4), 200, 128),
        ("resnet50_imagenetlt", (0.1, 5e-4), 180, 256),
        ("resnet50_inat18", (0.1, 1e-4), 200, 256),
    ],
)
def test_the_first_stage_of_mislas(name, optimizer, epochs, batch):
    recipe = get_recipe(f"{name}_ce_mixup_sgd")
    lr, decay = optimizer
    assert recipe.optimizer == Optimizer(lr, 0.9, decay, nesterov=False)
    assert (recipe.schedule.epochs, recipe.batch_size) == (epochs, batch)
    rates = [recipe.schedule.factor(epoch) for epoch in (0, 4, 5, 159, 160, 179, 180, epochs - 1)]
    if batch == 128:
        assert rates == [0.2, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]
    else:
        assert recipe.schedule.decay == "cosine" and rates[0] == 1
    assert recipe.groups == "mislas"


@pytest.mark.parametrize("method", STAGES)
@pytest.mark.parametrize("network", ["resnet50_imagenetlt", "resnet50_inat18", "resnet50_imagefolder"])
def test_second_stages_of_large_networks(network, method):
    kept, batchnorm, head, sampler, loss, reweighting, epochs = STAGES[method]
    for perturbation in ("sgd",) if network == "resnet50_inat18" else ("sgd", "sam", "imbsam", "ssesam"):
        recipe = get_recipe(f"{network}_{method}_{perturbation}")
        assert recipe.start == FirstStage(f"{network}_ce_{perturbation}", kept)
        assert recipe.trainable == Trainable("head", batchnorm)
        assert (recipe.head, recipe.sampler, recipe.loss, recipe.reweighting) == (head, sampler, loss, reweighting)
        # Kang 2020 trains cRT three times as long on iNaturalist 2018.
        assert recipe.schedule.epochs == (30 if (network, method) == ("resnet50_inat18", "crt") else epochs)
        # Stock timm loads what folds into a linear classifier.
        assert recipe.architecture == ("resnet50" if head.module == "linear" else f"resnet50_{head.module}")
        assert PROTOCOLS[recipe.protocol].contradictions(recipe) == []


# What is not as in the method's code: Kang 2020 has batches of 512, and no colour jitter on iNaturalist 2018.
OURS = {
    "crt": {"optimizer", "batch_size"},
    "lws": {"optimizer", "batch_size"},
    "taunorm": {"head.tau"},
    "ncm": set(),
    "disalign": {"optimizer", "reweighting.rho"},
    "bsrt": set(FIELDS),
}


@pytest.mark.parametrize("method", STAGES)
@pytest.mark.parametrize("network", ["resnet50_imagenetlt", "resnet50_inat18"])
def test_what_differs_from_a_methods_code_is_marked_as_ours(network, method):
    jitter = {"views"} if network == "resnet50_inat18" and method in ("crt", "lws") else set()
    recipe = get_recipe(f"{network}_{method}_sgd")
    assert set(recipe.source.ours) == OURS[method] | jitter
    assert (recipe.batch_size, recipe.augmentation.color_jitter) == (256, 0.4)


@pytest.mark.parametrize(
    ("name", "groups", "selects"),
    [
        ("resnet50_imagenetlt_crt_sam", "count", False),
        ("resnet50_imagenetlt_lws_sgd", "count", False),
        ("resnet50_inat18_crt_sgd", "count", True),
        ("resnet50_inat18_lws_sgd", "count", True),
        ("resnet50_imagenetlt_disalign_sgd", "count", False),
        ("resnet50_inat18_disalign_sgd", "count", False),
        ("resnet50_imagenetlt_bsrt_sgd", "mislas", True),
        ("resnet32_cifar100lt_crt_sgd", "mislas", True),
    ],
)
def test_groups_and_epoch_are_the_methods_own(name, groups, selects):
    """Kang 2020 and Zhang 2021 group by count; see the protocol on which epoch they report."""
    recipe = get_recipe(name)
    assert (recipe.groups, recipe.paper_rule is not None) == (groups, selects)


def test_every_first_stage_is_a_recipe_of_the_same_network_and_images():
    for recipe in map(get_recipe, list_recipes()):
        if isinstance(recipe.start, FirstStage):
            first = get_recipe(recipe.start.recipe)
            for field in ("benchmark", "subset"):
                assert getattr(recipe, field) == getattr(first, field)
            assert recipe.architecture in (first.architecture, f"{first.architecture}_{recipe.head.module}")


def test_a_method_that_the_protocol_lacks_is_refused():
    with pytest.raises(ValueError, match="the protocol digits has no paco; it has crt, lws"):
        compose_second_stage("resnet20", "digitslt", "paco", "sgd", DIGITS)


@pytest.mark.parametrize("method", ["taunorm", "ncm"])
def test_a_computed_head_has_no_epochs(method):
    recipe = get_recipe(f"resnet20_digitslt_{method}_sgd")
    with pytest.raises(InputError, match="has no epochs to scale"):
        recipe.with_epochs(3)
    with pytest.raises(ValueError, match="it must be 0, since it is computed, not 2"):
        replace(recipe, schedule=Schedule(2, 0, (), ()))
    with pytest.raises(ValueError, match="is computed, so the rest must be frozen"):
        replace(recipe, trainable=Trainable("all", "clean"))
    with pytest.raises(ValueError, match="it must be at least 1, not 0"):
        replace(get_recipe("resnet20_digitslt_ce_sgd"), schedule=recipe.schedule)


@pytest.mark.parametrize(("kind", "field"), [(TauNormHead, "tau"), (ScaledHead, "lr_factor")])
def test_impossible_heads_are_refused(kind, field):
    for value in (-0.1, float("inf")):
        with pytest.raises(ValueError, match=f"{field} must be finite and not below 0, not {value}"):
            kind(value)


@pytest.mark.parametrize("method", STAGES)
def test_a_second_stage_is_read_back_from_its_document(method):
    recipe = get_recipe(f"resnet32_cifar100lt_{method}_sgd")
    assert recipe_from_dict(recipe_to_dict(recipe)) == recipe
    assert override(recipe, {"batch_size": 64}).batch_size == 64


def test_tau_is_a_setting_of_the_recipe():
    assert override(get_recipe("resnet20_digitslt_taunorm_sgd"), {"head.tau": 0.5}).head == TauNormHead(0.5)


def test_a_second_stage_that_contradicts_its_protocol_is_refused():
    crt = replace(get_recipe("resnet20_digitslt_crt_sgd"), name="resnet20_digitslt_crt_mine")
    for field, value in {
        "sampler": ClassAwareSampler(per_class=1),
        "start": FirstStage("resnet20_digitslt_ce_mine", "kept"),
        "perturbation": SAM(rho=0.05),
    }.items():
        with pytest.raises(ValueError, match=f"contradicts its protocol digits in .*{field}"):
            register_recipe(replace(crt, **{field: value}))


def test_a_first_stage_must_be_registered_with_the_same_images():
    own = replace(get_recipe("resnet20_digitslt_crt_sgd"), name="resnet20_digitslt_mine_sgd", protocol="mine")
    with pytest.raises(ValueError, match="begins with 'resnet20_digitslt_mine_sgd', which is not registered"):
        register_recipe(replace(own, start=FirstStage(own.name, "fresh")))
    with pytest.raises(ValueError, match="differ in subset"):
        register_recipe(replace(own, subset="first"))


@pytest.mark.parametrize("method", ["ncm", "taunorm"])
def test_a_computed_head_has_no_moving_average(method):
    with pytest.raises((ValueError, InputError), match="ema_decay must be null with the head"):
        override(get_recipe(f"resnet20_digitslt_{method}_sgd"), {"ema_decay": 0.9})


def test_a_computed_head_has_no_perturbation():
    with pytest.raises(InputError, match="perturbation must be sgd with the head tau_norm, which is computed"):
        override(get_recipe("resnet20_digitslt_taunorm_sgd"), {"perturbation": {"name": "sam", "rho": 0.1}})
