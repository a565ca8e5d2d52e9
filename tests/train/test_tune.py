"""`--tune`: what is tried, what is chosen, and that a tuned run is the run with the chosen settings."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from accelerate import Accelerator

from ltzoo.cli.train import main
from ltzoo.errors import InputError
from ltzoo.recipes import override
from ltzoo.registry import get_recipe
from ltzoo.train import RunFolder, TrainOptions, preparation, train, tune
from ltzoo.train.progress import Progress
from ltzoo.train.tune import Setting, Trial, candidates, check_tunable, compilation_pays
from tests.train.folders import plant_splits, run

NAME = "resnet20_digitslt_vs_ssesam"
TINY = {"architecture": "test_resnet", "batch_size": 128}
RECIPE = override(get_recipe(NAME).with_epochs(2), TINY)
ONE, TWO = Setting(1, True), Setting(2, True)
ONE_NCHW, TWO_NCHW = Setting(1, False), Setting(2, False)
COMPILED = Setting(1, True, "eager")


def options(output: Path, **changes) -> TrainOptions:
    return TrainOptions(Path("data"), output, **changes)


@pytest.fixture
def clock(monkeypatch):
    """Two cores, and steps that are taken, on one thread, but whose seconds are given: of a setting, else 0.9."""
    monkeypatch.setattr(tune, "cores", lambda: 2)
    seconds, steps = {}, []
    take = Trial.step

    def step(self, setting):
        take(self, replace(setting, threads=1))
        steps.append(setting)
        return seconds.get(setting, 0.9)

    monkeypatch.setattr(Trial, "step", step)
    return seconds, steps


def run_of(output: Path, name: str = NAME) -> RunFolder:
    return RunFolder(output / name / "seed0")


def interrupt_after(monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    """Stop the run as Ctrl-C does, once `epochs` epochs are reported."""

    def stop(self, row, rates):
        if row["epoch"] + 1 == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "epoch", stop)


def record(folder: RunFolder) -> dict:
    return yaml.safe_load(folder.recipe.read_text())["run"]


def assert_same(tuned: RunFolder, given: RunFolder) -> None:
    """Same weights, optimizer, accuracies and settings; only the record of the trial is more."""
    for file in ("checkpoint/model.safetensors", "state/last.safetensors", "state/best.safetensors", "metrics.json"):
        assert (tuned.path / file).read_bytes() == (given.path / file).read_bytes(), file
    rows = [
        [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in folder.read_history(9)]
        for folder in (tuned, given)
    ]
    assert rows[0] == rows[1]
    assert {key: value for key, value in record(tuned).items() if key != "tuned"} == record(given)


@pytest.mark.parametrize("fastest", [ONE, ONE_NCHW], ids=str)
def test_a_tuned_run_is_the_run_with_the_chosen_settings(tmp_path, clock, fastest):
    clock[0][fastest] = 0.5
    tuned = train(RECIPE, options(tmp_path / "tuned", tune=True))
    assert set(clock[1]) == {ONE, TWO, ONE_NCHW, TWO_NCHW}
    given = train(RECIPE, options(tmp_path / "given", threads=fastest.threads, channels_last=fastest.channels_last))
    assert_same(tuned, given)
    assert record(tuned)["tuned"] == {
        str(setting): 500 if setting == fastest else 900 for setting in (ONE, TWO, ONE_NCHW, TWO_NCHW)
    }


@pytest.mark.slow
def test_a_trial_of_two_threads_leaves_nothing_behind_in_a_run_of_one(tmp_path, monkeypatch):
    monkeypatch.setattr(tune, "cores", lambda: 2)
    monkeypatch.setattr(Trial, "fastest", lambda self, say: (ONE_NCHW, self.measure([TWO, TWO_NCHW]) | {ONE_NCHW: 0}))
    tuned = train(RECIPE, options(tmp_path / "tuned", tune=True))
    assert_same(tuned, train(RECIPE, options(tmp_path / "given", threads=1, channels_last=False)))


def test_a_tuned_run_with_a_compiled_step_is_the_run_with_one(tmp_path, clock, monkeypatch, capsys):
    monkeypatch.setattr(tune, "_BACKEND", "eager")  # traced by dynamo, but not compiled
    monkeypatch.setattr(tune, "_COMPILED_FROM", 1000.0)
    clock[0].update({ONE: 200.0, COMPILED: 1.0, ONE_NCHW: 900.0})  # 8 steps
    tuned = train(RECIPE, options(tmp_path / "tuned", tune=True, threads=1))
    said = capsys.readouterr().err
    assert "an eager run would take about 0.444 hours of steps: trying torch.compile" in said
    assert (
        "tuned: 1 thread, channels-last, compiled by eager: 1000 ms per step (1 thread, channels-last: 200000;" in said
    )
    assert_same(tuned, train(RECIPE, options(tmp_path / "given", threads=1, compile_backend="eager")))
    assert record(tuned)["torchcompile"] == "eager"


def test_a_compilation_that_fails_leaves_the_steps_eager(tmp_path, clock, monkeypatch, capsys):
    monkeypatch.setattr(tune, "_COMPILED_FROM", 0.0)
    monkeypatch.setattr(torch, "compile", lambda *_, **__: fails)

    def fails(images):
        raise RuntimeError("there is no compiler\nand more")

    clock[0][ONE] = 0.5
    tuned = train(RECIPE, options(tmp_path, tune=True))
    assert "torch.compile fails here, so steps stay eager: there is no compiler\n" in capsys.readouterr().err
    assert (record(tuned)["torchcompile"], record(tuned)["threads"]) == (None, 1)
    assert len(record(tuned)["tuned"]) == 4


@pytest.mark.parametrize(
    ("eager", "compiled", "compilation", "steps", "pays"),
    [(0.5, 0.4, 60, 17_000, True), (0.5, 0.4, 60, 1700, False), (0.4, 0.5, 0, 17_000, False)],
)
def test_compilation_must_save_more_than_it_takes(eager, compiled, compilation, steps, pays):
    assert compilation_pays(eager, compiled, compilation, steps) is pays


def test_a_short_run_is_not_compiled(tmp_path, clock):
    clock[0][ONE] = 8.0
    train(RECIPE, options(tmp_path, tune=True))  # 8 steps
    assert all(setting.compile_backend is None for setting in clock[1])


def test_the_trial_leaves_random_numbers_and_threads_as_they_are(tmp_path, clock, monkeypatch):
    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002

    seen = []
    measure = preparation.tune

    def watched(*arguments):
        before = states(), torch.get_num_threads()
        answer = measure(*arguments)
        seen.append((states(), torch.get_num_threads()) == before)
        return answer

    monkeypatch.setattr(preparation, "tune", watched)
    clock[0][ONE] = 0.5
    noise = {
        "perturbation": {"name": "lpfsgd", "std": 0.01, "parts": 2},
        "views.0.mixup": 0.2,
        "trainable.batchnorm": "all",
    }
    train(override(get_recipe("resnet20_digitslt_ce_sgd").with_epochs(1), noise | TINY), options(tmp_path, tune=True))
    assert seen == [True]


@pytest.mark.parametrize(
    ("fixed", "cores", "expected"),
    [
        ({}, 1, [ONE, ONE_NCHW]),
        ({}, 6, [Setting(threads, last) for threads in (1, 2, 4, 6) for last in (True, False)]),
        ({"threads": 2}, 8, [TWO, TWO_NCHW]),
        ({"channels_last": False}, 2, [ONE_NCHW, TWO_NCHW]),
        ({"compile_backend": "inductor", "channels_last": True}, 2, [ONE, TWO]),
    ],
)
def test_what_the_user_fixed_does_not_vary(fixed, cores, expected, monkeypatch, tmp_path):
    monkeypatch.setattr(tune, "cores", lambda: cores)
    assert candidates(options(tmp_path, **fixed)) == expected


def test_what_the_user_fixed_is_kept(tmp_path, clock):
    clock[0][ONE_NCHW] = 0.5
    folder = train(RECIPE, options(tmp_path, tune=True, channels_last=False))
    assert (record(folder)["threads"], record(folder)["channels_last"]) == (1, False)
    assert set(record(folder)["tuned"]) == {str(ONE_NCHW), str(TWO_NCHW)}


def test_a_slow_setting_is_given_up_after_its_first_step(tmp_path, clock):
    clock[0].update({ONE: 0.5, ONE_NCHW: 1.0, TWO: 1.1, TWO_NCHW: 5.0})
    train(RECIPE, options(tmp_path, tune=True))
    # The very first step is of the first setting, and a round each; after two slow threads no more are tried.
    assert [clock[1].count(setting) for setting in (ONE, ONE_NCHW, TWO, TWO_NCHW)] == [5, 4, 1, 0]


def test_few_threads_that_are_slow_do_not_stop_the_trial():
    trial = Trial.__new__(Trial)
    trial.step = lambda setting: {1: 5.0, 2: 2.0, 4: 1.0}[setting.threads]
    tried = trial.measure([Setting(threads, last) for threads in (1, 2, 4) for last in (True, False)])
    assert len(tried) == 6 and tried[Setting(4, False)] == 1.0


@pytest.mark.parametrize("flag", [True, False])
def test_a_resumed_run_keeps_its_choice_without_another_trial(tmp_path, clock, monkeypatch, flag):
    clock[0][ONE_NCHW] = 0.5
    whole = train(RECIPE, options(tmp_path / "whole", tune=True))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(patch, 1)
        train(RECIPE, options(tmp_path / "parts", tune=True))
    monkeypatch.setattr(preparation, "tune", None)
    parts = train(RECIPE, options(tmp_path / "parts", tune=flag, resume=True))
    for file in ("recipe.yaml", "checkpoint/model.safetensors", "state/last.safetensors", "metrics.json"):
        assert (whole.path / file).read_bytes() == (parts.path / file).read_bytes(), file
    with pytest.raises(InputError, match=r"different settings \(run.channels_last: "):
        train(RECIPE, options(tmp_path / "parts", tune=flag, resume=True, channels_last=True))


def test_images_in_files_are_tuned_on_too(tmp_path, clock):
    clock[0][ONE_NCHW] = 0.5
    data = plant_splits(tmp_path / "photos")
    tuned = run(data, tmp_path / "tuned", "--tune")
    given = run(data, tmp_path / "given", "--threads", "1", "--no-channels-last")
    assert_same(tuned, given)


def test_a_run_that_is_not_tuned_is_not_tuned_when_it_is_resumed(tmp_path, clock):
    train(RECIPE, options(tmp_path))
    with pytest.raises(InputError, match="was begun without --tune; leave it out to resume the run"):
        train(RECIPE, options(tmp_path, tune=True, resume=True))
    assert clock[1] == []


def test_with_resume_a_run_that_does_not_exist_is_tuned(tmp_path, clock):
    clock[0][ONE] = 0.5
    assert "tuned" in record(train(RECIPE, options(tmp_path, tune=True, resume=True)))


@pytest.mark.parametrize(
    ("changes", "device", "processes", "message"),
    [
        ({}, "cuda", 1, "--tune tries threads and memory formats of a CPU, but the device is cuda; leave it out"),
        ({}, "cpu", 2, "--tune measures a process that has the CPU to itself, but there are 2; leave it out, or"),
        ({"threads": 1, "channels_last": False, "compile_backend": "inductor"}, "cpu", 1, "has nothing to try"),
    ],
)
def test_where_it_cannot_be_used_it_is_refused(changes, device, processes, message, tmp_path, monkeypatch):
    accelerator = Accelerator(cpu=True)
    monkeypatch.setattr(Accelerator, "device", torch.device(device))
    monkeypatch.setattr(Accelerator, "num_processes", processes)
    with pytest.raises(InputError, match=message):
        check_tunable(get_recipe("resnet20_digitslt_ce_sgd"), options(tmp_path, **changes), accelerator)


def test_the_command_tunes_with_real_times(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tune, "cores", lambda: 1)
    argv = ["--recipe", NAME, "--arch", "test_resnet", "--epochs", "1", "--output", str(tmp_path), "--tune"]
    assert main(argv) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tuned: ")]
    run = record(run_of(tmp_path))
    best = Setting(run["threads"], run["channels_last"])
    assert len(lines) == 1 and lines[0].startswith(f"tuned: {best}: {run['tuned'][str(best)]:g} ms per step (")
    assert run["tuned"][str(best)] == min(run["tuned"].values()) > 0


@pytest.mark.parametrize(
    ("name", "changes"),
    [("resnet20_digitslt_ncm_sgd", {}), ("resnet20_digitslt_crt_sgd", {"cache_features": Path("features")})],
)
def test_a_run_without_steps_of_the_whole_network_is_not_tuned(tmp_path, name, changes):
    accelerator = Accelerator(cpu=True)
    with pytest.raises(InputError, match="its head is computed or trained on features; leave --tune out"):
        check_tunable(get_recipe(name), options(tmp_path, tune=True, **changes), accelerator)
