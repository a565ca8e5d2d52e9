"""The shipped recipes: their names, and that their fields are what the names say."""

from collections import Counter

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
from ltzoo.recipes import PROTOCOLS, FirstStage, shipped_recipes
from ltzoo.sharpness import (
    ASAM,
    CCSAM,
    GNM,
    GSAM,
    LPFSGD,
    PGD,
    SAM,
    SSESAM,
    FocalSAM,
    ImbSAM,
    NoPerturbation,
    SAMExt,
)
from tests.each import check_each

RECIPES = {recipe.name: recipe for recipe in shipped_recipes()}
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
    expected |= {f"{network}_cifar{n}lt_la_cutmix_sgd" for network in ("resnet9", "resnet9wide") for n in (10, 100)}
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
    expected |= {f"resnext50_{data}_glmc_sgd" for data in ("imagenetlt", "inat18")}
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
    assert len(RECIPES) == len(list(shipped_recipes())) == 1043
    assert Counter(recipe.protocol for recipe in RECIPES.values()) == {
        "rangwani2022_cifar": 308, "lyu2025_cifar": 164, "digits": 94, "rangwani2022_large": 43, "fine_tuning": 50,
        "zhong2021_cifar": 12, "zhong2021_imagenetlt": 6, "zhong2021_inat18": 2, "fast_cifar": 100,
        "fast_cifar_cutmix": 4, "fast_cifar_long": 6,
        "du2023_cifar": 9, "du2023_cifar_if50": 3, "du2023_cifar_if10": 6, "li2025_cifar": 2,
        **{f"{paper}_cifar": 18 for paper in ("park2021", *LARGE)},
        **{f"{paper}_{benchmark}": 1 for paper in (*LARGE, "du2023") for benchmark in ("imagenetlt", "inat18")},
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
        suffix = {"resnet50": "", "resnext50": "_32x4d"}.get(architecture, "_cifar")
        suffix = "_cosine" if recipe.natural and recipe.head.name == "cosine" else suffix
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
