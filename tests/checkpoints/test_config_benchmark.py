"""The benchmark of a checkpoint of images in files, read from a `config.json` that may come from anybody."""

import math

import pytest

from ltzoo.checkpoints import benchmark_of
from ltzoo.checkpoints.config import read_view
from ltzoo.data import ModelInput, get_benchmark
from ltzoo.errors import InputError
from ltzoo.registry import get_recipe
from tests.each import check_each

RECIPE = get_recipe("resnet50_imagefolder_ce_sgd")
CFG = {
    "input_size": [3, 32, 32],
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.25, 1],
    "crop_pct": 0.875,
    "interpolation": "bicubic",
    "classifier": "fc",
}
CONFIG = {
    "num_classes": 3,
    "class_counts": [9, 5, 2],
    "label_names": ["ant", "bee", "cat"],
    "pretrained_cfg": CFG,
}


def test_it_is_what_the_run_was_trained_on():
    benchmark = benchmark_of(CONFIG, RECIPE)
    assert (benchmark.name, benchmark.profile) == ("imagefolder", "natural")
    assert (benchmark.class_counts, benchmark.imbalance_factor) == ((9, 5, 2), 4.5)
    data_set = benchmark.data_set
    assert (data_set.class_names, data_set.num_classes, data_set.image_size) == (("ant", "bee", "cat"), 3, 32)
    assert (data_set.mean, data_set.std) == ((0.5, 0.4, 0.3), (0.2, 0.25, 1.0))
    assert (data_set.crop_pct, data_set.interpolation, data_set.channels) == (0.875, "bicubic", 3)


def test_a_benchmark_of_fixed_counts_is_its_own_whatever_the_configuration_says():
    recipe = get_recipe("resnet20_digitslt_ce_sgd")
    assert benchmark_of({"num_classes": 2, "class_counts": "none"}, recipe) == get_benchmark("digitslt")


CLASSES = [
    {"class_counts": None},
    {"class_counts": "9,5,2"},
    {"class_counts": {"ant": 9, "bee": 5, "cat": 2}},
    {"class_counts": [9, 5]},
    {"class_counts": [9, 5, 0]},
    {"class_counts": [9, 5, -2]},
    {"class_counts": [9, 5, 2.0]},
    {"class_counts": [9, 5, "2"]},
    {"class_counts": [9, 5, True]},
    {"class_counts": [9, 5, None]},
    {"class_counts": [[9], [5], [2]]},
    {"class_counts": [math.inf, 5, 2]},
    {"label_names": None},
    {"label_names": "abc"},
    {"label_names": ["ant", "bee"]},
    {"label_names": ["ant", "bee", "bee"]},
    {"label_names": ["ant", "bee", 3]},
    {"label_names": ["ant", "bee", ["cat"]]},
    {"label_names": {"ant": 0, "bee": 1, "cat": 2}},
    {"num_classes": 4},
    {"num_classes": 0, "class_counts": [], "label_names": []},
]


def test_classes_that_make_no_sense_are_refused():
    def check(changes):
        with pytest.raises(
            InputError, match=r"^config.json is damaged: it does not say which classes there were; fetch"
        ):
            benchmark_of({key: value for key, value in (CONFIG | changes).items() if value != "gone"}, RECIPE)

    check_each([*CLASSES, *({key: "gone"} for key in ("class_counts", "label_names"))], check)


def test_a_benchmark_of_so_many_classes_has_no_fewer():
    with pytest.raises(InputError, match="does not say which classes there were"):
        benchmark_of(CONFIG, get_recipe("resnet50_imagenetlt_ce_sgd"))


SILENT = [
    *({key: "gone"} for key in ("input_size", "mean", "std", "crop_pct", "interpolation")),
    {"input_size": 32},
    {"input_size": [32, 32]},
    {"input_size": [3, None, 32]},
    {"input_size": [3, 32.5, 32.5]},
    {"input_size": [3, "32", "32"]},
    {"mean": None},
    {"mean": 0.5},
    {"mean": [0.5, "0.4", 0.3]},
    {"mean": [0.5, math.nan, 0.3]},
    {"mean": [True, 0.5, 0.5]},
    {"std": [0.2, 0.2, math.inf]},
    {"std": [0.2, 0.2, 10**400]},
    {"crop_pct": "all"},
    {"crop_pct": None},
    {"crop_pct": [0.9]},
    {"crop_pct": math.nan},
    {"interpolation": "foo"},
    {"interpolation": 3},
    {"interpolation": ["bicubic"]},
    {"interpolation": None},
]
SENSELESS = [
    {"input_size": [3, 0, 0]},
    {"input_size": [3, -5, -5]},
    {"input_size": [3, 10**9, 10**9]},
    {"input_size": [1, 32, 32]},
    {"mean": [0.5]},
    {"mean": [], "std": [], "input_size": [0, 32, 32]},
    {"std": [0.2, 0.2]},
    {"std": [0, 0.2, 0.2]},
    {"std": [-0.2, 0.2, 0.2]},
    {"crop_pct": 0},
    {"crop_pct": -1},
    {"crop_pct": 1e6},
    {"input_size": [1, 32, 32], "mean": [0.5], "std": [0.5]},
]


@pytest.mark.parametrize(("cases", "match"), [(SILENT, "does not say how images reach"), (SENSELESS, "images ")])
def test_a_view_that_makes_no_sense_is_refused(cases, match):
    def check(changes):
        cfg = {key: value for key, value in (CFG | changes).items() if value != "gone"}
        with pytest.raises(InputError, match=f"^config.json is damaged: .*{match}") as caught:
            benchmark_of(CONFIG | {"pretrained_cfg": cfg}, RECIPE)
        assert "\n" not in str(caught.value)

    check_each(cases, check)


def test_the_view_of_a_grey_image_can_be_read():
    cfg = CFG | {"input_size": [1, 16, 16], "mean": [0.5], "std": [0.5]}
    assert read_view(cfg) == ModelInput(16, (0.5,), (0.5,), 0.875, "bicubic")
