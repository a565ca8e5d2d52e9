"""Signals: training finishes its step, saves and leaves with the signal's exit code, and goes on bit for bit."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState
from safetensors import safe_open

from ltzoo.errors import InputError, Interrupted
from ltzoo.recipes import override
from ltzoo.recipes.model import build_model
from ltzoo.registry import get_recipe
from ltzoo.train import RunFolder, TrainOptions, ValInterval, measuring, preparation, train, train_all
from ltzoo.train.interrupts import Interrupts
from ltzoo.train.state import read_progress
from ltzoo.train.step import Step
from tests.launch import ROOT, launch_two
from tests.train.folders import NAME, code_of, plant_splits
from tests.train.folders import TINY as FILES_TINY
from tests.train.test_loss_with_state import RECIPE as WITH_STATE
from tests.train.test_loss_with_state import registered  # noqa: F401  the loss with state

TINY = {"architecture": "test_resnet", "batch_size": 128}
SSESAM = override(get_recipe("resnet20_digitslt_vs_ssesam").with_epochs(2), TINY)
"""Four steps an epoch; its second stage begins with the second epoch."""
RECIPES = {
    "ssesam": SSESAM,
    "noise, mixup and a moving average": override(
        get_recipe("resnet20_digitslt_ce_sgd").with_epochs(2),
        {"perturbation": {"name": "lpfsgd", "std": 0.01, "parts": 2}, "ema_decay": 0.9}
        | {"trainable.batchnorm": "all", "views.0.mixup": 0.2}
        | TINY,
    ),
    "a loss with state": replace(WITH_STATE, architecture="test_resnet"),
    "dropout and AdamW": override(
        get_recipe("resnet20_digitslt_la_sam").with_epochs(2),
        {"optimizer.kind": "adamw", "optimizer.lr": 0.001} | TINY,
    ),
}
FILES = ("checkpoint/model.safetensors", "state/last.safetensors", "state/best.safetensors", "metrics.json")


def options(output: Path, **changes) -> TrainOptions:
    return TrainOptions(Path("data"), output, **changes)


def signal_in_step(monkeypatch: pytest.MonkeyPatch, *steps: int, number: int = signal.SIGTERM) -> None:
    """Send this process a signal in each of the given steps, counted from 1."""
    run, count = Step.run, []

    def run_then_signal(self, *arguments):
        count.append(None)
        if len(count) in steps:
            os.kill(os.getpid(), number)
        return run(self, *arguments)

    monkeypatch.setattr(Step, "run", run_then_signal)


def same_files(whole: RunFolder, parts: RunFolder) -> None:
    for file in FILES:
        assert (whole.path / file).read_bytes() == (parts.path / file).read_bytes(), file
    rows = [[{**row, "seconds": 0, "eval_seconds": 0} for row in folder.read_history(9)] for folder in (whole, parts)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_stops_after_any_step_and_goes_on_bit_for_bit(name, tmp_path, monkeypatch, capfd):
    recipe = RECIPES[name]
    if "dropout" in name:

        def with_dropout(*arguments, **keywords):
            model = build_model(*arguments, **keywords)
            model.drop_rate = 0.3
            return model

        monkeypatch.setattr(preparation, "build_model", with_dropout)
    whole = train(recipe, options(tmp_path / "whole"))
    folder = RunFolder(tmp_path / "parts" / recipe.name / "seed0")
    # In an epoch; in the next; twice in one epoch; in the last step of an epoch.
    for step in (2, 3, 1) if name == "ssesam" else (1,):
        with monkeypatch.context() as patch, pytest.raises(Interrupted) as caught:
            signal_in_step(patch, step)
            train(recipe, options(tmp_path / "parts", resume=True))
        assert caught.value.number == signal.SIGTERM
        AcceleratorState._reset_state(reset_partial_state=True)
    said = capfd.readouterr().err
    assert "SIGTERM: training stops after this step; a second one stops it at once" in said
    if name == "ssesam":
        assert "2 steps of epoch 1, and 0 of 2 epochs are saved; continue with --resume" in said
        assert "from epoch 1, step 3" in said
        assert "1 step of epoch 2, and 1 of 2 epochs are saved; continue with --resume" in said
        with safe_open(folder.last_state, "pt") as file:
            assert list(file.metadata()) == ["state_within_epoch"]  # which version 0.2 refuses
        assert read_progress(folder.last_state) == (1, 2)
    same_files(whole, train(recipe, options(tmp_path / "parts", resume=True)))


def test_a_signal_while_it_measures_keeps_the_steps_of_the_epoch(tmp_path, monkeypatch):
    whole = train(SSESAM, options(tmp_path / "whole"))
    predict, steps = measuring.predict_classes, []

    def signal_then_predict(*arguments, **keywords):
        os.kill(os.getpid(), signal.SIGINT)
        return predict(*arguments, **keywords)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(measuring, "predict_classes", signal_then_predict)
        train(SSESAM, options(tmp_path / "parts"))
    run = Step.run
    monkeypatch.setattr(Step, "run", lambda self, *arguments: steps.append(1) or run(self, *arguments))
    parts = train(SSESAM, options(tmp_path / "parts", resume=True))
    assert len(steps) == 4  # those of the second epoch
    same_files(whole, parts)


def test_a_checkpoint_of_an_epoch_is_not_made_from_a_state_within_the_next(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        signal_in_step(patch, 5)
        train(SSESAM, options(tmp_path))
    with pytest.raises(InputError, match="has already passed epoch 1 without saving it"):
        train(SSESAM, options(tmp_path, resume=True, save_epochs=(1,)))


def test_a_second_signal_stops_at_once_and_the_last_state_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("ltzoo.train.interrupts._SAME", -1.0)
    step, count = Step.run, []

    def two_signals(self, *arguments):
        count.append(None)
        if len(count) == 6:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(Interrupted) as caught:
        patch.setattr(Step, "run", two_signals)
        train(SSESAM, options(tmp_path))
    assert caught.value.number == signal.SIGTERM
    folder = RunFolder(tmp_path / SSESAM.name / "seed0")
    with safe_open(folder.last_state, "pt") as file:
        assert list(file.metadata()) == ["state"]  # the one after the first epoch
    assert read_progress(folder.last_state) == (1, 0)
    same_files(
        train(SSESAM, options(tmp_path / "whole")),
        train(SSESAM, options(tmp_path, resume=True)),
    )


def test_later_runs_of_the_command_are_not_begun(tmp_path, monkeypatch):
    signal_in_step(monkeypatch, 1)
    with pytest.raises(Interrupted):
        train_all([(SSESAM, options(tmp_path, seed=seed)) for seed in (0, 1)])
    assert [path.name for path in (tmp_path / SSESAM.name).iterdir()] == ["seed0"]


def test_handlers_are_put_back_and_what_is_ignored_stays_ignored():
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(Interrupted):
                os.kill(os.getpid(), signal.SIGTERM)
            with interrupts.deferred(), interrupts.deferred():
                os.kill(os.getpid(), signal.SIGTERM)
            assert interrupts.number == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) == before
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_loader_of_files_begins_with_the_step_that_is_asked_for(tmp_path, monkeypatch):
    data = plant_splits(tmp_path / "data")
    assert code_of(data, tmp_path / "whole", "-b", "5") == 0
    with monkeypatch.context() as patch:
        signal_in_step(patch, 2)
        assert code_of(data, tmp_path / "parts", "-b", "5") == 128 + signal.SIGTERM
    assert code_of(data, tmp_path / "parts", "-b", "5", "--resume") == 0
    same_files(*(RunFolder(tmp_path / where / NAME / "seed0") for where in ("whole", "parts")))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a signal to the group ends the workers")
def test_a_signal_to_the_whole_process_group_saves_the_step_though_workers_decode(tmp_path):
    data = plant_splits(tmp_path / "data")
    words = ["--recipe", NAME, *FILES_TINY, "-b", "5", "-j", "2", "--data-dir", str(data)]
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("group_signalled.py")),
            *words,
            "--output",
            str(tmp_path / "parts"),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 128 + signal.SIGTERM, done.stderr[-3000:]
    assert "2 steps of epoch 1, and 0 of 2 epochs are saved" in done.stderr
    assert code_of(data, tmp_path / "parts", "-b", "5", "--resume") == 0
    assert code_of(data, tmp_path / "whole", "-b", "5") == 0
    same_files(*(RunFolder(tmp_path / where / NAME / "seed0") for where in ("whole", "parts")))


def test_both_processes_stop_after_the_same_step_and_go_on_bit_for_bit(tmp_path):
    launch_two(Path(__file__).with_name("two_interrupted.py"), str(tmp_path))
    name = "resnet20_digitslt_la_sam"
    same_files(*(RunFolder(tmp_path / where / name / "seed0") for where in ("whole", "parts")))


def test_features_begin_with_the_step_that_is_asked_for(tmp_path, monkeypatch):
    recipe = override(
        get_recipe("resnet20_digitslt_ce_sgd").with_epochs(2),
        {
            "trainable": {"weights": "head", "batchnorm": "frozen"},
            "views": [{"crop_padding": 0, "horizontal_flip": False}],
        }
        | TINY,
    )
    changes = {"val_interval": ValInterval(2)}
    whole = train(recipe, options(tmp_path / "whole", cache_features=tmp_path / "features", **changes))
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        signal_in_step(patch, 3)
        train(recipe, options(tmp_path / "parts", cache_features=tmp_path / "features", **changes))
    parts = train(recipe, options(tmp_path / "parts", cache_features=tmp_path / "features", resume=True, **changes))
    same_files(whole, parts)
