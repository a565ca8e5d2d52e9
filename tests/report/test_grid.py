"""The tables of losses by perturbations."""

import re

from ltzoo.registry import get_recipe, list_recipes
from ltzoo.report import grid_tables, group_by_model
from tests.report.results import result

RECIPES = [get_recipe(name) for name in list_recipes()]


def cells(text: str, benchmark: str, loss: str) -> list[str]:
    """The row of a loss in the table of a benchmark."""
    table = text.split(f"`resnet9_{benchmark}`:")[1].split("`resnet9_")[0]
    (row,) = re.findall(rf"^\| `{loss}` \|(.*)\|$", table, re.M)
    return [cell.strip() for cell in row.split("|")]


def test_each_loss_has_a_row_and_each_perturbation_a_column():
    found = [
        result("resnet9_cifar100lt_vs_sam", accuracy=40.0),
        result("resnet9_cifar100lt_vs_sam", seed=1, accuracy=42.0),
        result("resnet9_cifar100lt_crt_sgd", accuracy=99.0),
        result("resnet20_digitslt_vs_sam", accuracy=99.0),
        result("resnet9_cifar100lt_vs_long_sgd", accuracy=43.0),
        result("resnet9_cifar10lt_ce_drw_ssesam", accuracy=70.0),
    ]
    text = grid_tables(RECIPES, group_by_model(found), ("fast_cifar", "fast_cifar_long"))
    titles = ("loss", "`sgd`, 3 x 27", "`sam`, 6 x 27", "`imbsam`, 8 x 27", "`ssesam`, 10 x 27", "`sgd`, 3 x 91")
    assert text.count(f"| {' | '.join(titles)} |") == 2
    assert cells(text, "cifar100lt", "vs") == [
        *("", "41.0 ± 1.4 (41.0 / 41.0 / 41.0), n = 2", "", ""),
        "43.0 (43.0 / 43.0 / 43.0), n = 1",
    ]
    assert cells(text, "cifar10lt", "ce_drw") == ["", "", "", "70.0 (70.0 / 70.0 / 70.0), n = 1", ""]
    assert text.count("n = ") == 3
    assert len(re.findall(r"^\| `(ce|ce_drw|ldam_drw|la|vs)` ", text, re.M)) == 10
    assert "99.0" not in text and "crt" not in text
