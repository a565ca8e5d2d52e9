"""Tables: timm's CSV columns, the terminal's table, and runs over their seeds."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from ltzoo.errors import InputError
from ltzoo.evaluate import accuracy_table, append_results, results_row, seeds_table, summarize_runs


def test_a_results_row_has_timms_columns_and_the_groups(figures, tmp_path):
    path = tmp_path / "results.csv"
    append_results(path, results_row("a_model", 32, 464_154, figures))
    append_results(path, results_row("another, with a comma", 32, 21_300_000, replace(figures, overall=87.65432)))
    header = "model,img_size,top1,top1_err,top5,top5_err,param_count,head,mid,tail"
    assert path.read_text().splitlines()[:2] == [
        header,
        "a_model,32,50.000,50.000,90.000,10.000,0.46,83.333,25.000,25.000",
    ]
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert rows[1]["model"] == "another, with a comma"
    assert (rows[1]["top1"], rows[1]["top1_err"], rows[1]["param_count"]) == ("87.654", "12.346", "21.30")


def test_a_last_line_that_has_no_end_gets_one(figures, tmp_path):
    path = tmp_path / "results.csv"
    append_results(path, results_row("a_model", 32, 1, figures))
    path.write_text(path.read_text().rstrip("\n"))
    append_results(path, results_row("another", 32, 1, figures))
    assert [line.split(",")[0] for line in path.read_text().splitlines()] == ["model", "a_model", "another"]


def test_an_empty_results_file_gets_its_header(figures, tmp_path):
    path = tmp_path / "results.csv"
    path.touch()
    append_results(path, results_row("m", 32, 1, figures))
    assert path.read_text().startswith("model,")


def test_a_group_that_is_not_there_is_blank(figures):
    def row(rule):
        return results_row("m", 32, 1, replace(figures, groups={rule: figures.groups[rule]}))

    assert row("half")["mid"] == row("lop-sided")["mid"] == ""
    assert row("half")["head"] == "72.222"


def test_the_accuracy_table_has_a_line_for_each_label(figures):
    halves = replace(figures, overall=12.34, groups={"half": figures.groups["half"]})
    lines = accuracy_table({"last epoch": figures.headline, "best": halves.headline}).splitlines()
    assert [line.split() for line in lines] == [
        ["overall", "head", "mid", "tail"],
        ["last", "epoch", "50.0", "83.3", "25.0", "25.0"],
        ["best", "12.3", "72.2", "16.7"],
    ]
    assert len({len(line) for line in lines}) == 1


@pytest.fixture
def runs(figures, tmp_path):
    """Three seeds of a recipe and one of another."""
    made = []
    for name, seed, overall in (("a", 0, 40.0), ("a", 2, 43.0), ("a", 1, 41.5), ("b", 0, 70.0)):
        groups = {"own": {"head": overall + 10, "mid": None if name == "b" else overall, "tail": overall / 2}}
        last = replace(figures, overall=overall, groups=groups | {"other": {"head": 1.0, "mid": 2.0, "tail": 3.0}})
        best = replace(last, overall=overall + 1)
        folder = tmp_path / name / f"seed{seed}"
        folder.mkdir(parents=True)
        document = {"recipe": name, "seed": seed, "overrides": {}, "last": last.to_dict(), "paper": None}
        document["subset_sha256"] = "ab" * 32
        document["best"] = best.to_dict() | {"epoch": 7}
        (folder / "metrics.json").write_text(json.dumps(document))
        made.append(folder)
    return made


def test_runs_are_gathered_by_recipe_with_mean_deviation_and_n(runs):
    a, b = summarize_runs(runs)
    assert (a["recipe"], a["n"], a["seeds"]) == ("a", 3, [0, 1, 2])
    values = [40.0, 43.0, 41.5]
    for key, shift, factor in (("overall", 0, 1), ("head", 10, 1), ("mid", 0, 1), ("tail", 0, 0.5)):
        assert a[key]["mean"] == pytest.approx(np.mean(values) * factor + shift)
        assert a[key]["std"] == pytest.approx(np.std(values, ddof=1) * factor)
    assert (b["recipe"], b["n"], b["overall"]) == ("b", 1, {"mean": 70.0, "std": None})
    assert "mid" not in b
    assert summarize_runs(runs, "best")[0]["overall"]["mean"] == pytest.approx(42.5)


def test_groups_are_those_of_the_rule_that_is_asked_for(runs):
    own, other = (summarize_runs(runs, groups=rule) for rule in ("own", "other"))
    assert own == summarize_runs(runs)
    assert [record["groups"] for record in own + other] == ["own", "own", "other", "other"]
    assert [record["head"]["mean"] for record in other] == [1.0, 1.0]
    assert other[1]["mid"] == {"mean": 2.0, "std": None}
    assert other[0]["overall"] == own[0]["overall"]


def test_a_grouping_rule_that_a_run_lacks_is_refused(runs):
    path = runs[1] / "metrics.json"
    document = json.loads(path.read_text())
    del document["last"]["groups"]["other"]
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"seed2 has no figures by the grouping rule 'other'; there are own$"):
        summarize_runs(runs, groups="other")
    assert summarize_runs(runs, "best", "other")[0]["n"] == 3


def test_runs_with_different_rules_of_their_own_are_not_averaged(runs):
    path = runs[1] / "metrics.json"
    document = json.loads(path.read_text())
    document["last"]["groups"] = dict(reversed(document["last"]["groups"].items()))
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"the runs of a have groups by different rules \(own, other\)"):
        summarize_runs(runs)
    assert summarize_runs(runs, groups="own")[0]["n"] == 3


def test_runs_from_before_the_calibration_error_are_summarized(runs):
    for run in runs:
        document = json.loads((run / "metrics.json").read_text())
        del document["last"]["ece"]
        (run / "metrics.json").write_text(json.dumps(document))
    assert [record["n"] for record in summarize_runs(runs)] == [3, 1]


def test_the_seeds_table_is_markdown(runs):
    assert seeds_table(summarize_runs(runs)).splitlines() == [
        "| recipe | overall | head | mid | tail | n |",
        "| --- | --- | --- | --- | --- | --- |",
        "| a | 41.5 ± 1.5 | 51.5 ± 1.5 | 41.5 ± 1.5 | 20.8 ± 0.8 | 3 |",
        "| b | 70.0 | 80.0 |  | 35.0 | 1 |",
    ]


@pytest.mark.parametrize(
    "content", [None, "", "{", "[]", "3", '{"recipe": "a"}', '{"recipe": "a", "seed": 0, "last": {"overall": 3}}']
)
def test_a_folder_without_a_finished_run_is_refused(content, runs):
    path = runs[1] / "metrics.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(InputError, match="seed2 holds no finished run") as caught:
        summarize_runs(runs)
    assert "\n" not in str(caught.value)


def test_figures_that_a_run_does_not_have_are_refused(runs):
    with pytest.raises(InputError, match="seed0 has no figures by the rule 'paper'; use last or best"):
        summarize_runs(runs, "paper")


def test_a_run_with_overrides_is_not_the_recipes(runs):
    path = runs[0] / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"overrides": {"optimizer.lr": [0.1, 0.2]}}))
    records = {record["recipe"]: record["n"] for record in summarize_runs(runs)}
    assert records == {"a": 2, "b": 1, "a with optimizer.lr=0.2": 1}


def test_runs_on_different_images_are_not_averaged(runs):
    path = runs[1] / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"subset_sha256": "cd" * 32}))
    with pytest.raises(InputError, match="seed2 and the other runs of a differ in training images or precision"):
        summarize_runs(runs)
    assert [record["n"] for record in summarize_runs([runs[0], runs[2]])] == [2]


@pytest.mark.parametrize(
    "changes",
    [{"overrides": [1]}, {"overrides": {"a": 1}}, {"seed": [0]}, {"last": {"groups": {}}}, {"last": {"overall": "x"}}],
)
def test_a_run_with_odd_contents_is_refused(changes, runs):
    path = runs[1] / "metrics.json"
    document = json.loads(path.read_text())
    if "last" in changes:
        changes = {"last": document["last"] | changes["last"]}
    path.write_text(json.dumps(document | changes))
    with pytest.raises(InputError, match="seed2 holds no finished run"):
        summarize_runs(runs)


def test_a_seed_that_comes_twice_is_refused(runs):
    with pytest.raises(InputError, match="seed2 is a second run of a with seed 2"):
        summarize_runs([*runs, runs[1]])
