"""Second stages in reports: under their first stage, with their cost, and what may be said of them."""

from dataclasses import replace

import pytest

from ltzoo.recipes import FirstStage, Fresh, Pretrained, Weights
from ltzoo.recipes.cost import passes_per_image, passes_text, total_passes
from ltzoo.registry import get_recipe, list_recipes
from ltzoo.report import (
    benchmark_table,
    count_text,
    fresh_and_pretrained,
    group_by_model,
    is_pretrained,
    leaderboard_data,
    paper_tables,
    rebalancing_tables,
    table_text,
    tau_norm_sentence,
    under_first_stages,
)
from tests.report.results import result

RECIPES = [get_recipe(name) for name in list_recipes()]
CE, SAM = "resnet20_digitslt_ce_sgd", "resnet20_digitslt_ce_sam"
CRT, TAUNORM, LA = "resnet20_digitslt_crt_sgd", "resnet20_digitslt_taunorm_sgd", "resnet20_digitslt_la_sgd"
DROLT_BACKBONE = "resnet20_digitslt_drolt_backbone_sgd"


def second(name, seed, accuracy, start=None, **run):
    made = result(name, seed=seed, accuracy=accuracy)
    return replace(made, run=made.run | ({} if start is None else {"start_seed": start}) | run)


def rows(table):
    """The cells of a Markdown table, without its first two lines."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize(
    ("name", "passes", "total", "text"),
    [
        ("resnet32_cifar100lt_ce_sgd", 3.0, 600.0, "3 x 200"),  # a forward pass and a gradient of twice its cost
        ("resnet32_cifar100lt_vs_ssesam", 10.1, 2020.0, "10.1 x 200"),
        ("resnet50_imagenetlt_ce_ssesam", 10.4, 936.0, "10.4 x 90"),  # gamma 0.8: 72 epochs of 11, 18 of 8
        ("resnet9_cifar100lt_vs_ssesam", 10.0, 270.0, "10 x 27"),  # gamma 0.7: 18 epochs of 11, 9 of 8
        ("resnet20_digitslt_ce_asam", 6.0, 240.0, "6 x 40"),
        ("resnet20_digitslt_ce_gsam", 6.0, 240.0, "6 x 40"),
        ("resnet20_digitslt_ce_gnm", 3.0, 120.0, "3 x 40"),
        ("resnet20_digitslt_ce_ccsam", 3.0, 120.0, "3 x 40"),  # its rows move the classifier alone
        ("resnet32_cifar100lt_crt_sam", 1.0, 10.0, "1 x 10"),  # nothing is differentiated below the head
        ("resnet32_cifar100lt_lws_sgd", 1.0, 5.0, "1 x 5"),
        # Forward passes alone: 3 in the 7 epochs of stage 1, then 2.
        ("efficientnetlite0_cifar100lt_frozen_la_ssesam", 2.7, 27.0, "2.7 x 10"),
        # A gradient of few weights costs one: 3 + 4 in stage 1, then 2 + 3.
        ("efficientnetlite0_cifar100lt_norm_la_ssesam", 6.4, 64.0, "6.4 x 10"),
        ("resnet32_cifar100lt_taunorm_sgd", 1.0, 1.0, "computed"),
        ("resnet32_cifar100lt_proco_sam", 18, 3600, "18 x 200"),
        ("resnet32_cifar100lt_paco_sgd", 3, 1200, "3 x 400"),
    ],
)
def test_passes(name, passes, total, text):
    recipe = get_recipe(name)
    assert passes_per_image(recipe) == pytest.approx(passes)
    assert total_passes(recipe) == pytest.approx(total)
    assert passes_text(recipe) == text


def test_an_epoch_with_more_draws_than_images_costs_more():
    assert passes_per_image(get_recipe("resnet32_cifar100lt_drolt_backbone_sgd")) == pytest.approx(3 * 50_000 / 10_847)
    assert passes_text(get_recipe("resnet32_cifar100lt_drolt_sgd")) == "4.61 x 20"


def test_passes_of_cc_sams_full_scope_grow_with_the_classes():
    recipe = get_recipe("resnet20_digitslt_ce_ccsam")
    everywhere = replace(recipe, perturbation=replace(recipe.perturbation, scope="all"))
    assert passes_per_image(everywhere) == 3 + 10 * 5
    files = replace(get_recipe("resnet50_imagefolder_ce_sgd"), perturbation=everywhere.perturbation)
    assert passes_per_image(files) is None
    assert passes_text(files).startswith("? x ")


def test_second_stages_come_below_their_first_in_the_order_given():
    names = [TAUNORM, "resnet20_digitslt_crt_imbsam", SAM, CRT, LA, CE]  # ImbSAM's first stage has no results
    found = group_by_model([result(name) for name in names])
    ordered = [model.name for model in under_first_stages([found[name] for name in names])]
    assert ordered == ["resnet20_digitslt_crt_imbsam", SAM, LA, CE, TAUNORM, CRT]


def test_a_second_stage_is_indented_only_below_its_first():
    found = group_by_model([result(name) for name in (CE, CRT, TAUNORM, SAM)])

    def named(*names):
        return [row[0] for row in rows(benchmark_table([found[name] for name in names], found))]

    assert named(CE, CRT, TAUNORM, SAM) == [f"`{CE}`", f"↳ `{CRT}`", f"↳ `{TAUNORM}`", f"`{SAM}`"]
    elsewhere = [f"`{SAM}`", f"`{CRT}`, second stage of `{CE}`", f"`{CE}`"]
    assert named(SAM, CRT, CE) == elsewhere


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([second(CRT, 0, 50.0), second(CRT, 1, 50.0)], "2"),
        ([second(CRT, 0, 50.0), second(CRT, 1, 50.0, start=0)], "2 (classifiers on first-stage seed 0)"),
        ([second(CRT, 3, 50.0, start=2)], "1 (classifier on first-stage seed 2)"),
        ([second(CRT, 0, 50.0), second(CRT, 2, 50.0, start=1)], "2 (classifiers on first-stage seeds 0, 1)"),
        ([second(DROLT_BACKBONE, 3, 50.0, start=2)], "1 (run on first-stage seed 2)"),
        ([result(CE, seed=4)], "1"),
    ],
)
def test_heads_on_another_seeds_first_stage_are_said(runs, said):
    found = group_by_model(runs)
    (row,) = rows(benchmark_table(list(found.values()), found))
    assert row[6] == said


def test_minutes_of_the_second_stage_and_of_the_first():
    timed = second(CRT, 0, 50.0, seconds=20.0, eval_seconds=10.0)
    computed = second(TAUNORM, 0, 50.0, seconds=0, eval_seconds=0)
    long = [replace(made, run=made.run | {"seconds": 3000.0}) for made in (result(CE, seed=0), result(CE, seed=1))]

    def minutes(*results):
        found = group_by_model(results)
        return [row[9] for row in rows(benchmark_table(list(found.values()), found))]

    assert minutes(*long, timed, computed) == ["50", "0.5 + 50", "+ 50"]
    assert minutes(timed, computed) == ["0.5", ""]


def test_the_table_of_each_first_stage():
    first = [result(CE, seed=0, accuracy=50.0), result(CE, seed=1, accuracy=60.0)]
    heads = [second(CRT, 0, 61.0, seconds=0, eval_seconds=60.0), second(CRT, 5, 63.0, start=0, eval_seconds=30.0)]
    found = group_by_model(
        [*first, *heads, second(TAUNORM, 1, 65.0), result("resnet20_digitslt_crt_sam", accuracy=1.0)]
    )
    text = rebalancing_tables(found)
    own, other = text.split("\n\n`")
    assert [line for line in text.splitlines() if line.endswith(":")] == [
        f"`{SAM}` on digitslt, groups by `mislas`:",
        f"`{CE}` on digitslt, groups by `mislas`:",
    ]
    assert rows(own) == [["cRT (`crt`)", "1.0", "1.0", "1.0", "1.0", "", "1", "1 x 10", "2.0"]]
    # cRT is compared with seed 0 alone, on which both heads stand; tau-norm with seed 1.
    assert rows(other) == [
        ["the first stage alone", *["55.0 ± 7.1"] * 4, "", "2", "3 x 40", "2.0"],
        ["tau-norm (`taunorm`)", *["65.0"] * 4, "+5.0", "1", "computed", "2.0 + 2.0"],
        [
            "cRT (`crt`)",
            *["62.0 ± 1.4"] * 4,
            "+12.0 ± 1.4",
            "2 (classifiers on first-stage seed 0)",
            "1 x 10",
            "1.5 + 2.0",
        ],
    ]


def test_without_second_stages_there_is_a_sentence_in_place_of_tables():
    assert rebalancing_tables(group_by_model([result(CE)])) == "No second stage has been trained here yet."


def sentence(*results):
    return tau_norm_sentence(RECIPES, group_by_model(results))


def test_tau_norm_is_praised_only_if_the_figures_bear_it_out():
    ce, taunorm = result(CE, accuracy=50.0), second(TAUNORM, 0, 60.0)
    assert sentence(ce, taunorm) == ""  # nothing to compare with
    assert sentence(taunorm, result(LA, accuracy=55.0)) == ""  # nothing before
    assert sentence(ce, taunorm, result(LA, accuracy=60.1)) == ""  # below
    assert sentence(ce, taunorm, result("resnet20_digitslt_la_sam", accuracy=10.0)) == ""  # another perturbation
    said = sentence(ce, taunorm, result(LA, accuracy=60.0), result("resnet20_digitslt_vs_sgd", accuracy=70.0))
    assert "On digitslt, resnet20_cifar with plain cross-entropy, re-balanced by tau-norm" in said
    assert "reaches 60.0 overall and 60.0 in the tail (n = 1; before: 50.0 overall and 50.0 in the tail)" in said
    assert "reach 60.0 to 70.0 overall" in said


def test_published_figures_are_compared_with_where_there_are_none_of_ours():
    name = "resnet32_cifar100lt_{}_sgd".format
    ce, taunorm = result(name("ce"), accuracy=38.5), second(name("taunorm"), 0, 42.0)
    # Rangwani 2022, Table 1, with SGD: CE + DRW 41.0, LDAM + DRW 42.7, VS 41.7; MiSLAS's 47.0 has another first stage.
    assert "reach 41.0 to 42.7 overall" in sentence(ce, taunorm)
    assert "reach 41.0 to 44.0 overall" in sentence(ce, taunorm, result(name("ldam_drw"), accuracy=44.0))
    digits = [result(CE, accuracy=50.0), second(TAUNORM, 0, 60.0), result(LA, accuracy=55.0)]
    assert sentence(ce, taunorm, *digits).startswith("On cifar100lt,")  # more images than the digits


def test_the_papers_tables_name_first_stages_and_their_costs():
    mixup, mislas = "resnet32_cifar100lt_ce_mixup_sgd", "resnet32_cifar100lt_mislas_sgd"
    made = result(mixup, accuracy=39.5)
    found = group_by_model([replace(made, run=made.run | {"seconds": 6000.0, "eval_seconds": 0.0})])
    (table,) = [table for table in paper_tables(RECIPES, found) if table.title == "zhong2021, repository: cifar100lt"]
    cells = {row[1]: row[8:] for row in rows(table_text(table, found, {}))}
    assert cells[f"`{mixup}`"] == ["3 x 200", "100"]
    assert cells[f"`{mislas}`, second stage of `{mixup}`"] == ["1 x 10", ""]
    (line,) = [row for row in rows(count_text(paper_tables(RECIPES, found))) if row[0] == "zhong2021, repository"]
    assert line[4] == f"100 (`{mixup}`, float32, a machine)"  # there are other networks in the table


def test_the_page_knows_first_stages_their_seeds_and_costs():
    computed = second(TAUNORM, 1, 60.0, start=0, seconds=0, eval_seconds=0)
    found = group_by_model([result(CE), second(CRT, 0, 55.0), computed])
    by_name = {row["model"]: row for row in leaderboard_data(RECIPES, found, {})["rows"]}
    assert [by_name[name]["first_stage"] for name in (CE, CRT, TAUNORM)] == [None, CE, CE]
    assert [by_name[name]["passes"] for name in (CE, CRT, TAUNORM)] == ["3 x 40", "1 x 10", "computed"]
    runs = [by_name[name]["runs"][0] for name in (CE, CRT, TAUNORM)]
    assert [run["start_seed"] for run in runs] == [None, 0, 0]
    assert [run["minutes"] for run in runs] == [2.0, 2.0, None]


def from_pretrained(name, start, accuracy=50.0):
    """A made-up result of a recipe that begins with other weights than the registered one."""
    made = result(name, accuracy=accuracy)
    return replace(made, recipe=replace(made.recipe, start=start))


@pytest.mark.parametrize(
    ("start", "apart"),
    [(Pretrained(), True), (Weights("w.pth"), True), (Fresh(), False), (FirstStage(CE, "fresh"), False), (None, False)],
)
def test_what_begins_with_pretrained_weights_is_marked(start, apart):
    recipe = None if start is None else replace(get_recipe(SAM), start=start)
    assert is_pretrained(recipe) == apart


def test_a_second_stage_is_pretrained_if_its_first_stage_was_whatever_is_registered():
    told = second(CRT, 0, 70.0, began_with={"start": {"name": "pretrained"}, "architecture": "resnet20_cifar"})
    found = group_by_model([second(TAUNORM, 0, 60.0), told])
    rows = {row["model"]: row for row in leaderboard_data(RECIPES, found, {})["rows"]}
    assert [rows[name]["pretrained"] for name in (TAUNORM, CRT)] == [False, True]
    fresh, pretrained = fresh_and_pretrained(list(found.values()))
    assert [model.name for model in fresh] == [TAUNORM] and [model.name for model in pretrained] == [CRT]


def test_results_from_pretrained_weights_are_compared_among_themselves():
    best = from_pretrained(LA, Pretrained(), accuracy=99.0)
    found = group_by_model([result(CE, accuracy=50.0), best, result(SAM, accuracy=60.0)])
    rows = {row["model"]: row for row in leaderboard_data(RECIPES, found, {})["rows"]}
    assert [rows[name]["pretrained"] for name in (CE, SAM, LA)] == [False, False, True]
    fresh, pretrained = fresh_and_pretrained(list(found.values()))
    assert [model.name for model in fresh] == sorted([CE, SAM]) and [model.name for model in pretrained] == [LA]
