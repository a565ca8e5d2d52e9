"""Settings chosen on held-out images: every combination is trained once, tabled, and the best is named."""

import json
import os
import statistics
import sys

import pytest
import yaml

import choose
from ltzoo.errors import InputError
from ltzoo.evaluate import plots
from ltzoo.registry import get_recipe
from ltzoo.train import CaptureError
from tests.launch import ROOT

NAME = "resnet20_digitslt_ce_sgd"


@pytest.fixture(autouse=True)
def unpainted(monkeypatch):
    """Leave each run's pictures unpainted: painting takes as long as an epoch."""
    monkeypatch.setattr(plots, "save_figure", lambda figure, path: path.touch())


@pytest.fixture
def run_choose(tmp_path):
    """Runs the script on the digits: one epoch, five held-out images per class."""

    def run(*argv: str) -> int:
        shared = ["--hold-out", "5", "--epochs", "1", "--output", str(tmp_path / "chosen")]
        return choose.main([NAME, *shared, *argv])

    return run


def metrics_of(tmp_path, combination, seed):
    return json.loads((tmp_path / "chosen" / combination / NAME / f"seed{seed}" / "metrics.json").read_text())


def test_every_combination_is_trained_once_and_the_best_is_named(run_choose, tmp_path, capsys):
    file = tmp_path / "chosen.json"
    argv = ["--vary", "optimizer.lr=0.0001,0.05", "--seeds", "0", "3", "--json", str(file)]
    assert run_choose(*argv) == 0
    shown = capsys.readouterr().out
    means = {}
    for lr in ("0.0001", "0.05"):
        found = [metrics_of(tmp_path, f"optimizer.lr={lr}", seed) for seed in (0, 3)]
        assert all(metrics["overrides"]["hold_out"] == [None, 5] for metrics in found)
        assert all(metrics["last"]["images"] == 50 for metrics in found)
        overall = [metrics["last"]["overall"] for metrics in found]
        means[lr] = statistics.fmean(overall)
        row = f"| {lr} | {means[lr]:.1f} ± {statistics.stdev(overall):.1f} | "
        assert [line.endswith(" | 2 |") for line in shown.splitlines() if line.startswith(row)] == [True], shown
    assert len(set(means.values())) == 2
    best = max(means, key=means.__getitem__)
    assert "accuracy in per cent on 5 held-out images per class, last epoch\n| optimizer.lr | overall |" in shown
    assert shown.endswith(f"best overall: --set optimizer.lr={best}\n")
    document = json.loads(file.read_text())
    assert document["best"] == {"optimizer.lr": float(best)}
    assert (document["recipe"], document["hold_out"]) == (NAME, 5)
    assert [row["values"]["optimizer.lr"] for row in document["rows"]] == [0.0001, 0.05]
    assert [row["overall"]["mean"] for row in document["rows"]] == pytest.approx(list(means.values()))

    states = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("last.safetensors")}
    assert len(states) == 4
    assert run_choose(*argv) == 0
    assert capsys.readouterr().out == shown
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("last.safetensors")} == states
    # What was trained with other images held out is not taken for it.
    assert run_choose(*argv, "--hold-out", "6") == 2
    assert "started with different settings (hold_out: 5 -> 6" in capsys.readouterr().err


def test_of_equal_ones_the_first_is_named(run_choose, capsys):
    # Limits that no gradient reaches, so that the runs are the same.
    assert run_choose("--vary", "optimizer.clip_grad=2000000,1000000") == 0
    shown = capsys.readouterr().out
    rows = [line.split("|")[2:] for line in shown.splitlines() if "000000 |" in line]
    assert rows[0] == rows[1]
    assert shown.endswith("best overall: --set optimizer.clip_grad=2000000\n")


def test_all_combinations_are_tried_and_keys_that_share_a_value_move_together(run_choose, tmp_path, monkeypatch):
    asked = []

    def train_all(jobs, side_by_side):
        assert side_by_side == 8
        asked.extend(jobs)
        raise InputError("enough")

    monkeypatch.setattr(choose, "train_all", train_all)
    varied = ["schedule.warmup_epochs=0,1", "optimizer.momentum=optimizer.clip_grad=0.5,0.9"]
    precision = ["--amp", "--amp-dtype", "bfloat16"]
    assert (
        run_choose(
            *(word for text in varied for word in ("--vary", text)), "--seeds", "1", "2", "--jobs", "8", *precision
        )
        == 2
    )
    tried = [
        (r.schedule.warmup_epochs, r.optimizer.momentum, r.optimizer.clip_grad, o.seed, o.output.name) for r, o in asked
    ]
    assert tried == [
        (
            warmup,
            value,
            value,
            seed,
            f"schedule.warmup_epochs={warmup},optimizer.momentum={value},optimizer.clip_grad={value}",
        )
        for warmup in (0, 1)
        for value in (0.5, 0.9)
        for seed in (1, 2)
    ]
    assert all(recipe.precision == "bfloat16" and options.hold_out == 5 for recipe, options in asked)
    assert all(options.resume and options.output.parent == tmp_path / "chosen" for _, options in asked)


def test_after_a_failed_capture_the_same_command_goes_on_in_a_new_process(run_choose, tmp_path, monkeypatch, capsys):
    """Its runs resume, and the one whose capture failed is recorded as eager."""

    def train_all(jobs, side_by_side):
        raise CaptureError("CUDA error: operation not permitted when stream is capturing")

    class Replaced(Exception):
        pass

    def execve(program, line, environment):
        raise Replaced(line)

    monkeypatch.setattr(choose, "train_all", train_all)
    monkeypatch.setattr(os, "execve", execve)
    with pytest.raises(Replaced) as caught:
        run_choose("--vary", "optimizer.lr=0.1,0.2")
    given = ["--hold-out", "5", "--epochs", "1", "--output", str(tmp_path / "chosen"), "--vary", "optimizer.lr=0.1,0.2"]
    assert caught.value.args[0] == [sys.executable, str(ROOT / "hub" / "choose.py"), NAME, *given]
    assert "stream is capturing; going on eagerly in a new process" in capsys.readouterr().err


def test_first_stages_that_are_named_must_be_there_and_the_usual_ones_need_not(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LTZOO_HUB", str(ROOT / "hub/zoo"))
    crt = get_recipe("resnet20_digitslt_crt_sgd")
    assert choose.first_stages(crt, 77, None) is None  # a published checkpoint of another seed
    assert choose.first_stages(crt, 77, tmp_path / "typo") == tmp_path / "typo"
    (tmp_path / "output" / NAME / "seed77").mkdir(parents=True)
    assert choose.first_stages(crt, 77, None) == choose.Path("output")
    argv = ["--hold-out", "5", "--vary", "optimizer.lr=0.1", "--output", str(tmp_path / "chosen")]
    assert choose.main([crt.name, *argv, "--first-stages", str(tmp_path / "typo")]) == 2
    assert f"there is no folder {tmp_path / 'typo'}" in capsys.readouterr().err
    assert not (tmp_path / "chosen").exists()


def test_a_record_is_a_value_and_names_a_folder():
    varied = choose.read_varied("perturbation.rho={name: linear, start: 0, end: 0.1},0.1")
    assert varied.values == ({"name": "linear", "start": 0, "end": 0.1}, 0.1)
    name = choose.folder_name({"perturbation.rho": varied.values[0]})
    assert name == "perturbation.rho=_name_linear_,_start_0,_end_0.1_"


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        (["--vary", "optimizer.lr"], "--vary must be KEY=V1,V2,..., as in --vary perturbation.rho=0.05,0.1, not"),
        (["--vary", "optimizer.lr="], "--vary must be KEY=V1,V2"),
        (["--vary", "=0.1"], "--vary must be KEY=V1,V2"),
        (["--vary", "optimizer.lr= "], "--vary 'optimizer.lr= ' names no value; write KEY=V1,V2,..."),
        (["--vary", "optimizer.lr=[0.1"], "--vary optimizer.lr: '[[0.1]' is not YAML"),
        (["--vary", "optimizer.lr=0.1,many"], "optimizer.lr must be a number, not 'many'"),
        (["--vary", "perturbation.rho=0.1"], "unknown key perturbation.rho; the nearest are"),
        (["--vary", "optimizer.lr=0.1", "--vary", "optimizer.lr=0.2"], "varied twice: optimizer.lr, optimizer.lr;"),
        (["--vary", "optimizer.lr=0.1,0.10"], "two runs would share a folder"),
        (["--vary", "optimizer.lr=0.1", "--first-stages", "runs"], "--first-stages is for second stages"),
        (["--vary", "optimizer.lr=0.1", "--hold-out", "134"], "holding out 134 would leave no training image"),
    ],
)
def test_what_cannot_be_tried_is_one_line_before_anything_is_written(argv, found, run_choose, tmp_path, capsys):
    assert run_choose(*argv) == 2
    shown = capsys.readouterr()
    assert found in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""
    assert list(tmp_path.iterdir()) == []


def test_threads_and_val_interval_are_those_of_every_run(run_choose, tmp_path):
    argv = ["--vary", "optimizer.lr=0.05,0.1", "--epochs", "3", "--threads", "1", "--val-interval", "2"]
    assert run_choose(*argv) == 0
    for value in ("0.05", "0.1"):
        folder = tmp_path / "chosen" / f"optimizer.lr={value}" / NAME / "seed0"
        used = yaml.safe_load((folder / "recipe.yaml").read_text())["run"]
        assert (used["threads"], used["val_interval"]) == (1, 2)
