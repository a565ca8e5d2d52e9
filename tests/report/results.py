"""Results made by hand: of registered recipes, with accuracies of one's choice."""

from ltzoo.data import all_groups
from ltzoo.evaluate import Figures, group_accuracy
from ltzoo.registry import get_recipe
from ltzoo.report import Claim, Result


def figures(benchmark, accuracy, groups, rule="last epoch"):
    """Figures of a model that is as accurate on class j as `accuracy` says, a number or one a class."""
    classes = len(benchmark.class_counts)
    per_class = tuple(accuracy) if isinstance(accuracy, list | tuple) else (float(accuracy),) * classes
    return Figures(
        overall=sum(per_class) / classes,
        top5=100.0,
        groups={made.rule: group_accuracy(per_class, made) for made in all_groups(benchmark, first=groups)},
        per_class=per_class,
        class_counts=benchmark.class_counts,
        images=1000,
        rule=rule,
        ece=1.0,
    )


def result(name="resnet20_digitslt_ce_sgd", seed=0, accuracy=50.0, weights=None, best=None, paper=None, curve=True):
    recipe = get_recipe(name)
    found = {"last": figures(recipe.data, accuracy, recipe.groups)}
    found |= {"best": figures(recipe.data, best, recipe.groups)} if best is not None else {}
    found |= {"paper": figures(recipe.data, paper, recipe.groups)} if paper is not None else {}
    epochs = {rule: {"last": recipe.schedule.epochs - 1, "best": 3, "paper": 9}[rule] for rule in found}
    head = found["last"].own_groups["head"]
    rows = {
        "epoch": [0.0, 1.0],
        "train_loss": [2.0, 1.0],
        "overall": [10.0, head],
        **{key: [10.0, head] if key in found["last"].own_groups else [None, None] for key in ("head", "mid", "tail")},
    }
    return Result(
        model=name,
        benchmark=recipe.benchmark,
        architecture=recipe.architecture,
        seed=seed,
        recipe=recipe,
        figures=found,
        epochs=epochs,
        curve=rows if curve else {key: [] for key in rows},
        run={"device": "cpu", "machine": "a machine", "threads": 1, "seconds": 90.0, "eval_seconds": 30.0},
        versions={"torch": "2"},
        subset_layout="scikit-learn",
        subset_sha256="ab",
        weights_sha256=f"{seed}",
        weights=weights,
        claim=None,
    )


def entry(model="timm:resnet20_cifar", benchmark="digitslt", accuracy=40.0, claimed=52.8):
    recipe = (
        get_recipe(f"resnet20_{benchmark}_ce_sgd")
        if benchmark == "digitslt"
        else get_recipe(f"resnet32_{benchmark}_ce_sgd")
    )
    return Result(
        model=model,
        benchmark=benchmark,
        architecture="resnet20_cifar",
        seed=None,
        recipe=None,
        figures={"last": figures(recipe.data, accuracy, recipe.groups, "as it was given")},
        epochs={},
        curve={},
        run={"device": "cpu", "machine": "a machine"},
        versions={"torch": "2"},
        subset_layout=None,
        subset_sha256=None,
        weights_sha256=None,
        weights=None,
        claim=Claim(claimed, "https://example.org/paper"),
    )
