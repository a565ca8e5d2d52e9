"""Every table of both papers, walked cell by cell: recipe, figures, groups and image counts."""

from collections import Counter

import pytest

from ltzoo.data import NATURAL_BENCHMARKS, ModelInput, exponential_counts, make_groups
from ltzoo.recipes import Accuracy, shipped_recipes
from tests.each import check_each

RECIPES = {recipe.name: recipe for recipe in shipped_recipes()}

# Rangwani 2022, Table 1: overall, head, mid and tail on CIFAR-10-LT and CIFAR-100-LT, then their standard deviations.
RANGWANI_TABLE_1 = """
ce_sgd       | 71.7 90.8 71.9 52.3 | 38.5 64.5 36.8  8.2 | 0.1 3.6 0.4 3.7  | 0.5 0.7 1.0 1.0
ce_sam       | 73.1 93.3 74.1 51.7 | 39.6 66.5 38.1  8.0 | 0.3 0.2 0.6 1.0  | 0.6 0.7 1.1 0.6
ce_drw_sgd   | 75.5 91.6 74.1 61.4 | 41.0 61.3 41.7 14.7 | 0.2 0.4 0.4 0.9  | 0.6 1.3 0.5 0.9
ce_drw_sam   | 80.6 91.4 78.0 73.1 | 44.6 61.2 47.5 20.7 | 0.4 0.3 0.4 0.9  | 0.4 0.8 0.6 0.6
ldam_drw_sgd | 77.5 91.1 75.7 66.4 | 42.7 61.8 42.2 19.4 | 0.5 0.8 0.7 0.2  | 0.3 0.6 1.5 0.9
ldam_drw_sam | 81.9 91.0 79.2 76.4 | 45.4 64.4 46.2 20.8 | 0.4 0.2 0.5 1.1  | 0.1 0.3 0.2 0.3
vs_sgd       | 78.6 90.6 75.8 70.3 | 41.7 54.4 41.1 26.8 | 0.3 0.4 0.5 0.5  | 0.5 0.2 0.6 1.0
vs_sam       | 82.4 90.7 79.6 78.0 | 46.6 56.4 48.8 31.7 | 0.4 0.0 0.5 0.12 | 0.4 0.4 0.6 0.1
"""

# Rangwani 2022, Table 2: overall, head and tail on CIFAR-10 and CIFAR-100 with the step profile.
RANGWANI_TABLE_2 = """
ce_sgd       | 65.1 88.6 41.7 | 38.6 76.3  0.9
ce_sam       | 66.1 92.9 39.4 | 39.3 78.6  0.0
ce_drw_sgd   | 72.2 93.1 51.2 | 45.8 73.9 17.8
ce_drw_sam   | 79.3 92.7 65.8 | 48.3 73.1 23.4
ldam_drw_sgd | 77.6 89.2 66.0 | 45.3 70.3 20.4
ldam_drw_sam | 81.0 90.5 71.5 | 49.2 74.0 24.4
vs_sgd       | 77.0 91.7 62.3 | 46.5 69.0 24.1
vs_sam       | 82.0 91.7 72.3 | 48.3 70.4 26.2
"""

# Rangwani 2022, Table 3: overall, head, mid and tail on iNaturalist 2018 and ImageNet-LT.
RANGWANI_TABLE_3 = """
ce_sgd       | 60.3 72.8 62.7 54.8 | 42.7 62.5 36.6 12.5
ce_drw_sgd   | 63.0 59.8 64.4 62.3 | 44.9 57.9 42.2 21.6
ce_drw_sam   | 65.3 60.5 66.2 65.5 | 47.1 56.6 45.8 28.1
ldam_drw_sgd | 67.5 63.0 68.3 67.8 | 49.9 61.1 48.2 28.3
ldam_drw_sam | 70.1 64.1 70.5 71.2 | 53.1 62.0 52.1 34.8
"""

# Rangwani 2022, Table 4: overall, head, mid and tail on CIFAR-10-LT and CIFAR-100-LT.
RANGWANI_TABLE_4 = """
ce_drw_pgd    | 77.2 92.0 75.2 65.0 | 42.2 63.0 41.6 17.0
ce_drw_lpfsgd | 78.5 90.8 77.7 67.2 | 42.9 64.0 43.7 15.8
"""

# Lyu 2025, Table 1: many, medium, few and overall on CIFAR-100-LT and CIFAR-10-LT.
LYU_TABLE_1 = """
ce_sgd      | 74.3 43.1 11.6 44.6 | 92.3 78.6 54.8 77.0
ce_sam      | 75.3 45.6 12.9 46.2 | 93.2 79.8 60.4 79.4
ce_imbsam   | 72.3 50.4 16.6 47.9 | 92.2 79.2 65.8 80.4
ce_ssesam   | 71.7 54.5 17.1 49.3 | 93.0 80.5 72.8 83.2
ldam_sgd    | 74.3 48.4 17.7 48.3 | 90.8 76.0 61.5 77.6
ldam_sam    | 76.3 49.6 19.4 49.9 | 91.2 77.4 62.6 78.5
ldam_imbsam | 72.0 55.4 23.3 51.6 | 89.1 78.9 71.7 80.8
ldam_ssesam | 72.3 54.7 21.5 50.9 | 91.1 81.8 69.7 81.9
la_sgd      | 75.0 45.7 16.2 47.1 | 91.8 80.0 65.4 80.4
la_sam      | 75.2 49.9 21.2 50.2 | 92.3 80.8 73.3 83.1
la_imbsam   | 68.7 54.1 23.5 50.0 | 91.1 80.5 74.0 82.8
la_ssesam   | 68.8 58.7 28.6 53.2 | 92.5 81.1 79.2 85.1
vs_sgd      | 73.5 46.7 19.3 47.8 | 92.0 80.1 65.1 80.4
vs_sam      | 73.0 53.9 24.6 51.8 | 89.9 81.2 81.9 84.9
vs_imbsam   | 68.9 55.2 25.4 51.0 | 90.9 80.0 76.6 83.3
vs_ssesam   | 69.7 57.2 30.5 53.5 | 91.6 82.6 79.0 85.1
"""

# Lyu 2025, Table 2: rho of head and tail; many, medium, few and overall on ImageNet-LT.
LYU_TABLE_2 = """
ce_sgd    | 0    0    | 54.8 43.8 25.7 45.1
ce_sam    | 0.05 0.05 | 54.9 44.8 28.4 46.0
ce_imbsam | 0    0.15 | 54.9 44.6 29.2 46.1
ce_ssesam | 0.05 0.15 | 56.0 46.0 31.2 47.5
"""

# Lyu 2025, Table 3: rho of head and tail; many, medium, few and overall at IF 100 and IF 50.
LYU_TABLE_3 = """
sgd        | 0    0    | 74.3 43.1 11.6 44.6 | 73.6 41.4 15.4 49.9
sam        | 0.05 0.05 | 75.3 45.6 12.9 46.2 | 74.7 43.9 19.1 52.1
imbsam05   | 0    0.05 | 73.0 50.1 15.2 47.6 | 71.4 48.5 23.2 53.3
ssesam0505 | 0.05 0.05 | 73.1 51.3 15.8 48.3 | 73.4 49.7 22.4 54.5
samext     | 0.05 0.10 | 75.2 48.6 14.9 47.8 | 74.4 46.4 21.3 53.4
imbsam     | 0    0.10 | 72.3 50.4 16.6 47.9 | 70.9 50.2 24.1 54.0
ssesam     | 0.05 0.10 | 71.7 54.5 17.1 49.3 | 72.2 51.9 26.1 55.6
"""


def cells(table):
    for line in table.strip().splitlines():
        row, *columns = (cell.strip() for cell in line.split("|"))
        yield row, [tuple(map(float, column.split())) for column in columns]


def in_our_order(many, medium, few, overall):
    return Accuracy(overall, many, medium, few)


def published_by_hand():
    """Yield paper and table, recipe, mean, standard deviation and number of seeds of each cell."""
    for row, (cifar10, cifar100, std10, std100) in cells(RANGWANI_TABLE_1):
        yield ("rangwani2022", "Table 1"), f"resnet32_cifar10lt_{row}", Accuracy(*cifar10), Accuracy(*std10), 3
        yield ("rangwani2022", "Table 1"), f"resnet32_cifar100lt_{row}", Accuracy(*cifar100), Accuracy(*std100), 3
    for row, columns in cells(RANGWANI_TABLE_2):
        for data_set, (overall, head, tail) in zip(("cifar10", "cifar100"), columns, strict=True):
            yield (
                ("rangwani2022", "Table 2"),
                f"resnet32_{data_set}step_{row}",
                Accuracy(overall, head, None, tail),
                None,
                3,
            )
    for row, columns in cells(RANGWANI_TABLE_3):
        for benchmark, mean in zip(("inat18", "imagenetlt"), columns, strict=True):
            yield ("rangwani2022", "Table 3"), f"resnet50_{benchmark}_{row}", Accuracy(*mean), None, None
    for row, columns in cells(RANGWANI_TABLE_4):
        for data_set, mean in zip(("cifar10", "cifar100"), columns, strict=True):
            yield ("rangwani2022", "Table 4"), f"resnet32_{data_set}lt_{row}", Accuracy(*mean), None, 3
    for rho, tail in (("05", 63.0), ("80", 73.0)):
        mean = Accuracy(None, None, None, tail)
        yield ("rangwani2022", "Figure 4"), f"resnet32_cifar10lt_ce_drw_sam{rho}", mean, None, None
    for row, (cifar100, cifar10) in cells(LYU_TABLE_1):
        yield ("lyu2025", "Table 1"), f"resnet34_cifar100lt_{row}", in_our_order(*cifar100), None, 1
        yield ("lyu2025", "Table 1"), f"resnet34_cifar10lt_{row}", in_our_order(*cifar10), None, 1
    for row, (_, imagenet) in cells(LYU_TABLE_2):
        yield ("lyu2025", "Table 2"), f"resnet50_imagenetlt_{row}", in_our_order(*imagenet), None, 1
    for row, (_, if100, if50) in cells(LYU_TABLE_3):
        yield ("lyu2025", "Table 3"), f"resnet34_cifar100lt_ce_{row}", in_our_order(*if100), None, 1
        yield ("lyu2025", "Table 3"), f"resnet34_cifar100lt50_ce_{row}", in_our_order(*if50), None, 1


CELLS = list(published_by_hand())


def test_every_cell_is_a_recipe_with_its_figures():
    def check(cell):
        table, name, mean, std, n = cell
        (figure,) = [figure for figure in RECIPES[name].published if (figure.paper, figure.table) == table]
        assert (figure.mean, figure.std, figure.n) == (mean, std, n)
        methods = {"imbsam": "ImbSAM", "ssesam": "SSE-SAM", "samext": "SAM (ext.)", "lpfsgd": "LPF-SGD"}
        words = [methods.get(word, word.upper()) for word in name.split("_")[2:] if word != "sgd"]
        if table not in (("rangwani2022", "Figure 4"), ("lyu2025", "Table 3")):  # their rows are radii
            assert figure.row == " + ".join(words)

    check_each(CELLS, check)


UNNUMBERED = ("repository", "paper")
"""What `Published.table` says of figures without a table's number."""


def test_no_recipe_has_a_figure_that_no_table_has():
    printed = [(f, name) for name, recipe in RECIPES.items() for f in recipe.published if f.table not in UNNUMBERED]
    found = Counter((f.paper, f.table, name) for f, name in printed)
    assert found == Counter((*table, name) for table, name, *_ in CELLS)
    counts = Counter(table for table, *_ in CELLS)
    assert counts == {
        ("rangwani2022", "Table 1"): 16,
        ("rangwani2022", "Table 2"): 16,
        ("rangwani2022", "Table 3"): 10,
        ("rangwani2022", "Table 4"): 4,
        ("rangwani2022", "Figure 4"): 2,
        ("lyu2025", "Table 1"): 32,
        ("lyu2025", "Table 2"): 4,
        ("lyu2025", "Table 3"): 14,
    }


def test_the_radii_of_figure_4_of_rangwani2022_are_there():
    for suffix, rho in (("sam05", 0.05), ("sam10", 0.1), ("sam20", 0.2), ("sam", 0.5), ("sam80", 0.8)):
        assert RECIPES[f"resnet32_cifar10lt_ce_drw_{suffix}"].perturbation.rho == rho


def first_radii(name):
    radii = RECIPES[name].perturbation.radii(0, 200)
    rho = radii.get("rho", 0.0)
    return radii.get("rho_head", rho), radii.get("rho_tail", rho)


@pytest.mark.parametrize(("row", "columns"), list(cells(LYU_TABLE_3)), ids=str)
def test_the_radii_of_table_3_of_lyu2025_are_those_of_its_rows(row, columns):
    for benchmark in ("cifar100lt", "cifar100lt50"):
        assert first_radii(f"resnet34_{benchmark}_ce_{row}") == columns[0]


@pytest.mark.parametrize(("row", "columns"), list(cells(LYU_TABLE_2)), ids=str)
def test_the_radii_of_table_2_of_lyu2025_are_those_of_its_rows(row, columns):
    assert first_radii(f"resnet50_imagenetlt_{row}") == columns[0]


# Table; groups of the classes; training images, None where they are in files.
GROUPS = {
    ("rangwani2022", "Table 1", "cifar10lt"): ([3, 4, 3], 12_406),
    ("rangwani2022", "Table 1", "cifar100lt"): ([36, 35, 29], 10_847),
    ("rangwani2022", "Table 2", "cifar10step"): ([5, 5], 5 * 5000 + 5 * 50),
    ("rangwani2022", "Table 2", "cifar100step"): ([50, 50], 50 * 500 + 50 * 5),
    ("rangwani2022", "Table 3", "inat18"): ([842, 3701, 3599], None),
    ("rangwani2022", "Table 3", "imagenetlt"): ([390, 445, 165], None),
    ("rangwani2022", "Table 4", "cifar10lt"): ([3, 4, 3], 12_406),
    ("rangwani2022", "Table 4", "cifar100lt"): ([36, 35, 29], 10_847),
    ("rangwani2022", "Figure 4", "cifar10lt"): ([3, 4, 3], 12_406),
    ("lyu2025", "Table 1", "cifar10lt"): ([4, 3, 3], 12_406),
    ("lyu2025", "Table 1", "cifar100lt"): ([35, 35, 30], 10_847),
    ("lyu2025", "Table 2", "imagenetlt"): ([390, 445, 165], None),
    ("lyu2025", "Table 3", "cifar100lt"): ([35, 35, 30], 10_847),
    ("lyu2025", "Table 3", "cifar100lt50"): ([41, 41, 18], sum(exponential_counts(100, 500, 50))),
}


def opened(recipe):
    """The recipe's benchmark; of one in files, with made-up class counts."""
    if not recipe.natural:
        return recipe.data
    found = NATURAL_BENCHMARKS[recipe.benchmark]
    names = [str(j) for j in range(found.num_classes)]
    return found.with_counts(
        range(found.num_classes, 0, -1), names, ModelInput(224, (0.5,) * 3, (0.5,) * 3, 0.875, "bilinear")
    )


def test_every_table_has_its_groups_and_its_images():
    seen = set()
    for (paper, table), name, mean, *_ in CELLS:
        recipe = RECIPES[name]
        data = opened(recipe)
        groups = make_groups(recipe.groups, data).classes
        found = [len(classes) for classes in groups.values()]
        images = None if recipe.natural else sum(data.class_counts)
        assert (found, images) == GROUPS[paper, table, recipe.benchmark], name
        assert len(groups) == (2 if (paper, table) == ("rangwani2022", "Table 2") else 3)
        assert (mean.mid is None) == (len(groups) == 2 or table == "Figure 4")
        seen.add((paper, table, recipe.benchmark))
    assert seen == set(GROUPS)


def test_a_published_cell_follows_its_papers_protocol_and_rule():
    def check(name):
        recipe = RECIPES[name]
        papers = {figure.paper for figure in recipe.published}
        protocol, rule = recipe.protocol, recipe.paper_rule
        if protocol == "rangwani2022_large":  # Lyu 2025 has no protocol of its own there
            assert recipe.source.paper == "rangwani2022"
            assert (rule.interval, rule.flip) == (1, False)
            return
        assert papers == {recipe.source.paper}
        assert protocol == {"rangwani2022": "rangwani2022_cifar", "lyu2025": "lyu2025_cifar"}[recipe.source.paper]
        assert (rule.interval, rule.flip) == {"rangwani2022": (1, False), "lyu2025": (10, True)}[recipe.source.paper]

    check_each(sorted({name for _, name, *_ in CELLS}), check)


def test_ce_on_imagenet_lt_is_a_row_of_both_papers():
    assert [(f.paper, f.mean.overall) for f in RECIPES["resnet50_imagenetlt_ce_sgd"].published] == [
        ("rangwani2022", 42.7),
        ("lyu2025", 45.1),
    ]


# What the repositories of methods print: overall, many, medium and few, or overall alone.
REPOSITORIES = """
cui2021   | resnet32_cifar100lt_paco_sgd      | 52.0
cui2021   | resnet50_imagenetlt_paco_sgd      | 57.0
cui2021   | resnet50_inat18_paco_sgd          | 73.2
du2023    | resnet32wide_cifar10lt_glmc_sgd   | 88.5
du2023    | resnet32wide_cifar10lt50_glmc_sgd | 91.04
du2023    | resnet32wide_cifar10lt10_glmc_sgd | 94.87
du2023    | resnet32wide_cifar100lt_glmc_sgd  | 57.97
du2023    | resnet32wide_cifar100lt50_glmc_sgd | 63.78
du2023    | resnet32wide_cifar100lt10_glmc_sgd | 73.4
du2023    | resnext50_imagenetlt_glmc_sgd     | 56.3 70.1 52.4 30.4
du2023    | resnext50_inat18_glmc_sgd         | 72.21 64.6 73.16 73.01
du2024    | resnet32_cifar10lt_proco_sgd      | 85.9
du2024    | resnet32_cifar10lt50_proco_sgd    | 88.2
du2024    | resnet32_cifar10lt10_proco_sgd    | 91.9
du2024    | resnet32_cifar100lt_proco_sgd     | 52.8
du2024    | resnet32_cifar100lt50_proco_sgd   | 57.1
du2024    | resnet32_cifar100lt10_proco_sgd   | 65.5
du2024    | resnet50_imagenetlt_proco_sgd     | 57.3
du2024    | resnet50_inat18_proco_sgd         | 73.5
wang2021  | resnet32_cifar100lt_ride_sgd      | 48.6 67.0 49.9 25.7
wang2021  | resnet50_inat18_ride_sgd          | 71.2 70.2 71.2 71.6
zhang2022 | resnet32_cifar100lt_sade_sgd      | 49.8
zhang2022 | resnet50_inat18_sade_sgd          | 72.9
kang2020  | resnet50_inat18_lws_sgd           | 65.9 65.0 66.3 65.5
zhang2021 | resnet50_imagenetlt_disalign_sgd  | 52.9 61.3 52.2 31.4
zhang2021 | resnet50_inat18_disalign_sgd      | 69.5 61.6 70.8 69.9
zhong2021 | resnet32_cifar10lt_ce_mixup_sgd   | 72.8
zhong2021 | resnet32_cifar100lt_ce_mixup_sgd  | 39.5
zhong2021 | resnet50_imagenetlt_ce_mixup_sgd  | 45.5
zhong2021 | resnet50_inat18_ce_mixup_sgd      | 66.9
zhong2021 | resnet32_cifar10lt_mislas_sgd     | 82.5
zhong2021 | resnet32_cifar100lt_mislas_sgd    | 47.0
zhong2021 | resnet50_imagenetlt_mislas_sgd    | 52.7 61.7 51.3 35.8
zhong2021 | resnet50_inat18_mislas_sgd        | 71.6 73.2 72.4 70.4
"""


def test_figures_of_repositories():
    expected = {}
    for line in REPOSITORIES.strip().splitlines():
        paper, name, figures = (cell.strip() for cell in line.split("|"))
        mean = [float(value) for value in figures.split()]
        expected[name] = (paper, Accuracy(*mean) if len(mean) == 4 else Accuracy(*mean, None, None, None))
    found = {
        name: (f.paper, f.mean) for name, recipe in RECIPES.items() for f in recipe.published if f.table == "repository"
    }
    assert found == expected
    assert all(paper in RECIPES[name].source.cites for name, (paper, _) in expected.items())


def test_figures_of_bcl_and_dro_lt_are_the_papers_since_their_repositories_have_none_of_the_network():
    found = {(name, f.paper): f.mean for name, each in RECIPES.items() for f in each.published if f.table == "paper"}
    overall = {"cifar100lt50": 56.6, "cifar100lt10": 64.9, "imagenetlt": 56.0, "inat18": 71.8}
    networks = {benchmark: "resnet32" if "cifar" in benchmark else "resnet50" for benchmark in overall}
    assert found.pop(("resnet32_cifar100lt_drolt_sgd", "samuel2021")) == Accuracy(47.3, None, None, None)
    assert found == {("resnet32_cifar100lt_bcl_sgd", "zhu2022"): Accuracy(51.9, 67.2, 53.1, 32.9)} | {
        (f"{networks[benchmark]}_{benchmark}_bcl_sgd", "zhu2022"): Accuracy(mean, None, None, None)
        for benchmark, mean in overall.items()
    }
