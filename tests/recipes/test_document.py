"""Recipes as YAML, there and back; settings; and every input that is no recipe."""

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest
import yaml

from ltzoo.data import Augmentation
from ltzoo.errors import InputError
from ltzoo.losses import CE, DRW, LA, LOSSES, NoReweighting
from ltzoo.recipes import (
    Pretrained,
    Trainable,
    differences,
    override,
    parse_setting,
    read_recipe,
    recipe_from_dict,
    recipe_to_dict,
    shipped_recipes,
    to_yaml,
)
from ltzoo.registry import get_recipe
from ltzoo.sharpness import SAM, SSESAM, ImbSAM, Linear
from tests.each import check_each

RECIPE = get_recipe("resnet32_cifar100lt_ce_drw_sam")


def refused(call, match):
    with pytest.raises(InputError, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_every_shipped_recipe_comes_back_from_its_document():
    recipes = {recipe.name: recipe for recipe in shipped_recipes()}

    def check(name):
        assert recipe_from_dict(recipe_to_dict(recipes[name])) == recipes[name]

    check_each(recipes, check)


def test_a_recipe_of_each_kind_comes_back_from_its_yaml(tmp_path):
    path = tmp_path / "recipe.yaml"
    kinds = {}
    for recipe in shipped_recipes():
        kinds[recipe.protocol, type(recipe.loss)] = recipe
        kinds[recipe.protocol, type(recipe.reweighting), type(recipe.perturbation)] = recipe

    def check(recipe):
        path.write_text(to_yaml(recipe_to_dict(recipe)))
        assert read_recipe(path) == recipe
        assert yaml.safe_load(path.read_text()) == recipe_to_dict(recipe)

    check_each(kinds.values(), check)


def test_yaml_keeps_the_order_of_the_fields_and_short_lists_on_a_line():
    lines = to_yaml(recipe_to_dict(RECIPE)).splitlines()
    assert lines[0] == f"name: {RECIPE.name}"
    assert "  milestones: [160, 180]" in lines
    assert [line.split(":")[0] for line in lines if line[0].isalpha()] == list(recipe_to_dict(RECIPE))


def test_what_a_run_adds_to_its_recipe_is_passed_over(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(to_yaml(recipe_to_dict(RECIPE) | {"overrides": {"batch_size": [1, 2]}, "run": {"seed": 3}}))
    assert read_recipe(path) == RECIPE


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("batch_size", 64, {"batch_size": 64}),
        ("precision", "bfloat16", {"precision": "bfloat16"}),
        ("paper_rule", None, {"paper_rule": None}),
        ("perturbation.rho", 1, {"perturbation": SAM(rho=1.0)}),
        ("perturbation.rho", "1e-3", {"perturbation": SAM(rho=0.001)}),
        ("reweighting", {"name": "none"}, {"reweighting": NoReweighting()}),
        ("reweighting.start", 0, {"reweighting": DRW(start=0, beta=0.9999)}),
        ("loss", {"name": "la", "tau": 0.5}, {"loss": LA(tau=0.5)}),
        ("perturbation", {"name": "imbsam", "rho": "5e-2", "eta": 50}, {"perturbation": ImbSAM(rho=0.05, eta=50.0)}),
        ("views.0", {"crop_padding": 0, "horizontal_flip": False}, {"views": (Augmentation(0, False),)}),
        ("views.0.mixup", 0.2, {"views": (replace(RECIPE.augmentation, mixup=0.2),)}),
        ("start", {"name": "pretrained"}, {"start": Pretrained()}),
        ("trainable.batchnorm", "all", {"trainable": Trainable("all", "all")}),
        ("optimizer.nesterov", True, {"optimizer": replace(RECIPE.optimizer, nesterov=True)}),
        ("schedule.milestones", [10, 20], {"schedule": replace(RECIPE.schedule, milestones=(10, 20))}),
        ("groups", "count", {"groups": "count"}),
    ],
)
def test_a_setting_changes_its_field_alone(key, value, expected):
    assert override(RECIPE, {key: value}) == replace(RECIPE, **expected)


def test_whole_numbers_become_floats_where_the_field_is_one():
    assert isinstance(override(RECIPE, {"perturbation.rho": 1}).perturbation.rho, float)


def test_settings_apply_in_their_order_and_leave_the_callers_mapping_alone():
    record = {"name": "ssesam", "rho_head": 0.1, "rho_tail": 0.2, "gamma": 0.5, "eta": 100}
    settings = {"perturbation": record, "perturbation.gamma": 1}
    assert override(RECIPE, settings).perturbation == SSESAM(rho_head=0.1, rho_tail=0.2, gamma=1.0, eta=100.0)
    assert record["gamma"] == 0.5


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        (
            "learning_rate",
            1,
            "unknown key learning_rate; the nearest are [^,]*, [^,]*, [^,]*; `ltzoo show .* prints all keys$",
        ),
        ("optimizer.learning_rate", 1, "unknown key optimizer.learning_rate; the nearest are .*optimizer.lr"),
        (
            "partners.power",
            1,
            "partners.power cannot be set, since partners is null; set it whole, partners={name: ...}",
        ),
        ("optimizer.lr.x", 1, "unknown key optimizer.lr.x"),
        ("loss.tau", 1, "unknown key loss.tau"),
        ("", 1, "unknown key"),
        ("batch_size", True, "batch_size must be a whole number, not True"),
        ("batch_size", 64.0, "batch_size must be a whole number, not 64.0"),
        ("batch_size", "64", "batch_size must be a whole number, not '64'"),
        ("batch_size", 0, "batch_size must be at least 1, not 0"),
        ("schedule.epochs", 0, "it must be at least 1, not 0"),
        ("schedule.milestones", [180, 160], "milestones must be in ascending order"),
        ("schedule.milestones", [160], "milestones must be in ascending order, with one factor each"),
        ("schedule.milestones", 160, "schedule.milestones must be a list, not 160"),
        ("schedule.milestones", [160, "x"], r"schedule.milestones\[1\] must be a whole number, not 'x'"),
        ("schedule.factors", [0.1, math.inf], r"schedule.factors\[1\] must be a number, not inf"),
        ("optimizer.lr", "fast", "optimizer.lr must be a number, not 'fast'"),
        ("optimizer.lr", 0, "lr must be above 0"),
        ("optimizer.lr", 10**400, "optimizer.lr must be a number"),
        ("optimizer.lr", True, "optimizer.lr must be a number, not True"),
        ("optimizer.nesterov", 1, "optimizer.nesterov must be true or false, not 1"),
        ("optimizer", {"lr": 0.1}, "optimizer.momentum is missing"),
        ("perturbation.rho", -0.1, "perturbation: rho must be finite and not below 0, not -0.1"),
        ("perturbation.rho", math.nan, "perturbation.rho must be a number, not nan"),
        ("perturbation.rho", None, "perturbation.rho must be a number, not None"),
        ("perturbation", "sam", "perturbation must be a mapping, not 'sam'"),
        ("perturbation", {"name": "samson", "rho": 1}, "perturbation.name must be one of sgd, sam, .* not"),
        ("perturbation", {"name": ["sam"], "rho": 1}, "perturbation.name must be one of"),
        ("perturbation", {"rho": 1}, "perturbation.name must be one of .* not None"),
        ("perturbation", {"name": "sam"}, "perturbation.rho is missing"),
        (
            "perturbation",
            {"name": "sam", "rho": 1, "eta": 1},
            "unknown key perturbation.eta; there are perturbation.rho",
        ),
        ("perturbation.name", "sgd", "unknown key perturbation.rho; there are none"),
        ("reweighting.beta", 1.5, "beta must lie in"),
        (
            "head.name",
            "dense",
            "head.name must be one of linear, cosine, scaled, scaled_cosine, tau_norm, nearest_mean, disalign, "
            "cosine_experts, not 'dense'",
        ),
        ("head", "linear", "head must be a mapping, not 'linear'"),
        ("start", {"name": "first_stage", "recipe": "x"}, "start.head is missing"),
        ("views", [], "views: the loss ce needs 1 per image, not 0"),
        (
            "loss",
            {"name": "glmc", "power": 1.2, "consistency": 4.0, "epochs": 200, "projection_size": 128},
            "views: the loss glmc needs 2 per image, not 1",
        ),
        ("views.1.mixup", 0.2, "unknown key views.1.mixup"),
        ("classifier", "cosine", "unknown key classifier; the nearest are "),
        ("precision", "fp16", "precision must be one of float32, tf32, bfloat16, float16"),
        ("trainable.batchnorm", ["all"], "trainable.batchnorm must be one of clean, all, frozen"),
        ("benchmark", "cifar100", "no benchmark is called 'cifar100'; the nearest are"),
        ("benchmark", 3, "benchmark must be text, not 3"),
        ("subset", "last", "subset must be one of cao, first, imported, not 'last'"),
        ("paper_rule", "best", "paper_rule must be a mapping, not 'best'"),
        ("paper_rule", {"interval": 0, "flip": True}, "interval must be at least 1"),
        ("schedule.decay", "cosine", r"milestones must be empty with the decay cosine, not \[160, 180\]"),
        ("perturbation", {"name": "lpfsgd", "std": 0.1, "parts": -1}, "parts must be finite and not below 0, not -1"),
        ("perturbation.rho", {"name": "ramp"}, "perturbation.rho.name must be one of steps, linear, cosine, stages"),
        ("perturbation.rho", {"name": "linear", "start": 0.1}, "perturbation.rho.end is missing"),
        ("perturbation.rho", {"name": "linear", "start": 0.1, "end": -1}, "end must be finite and not below 0"),
        (
            "perturbation",
            {"name": "pgd", "rho": 0.1},
            "trainable.batchnorm must be 'all' with pgd, which",
        ),
        ("groups", "quarters", "no grouping rule is called 'quarters'"),
        ("groups", "half", "'half' is not defined on cifar100lt"),
        ("views.0.crop_padding", -1, "crop_padding must be at least 0 pixels"),
        ("name", "x", "name identifies the recipe and cannot be set"),
        ("protocol", "lyu2025", "protocol identifies the recipe"),
        ("source.paper", "lyu2025", "source.paper identifies the recipe"),
        ("published", [], "published identifies the recipe"),
    ],
)
def test_a_setting_that_makes_no_recipe_is_refused(key, value, match):
    refused(lambda: override(RECIPE, {key: value}), match)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optimizer.lr=0.05", ("optimizer.lr", 0.05)),
        ("perturbation.rho=1e-3", ("perturbation.rho", "1e-3")),  # YAML's reading; override makes it a number
        ("paper_rule=null", ("paper_rule", None)),
        ("schedule.milestones=[1, 2]", ("schedule.milestones", [1, 2])),
        ("perturbation={name: sam, rho: 0.1}", ("perturbation", {"name": "sam", "rho": 0.1})),
        ("paper_rule=a=b", ("paper_rule", "a=b")),
    ],
)
def test_settings_are_split_at_the_first_equals_sign_and_read_as_yaml(text, expected):
    assert parse_setting(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "optimizer.lr",
        "=3",
        "",
        "a=[1,",
        "a=!!python/object:os.system x",
        "a=2020-13-45",
        "a=!!int x",
        "a=!!timestamp x",
    ],
)
def test_settings_that_are_none_are_refused(text):
    refused(lambda: parse_setting(text), "--set")


def test_differences_name_what_was_registered_and_what_is_used():
    changed = override(RECIPE, {"batch_size": 64, "perturbation": {"name": "imbsam", "rho": 0.8, "eta": 50}})
    assert differences(RECIPE, RECIPE) == {}
    assert differences(override(RECIPE, {"precision": "bfloat16"}), RECIPE) == {}  # how it computes, not what
    assert differences(changed, RECIPE) == {
        "batch_size": [128, 64],
        "perturbation.name": ["sam", "imbsam"],
        "perturbation.eta": [None, 50.0],
        "perturbation.normalization": [None, "batch"],
    }
    assert differences(RECIPE, changed)["perturbation.eta"] == [50.0, None]


def test_a_radius_can_be_a_number_or_a_schedule():
    ramp = override(RECIPE, {"perturbation.rho": {"name": "linear", "start": 0, "end": 0.5}})
    assert ramp.perturbation == SAM(rho=Linear(start=0.0, end=0.5))
    assert recipe_from_dict(yaml.safe_load(to_yaml(recipe_to_dict(ramp)))) == ramp
    assert override(ramp, {"perturbation.rho.end": 0.8}).perturbation.rho.end == 0.8
    assert override(ramp, {"perturbation.rho": 0.3}).perturbation == SAM(rho=0.3)
    schedule = {"name": "linear", "start": 0.0, "end": 0.5}
    assert differences(ramp, RECIPE) == {"perturbation.rho": [0.8, schedule]}
    assert differences(override(ramp, {"perturbation.rho.end": 0.8}), ramp) == {"perturbation.rho.end": [0.5, 0.8]}


def document(**changes):
    return recipe_to_dict(RECIPE) | changes


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("- a\n- b\n", "is not a recipe: it must be a mapping"),
        ("", "is not a recipe"),
        ("a: [1,\n", "cannot be read as a recipe"),
        ("a: !!python/object:os.system x\n", "cannot be read as a recipe"),
        (b"\xff\xfe\x00", "cannot be read as a recipe"),
        (
            document(colour="red"),
            "unknown key colour; there are name, .*; a newer version of ltzoo may",
        ),
        (document(sampler={"name": "instance", "k": 4}), "unknown key sampler.k; .*a newer version of ltzoo"),
        ({key: value for key, value in document().items() if key != "loss"}, "loss is missing"),
        (document(loss=3), "loss must be a mapping, not 3"),
        (document(published=[{"paper": "rangwani2022"}]), r"published\[0\].table is missing"),
        (document(benchmark="mnist"), "no benchmark is called 'mnist'"),
    ],
)
def test_files_that_hold_no_recipe_are_refused_and_named(content, match, tmp_path):
    path = tmp_path / "recipe.yaml"
    content = to_yaml(content) if isinstance(content, dict) else content
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(lambda: read_recipe(path), rf"recipe\.yaml.*{match}")


def test_a_recipe_of_version_0_1_is_refused_by_name_with_what_to_do(tmp_path):
    path = tmp_path / "old.yaml"
    old = {"name": RECIPE.name, "architecture": "resnet32_cifar", "classifier": "linear", "batchnorm": "clean"}
    path.write_text(to_yaml(old))
    refused(
        lambda: read_recipe(path),
        rf"old.yaml: the recipe '{RECIPE.name}' was written by ltzoo 0.1, .* `ltzoo show {RECIPE.name}`, or use",
    )


def test_missing_files_and_folders_are_refused(tmp_path):
    refused(lambda: read_recipe(tmp_path / "none.yaml"), "none.yaml cannot be read as a recipe")
    refused(lambda: read_recipe(tmp_path), "cannot be read as a recipe")


@pytest.mark.parametrize("content", [[], None, "text"])
def test_a_recipe_is_made_of_a_mapping(content):
    refused(lambda: recipe_from_dict(content), "the recipe must be a mapping")


def test_a_field_of_a_type_that_no_recipe_can_hold_is_named(monkeypatch):
    @dataclass(frozen=True)
    class Listed(CE):
        levels: list[float] = field(default_factory=lambda: [1.0])
        name: ClassVar[str] = "listed"

    monkeypatch.setitem(LOSSES, "listed", Listed)
    assert recipe_from_dict(document(loss={"name": "listed"})).loss == Listed()
    refused(
        lambda: recipe_from_dict(document(loss={"name": "listed", "levels": [1.0]})),
        r"^loss\.levels: a field of type list\[float\] cannot be written in a recipe; use int, float, .* or a record$",
    )
