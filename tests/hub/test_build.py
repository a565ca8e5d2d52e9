"""hub/build.py: missing runs are trained within a budget, and collected; bad input is one line."""

import re
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

import build
import packing
import run_queue
import worker
from ltzoo.evaluate import plots
from ltzoo.report import read_results, write_result
from tests.checkpoints.changes import NAME, change_config
from tests.hub.builds import MANY, ONE, SECOND, InProcess, Told
from tests.hub.runs import runs_of
from tests.report.results import result


def test_what_is_missing_is_trained_and_collected_and_what_fails_is_named(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(worker.subprocess, "Popen", InProcess)
    monkeypatch.setattr(plots, "save_figure", lambda figure, path: path.touch())
    stray = tmp_path / "output" / MANY / "seed0" / "stray"
    stray.parent.mkdir(parents=True)
    stray.touch()
    assert build.main([ONE, MANY, "--jobs", "2", "--save-epochs", "1", "--half", *folders]) == 1
    said = capsys.readouterr().out
    assert "0 runs have a result, 2 are missing\ntime unknown for 2 runs: no epoch measured" in said
    assert re.search(rf"failed: {MANY}, seed 0: .*has files, but no run of ltzoo", said)
    assert re.search(rf"finished: {ONE}, seed 0; .* is seed 0, overall", said)
    assert "runs: 1 finished, 1 failed, 0 stopped, 0 not started" in said
    assert [(found.model, found.run["half"]) for found in read_results(tmp_path / "results")] == [(ONE, True)]
    assert (tmp_path / "zoo" / ONE / "model.safetensors").is_file()
    assert (tmp_path / "output" / ONE / "seed0" / "epochs" / "epoch1" / "model.safetensors").is_file()
    assert build.main([ONE, *folders]) == 0
    assert capsys.readouterr().out == "1 run has a result, 0 are missing\n"


@pytest.mark.parametrize("asked", [[], ["--threads", "1"]])
def test_an_unfinished_run_keeps_its_threads_unless_others_are_asked_for(asked, folders, tmp_path, monkeypatch):
    monkeypatch.setattr(run_queue, "cores", lambda: 2)
    commands, said = [], []
    monkeypatch.setattr(run_queue.Worker, "start", lambda command, *_: commands.append(command))
    monkeypatch.setattr("builtins.print", lambda text, **_: said.append(text))
    arguments = build.build_parser().parse_args([NAME, "--jobs", "2", *asked, *folders])
    queue = run_queue.RunQueue(arguments, build.machine_settings(arguments), [], set())
    recipe = tmp_path / "output" / NAME / "seed0" / "recipe.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text("run: {threads: 2}")
    queue.start([(build.get_recipe(NAME), 0)])
    (command,) = commands
    assert ("--threads" in command) == bool(asked)
    assert any("continues with its 2 threads; 2 runs share 2 cores" in text for text in said) == (not asked)


class BesideAnother(InProcess):
    """A worker whose log another build's worker writes to as well."""

    def poll(self):
        code = super().poll()
        with self.log.open("a") as log:
            log.write("epoch 7/2000  loss 1.2\n")
        return code


def test_a_run_that_another_build_trains_is_left_to_it(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(worker.subprocess, "Popen", BesideAnother)
    monkeypatch.setattr(plots, "save_figure", lambda figure, path: path.touch())
    lock = tmp_path / "output" / ONE / "seed0" / "state" / "lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        assert build.main([ONE, *folders]) == 1
    said = capsys.readouterr().out
    assert re.search(rf"failed: {ONE}, seed 0: ltzoo train: error: .*{ONE}/seed0 is in use by another process", said)
    assert list(lock.parent.iterdir()) == [lock]
    assert build.main([ONE, *folders]) == 0
    assert [found.model for found in read_results(tmp_path / "results")] == [ONE]


def test_a_second_stage_is_trained_after_its_first(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(worker.subprocess, "Popen", InProcess)
    monkeypatch.setattr(plots, "save_figure", lambda figure, path: path.touch())
    assert build.main([SECOND, "--jobs", "2", *folders]) == 0
    said = capsys.readouterr().out
    assert said.index(f"finished: {ONE}, seed 0") < said.index(f"started: {SECOND}, seed 0")
    assert [found.model for found in read_results(tmp_path / "results")] == [ONE, SECOND]
    # The first stage has a result but no weights in another output folder: it is trained for them, and not collected.
    shutil.rmtree(tmp_path / "output")
    shutil.rmtree(tmp_path / "results" / SECOND)
    assert build.main([SECOND, *folders]) == 0
    assert f"finished: {ONE}, seed 0, the first stage of another run" in capsys.readouterr().out


def test_a_second_stage_without_its_first_is_named(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(worker.subprocess, "Popen", InProcess)
    stray = tmp_path / "output" / ONE / "seed0" / "stray"
    stray.parent.mkdir(parents=True)
    stray.touch()
    assert build.main([SECOND, *folders]) == 1
    assert f"failed: {SECOND}, seed 0: its first stage, {ONE}, was not trained" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["nothing*"], "no recipe matches 'nothing*'"),
        (["resnet20_digitslt_ce_sdg"], "the nearest are resnet20_digitslt_ce_sgd"),
        ([NAME, "--time-budget", "0"], "must be minutes above 0, not '0'"),
        ([NAME, "--time-budget", "soon"], "must be minutes above 0, not 'soon'"),
        ([NAME, "--save-epochs", "1,ten"], "--save-epochs: must be a whole number, not 'ten'"),
        ([ONE, NAME, "--save-epochs", "2"], f"{ONE} has no epoch 2 to save; --save-epochs takes 1 to 1"),
        ([ONE, "--val-interval", "5,2:1"], f"--val-interval 5,2:1 changes at epoch 2, but {ONE} has 1 epochs"),
        ([NAME, "--val-interval", "some"], "--val-interval must be a number of epochs, or a schedule such as"),
        ([NAME, "--precision", "float8"], "invalid choice: 'float8'"),
        (["resnet32_cifar100lt_ce_sgd", "--pack", "packed", "--data-dir", "nowhere"], "nowhere does not exist"),
        ([NAME, "--jobs", "0"], "must be at least 1, not 0"),
        ([NAME, "--hold-out", "2"], "--hold-out belongs to --pack"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(arguments, match, folders, capsys, tmp_path):
    before = set(tmp_path.iterdir())
    try:
        code = build.main([*arguments, *folders])
    except SystemExit as error:
        code = error.code
    assert code == 2
    error = capsys.readouterr().err
    assert match in error
    assert error.count("\n") == 1
    assert set(tmp_path.iterdir()) <= before | {tmp_path / "__pycache__"}


@pytest.mark.parametrize("name", ["output", "zoo", "results"])
def test_a_file_in_the_place_of_a_folder_is_refused_before_anything_is_trained(name, folders, tmp_path, capsys):
    (tmp_path / name).touch()
    assert build.main([ONE, *folders]) == 2
    assert capsys.readouterr().err == f"build.py: error: {tmp_path / name} is not a folder; give another one\n"


def test_what_was_finished_before_is_collected_and_not_trained_again(
    folders, checkpoint, tmp_path, monkeypatch, capsys
):
    runs = [Path(run) for run in runs_of(checkpoint, tmp_path / "output", [70.0, 80.0, 90.0])]
    shutil.rmtree(checkpoint)  # it lies where the zoo is to be
    change_config(runs[1] / "checkpoint", overrides={"optimizer.lr": [0.1, 0.05]})
    monkeypatch.setattr(run_queue.RunQueue, "start", None)
    assert build.main([NAME, *folders, "--seeds", "0", "1", "2", "0"]) == 1
    said = capsys.readouterr().out
    assert re.search(rf"failed: {NAME}, seed 1: .* was trained with overrides .optimizer.lr.", said)
    assert "runs: 2 finished, 1 failed, 0 stopped, 0 not started" in said
    assert [found.seed for found in read_results(tmp_path / "results")] == [0, 2]


def test_another_run_of_a_seed_does_not_stop_the_others(folders, checkpoint, tmp_path, monkeypatch, capsys):
    runs_of(checkpoint, tmp_path / "output", [70.0, 80.0])
    shutil.rmtree(checkpoint)
    write_result(tmp_path / "results", result(NAME, seed=0))
    monkeypatch.setattr(run_queue.RunQueue, "start", None)
    assert build.main([NAME, *folders, "--seeds", "0", "1"]) == 0
    assert f"finished: {NAME}, seed 1;" in capsys.readouterr().out
    assert [found.seed for found in read_results(tmp_path / "results")] == [0, 1]


def test_runs_of_several_lengths_are_passed_the_changes_that_they_reach(folders, monkeypatch, tmp_path):
    told = Told(*[(2, "ltzoo train: error: no\n")] * 2)
    monkeypatch.setattr(worker.subprocess, "Popen", told)
    assert build.main([ONE, MANY, "--val-interval", "5,2:1", "--jobs", "1", *folders]) == 1
    assert [line[line.index("--val-interval") + 1] for line in told.lines] == ["5", "5,2:1"]


def test_results_that_are_there_are_not_trained_again(folders, tmp_path, capsys):
    write_result(tmp_path / "results", result(NAME))
    assert build.main([NAME, *folders]) == 0
    assert capsys.readouterr().out == "1 run has a result, 0 are missing\n"


def test_each_data_set_is_packed_with_the_subsets_that_its_recipes_keep(folders, monkeypatch, capsys):
    packed = {}
    monkeypatch.setattr(build, "load_subset", lambda benchmark, rule, data_dir, download: (benchmark.name, rule))
    monkeypatch.setattr(packing, "pack", lambda data_set, subsets, *places: packed.update({data_set: subsets}) or 2**20)
    names = ["resnet32_cifar10lt_ce_s*", "resnet34_cifar10lt50_ce_sgd", "resnet34_cifar100lt_la_sam", NAME]
    assert build.main([*names, "--pack", "packed", *folders]) == 0
    assert packed == {
        "cifar10": [("cifar10lt", "cao"), ("cifar10lt50", "first")],
        "cifar100": [("cifar100lt", "first")],
    }
    assert "packed/cifar10: 1.0 MiB, for cifar10lt, cifar10lt50\n" in capsys.readouterr().out


def test_recipes_that_download_weights_are_named_in_full():
    found = build._matching("*_cifar100lt_*la_sgd")
    assert "resnet32_cifar100lt_la_sgd" in found and not any("adapt" in name for name in found)
    assert build._matching("vitb16_cifar100lt_adapt_la_sgd") == ["vitb16_cifar100lt_adapt_la_sgd"]
