"""Which epochs are measured: the schedule itself, and what a run with one writes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from ltzoo.errors import InputError
from ltzoo.recipes import override
from ltzoo.registry import get_recipe
from ltzoo.train import RunFolder, TrainOptions, ValInterval, measuring, train, train_all
from ltzoo.train.val_interval import check_val_interval

RECIPE = override(
    get_recipe("resnet20_digitslt_ce_sgd").with_epochs(7),
    {"architecture": "test_resnet", "batch_size": 219, "optimizer.lr": 0.02},
)


def measured(text: str, epochs: int) -> list[int]:
    val_interval = ValInterval.parse(text)
    return [epoch for epoch in range(1, epochs + 1) if val_interval.measures(epoch, epochs)]


@pytest.mark.parametrize(
    ("text", "epochs", "expected"),
    [
        ("1", 4, [1, 2, 3, 4]),
        ("3", 7, [3, 6, 7]),
        ("40", 7, [7]),
        ("20,160:1", 200, [20, 40, 60, 80, 100, 120, 140, *range(160, 201)]),
        ("5,8:2,11:4", 17, [5, 8, 10, 12, 16, 17]),  # multiples also after a change
    ],
)
def test_measured_epochs_are_multiples_of_the_interval_and_the_last(text, epochs, expected):
    assert measured(text, epochs) == expected


@pytest.mark.parametrize(("text", "recorded"), [("40", 40), ("20,160:1", "20,160:1")])
def test_it_is_recorded_as_a_number_or_a_text_that_is_read_back(text, recorded):
    val_interval = ValInterval.parse(text)
    assert val_interval.recorded == recorded
    for written in (json.loads(json.dumps(recorded)), yaml.safe_load(yaml.safe_dump(recorded))):
        assert ValInterval.parse(str(written)) == val_interval


@pytest.mark.parametrize(
    ("text", "interval", "covered"),
    [("1", 10, True), ("5", 10, True), ("20", 10, False), ("20,160:1", 10, False), ("10,160:1", 10, True)],
)
def test_a_selection_is_covered_if_all_its_epochs_are_measured(text, interval, covered):
    assert ValInterval.parse(text).covers(interval, 200) is covered


def test_the_last_epoch_alone_can_cover_a_selection():
    assert ValInterval(50).covers(7, 7)


def test_it_is_described():
    assert ValInterval.parse("20,160:1").in_words() == "looked at every 20 epochs, from epoch 160 on at every epoch"
    assert ValInterval().in_words() == "looked at every epoch"


@pytest.mark.parametrize("text", ["", "often", "1.5", "-1", "20,", "20,160", "20:1", "20,160:", "20, 160:1", "²"])
def test_other_texts_are_refused(text):
    with pytest.raises(InputError, match=r"^--val-interval must be a number of epochs, or a schedule such as 20,160:1"):
        ValInterval.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "--val-interval 0 has an interval of 0"),
        ("20,160:0", "--val-interval 20,160:0 has an interval of 0"),
        ("20,160:5,160:1", "must change at increasing epochs"),
        ("20,160:5,150:1", "must change at increasing epochs"),
        ("20,1:5", "the first of them 2 or later"),
    ],
)
def test_schedules_that_make_no_sense_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        ValInterval.parse(text)


def test_a_change_beyond_the_last_epoch_is_refused_before_any_run_begins(tmp_path):
    check_val_interval(ValInterval.parse("2,7:1"), [RECIPE])
    asked = TrainOptions(Path("data"), tmp_path, val_interval=ValInterval.parse("2,8:1"))
    with pytest.raises(InputError, match=r"2,8:1 changes at epoch 8, but resnet20_digitslt_ce_sgd has 7 epochs$"):
        train_all([(RECIPE, asked)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("epochs", "expected"), [(0, "20"), (159, "20"), (160, "20,160:5"), (180, "20,160:5,170:1")])
def test_changes_beyond_the_last_epoch_are_left_out(epochs, expected):
    assert str(ValInterval.parse("20,160:5,170:1").within(epochs)) == expected


def test_of_several_recipes_each_takes_the_changes_that_it_reaches(tmp_path):
    short, long = RECIPE.with_epochs(1), replace(RECIPE.with_epochs(3), name="resnet20_digitslt_long_sgd")
    asked = TrainOptions(Path("data"), tmp_path, val_interval=ValInterval.parse("3,2:1"))
    runs = train_all([(short, asked), (long, asked)])
    recorded = [yaml.safe_load(run.recipe.read_text())["run"]["val_interval"] for run in runs]
    assert recorded == [3, "3,2:1"]
    # It is the same run as one that is asked for alone, without the change.
    train(short, replace(asked, val_interval=ValInterval(3), resume=True))


def test_several_seeds_of_one_recipe_are_one_recipe(tmp_path):
    asked = [TrainOptions(Path("data"), tmp_path, seed=k, val_interval=ValInterval.parse("2,8:1")) for k in range(2)]
    with pytest.raises(InputError, match="2,8:1 changes at epoch 8"):
        train_all([(RECIPE, options) for options in asked])


def test_a_head_that_is_computed_takes_any_schedule(tmp_path):
    recipe = get_recipe("resnet20_digitslt_taunorm_sgd")
    folder = train(recipe, TrainOptions(Path("data"), tmp_path, val_interval=ValInterval.parse("20,160:1")))
    assert yaml.safe_load(folder.recipe.read_text())["run"]["val_interval"] == 20


@pytest.fixture
def accuracies(monkeypatch):
    """Let each measured accuracy be lower than the one before, so that the first is the best."""
    calls = []

    def worse(*_, **__):
        calls.append(1)
        labels = torch.arange(100) % 10
        return torch.where(torch.arange(100) < 5 * len(calls), (labels + 1) % 10, labels), labels

    monkeypatch.setattr(measuring, "predict_classes", worse)


def run_with(tmp_path: Path, text: str, interval: int) -> tuple[RunFolder, dict]:
    recipe = override(RECIPE, {"paper_rule": {"interval": interval, "flip": False}})
    folder = train(recipe, TrainOptions(Path("data"), tmp_path, val_interval=ValInterval.parse(text)))
    return folder, json.loads(folder.metrics.read_text())


def test_a_run_measures_by_its_schedule_and_says_what_it_selected_from(tmp_path, accuracies):
    folder, metrics = run_with(tmp_path, "3,5:1", 6)
    assert [row["epoch"] + 1 for row in folder.read_history(7) if row["overall"] is not None] == [3, 5, 6, 7]
    blank = folder.summary.read_text().splitlines()[1].split(",")
    assert blank[0] == "0" and blank[2:6] == [""] * 4 and blank[-1] == ""
    assert metrics["best"]["epoch"] == 2
    assert metrics["best"]["rule"] == (
        "best epoch on the test set, looked at every 3 epochs, from epoch 5 on at every epoch"
    )
    assert metrics["paper"]["epoch"] == 5  # of 6 and the last
    assert metrics["paper"]["rule"] == "best epoch on the test set, looked at every 6 epochs"
    assert yaml.safe_load(folder.recipe.read_text())["run"]["val_interval"] == "3,5:1"


def test_the_papers_rule_is_left_out_if_an_epoch_that_it_compares_was_not_measured(tmp_path, accuracies):
    folder, metrics = run_with(tmp_path, "3,5:1", 2)  # epoch 2 and 4 are not measured
    assert metrics["paper"] is None
    assert not folder.selected("paper").exists()
    assert metrics["best"]["epoch"] == 2


def test_a_run_resumes_only_with_its_own_schedule(tmp_path, accuracies):
    folder, _ = run_with(tmp_path, "3,5:1", 6)
    recipe = override(RECIPE, {"paper_rule": {"interval": 6, "flip": False}})
    same = TrainOptions(Path("data"), tmp_path, resume=True, val_interval=ValInterval.parse("3,5:1"))
    assert train(recipe, same) == folder
    with pytest.raises(InputError, match=r"different settings \(run.val_interval: "):
        train(recipe, TrainOptions(Path("data"), tmp_path, resume=True, val_interval=ValInterval(3)))
