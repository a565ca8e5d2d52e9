"""The shipped recipes against the papers: names, figures, radii, constants, and what is marked as ours."""

from dataclasses import replace

import pytest

from ltzoo.data import GROUP_RULES
from ltzoo.losses import CE, DRW, LA, LDAM, VS, NoReweighting
from ltzoo.recipes import CITATIONS, Accuracy, compose, shipped_recipes
from ltzoo.recipes.protocols import DIGITS
from ltzoo.sharpness import SAM, SSESAM, ImbSAM, NoPerturbation

RECIPES = {recipe.name: recipe for recipe in shipped_recipes()}
A_RECIPES = {name: recipe for name, recipe in RECIPES.items() if recipe.protocol == "A-CIFAR"}

# Paper A, Table 1: overall, head, mid and tail on CIFAR-10-LT and CIFAR-100-LT, then the standard deviations of both.
TABLE_1 = """
ce_sgd       | 71.7 90.8 71.9 52.3 | 38.5 64.5 36.8  8.2 | 0.1 3.6 0.4 3.7  | 0.5 0.7 1.0 1.0
ce_sam       | 73.1 93.3 74.1 51.7 | 39.6 66.5 38.1  8.0 | 0.3 0.2 0.6 1.0  | 0.6 0.7 1.1 0.6
ce_drw_sgd   | 75.5 91.6 74.1 61.4 | 41.0 61.3 41.7 14.7 | 0.2 0.4 0.4 0.9  | 0.6 1.3 0.5 0.9
ce_drw_sam   | 80.6 91.4 78.0 73.1 | 44.6 61.2 47.5 20.7 | 0.4 0.3 0.4 0.9  | 0.4 0.8 0.6 0.6
ldam_drw_sgd | 77.5 91.1 75.7 66.4 | 42.7 61.8 42.2 19.4 | 0.5 0.8 0.7 0.2  | 0.3 0.6 1.5 0.9
ldam_drw_sam | 81.9 91.0 79.2 76.4 | 45.4 64.4 46.2 20.8 | 0.4 0.2 0.5 1.1  | 0.1 0.3 0.2 0.3
vs_sgd       | 78.6 90.6 75.8 70.3 | 41.7 54.4 41.1 26.8 | 0.3 0.4 0.5 0.5  | 0.5 0.2 0.6 1.0
vs_sam       | 82.4 90.7 79.6 78.0 | 46.6 56.4 48.8 31.7 | 0.4 0.0 0.5 0.12 | 0.4 0.4 0.6 0.1
"""


def table_1():
    for line in TABLE_1.strip().splitlines():
        row, *cells = (cell.strip() for cell in line.split("|"))
        numbers = [Accuracy(*map(float, cell.split())) for cell in cells]
        yield f"resnet32_cifar10lt_{row}", (numbers[0], numbers[2])
        yield f"resnet32_cifar100lt_{row}", (numbers[1], numbers[3])


def test_sixty_four_recipes_are_shipped_under_the_names_their_parts_give():
    perturbations = ["sgd", "sam", "imbsam", "ssesam"]
    losses = ["ce", "ce_drw", "ldam", "ldam_drw", "la", "vs"]
    expected = {
        f"resnet32_{data}_{loss}_{method}"
        for data in ("cifar10lt", "cifar100lt")
        for loss in losses
        for method in perturbations
    } | {f"resnet20_digitslt_{loss}_{method}" for loss in ("ce", "ldam", "la", "vs") for method in perturbations}
    assert len(list(shipped_recipes())) == 64
    assert set(RECIPES) == expected


def test_the_figures_of_paper_as_table_1_stand_at_their_recipes_and_nowhere_else():
    expected = dict(table_1())
    assert len(expected) == 16
    found = {name: recipe.published for name, recipe in RECIPES.items() if recipe.published}
    assert set(found) == set(expected)
    for name, (mean, std) in expected.items():
        (figure,) = found[name]
        assert (figure.paper, figure.table, figure.n) == ("A", "Table 1", 3)
        assert (figure.mean, figure.std) == (mean, std), name
        words = [word.upper() for word in name.split("_")[2:] if word != "sgd"]
        assert figure.row == " + ".join(words)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipes_fields_are_what_its_name_says(name):
    recipe = RECIPES[name]
    architecture, benchmark, loss, *rest = name.split("_")
    methods = {"sgd": NoPerturbation, "sam": SAM, "imbsam": ImbSAM, "ssesam": SSESAM}
    assert recipe.architecture == f"{architecture}_cifar"
    assert recipe.benchmark == benchmark
    assert type(recipe.loss) is {"ce": CE, "ldam": LDAM, "la": LA, "vs": VS}[loss]
    assert type(recipe.perturbation) is methods[rest[-1]]
    assert type(recipe.reweighting) is (DRW if "drw" in rest else NoReweighting)
    assert recipe.classifier == ("cosine" if loss == "ldam" else "linear")
    assert recipe.batchnorm == "clean"
    assert recipe.precision == "float32"
    assert recipe.groups in GROUP_RULES


@pytest.mark.parametrize(
    ("benchmark", "radii"),
    [
        ("cifar10lt", {"ce": 0.1, "ce_drw": 0.5, "ldam_drw": 0.8, "vs": 0.8}),
        ("cifar100lt", {"ce": 0.2, "ce_drw": 0.8, "ldam_drw": 0.8, "vs": 0.8}),
    ],
)
def test_sam_has_the_papers_radii(benchmark, radii):
    for loss, rho in radii.items():
        assert RECIPES[f"resnet32_{benchmark}_{loss}_sam"].perturbation == SAM(rho=rho), loss


@pytest.mark.parametrize(("benchmark", "eta"), [("cifar10lt", 200), ("cifar100lt", 100)])
def test_the_tail_partition_is_paper_bs(benchmark, eta):
    rho = RECIPES[f"resnet32_{benchmark}_ce_sam"].perturbation.rho
    found = RECIPES[f"resnet32_{benchmark}_ce_imbsam"].perturbation
    assert found == ImbSAM(rho=rho, eta=eta)
    found = RECIPES[f"resnet32_{benchmark}_ce_ssesam"].perturbation
    assert found == SSESAM(rho_head=rho, rho_tail=rho, gamma=0.7, eta=eta)
    tail = sum(n < eta for n in RECIPES[f"resnet32_{benchmark}_ce_ssesam"].data.class_counts)
    assert tail == {"cifar10lt": 3, "cifar100lt": 65}[benchmark]


@pytest.mark.parametrize("name", A_RECIPES)
def test_paper_as_protocol_is_the_papers(name):
    recipe = A_RECIPES[name]
    optimizer, schedule = recipe.optimizer, recipe.schedule
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay, optimizer.nesterov) == (0.1, 0.9, 2e-4, False)
    assert (schedule.epochs, schedule.warmup_epochs) == (200, 5)
    assert (recipe.batch_size, recipe.subset, recipe.groups) == (128, "cao", "mislas")
    assert (recipe.augmentation.crop_padding, recipe.augmentation.horizontal_flip) == (4, True)
    if "drw" in name:
        assert recipe.reweighting == DRW(start=160, beta=0.9999)
    constants = {
        ("cifar10lt", "vs"): VS(gamma=0.15, tau=1.25),
        ("cifar100lt", "vs"): VS(gamma=0.05, tau=0.75),
        "ldam": LDAM(max_margin=0.5, scale=30),
        "la": LA(tau=0.75),
        "ce": CE(),
    }
    loss = recipe.loss.name
    assert recipe.loss == constants.get(loss, constants.get((recipe.benchmark, loss)))


@pytest.mark.parametrize(
    ("suffix", "ours"),
    [
        ("ce_sgd", ()),
        ("ce_sam", ("batchnorm",)),
        ("ce_drw_sam", ("batchnorm",)),
        ("ldam_drw_sam", ("batchnorm",)),
        ("ldam_sgd", ()),
        ("ldam_sam", ("perturbation.rho", "batchnorm")),
        ("la_sgd", ("loss",)),
        ("la_sam", ("loss", "perturbation.rho", "batchnorm")),
        ("vs_sgd", ("loss.gamma", "loss.tau")),
        ("vs_sam", ("loss.gamma", "loss.tau", "batchnorm")),
        ("ce_drw_imbsam", ("perturbation.rho", "perturbation.eta", "batchnorm")),
        (
            "ldam_drw_ssesam",
            ("perturbation.rho_head", "perturbation.rho_tail", "perturbation.gamma", "perturbation.eta", "batchnorm"),
        ),
        ("vs_imbsam", ("loss.gamma", "loss.tau", "perturbation.rho", "perturbation.eta", "batchnorm")),
    ],
)
def test_what_no_paper_gives_is_marked_as_ours(suffix, ours):
    for benchmark in ("cifar10lt", "cifar100lt"):
        source = RECIPES[f"resnet32_{benchmark}_{suffix}"].source
        assert source.paper == "A"
        assert source.ours == ours


def test_a_published_recipe_marks_nothing_but_batchnorm_and_the_constants_of_vs():
    marks = {
        field
        for name, recipe in RECIPES.items()
        if recipe.published and "_vs_" not in name
        for field in recipe.source.ours
    }
    assert marks == {"batchnorm"}


def test_the_digits_are_our_own():
    sources = [recipe.source for recipe in RECIPES.values() if recipe.benchmark == "digitslt"]
    assert len(sources) == 16
    assert {(source.paper, source.ours) for source in sources} == {("ltzoo", ())}


@pytest.mark.parametrize(
    ("name", "cites"),
    [
        ("resnet32_cifar100lt_ce_sgd", {"rangwani2022"}),
        ("resnet32_cifar100lt_ldam_drw_ssesam", {"rangwani2022", "cao2019", "lyu2025"}),
        ("resnet32_cifar10lt_vs_imbsam", {"rangwani2022", "kini2021", "zhou2023", "lyu2025"}),
        ("resnet20_digitslt_la_sam", {"menon2021", "foret2021"}),
    ],
)
def test_recipes_cite_what_they_rest_on(name, cites):
    assert set(RECIPES[name].source.cites) == cites
    assert len(RECIPES[name].source.cites) == len(cites)
    assert all(CITATIONS[key].startswith("@inproceedings{" + key[:4]) for key in cites)


def test_a_rule_that_the_protocol_lacks_is_refused():
    with pytest.raises(ValueError, match="the protocol digits has no drw"):
        compose("resnet20", "digitslt", "ce", "drw", "sgd", replace(DIGITS, sam_rho={"digits": {"ce_drw": 0.05}}))
