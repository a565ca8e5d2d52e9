"""The model card: the weights that training began with, and the classes with the lowest accuracies by name."""

import json
import re

import pytest

from ltzoo.checkpoints import METRICS, update_config, write_card
from ltzoo.recipes import recipe_to_dict
from ltzoo.registry import get_recipe
from tests.checkpoints.changes import NAME

CIFAR = "ImageNet has images of most classes of CIFAR"


def card_of(folder, start, benchmark=None, stated=None, **cfg):
    """The card of a checkpoint that says that it began with other weights."""
    config = json.loads((folder / "config.json").read_text())
    recipe = recipe_to_dict(get_recipe(NAME)) | {"start": start}
    recipe |= {"benchmark": benchmark} if benchmark else {}
    run = config["run"] | ({"start_stated": stated} if stated else {})
    update_config(folder, {"recipe": recipe, "run": run, "pretrained_cfg": config["pretrained_cfg"] | cfg})
    write_card(folder)
    return (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("tag", "data"),
    [
        ("a1_in1k", r"ImageNet-1k (tag a1\_in1k)"),
        ("augreg_in21k_ft_in1k", r"ImageNet-21k and ImageNet-1k (tag augreg\_in21k\_ft\_in1k)"),
        ("openai", "what timm's tag openai stands for"),
        (None, "data that are not stated"),
    ],
)
def test_timms_weights_have_the_licence_and_the_data_that_timm_states(tag, data, checkpoint):
    card = card_of(checkpoint, {"name": "pretrained"}, "cifar100lt", tag=tag, license="mit")
    named = f"resnet20_cifar{f'.{tag}' if tag else ''}"
    assert f"Training began with timm's weights `{named}`: licence mit; pretrained on {data} (stated by timm)." in card
    assert (CIFAR in card) == (tag != "openai")
    assert ("If it was ImageNet: " in card) == (tag is None)


def test_a_file_has_what_the_user_stated(checkpoint):
    start = {"name": "weights", "of": "w.safetensors", "head": None}
    stated = {"license": "cc-by-4.0", "data": "two million *moths*"}
    card = card_of(checkpoint, start, "cifar10lt", stated)
    assert (
        r"Training began with the weights `w.safetensors`: licence cc-by-4.0; pretrained on two million \*moths\* "
        "(stated by whoever trained this model)." in card
    )
    assert CIFAR not in card


@pytest.mark.parametrize(("benchmark", "said"), [("cifar10lt", True), ("digitslt", False)])
def test_a_file_of_which_nothing_was_stated(benchmark, said, checkpoint):
    card = card_of(checkpoint, {"name": "weights", "of": "w.pth", "head": None}, benchmark)
    assert "the weights `w.pth`: licence not stated; pretrained on data that are not stated.\n" in card
    assert (f"If it was ImageNet: {CIFAR}" in card) == said


@pytest.mark.parametrize(
    ("began", "said"),
    [
        (
            {"start": {"name": "pretrained"}, "architecture": "resnet50", "tag": "a1_in1k", "license": "mit"},
            r"timm's weights `resnet50.a1_in1k`: licence mit; pretrained on ImageNet-1k (tag a1\_in1k) (stated by",
        ),
        (
            {"start": {"name": "weights", "of": "w.pth"}, "architecture": "x", "start_stated": {"license": "cc0"}},
            "the weights `w.pth`: licence cc0; pretrained on data that are not stated (stated by whoever trained",
        ),
        ({}, None),
    ],
)
def test_a_second_stage_has_what_its_first_stage_began_with(began, said, checkpoint):
    recipe = recipe_to_dict(get_recipe("resnet20_digitslt_crt_sgd"))
    run = json.loads((checkpoint / "config.json").read_text())["run"] | ({"began_with": began} if began else {})
    update_config(checkpoint, {"recipe": recipe, "run": run})
    write_card(checkpoint)
    card = (checkpoint / "README.md").read_text(encoding="utf-8")
    assert f"The first stage began with {said}" in card if said else "licence" not in card


FILE = {"name": "weights", "of": "w.pth", "head": None}


@pytest.mark.parametrize(
    ("start", "benchmark", "stated", "found"),
    [
        ({"name": "fresh"}, "cifar10lt", None, ["license: apache-2.0"]),
        ({"name": "pretrained"}, "cifar10lt", None, ["license: mit"]),
        (FILE, "cifar10lt", {"license": "CC0-1.0"}, ["license: cc0-1.0"]),
        (FILE, "cifar10lt", {"license": "CC BY 4.0!"}, ["license: other", "license_name: cc-by-4.0"]),
        (FILE, "cifar10lt", None, []),
        ({"name": "fresh"}, "imagefolder", None, []),
    ],
)
def test_the_hub_reads_the_licence_of_the_weights(start, benchmark, stated, found, checkpoint):
    metadata = card_of(checkpoint, start, benchmark, stated, license="mit").split("\n---\n")[0]
    assert [line for line in metadata.splitlines() if line.startswith("license")] == found


def test_fresh_weights_are_not_mentioned(checkpoint):
    card = card_of(checkpoint, {"name": "fresh"}, license="mit")
    assert "Training began" not in card and "licence" not in card


@pytest.mark.parametrize(
    ("name", "trained"),
    [("resnet20_digitslt_crt_sgd", "its head"), ("resnet20_digitslt_drolt_backbone_sgd", "the second stage")],
)
def test_the_seed_of_a_second_stage_is_that_of_what_it_trains(name, trained, checkpoint):
    run = json.loads((checkpoint / "config.json").read_text())["run"] | {"start_seed": 7}
    update_config(checkpoint, {"recipe": recipe_to_dict(get_recipe(name)), "run": run})
    write_card(checkpoint)
    card = (checkpoint / "README.md").read_text(encoding="utf-8")
    assert f"of seed 7: the seed of this run is that of {trained} alone." in card


def test_the_classes_with_the_lowest_accuracies_are_named(checkpoint):
    metrics = json.loads((checkpoint / METRICS).read_text())
    accuracies = [90.0, 10.0, 20.0, 80.0, 70.0, 60.0, 50.0, 40.0, 30.0, 95.0]
    metrics["last"]["per_class"] = accuracies
    (checkpoint / METRICS).write_text(json.dumps(metrics))
    names = ["zero", "a|b", "<i>two</i>", *map(str, range(3, 10))]
    update_config(checkpoint, {"label_names": names})
    write_card(checkpoint)
    card = (checkpoint / "README.md").read_text(encoding="utf-8")
    table = card.partition("Each class, from the lowest accuracy on:")[2]
    rows = re.findall(r"^\| (.*?) \| ([0-9.]+) \| (\d+) \|$", table, re.M)
    counts = metrics["last"]["class_counts"]
    order = sorted(range(10), key=lambda j: accuracies[j])
    shown = {1: r"a\|b", 2: r"\<i\>two\</i\>"}
    assert rows == [(shown.get(j, names[j]), f"{accuracies[j]:.1f}", str(counts[j])) for j in order]


def test_of_many_classes_ten_are_named(checkpoint):
    metrics = json.loads((checkpoint / METRICS).read_text())
    metrics["last"] |= {"per_class": [float(j) for j in range(12)], "class_counts": [5] * 12}
    (checkpoint / METRICS).write_text(json.dumps(metrics))
    update_config(checkpoint, {"label_names": [f"class {j}" for j in range(12)], "class_counts": [5] * 12})
    write_card(checkpoint)
    card = (checkpoint / "README.md").read_text(encoding="utf-8")
    assert "The 10 classes with the lowest accuracy, from the lowest accuracy on:" in card
    assert "| class 9 |" in card and "| class 10 |" not in card
