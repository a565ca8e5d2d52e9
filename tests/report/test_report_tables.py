"""Means over seeds, the papers' tables, tables and CSV by benchmark, the page's document."""

import csv
import io
import json
from dataclasses import replace

import pytest

from ltzoo.errors import InputError
from ltzoo.registry import get_recipe, list_recipes
from ltzoo.report import (
    benchmark_table,
    count_text,
    csv_text,
    group_by_benchmark,
    group_by_model,
    leaderboard_data,
    leaderboard_page,
    measured_text,
    paper_tables,
    table_text,
)
from ltzoo.report.paper_tables import difference
from tests.report.results import entry, result

CE = "resnet32_cifar100lt_ce_sgd"
RECIPES = [get_recipe(name) for name in list_recipes()]


def of_one_model(*results):
    (found,) = group_by_model(results).values()
    return found


def test_means_and_sample_deviations_are_those_of_the_seeds():
    found = of_one_model(
        result(seed=2, accuracy=50.0, best=60.0), result(seed=0, accuracy=53.0), result(seed=1, accuracy=50.0)
    )
    assert [run.seed for run in found.results] == [0, 1, 2]
    last = found.spreads()
    assert last["overall"].mean == pytest.approx(51.0)
    assert last["overall"].std == pytest.approx(3**0.5)
    assert str(last["tail"]) == "51.0 ± 1.7"
    best = found.spreads("best")["overall"]
    assert (best.mean, best.std) == (60.0, None)
    assert found.spreads("paper") == {}
    assert found.minutes == 2.0


def test_groups_are_the_recipes_own_unless_named():
    per_class = [90.0] * 3 + [60.0] * 4 + [30.0] * 3
    found = of_one_model(result(accuracy=per_class))
    assert [found.spreads()[group].mean for group in ("head", "mid", "tail")] == [90.0, 60.0, 30.0]
    assert found.spreads(groups="thirds")["head"].mean == pytest.approx((3 * 90 + 60) / 4)


@pytest.mark.parametrize(
    ("name", "column", "measured", "points", "outside"),
    [
        (CE, "overall", 39.5, 1.0, False),  # two standard deviations of 0.5
        (CE, "overall", 39.6, 1.1, True),
        (CE, "tail", 6.2, -2.0, False),
        (CE, "tail", 6.1, -2.1, True),
        ("resnet34_cifar100lt_ce_sgd", "overall", 46.1, 1.5, False),  # no deviation was printed: 1.5 points
        ("resnet34_cifar100lt_ce_sgd", "overall", 43.0, -1.6, True),
    ],
)
def test_what_is_outside(name, column, measured, points, outside):
    recipe = get_recipe(name)
    spreads = of_one_model(result(name, accuracy=measured)).spreads()
    found = difference(column, spreads[column], recipe.published[0])
    assert found.points == pytest.approx(points)
    assert found.outside is outside


def test_what_a_paper_did_not_print_has_no_difference():
    recipe = get_recipe("resnet32_cifar10lt_ce_drw_sam05")
    spreads = of_one_model(result(recipe.name, accuracy=50.0)).spreads()
    assert difference("overall", spreads["overall"], recipe.published[0]) is None


def test_every_published_cell_is_a_row_once():
    tables = paper_tables(RECIPES, {})
    assert sum(len(table.rows) for table in tables) == sum(len(recipe.published) for recipe in RECIPES) == 138
    assert {(table.paper, table.table) for table in tables} == {
        *(("rangwani2022", name) for name in ("Figure 4", "Table 1", "Table 2", "Table 3", "Table 4")),
        *(("lyu2025", name) for name in ("Table 1", "Table 2", "Table 3")),
        *((paper, "repository") for paper in ("kang2020", "zhang2021", "zhong2021")),
        *((paper, "repository") for paper in ("cui2021", "du2023", "du2024", "wang2021", "zhang2022")),
        *((paper, "paper") for paper in ("samuel2021", "zhu2022")),
    }


def row_of(text, name):
    (line,) = [line for line in text.splitlines() if f"| `{name}` |" in line]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_shows_published_ours_difference_and_the_papers_rule():
    found = group_by_model(
        [result(CE, seed=0, accuracy=38.0, paper=39.0), result(CE, seed=1, accuracy=40.0, paper=39.0)]
    )
    (table,) = [t for t in paper_tables(RECIPES, found) if t.title == "rangwani2022, Table 1: cifar100lt"]
    text = table_text(table, found, {CE: "trained in bfloat16"})
    cells = row_of(text, CE)
    assert cells[0] == "CE"
    assert cells[2] == "38.5 / 64.5 / 36.8 / 8.2"
    assert cells[3] == "39.0 ± 1.4 / 39.0 ± 1.4 / 39.0 ± 1.4 / 39.0 ± 1.4"
    assert cells[4] == "+0.5 / **-25.5** / **+2.2** / **+30.8**"
    assert cells[5] == "39.0 ± 0.0 / 39.0 ± 0.0 / 39.0 ± 0.0 / 39.0 ± 0.0"
    assert cells[6] == "2"
    assert cells[7] == "float32"
    assert cells[8:] == ["3 x 200", "2.0"]
    assert row_of(text, "resnet32_cifar100lt_vs_sam")[3:] == ["", "", "", "", "", "6 x 200", ""]
    assert f"- `{CE}`: trained in bfloat16" in text


def test_cells_are_counted_and_what_they_cost():
    drw = "resnet32_cifar100lt_ce_drw_sam"
    found = group_by_model([result(CE, accuracy=38.5), result(drw, accuracy=50.0)])
    lines = [line for line in count_text(paper_tables(RECIPES, found)).splitlines() if "rangwani2022, Table 1" in line]
    # One run of SGD took 2 minutes: 4 cells of SGD and 4 of SAM, which needs twice the passes, three seeds each, and
    # the same on CIFAR-10-LT, which has 12,406 images instead of 10,847.
    assert lines == [f"| rangwani2022, Table 1 | 16 | 2 | 1 | 2 (`{CE}`, float32, a machine); 154 by passes |"]


def test_the_minutes_of_one_network_are_not_those_of_another():
    found = group_by_model([result("resnet32_cifar100lt_paco_sgd", accuracy=50.0)])
    lines = [
        line for line in count_text(paper_tables(RECIPES, found)).splitlines() if "resnet32_cifar100lt_paco" in line
    ]
    assert lines and all(line.endswith("| 2 (`resnet32_cifar100lt_paco_sgd`, float32, a machine) |") for line in lines)


def test_a_row_without_overall_accuracy_is_judged_by_what_was_printed():
    found = group_by_model([result("resnet32_cifar10lt_ce_drw_sam05", accuracy=64.0)])
    (line,) = [
        line for line in count_text(paper_tables(RECIPES, found)).splitlines() if "rangwani2022, Figure 4" in line
    ]
    assert line.startswith("| rangwani2022, Figure 4 | 2 | 1 | 1 |")


def test_how_many_cells_are_trained_is_said():
    none = "There are recipes for 138 published results, of which none have"
    assert measured_text(paper_tables(RECIPES, {})).startswith(none)
    found = group_by_model([result(CE)])
    assert "of which 1 has been trained" in measured_text(paper_tables(RECIPES, found))


def test_runs_on_different_images_have_no_mean():
    with pytest.raises(InputError, match=r"trained on different images \(.*seed0.json, .*seed1.json: subset_sha256"):
        group_by_model([result(), replace(result(seed=1), subset_sha256="another")])


def test_a_benchmarks_table_is_sorted_and_shows_claims():
    found = group_by_model(
        [result(accuracy=50.0), result("resnet20_digitslt_la_sgd", accuracy=60.0), entry(accuracy=55.0)]
    )
    assert list(group_by_benchmark(found)) == ["digitslt"]
    lines = benchmark_table(group_by_benchmark(found)["digitslt"], found).splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == [
        "resnet20_digitslt_la_sgd",
        "timm:resnet20_cifar",
        "resnet20_digitslt_ce_sgd",
    ]
    assert "(external)" in lines[1]
    assert "[52.8](https://example.org/paper)" in lines[1]
    assert "| 3 x 40 | 2.0 |" in lines[0]


def test_a_model_from_elsewhere_stands_once_for_each_benchmark():
    found = group_by_model([entry(), entry(benchmark="cifar10lt", accuracy=30.0)])
    assert [members[0].results[0].benchmark for members in group_by_benchmark(found).values()] == [
        "cifar10lt",
        "digitslt",
    ]


def test_csv_has_timms_columns_first():
    found = group_by_model([result(CE, accuracy=38.0), result(CE, seed=1, accuracy=40.0), entry("a, b", "cifar100lt")])
    rows = list(csv.DictReader(io.StringIO(csv_text(group_by_benchmark(found)["cifar100lt"]))))
    assert list(rows[0])[:7] == ["model", "img_size", "top1", "top1_err", "top5", "top5_err", "param_count"]
    assert [row["model"] for row in rows] == ["a, b", CE]
    assert (rows[0]["top1"], rows[0]["published_top1"], rows[0]["param_count"]) == ("40.000", "52.800", "")
    assert (rows[1]["top1"], rows[1]["top1_std"], rows[1]["n"]) == ("39.000", "1.414", "2")
    assert (rows[1]["img_size"], rows[1]["param_count"], rows[1]["published_top1"]) == ("32", "0.470", "38.500")
    assert [rows[1][key] for key in ("first_stage", "passes", "epochs", "minutes")] == ["", "3.000", "200", "2.000"]


def test_the_image_size_of_an_enlarged_benchmark_is_that_of_the_model():
    found = group_by_model([result("efficientnetlite0_cifar100lt_full_la_sgd")])
    (row,) = csv.DictReader(io.StringIO(csv_text(group_by_benchmark(found)["cifar100lt"])))
    assert row["img_size"] == "128"


def test_the_page_gets_runs_and_what_nobody_has_measured_yet():
    found = group_by_model([result(CE, accuracy=38.123, weights="hub/zoo", paper=40.0), entry()])
    document = leaderboard_data(RECIPES, found, {CE: "a note"})
    rows = {row["model"]: row for row in document["rows"]}
    published = [recipe.name for recipe in RECIPES if recipe.published]
    unopened = {name for name in published if "_imagenetlt_" in name or "_inat18_" in name}
    assert len(unopened) == 30  # nobody knows their class counts yet
    assert set(rows) == {*published, "timm:resnet20_cifar"} - unopened
    assert rows[CE]["load"] == f'ltzoo.create_model("{CE}", pretrained=True)'
    assert rows[CE]["note"] == "a note"
    (run,) = rows[CE]["runs"]
    assert run["figures"]["last"]["overall"] == 38.123
    assert run["kept"]
    assert (run["figures"]["last"]["epoch"], run["figures"]["paper"]["epoch"], run["figures"]["best"]) == (
        200,
        10,
        None,
    )
    assert run["curve"]["epoch"] == [1, 2]
    assert run["minutes"] == 2.0
    unmeasured = rows["resnet34_cifar100lt_vs_ssesam"]
    assert (unmeasured["runs"], unmeasured["load"], unmeasured["groups"]) == ([], None, "count")
    assert unmeasured["published"][0]["overall"] == 53.5
    assert unmeasured["published"][0]["limit"] == 1.5
    assert rows[CE]["published"][0]["limit"] == 1.0  # two standard deviations
    assert rows["timm:resnet20_cifar"]["claimed"] == {"overall": 52.8, "source": "https://example.org/paper"}
    assert {row["benchmark"] for row in document["rows"]} == set(document["benchmarks"])
    page = leaderboard_page(document)
    assert page == leaderboard_page(json.loads(json.dumps(document)))
