"""hub/training_order.py: most important first, and each second stage after its first stage."""

import re
from dataclasses import replace

import build
import training_order
from ltzoo.recipes import FirstStage
from ltzoo.registry import get_recipe, list_recipes
from tests.hub.builds import ONE, ROOT, SECOND
from training_order import in_order, with_first_stages, without_repetitions


def test_the_order_is_that_of_what_readers_look_for():
    names = [
        recipe.name for recipe, seed in in_order([get_recipe(name) for name in list_recipes()], [0, 1]) if seed == 0
    ]
    assert sorted(names) == sorted(list_recipes())
    fast, names = names[:110], names[110:]
    perturbations = ("ssesam", "sam", "imbsam", "sgd")
    for first, benchmark in ((0, "cifar100lt"), (12, "cifar10lt")):
        wanted = [f"resnet9_{benchmark}_{loss}_{word}" for loss in ("vs", "la", "ce") for word in perturbations]
        assert fast[first : first + 12] == wanted
    others = re.compile(r"resnet9(wide)?_\w+_(\w+_drw|ce_mixup|la_cutmix|\w+_long)_\w+")
    assert all(others.fullmatch(name) for name in fast[24:56])
    assert all(
        name.startswith("resnet9_") and get_recipe(name).start != get_recipe(fast[0]).start for name in fast[56:]
    )
    assert names[:4] == [f"resnet32_cifar100lt_vs_{word}" for word in ("ssesam", "sam", "imbsam", "sgd")]
    assert names[4:8] == [f"resnet32_cifar10lt_vs_{word}" for word in ("ssesam", "sam", "imbsam", "sgd")]
    assert names[8] == "resnet32_cifar100lt_la_ssesam"
    assert [name.split("_", 2)[2] for name in names[0:40:8]] == [
        f"{loss}_ssesam" for loss in ("vs", "la", "ldam_drw", "ce_drw", "ce")
    ]
    others = {f"resnet32_cifar{c}lt_ce_drw_{w}" for c in (10, 100) for w in ("pgd", "lpfsgd")}
    others |= {f"resnet32_cifar10lt_ce_drw_{w}" for w in ("sam05", "sam80")}
    others |= {f"resnet32_cifar{c}lt_{w}_sgd" for c in (10, 100) for w in ("ce_mixup", "mislas")}
    others.add("resnet32_cifar10lt_proco_sgd")
    others |= {f"resnet32_cifar100lt_{w}_sgd" for w in ("ride", "sade", "paco", "bcl", "proco", "drolt")}
    assert set(names[40:57]) == others
    assert all(name.startswith(("resnet34_cifar10lt_", "resnet34_cifar100lt_")) for name in names[57:99])
    assert all("step" in name for name in names[99:131])
    assert all("lt50_" in name for name in names[131:197])


def test_the_next_seed_comes_after_all_of_the_first():
    jobs = in_order([get_recipe("resnet32_cifar100lt_ce_sgd"), get_recipe("resnet32_cifar100lt_vs_sgd")], [4, 2])
    assert [(recipe.name[-6:], seed) for recipe, seed in jobs] == [
        ("vs_sgd", 4),
        ("ce_sgd", 4),
        ("vs_sgd", 2),
        ("ce_sgd", 2),
    ]


def test_a_fast_recipe_of_another_benchmark_comes_after_those_of_the_main_ones():
    others = [get_recipe(f"resnet9_{benchmark}_ce_sgd") for benchmark in ("cifar10lt", "cifar100lt")]
    own = replace(others[0], name="resnet9_cifar10lt50_ce_sgd", benchmark="cifar10lt50")
    jobs = in_order([own, *others, get_recipe("resnet32_cifar100lt_vs_sgd")], [0])
    assert [recipe.name.split("_")[1] for recipe, _ in jobs] == ["cifar100lt", "cifar10lt", "cifar10lt50", "cifar100lt"]


def test_stages_form_chains(folders, tmp_path):
    build.main([SECOND, "--pack", str(tmp_path / "pack"), *folders])  # registers the short recipes
    second = get_recipe(SECOND)
    third = replace(second, name="resnet20_digitslt_third_sgd", start=FirstStage(SECOND, "kept"))
    jobs = with_first_stages([(third, 0)], tmp_path / "output")
    assert [recipe.name for recipe, _ in jobs] == [ONE, SECOND, third.name]


def test_an_unfinished_first_stage_is_continued_although_it_is_published(tmp_path, monkeypatch):
    monkeypatch.setenv("LTZOO_HUB", str(ROOT / "hub/zoo"))
    crt = get_recipe("resnet20_digitslt_crt_sgd")
    assert with_first_stages([(crt, 7)], tmp_path) == [(crt, 7)]
    (tmp_path / "resnet20_digitslt_ce_sgd" / "seed7" / "state").mkdir(parents=True)
    assert with_first_stages([(crt, 7)], tmp_path) == [(get_recipe("resnet20_digitslt_ce_sgd"), 7), (crt, 7)]


def test_a_computed_head_is_not_repeated_on_another_seeds_first_stage(tmp_path, monkeypatch):
    """Of the first stage only seed 0 is published; the nearest class mean of other seeds would equal that seed's."""

    def find(name, runs, seed, any_seed=True):
        return tmp_path if any_seed or seed == 0 else None

    monkeypatch.setattr(training_order, "find_first_stage", find)
    recipe, trained = get_recipe("resnet32_cifar100lt_ncm_sgd"), get_recipe("resnet32_cifar100lt_crt_sgd")
    jobs, said = [(recipe, 0), (trained, 1), (recipe, 1)], []
    assert without_repetitions(jobs, tmp_path, said.append) == jobs[:2]
    assert said == [
        "left out: resnet32_cifar100lt_ncm_sgd, seed 1: its head is computed, and there is no first stage of that seed"
    ]
    first = get_recipe("resnet32_cifar100lt_ce_sgd")
    assert without_repetitions([(first, 1), *jobs], tmp_path, said.append) == [(first, 1), *jobs]
    assert len(said) == 1
