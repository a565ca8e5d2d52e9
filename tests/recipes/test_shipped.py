"""The shipped recipes against their names, the protocols, and what is marked as ours."""

import math
from collections import Counter
from dataclasses import replace

import pytest

from ltzoo.data import GROUP_RULES
from ltzoo.losses import (
    BCL,
    CE,
    DRW,
    GLMC,
    LA,
    LDAM,
    RIDE,
    SADE,
    VS,
    BalancedSoftmax,
    ClassBalanced,
    Focal,
    InfluenceBalanced,
    LogitLDAM,
    NoReweighting,
    PaCo,
    ProCo,
)
from ltzoo.recipes import CITATIONS, PROTOCOLS, FirstStage, LinearHead, Optimizer, Schedule, compose, shipped_recipes
from ltzoo.recipes.protocols import DIGITS, LYU2025_CIFAR, RANGWANI2022_CIFAR
from ltzoo.sharpness import (
    ASAM,
    CCSAM,
    GNM,
    GSAM,
    LPFSGD,
    PGD,
    SAM,
    SSESAM,
    Cosine,
    FocalSAM,
    ImbSAM,
    NoPerturbation,
    SAMExt,
)
from tests.each import check_each

RECIPES = {recipe.name: recipe for recipe in shipped_recipes()}
RANGWANI = {name: recipe for name, recipe in RECIPES.items() if recipe.protocol == "rangwani2022_cifar"}
LYU = {name: recipe for name, recipe in RECIPES.items() if recipe.protocol == "lyu2025_cifar"}
LARGE = ("wang2021", "zhang2022", "cui2021", "zhu2022", "du2024")
LONG_TAILED = [f"cifar{classes}lt{factor}" for classes in (10, 100) for factor in ("", 10, 50, 200)]


def test_names_are_the_product_of_their_parts():
    four = ["sgd", "sam", "imbsam", "ssesam"]
    six_losses = ["ce", "ce_drw", "ldam", "ldam_drw", "la", "vs"]
    expected = {f"resnet32_{data}_{loss}_{method}" for data in LONG_TAILED for loss in six_losses for method in four}
    for data_set in ("cifar10", "cifar100"):
        for method in four:
            expected |= {f"resnet32_{data_set}step_{loss}_{method}" for loss in ("ce", "ce_drw", "ldam_drw", "vs")}
            expected |= {f"resnet32_{data_set}lt_{loss}_{method}" for loss in ("focal", "bs", "ce_cb")}
        expected |= {f"resnet32_{data_set}lt_ce_drw_{method}" for method in ("pgd", "lpfsgd")}
    expected |= {f"resnet32_cifar10lt_ce_drw_sam{radius}" for radius in ("05", "10", "20", "80")}
    plain = ["ce", "ldam", "la", "vs"]
    five = ["sgd", "sam", "imbsam", "samext", "ssesam"]
    expected |= {f"resnet34_{data}_{loss}_{method}" for data in LONG_TAILED for loss in plain for method in five}
    expected |= {
        f"resnet34_{data}_ce_{method}"
        for data in ("cifar100lt", "cifar100lt50")
        for method in ("imbsam05", "ssesam0505")
    }
    fast = ("ce", "ce_drw", "ldam_drw", "la", "vs")
    expected |= {f"resnet9_cifar{n}lt_{loss}_{method}" for n in (10, 100) for loss in fast for method in four}
    expected |= {f"resnet20_digitslt_{loss}_{method}" for loss in [*plain, "ce_drw"] for method in [*four, "focalsam"]}
    variants = ("ccsam", "gnm", "asam", "gsam")
    expected |= {f"resnet20_digitslt_{loss}_{method}" for loss in ("ce", "la") for method in variants}
    two_stage = ("crt", "lws", "taunorm", "ncm", "disalign", "bsrt")
    expected |= {f"resnet9_cifar{n}lt_{stage}_{method}" for n in (10, 100) for stage in two_stage for method in four}
    expected |= {
        f"resnet9_cifar{n}lt_{stage}_{method}"
        for n in (10, 100)
        for stage in ("ce_mixup", "mislas")
        for method in ("sgd", "sam", "ssesam")
    }
    expected |= {f"resnet9_cifar{n}lt_la_cutmix_sgd" for n in (10, 100)}
    expected |= {f"resnet9_cifar{n}lt_{loss}_long_sgd" for n in (10, 100) for loss in ("ce", "la", "vs")}
    networks = ("resnet20_digitslt", "resnet32_cifar10lt", "resnet32_cifar100lt")
    networks = (*networks, "resnet50_imagenetlt", "resnet50_imagefolder")
    expected |= {f"resnet50_inat18_{stage}_sgd" for stage in (*two_stage, "ce_mixup", "mislas")}
    expected |= {
        f"{network}_{stage}_{method}"
        for network in networks
        for stage in ("ce_mixup", "mislas")
        for method in ("sgd", "sam", "ssesam")
    }
    expected |= {f"{network}_{stage}_{method}" for network in networks for stage in two_stage for method in four}
    radii = ("01", "10", "20", "40")
    expected |= {f"resnet20_digitslt_{loss}_sam{radius}" for loss in ("ce", "ce_drw") for radius in radii}
    large = ("ce_sgd", "ce_drw_sgd", "ce_drw_sam", "ldam_drw_sgd", "ldam_drw_sam")
    expected |= {f"resnet50_{benchmark}_{words}" for benchmark in ("imagenetlt", "inat18") for words in large}
    expected |= {f"resnet50_imagenetlt_ce_{method}" for method in ("sam", "imbsam", "ssesam")}
    tuned = ("ce", "la", "bs", "ldam_drw", "vs")
    expected |= {f"resnet50_imagefolder_{loss}_{method}" for loss in tuned for method in four}
    expected |= {
        f"{network}_{loss}_{method}"
        for network in ("resnet20_digitslt", *(f"resnet32_cifar{n}lt{f}" for n in (10, 100) for f in ("", 50, 10)))
        for loss in ("ib", "ride", "sade", "paco", "bcl", "proco")
        for method in ("sgd", "sam", "ssesam")
    }
    expected |= {f"resnet32_cifar{n}lt_la_focalsam" for n in (10, 100)}
    plain_networks = ("resnet20_digitslt", "resnet32_cifar10lt", "resnet32_cifar100lt")
    expected |= {f"{network}_{stage}_sgd" for network in plain_networks for stage in ("drolt_backbone", "drolt")}
    of_glmc = ("resnet20_digitslt", *(f"resnet32wide_cifar{n}lt{f}" for n in (10, 100) for f in ("", 50, 10)))
    expected |= {f"{network}_glmc_{method}" for network in of_glmc for method in ("sgd", "sam", "ssesam")}
    one_stage = ("ride", "sade", "paco", "bcl", "proco")
    expected |= {f"resnet50_{data}_{loss}_sgd" for data in ("imagenetlt", "inat18") for loss in one_stage}
    expected |= {
        f"vitb16_{benchmark}_adapt_{loss}_{method}"
        for benchmark in ("imagefolder", "cifar10lt", "cifar100lt", "imagenetlt", "inat18")
        for loss in ("ce", "la", "bs", "vs")
        for method in ("sgd", "sam", "ssesam")
    }
    expected |= {
        f"efficientnetlite0_cifar{n}lt_{tuned}_{loss}_{method}"
        for n in (10, 100)
        for tuned in ("frozen", "norm", "full")
        for loss in ("ce", "la", "vs")
        for method in ("sgd", "sam", "ssesam")
    }
    assert set(RECIPES) == expected
    assert len(RECIPES) == len(list(shipped_recipes())) == 1039
    assert Counter(recipe.protocol for recipe in RECIPES.values()) == {
        "rangwani2022_cifar": 308, "lyu2025_cifar": 164, "digits": 94, "rangwani2022_large": 43, "fine_tuning": 50,
        "zhong2021_cifar": 12, "zhong2021_imagenetlt": 6, "zhong2021_inat18": 2, "fast_cifar": 100,
        "fast_cifar_cutmix": 2, "fast_cifar_long": 6,
        "du2023_cifar": 9, "du2023_cifar_if50": 3, "du2023_cifar_if10": 6, "li2025_cifar": 2,
        **{f"{paper}_cifar": 18 for paper in ("park2021", *LARGE)},
        **{f"{paper}_{benchmark}": 1 for paper in LARGE for benchmark in ("imagenetlt", "inat18")},
        "adapt_folder": 12, "adapt_cifar": 24, "adapt_large": 12, "adapt_inat18": 12,
        "frozen_cifar": 18, "norm_cifar": 18, "full_cifar": 18,
    }  # fmt: skip


def test_a_recipes_fields_are_what_its_name_says():
    def check(name):
        recipe = RECIPES[name]
        architecture, benchmark, loss, *rest = name.split("_")
        if isinstance(recipe.start, FirstStage) or loss in ("adapt", "frozen", "norm", "full"):
            return  # tests/recipes/test_second_stages.py, test_adapt.py
        word = rest[-1].rstrip("0123456789")
        methods = {"sgd": NoPerturbation, "sam": SAM, "imbsam": ImbSAM, "ssesam": SSESAM}
        methods |= {"samext": SAMExt, "focalsam": FocalSAM, "pgd": PGD, "lpfsgd": LPFSGD}
        methods |= {"ccsam": CCSAM, "gnm": GNM, "asam": ASAM, "gsam": GSAM}
        losses = {"ce": CE, "la": LA, "vs": VS, "focal": Focal, "bs": BalancedSoftmax}
        losses |= {"ib": InfluenceBalanced, "ride": RIDE, "sade": SADE, "paco": PaCo, "bcl": BCL, "proco": ProCo}
        losses["glmc"] = GLMC
        losses["ldam"] = LogitLDAM if architecture == "resnet34" or benchmark == "imagefolder" else LDAM
        suffix = "_cifar" if architecture != "resnet50" else "_cosine" if recipe.head.name == "cosine" else ""
        if loss in ("ride", "sade"):
            suffix = "_3experts" if architecture == "resnet50" else "_3experts_cifar"
        assert recipe.architecture == architecture.replace("wide", "_wide") + suffix
        assert recipe.benchmark == benchmark
        assert type(recipe.loss) is losses[loss]
        assert type(recipe.perturbation) is methods[word]
        rest = [word for word in rest if word not in ("mixup", "cutmix", "long")]
        rule = {"drw": DRW, "cb": ClassBalanced}[rest[0]] if len(rest) == 2 else NoReweighting
        assert type(recipe.reweighting) is rule
        heads = {LDAM: "cosine", RIDE: "cosine_experts", SADE: "cosine_experts"}
        heads |= {BCL: "cosine", ProCo: "cosine"} if recipe.natural else {}
        assert recipe.head.name == heads.get(type(recipe.loss), "linear")
        assert len(recipe.views) == {"paco": 2, "bcl": 3, "proco": 3, "glmc": 2}.get(loss, 1)
        assert recipe.trainable.batchnorm == ("all" if word in ("pgd", "lpfsgd", "gnm") else "clean")
        assert recipe.precision == "float32"
        assert recipe.groups in GROUP_RULES
        assert PROTOCOLS[recipe.protocol].contradictions(recipe) == []

    check_each(RECIPES, check)


@pytest.mark.parametrize(
    ("benchmark", "radii"),
    [
        ("cifar10lt", {"ce": 0.1, "ce_drw": 0.5, "ldam_drw": 0.8, "vs": 0.8}),
        ("cifar10step", {"ce": 0.1, "ce_drw": 0.5, "ldam_drw": 0.8, "vs": 0.8}),
        ("cifar100lt", {"ce": 0.2, "ce_drw": 0.8, "ldam_drw": 0.8, "vs": 0.8}),
        ("cifar100step", {"ce": 0.2, "ce_drw": 0.8, "ldam_drw": 0.8, "vs": 0.8}),
    ],
)
def test_sam_has_the_radii_of_rangwani2022(benchmark, radii):
    for loss, rho in radii.items():
        assert RECIPES[f"resnet32_{benchmark}_{loss}_sam"].perturbation == SAM(rho=rho), loss


def test_the_variants_on_the_digits_have_their_authors_settings():
    """CC-SAM's, GNM's and ASAM's scripts; GSAM's alpha with the radius that SAM has on the digits."""
    expected = {
        "ccsam": CCSAM(rho=1e-6, q=0.3, scope="classifier"),
        "gnm": GNM(rho=0.005),
        "asam": ASAM(rho=0.5, eta=0.01),
        "gsam": GSAM(rho=RECIPES["resnet20_digitslt_ce_sam"].perturbation.rho, alpha=0.2),
    }
    for word, perturbation in expected.items():
        for loss in ("ce", "la"):
            recipe = RECIPES[f"resnet20_digitslt_{loss}_{word}"]
            assert recipe.perturbation == perturbation
            assert recipe.source.paper == "ltzoo"
    cited = {word: RECIPES[f"resnet20_digitslt_ce_{word}"].source.cites for word in expected}
    assert cited == {
        "ccsam": ("zhou2023ccsam",), "gnm": ("li2024",), "asam": ("kwon2021",), "gsam": ("zhuang2022",),
    }  # fmt: skip


def test_focal_sam_on_cifar_has_its_authors_scripts():
    for classes, decay, perturbation in ((10, 2e-4, FocalSAM(0.2, 0.5, 3.0)), (100, 1e-3, FocalSAM(0.3, 0.8, 3.2))):
        recipe = RECIPES[f"resnet32_cifar{classes}lt_la_focalsam"]
        assert (recipe.loss, recipe.perturbation, recipe.batch_size) == (LA(tau=1.0), perturbation, 64)
        assert recipe.optimizer == Optimizer(0.1, 0.9, decay, False)
        assert recipe.schedule == Schedule(200, 0, (), (), "cosine")
        assert (recipe.subset, recipe.groups, recipe.published) == ("cao", "count", ())
        assert recipe.source.ours == ("trainable.batchnorm",)
        assert recipe.source.cites == ("li2025", "menon2021")


def test_radii_in_the_name_are_those_of_the_variants_too():
    found = compose("resnet20", "digitslt", "ce", "none", "asam20", DIGITS)
    assert found.perturbation == ASAM(rho=0.2, eta=0.01)
    with pytest.raises(ValueError, match="ccsam20 must have two digits for each of its 0 radii"):
        compose("resnet20", "digitslt", "ce", "none", "ccsam20", DIGITS)


@pytest.mark.parametrize(("benchmark", "eta"), [("cifar10lt", 200), ("cifar100lt", 100)])
def test_the_tail_partition_is_that_of_lyu2025(benchmark, eta):
    rho = RECIPES[f"resnet32_{benchmark}_ce_sam"].perturbation.rho
    assert RECIPES[f"resnet32_{benchmark}_ce_imbsam"].perturbation == ImbSAM(rho=rho, eta=eta)
    found = RECIPES[f"resnet32_{benchmark}_ce_ssesam"].perturbation
    assert found == SSESAM(rho_head=rho / 4, rho_tail=rho / 4, gamma=0.7, eta=eta)
    counts = RECIPES[f"resnet34_{benchmark}_ce_ssesam"].data.class_counts
    assert sum(n < eta for n in counts) == {"cifar10lt": 3, "cifar100lt": 65}[benchmark]


@pytest.mark.parametrize("benchmark", LONG_TAILED)
def test_perturbations_of_lyu2025_have_its_radii(benchmark):
    eta = 1000 if benchmark == "cifar10lt10" else 200 if benchmark.startswith("cifar10l") else 100
    for loss in ("ce", "ldam", "la", "vs"):
        words = ("sam", "samext", "ssesam", "imbsam")
        assert {word: RECIPES[f"resnet34_{benchmark}_{loss}_{word}"].perturbation for word in words} == {
            "sam": SAM(rho=0.05),
            "samext": SAMExt(rho_head=0.05, rho_tail=0.10, eta=eta),
            "ssesam": SSESAM(rho_head=0.05, rho_tail=0.10, gamma=0.7, eta=eta),
            # Its published rows come from its code, which divides by each group's own images.
            "imbsam": ImbSAM(rho=0.10, eta=eta, normalization="group"),
        }


@pytest.mark.parametrize("benchmark", [*LONG_TAILED, "cifar10step", "cifar100step", "digitslt"])
def test_every_perturbation_of_head_and_tail_has_both(benchmark):
    apart = [recipe for name, recipe in RECIPES.items() if f"_{benchmark}_" in name and "_sgd" not in name]
    apart = [recipe for recipe in apart if isinstance(recipe.perturbation, ImbSAM | SAMExt)]
    assert apart
    tails = {len(table.rows): table for table in (r.perturbation.table(r.data.class_counts) for r in apart)}
    assert list(tails) == [2]


def test_rangwani2022_cifar_is_the_papers_protocol():
    def check(name):
        recipe = RANGWANI[name]
        if isinstance(recipe.start, FirstStage):
            return
        optimizer, schedule = recipe.optimizer, recipe.schedule
        assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay, optimizer.nesterov) == (0.1, 0.9, 2e-4, False)
        assert (schedule.epochs, schedule.warmup_epochs, schedule.decay) == (200, 5, "steps")
        assert (recipe.batch_size, recipe.subset) == (128, "cao")
        assert recipe.groups == ("half" if "step_" in name else "mislas")
        assert (recipe.augmentation.crop_padding, recipe.augmentation.horizontal_flip) == (4, True)
        if "drw" in name:
            assert recipe.reweighting == DRW(start=160, beta=0.9999)
        cifar100 = "cifar100" in name
        constants = {
            "vs": VS(gamma=0.05, tau=0.75) if cifar100 else VS(gamma=0.15, tau=1.25),
            "ldam": LDAM(max_margin=0.5, scale=30),
            "la": LA(tau=0.75),
            "ce": CE(),
            "bs": BalancedSoftmax(),
            "focal": Focal(gamma=1.0),
        }
        assert recipe.loss == constants[recipe.loss.name]

    check_each(RANGWANI, check)


def test_lyu2025_cifar_is_the_papers_protocol():
    def check(name):
        recipe = LYU[name]
        optimizer, schedule = recipe.optimizer, recipe.schedule
        assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay, optimizer.nesterov) == (
            0.01,
            0.9,
            1e-3,
            False,
        )
        assert (schedule.epochs, schedule.warmup_epochs, schedule.decay) == (200, 0, "cosine")
        factors = [schedule.factor(epoch) for epoch in (0, 50, 100, 199)]
        assert factors == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 + math.cos(math.pi * 199 / 200)) / 2])
        assert (recipe.batch_size, recipe.subset, recipe.groups) == (64, "first", "count")
        assert (recipe.augmentation.crop_padding, recipe.augmentation.horizontal_flip) == (4, True)
        constants = {
            "logit_ldam": LogitLDAM(max_margin=0.5, scale=30),
            "la": LA(tau=0.75),
            "vs": VS(gamma=0.05, tau=0.75),
        }
        assert recipe.loss == constants.get(recipe.loss.name, CE())
        assert recipe.reweighting == NoReweighting()

    check_each(LYU, check)


def test_pgd_and_lpf_sgd_of_table_4_of_rangwani2022():
    for benchmark, rho in (("cifar10lt", 0.5), ("cifar100lt", 0.8)):
        assert RECIPES[f"resnet32_{benchmark}_ce_drw_pgd"].perturbation == PGD(rho=rho)
        found = RECIPES[f"resnet32_{benchmark}_ce_drw_lpfsgd"].perturbation
        assert found == LPFSGD(std=Cosine(start=2e-4, end=15 * 2e-4), parts=8)


TAIL = ("perturbation.rho", "perturbation.eta")
BOTH = ("perturbation.rho_head", "perturbation.rho_tail", "perturbation.gamma", "perturbation.eta")


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("resnet32_{}lt_ce_sgd", ()),
        ("resnet32_{}lt_ce_sam", ("trainable.batchnorm",)),
        ("resnet32_{}lt_ce_drw_sam", ("trainable.batchnorm",)),
        ("resnet32_{}lt_ldam_drw_sam", ("trainable.batchnorm",)),
        ("resnet32_{}lt_ldam_sgd", ()),
        ("resnet32_{}lt_ldam_sam", ("perturbation.rho", "trainable.batchnorm")),
        ("resnet32_{}lt_la_sgd", ("loss",)),
        ("resnet32_{}lt_la_sam", ("loss", "perturbation.rho", "trainable.batchnorm")),
        ("resnet32_{}lt_vs_sgd", ("loss.gamma", "loss.tau")),
        ("resnet32_{}lt_vs_sam", ("loss.gamma", "loss.tau", "trainable.batchnorm")),
        ("resnet32_{}lt_ce_drw_imbsam", (*TAIL, "trainable.batchnorm")),
        ("resnet32_{}lt_ldam_drw_ssesam", (*BOTH, "trainable.batchnorm")),
        ("resnet32_{}lt_vs_imbsam", ("loss.gamma", "loss.tau", *TAIL, "trainable.batchnorm")),
        ("resnet32_{}lt_ce_drw_pgd", ("perturbation.rho",)),
        ("resnet32_{}lt_ce_drw_lpfsgd", ("perturbation.std", "perturbation.parts")),
        ("resnet32_{}lt_focal_sgd", ("loss",)),
        ("resnet32_{}lt_bs_sam", ("perturbation.rho", "trainable.batchnorm")),
        ("resnet32_{}lt_ce_cb_sgd", ("reweighting",)),
        ("resnet32_{}step_ldam_drw_sam", ("trainable.batchnorm",)),
        ("resnet32_{}lt50_ce_sgd", ()),
        ("resnet32_{}lt50_ce_sam", ("perturbation.rho", "trainable.batchnorm")),
        ("resnet34_{}lt_vs_sgd", ()),
        ("resnet34_{}lt_ce_sam", ("trainable.batchnorm",)),
        ("resnet34_{}lt10_ce_sgd", ()),
        ("resnet34_{}lt200_vs_sam", ("perturbation.rho", "trainable.batchnorm")),
    ],
)
def test_what_no_paper_gives_is_marked_as_ours(name, ours):
    for data_set in ("cifar10", "cifar100"):
        source = RECIPES[name.format(data_set)].source
        assert source.paper == ("lyu2025" if "resnet34" in name else "rangwani2022")
        assert source.ours == ours


def test_lyu2025_gives_eta_for_cifar_100_only_and_a_name_gives_its_radii():
    assert RECIPES["resnet34_cifar100lt_la_ssesam"].source.ours == ("trainable.batchnorm",)
    assert RECIPES["resnet34_cifar10lt_la_ssesam"].source.ours == ("perturbation.eta", "trainable.batchnorm")
    assert RECIPES["resnet34_cifar100lt50_la_ssesam"].source.ours == ("trainable.batchnorm",)
    assert RECIPES["resnet34_cifar10lt50_la_ssesam"].source.ours == (*BOTH, "trainable.batchnorm")
    assert RECIPES["resnet34_cifar100lt10_la_imbsam"].source.ours == ("perturbation.rho", "trainable.batchnorm")
    assert RECIPES["resnet32_cifar10lt_ce_drw_sam05"].source.ours == ("trainable.batchnorm",)
    named = compose("resnet32", "cifar10lt", "ce", "drw", "imbsam05", RANGWANI2022_CIFAR)
    assert named.perturbation.rho == 0.05
    assert named.source.ours == ("perturbation.eta", "trainable.batchnorm")


def test_the_digits_are_our_own():
    sources = [recipe.source for recipe in RECIPES.values() if recipe.benchmark == "digitslt"]
    assert {(source.paper, source.ours) for source in sources} == {("ltzoo", ())}


@pytest.mark.parametrize("method", ["sgd", "sam", "imbsam", "ssesam", "sam01", "sam10", "sam20", "sam40"])
def test_drw_on_the_digits_is_that_of_rangwani2022_in_a_fifth_of_the_epochs(method):
    deferred, plain = (RECIPES[f"resnet20_digitslt_{loss}_{method}"] for loss in ("ce_drw", "ce"))
    of_the_paper = RECIPES["resnet32_cifar10lt_ce_drw_sgd"].with_epochs(deferred.schedule.epochs)
    assert deferred.reweighting == of_the_paper.reweighting == DRW(start=32, beta=0.9999)
    same = {"name": plain.name, "reweighting": plain.reweighting, "source": plain.source}
    assert replace(deferred, **same) == plain


@pytest.mark.parametrize(
    ("name", "cites"),
    [
        ("resnet32_cifar100lt_ce_sgd", {"rangwani2022"}),
        ("resnet32_cifar100lt_ldam_drw_ssesam", {"rangwani2022", "cao2019", "lyu2025"}),
        ("resnet32_cifar10lt_vs_imbsam", {"rangwani2022", "kini2021", "zhou2023", "lyu2025"}),
        ("resnet32_cifar10lt_ce_drw_pgd", {"rangwani2022", "cao2019", "jin2017"}),
        ("resnet32_cifar10lt_ce_drw_lpfsgd", {"rangwani2022", "cao2019", "bisla2022"}),
        ("resnet32_cifar10lt_focal_sam", {"rangwani2022", "lin2017", "foret2021"}),
        ("resnet32_cifar10lt_bs_sgd", {"rangwani2022", "ren2020"}),
        ("resnet32_cifar10lt_ce_cb_sgd", {"rangwani2022", "cui2019"}),
        ("resnet34_cifar100lt_ldam_samext", {"lyu2025", "cao2019"}),
        ("resnet34_cifar100lt_ce_imbsam05", {"lyu2025", "zhou2023"}),
        ("resnet20_digitslt_la_sam", {"menon2021", "foret2021"}),
        ("resnet20_digitslt_ce_drw_sam", {"cao2019", "foret2021"}),
        ("resnet20_digitslt_crt_sam", {"kang2020", "foret2021"}),
        ("resnet32_cifar100lt_taunorm_sgd", {"rangwani2022", "kang2020"}),
        ("resnet32_cifar10lt_disalign_imbsam", {"rangwani2022", "zhou2023", "lyu2025", "zhang2021"}),
        ("resnet32_cifar10lt_bsrt_sgd", {"rangwani2022", "ren2020"}),
        ("resnet50_inat18_ce_sgd", {"rangwani2022"}),
        ("resnet50_imagenetlt_ldam_drw_sam", {"rangwani2022", "cao2019", "foret2021"}),
        ("resnet50_imagenetlt_ce_sgd", {"rangwani2022", "lyu2025"}),  # a row of both
        ("resnet50_imagenetlt_ce_sam", {"rangwani2022", "lyu2025", "foret2021"}),
        ("resnet50_imagenetlt_ce_imbsam", {"rangwani2022", "lyu2025", "zhou2023"}),
        ("resnet50_imagefolder_ce_sgd", set()),
        ("resnet50_imagefolder_ldam_drw_imbsam", {"lyu2025", "cao2019", "zhou2023"}),
        ("resnet50_imagefolder_vs_sgd", {"lyu2025", "kini2021"}),
    ],
)
def test_recipes_cite_what_they_rest_on(name, cites):
    assert set(RECIPES[name].source.cites) == cites
    assert len(RECIPES[name].source.cites) == len(cites)
    assert all(CITATIONS[key].startswith("@inproceedings{" + key[:3]) for key in cites)


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        (("resnet20", "digitslt", "vs", "drw", "sgd", DIGITS), "the protocol digits has no vs_drw"),
        (
            ("resnet34", "cifar100lt", "focal", "none", "sgd", LYU2025_CIFAR),
            "the protocol lyu2025_cifar has no focal; it has ce,",
        ),
        (("resnet34", "cifar100lt", "ce", "none", "pgd", LYU2025_CIFAR), "has no pgd; it has sgd, sam, imbsam"),
        (("resnet34", "digitslt", "ce", "none", "sgd", LYU2025_CIFAR), "the protocol lyu2025_cifar has no digits"),
        (
            ("resnet34", "cifar100step", "ce", "none", "sgd", LYU2025_CIFAR),
            "the protocol lyu2025_cifar has no cifar100step",
        ),
        (("resnet34", "cifar100lt", "ce", "none", "ssesam05", LYU2025_CIFAR), "two digits for each of its 2 radii"),
        (("resnet34", "cifar100lt", "ce", "none", "sam5", LYU2025_CIFAR), "two digits for each of its 1 radii"),
        (("resnet34", "cifar100lt", "ce", "none", "sgd05", LYU2025_CIFAR), "two digits for each of its 0 radii"),
    ],
)
def test_parts_that_a_protocol_lacks_are_refused(parts, found):
    with pytest.raises(ValueError, match=found):
        compose(*parts)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"subset": "first"}, "subset"),
        ({"groups": "count"}, "groups"),
        ({"batch_size": 64}, "batch_size"),
        ({"paper_rule": None}, "paper_rule"),
        ({"loss": VS(gamma=0.3, tau=1.0)}, "loss"),
        ({"reweighting": DRW(start=60, beta=0.9999)}, "reweighting"),
    ],
)
def test_a_recipe_that_contradicts_its_protocol_is_refused(changes, field):
    recipe = RECIPES["resnet32_cifar100lt_vs_sam"]
    assert RANGWANI2022_CIFAR.contradictions(replace(recipe, **changes)) == [field]


def test_other_epochs_and_another_head_contradict_the_protocol():
    recipe = RECIPES["resnet32_cifar100lt_vs_sam"]
    assert RANGWANI2022_CIFAR.contradictions(recipe.with_epochs(100)) == ["schedule"]
    cosine = RECIPES["resnet32_cifar100lt_ldam_sam"]
    assert RANGWANI2022_CIFAR.contradictions(replace(cosine, head=LinearHead())) == ["head"]
