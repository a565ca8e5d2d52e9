"""Methods with a loss of their own: the settings of their code, what is marked as ours, and a run of each."""

from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from ltzoo.data import Augmentation, InversePowerSampler, get_benchmark
from ltzoo.losses import BCL, GLMC, RIDE, SADE, InfluenceBalanced, PaCo, ProCo
from ltzoo.recipes import PROTOCOLS, Optimizer, Schedule, recipe_from_dict, recipe_to_dict
from ltzoo.registry import create_model, get_recipe
from ltzoo.sharpness import SAM, SSESAM
from ltzoo.train import TrainOptions, train

# Epochs, warm-up, drops, learning rate, weight decay, Nesterov, batch.
SETTINGS = """
paco  | 400 10 | 320:0.1 360:0.01             | 0.05 5e-4 no  | 128
bcl   | 200 5  | 160:0.1 180:0.01             | 0.15 5e-4 no  | 256
proco | 200 5  | 160:0.1 180:0.01             | 0.3  2e-4 no  | 256
ib    | 200 5  | 100:1e-2 160:1e-4 180:1e-6   | 0.1  2e-4 no  | 128
ride  | 200 5  | 160:0.01 180:1e-4            | 0.1  5e-4 yes | 128
sade  | 200 5  | 160:0.1 180:0.01             | 0.1  5e-4 yes | 128
"""
MIXED = (Augmentation(4, True, mixup=1.0), Augmentation(4, True, cutmix=1.0))
CIFAR = [f"cifar{classes}lt{factor}" for classes in (10, 100) for factor in ("", 50, 10)]
LOSSES = {
    "paco": PaCo(0.05, 0.01, 0.999, 1024, 64, 32),
    "bcl": BCL(0.1, 1.0, 2.0, 0.6, 512, 128),
    "proco": ProCo(0.1, 1.0, 1.0, 512, 128),
    "ib": InfluenceBalanced(100, 1000.0, 0.001, 1.0, 0.0),
    "ride": RIDE(0.5, 30.0, 0.45, 0.05, 160, 0.9999),
    "sade": SADE(2.0),
}
CLASSIFIED = Augmentation(4, True, auto_augment="cifar10", cutout=16)
COMPARED = Augmentation(
    0,
    True,
    min_scale=0.08,
    color_jitter=0.4,
    color_jitter_hue=0.1,
    color_jitter_prob=0.8,
    grayscale_prob=0.2,
    interpolation="bilinear",
)
TURNED = Augmentation(4, True, rotation=15)
VIEWS = {
    "paco": (CLASSIFIED, replace(COMPARED, min_scale=0.2, gaussian_blur_prob=0.5)),
    "bcl": (CLASSIFIED, COMPARED, COMPARED),
    "proco": (CLASSIFIED, COMPARED, COMPARED),
    "ib": (Augmentation(4, True),),
    "ride": (TURNED,),
    "sade": (TURNED,),
}


@pytest.mark.parametrize("line", SETTINGS.strip().splitlines(), ids=lambda line: line.split()[0])
def test_settings_are_those_of_the_methods_code(line):
    method, epochs, drops, rates, batch = (cell.split() for cell in line.split("|"))
    for benchmark in CIFAR:
        recipe = get_recipe(f"resnet32_{benchmark}_{method[0]}_sgd")
        schedule, optimizer = recipe.schedule, recipe.optimizer
        assert [schedule.epochs, schedule.warmup_epochs] == list(map(int, epochs))
        found = dict(zip(schedule.milestones, schedule.factors, strict=True))
        assert found == {int(epoch): float(factor) for epoch, factor in (drop.split(":") for drop in drops)}
        half = 0.5 if method[0] == "sade" and benchmark.startswith("cifar10lt") else 1
        assert (optimizer.lr, optimizer.weight_decay) == (half * float(rates[0]), float(rates[1]))
        assert (optimizer.nesterov, optimizer.momentum, optimizer.kind) == (rates[2] == "yes", 0.9, "sgd")
        assert recipe.batch_size == int(batch[0])
        assert (recipe.subset, recipe.groups, recipe.loss) == ("cao", "count", LOSSES[method[0]])
        assert recipe.views == VIEWS[method[0]]
        assert (recipe.paper_rule.interval, recipe.paper_rule.flip) == (1, False)
        experts = method[0] in ("ride", "sade")
        assert recipe.architecture == ("resnet32_3experts_cifar" if experts else "resnet32_cifar")


def test_settings_of_glmc_are_those_of_its_code():
    settings = {  # r, k and g of the code
        "cifar10lt": (0.0, 1.2, 1.0),
        "cifar10lt50": (0.0, 1.2, 1.0),
        "cifar10lt10": (0.2, 1.0, 2.0),
        "cifar100lt": (0.0, 1.2, 4.0),
        "cifar100lt50": (0.2, 1.2, 6.0),
        "cifar100lt10": (0.2, 1.2, 4.0),
    }
    for benchmark, (resampling, power, consistency) in settings.items():
        recipe = get_recipe(f"resnet32wide_{benchmark}_glmc_sgd")
        assert recipe.loss == GLMC(power, consistency, epochs=200, projection_size=128)
        assert recipe.schedule == Schedule(200, 0, (), (), "cosine")
        assert recipe.optimizer == Optimizer(0.01, 0.9, 5e-3, False)
        assert (recipe.batch_size, recipe.subset, recipe.groups) == (64, "cao", "count")
        assert (recipe.views, recipe.partners) == (MIXED, InversePowerSampler(resampling))
        assert (recipe.architecture, recipe.source.ours) == ("resnet32_wide_cifar", ("subset", "groups"))
        for word in ("sam", "ssesam"):
            perturbed = get_recipe(f"resnet32wide_{benchmark}_glmc_{word}")
            assert perturbed.perturbation == get_recipe(f"resnet34_{benchmark}_ce_{word}").perturbation
            assert perturbed.source.ours == ("subset", "groups", "perturbation", "trainable.batchnorm")
    assert get_recipe("resnet20_digitslt_glmc_sgd").loss.epochs == 40
    assert get_recipe("resnet20_digitslt_glmc_sgd").with_epochs(10).loss.epochs == 10


def test_other_partners_contradict_the_protocol():
    recipe = get_recipe("resnet32wide_cifar100lt_glmc_sgd")
    other = replace(recipe, partners=InversePowerSampler(0.2))
    assert PROTOCOLS[recipe.protocol].contradictions(other) == ["partners"]


def test_what_no_paper_gives_is_ours():
    for method in LOSSES:
        for perturbation in ("sam", "ssesam"):
            ours = get_recipe(f"resnet32_cifar100lt_{method}_{perturbation}").source.ours
            assert {"perturbation", "trainable.batchnorm"} <= set(ours)
        assert "perturbation" not in get_recipe(f"resnet32_cifar100lt_{method}_sgd").source.ours
    assert "views" in get_recipe("resnet32_cifar10lt_paco_sgd").source.ours
    assert "views" not in get_recipe("resnet32_cifar100lt_paco_sgd").source.ours
    assert {"loss", "views", "schedule"} <= set(get_recipe("resnet32_cifar100lt_bcl_sgd").source.ours)
    assert get_recipe("resnet32_cifar10lt_sade_sgd").source.ours == ("architecture",)
    # RIDE's code has no configuration for CIFAR-10, so nothing but the method itself is the paper's there.
    settings = {"architecture", "head", "optimizer", "schedule", "batch_size", "views", "loss"}
    assert set(get_recipe("resnet32_cifar10lt_ride_sgd").source.ours) == settings
    assert set(get_recipe("resnet32_cifar10lt_ride_sam").source.ours) > settings | {"perturbation"}
    assert get_recipe("resnet32_cifar100lt_ride_sgd").source.ours == ()
    assert set(get_recipe("resnet32_cifar100lt50_ride_sgd").source.ours) == settings


@pytest.mark.parametrize("method", LOSSES)
def test_radii_are_those_of_the_most_similar_loss(method):
    # SAM's radius with CE, which IB is most like, and with LDAM + DRW, balanced softmax and LA.
    radii = {"cifar10": (0.1, 0.8), "cifar100": (0.2, 0.8)}
    eta = {"cifar10lt": 200, "cifar10lt50": 200, "cifar10lt10": 1000}
    for benchmark in CIFAR:
        rho = radii[get_benchmark(benchmark).data_set.name][0 if method == "ib" else 1]
        found = {word: get_recipe(f"resnet32_{benchmark}_{method}_{word}").perturbation for word in ("sam", "ssesam")}
        assert found["sam"] == SAM(rho=rho)
        tail = eta.get(benchmark, 100)
        assert found["ssesam"] == SSESAM(rho_head=rho / 4, rho_tail=rho / 4, gamma=0.7, eta=tail)


def test_other_views_contradict_the_protocol():
    recipe = get_recipe("resnet32_cifar100lt_proco_sam")
    assert PROTOCOLS[recipe.protocol].contradictions(recipe) == []
    other = replace(recipe, views=(*recipe.views[:2], CLASSIFIED))
    assert PROTOCOLS[recipe.protocol].contradictions(other) == ["views"]


@pytest.mark.parametrize("method", [*LOSSES, "glmc"])
def test_it_is_read_back_and_trained_on_the_digits(method, tmp_path):
    recipe = get_recipe(f"resnet20_digitslt_{method}_ssesam")
    assert recipe_from_dict(recipe_to_dict(recipe)) == recipe
    short = replace(recipe.with_epochs(2), batch_size=128)
    folder = train(short, TrainOptions(Path("data"), tmp_path, workers=0))
    assert all(0 < row["train_loss"] < 100 for row in folder.read_history(2))
    state = load_file(folder.last_state)
    own = {key.split(".")[1] for key in state if key.startswith("loss.")}
    expected = {
        "glmc": {"classifier", "projection", "predictor"},
        "paco": {"head", "queue", "key_model"},
        "bcl": {"head"},
        "proco": {"head", "means"},
    }
    assert expected.get(method, set()) <= own
    model = create_model(f"local-dir:{folder.checkpoint}", pretrained=True)
    assert model.state_dict().keys() == create_model(recipe.name).state_dict().keys()
