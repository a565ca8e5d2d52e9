"""Signals while runs take turns: each run saves its last step and goes on bit for bit, and one failure stops no other.

Steps of the runs come in turn: the first of each, the second of each.
"""

import os
import signal
from pathlib import Path

import pytest

from ltzoo.atomic_write import WriteError
from ltzoo.errors import InputError, Interrupted
from ltzoo.recipes import override
from ltzoo.registry import get_recipe
from ltzoo.train import CaptureError, RunFolder, TrainOptions, train, train_all
from ltzoo.train.interrupts import Interrupts
from ltzoo.train.run import Run
from ltzoo.train.saving import Saved
from ltzoo.train.step import Step
from tests.launch import launch_two
from tests.train.test_interrupts import TINY, same_files, signal_in_step
from tests.train.test_side_by_side import drop

RECIPE = override(get_recipe("resnet20_digitslt_ce_sgd").with_epochs(1), TINY)
"""Four steps."""


def options(output: Path, seed: int, **changes) -> TrainOptions:
    return TrainOptions(Path("data"), output, seed=seed, **changes)


def jobs(output: Path, seeds: int = 2, **changes) -> list:
    return [(RECIPE, options(output, seed, **changes)) for seed in range(seeds)]


def saved(output: Path, seed: int) -> bool:
    return RunFolder(output / RECIPE.name / f"seed{seed}").last_state.exists()


def test_each_run_saves_its_step_and_goes_on_bit_for_bit(tmp_path, turns, monkeypatch, capfd):
    drop(monkeypatch)  # the random states that are saved are those of each run
    with monkeypatch.context() as patch, pytest.raises(Interrupted) as caught:
        signal_in_step(patch, 4)
        train_all(jobs(tmp_path / "parts"))
    assert caught.value.number == signal.SIGTERM
    assert capfd.readouterr().err.count("2 steps of epoch 1, and 0 of 1 epochs are saved") == 2
    parts = train_all(jobs(tmp_path / "parts", resume=True))
    for seed in range(2):
        same_files(train(RECIPE, options(tmp_path / "whole", seed)), parts[seed])


def test_signals_are_received_until_the_last_run_is_saved(tmp_path, turns, monkeypatch):
    """What a batch system repeats, or a launcher passes on, while the other runs are being saved."""
    save, seen = Saved.save_partial_epoch, []

    def signal_then_save(self, step, partial):
        seen.append(signal.getsignal(signal.SIGTERM))
        os.kill(os.getpid(), signal.SIGTERM)  # by default it would end this process
        save(self, step, partial)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Saved, "save_partial_epoch", signal_then_save)
        signal_in_step(patch, 2)
        train_all(jobs(tmp_path, 3))
    assert len(seen) == 2 and {handler.__func__ for handler in seen} == {Interrupts._receive}
    assert [saved(tmp_path, seed) for seed in range(3)] == [True, True, False]


def test_no_other_run_takes_its_turn_after_a_signal(tmp_path, turns, monkeypatch):
    """While one of them is measured for the last time, the signal is kept for the other, whose last step is saved."""
    finish, step, taken = Run.finish, Step.run, []

    def signal_then_finish(self):
        os.kill(os.getpid(), signal.SIGTERM)
        finish(self)

    first, second = jobs(tmp_path)
    longer = override(RECIPE, {"batch_size": 64})
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Run, "finish", signal_then_finish)
        patch.setattr(Step, "run", lambda self, *batch: (taken.append(self.seed), step(self, *batch))[1])
        train_all([first, (longer, second[1])])
    assert taken == [0, 1] * 4
    assert RunFolder(tmp_path / RECIPE.name / "seed0").metrics.exists() and saved(tmp_path, 1)


def test_a_run_that_cannot_be_saved_keeps_none_of_the_others_from_it(tmp_path, turns, monkeypatch):
    save = Saved.save_partial_epoch

    def fail(self, step, partial):
        if self.options.seed == 0:
            raise WriteError("seed0 cannot be written: the disk is full")
        save(self, step, partial)

    with monkeypatch.context() as patch, pytest.raises(InputError, match="the disk is full"):
        patch.setattr(Saved, "save_partial_epoch", fail)
        signal_in_step(patch, 6)
        train_all(jobs(tmp_path, 3))
    assert [saved(tmp_path, seed) for seed in range(3)] == [False, True, True]


def test_a_second_signal_while_others_are_saved_leaves_at_once(tmp_path, turns, monkeypatch):
    monkeypatch.setattr("ltzoo.train.interrupts._SAME", -1.0)
    save, seen = Saved.save_partial_epoch, []

    def save_then_signal(self, step, partial):
        save(self, step, partial)
        seen.append(self.options.seed)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch, pytest.raises(Interrupted) as caught:
        patch.setattr(Saved, "save_partial_epoch", save_then_signal)
        signal_in_step(patch, 6)
        train_all(jobs(tmp_path, 3))
    assert caught.value.number == signal.SIGINT
    assert seen == [2, 0]  # the run in whose step the first signal came, and one of the others


def test_a_failed_capture_saves_nothing_even_if_a_signal_has_come(tmp_path, turns, monkeypatch):
    run, count = Step.run, []

    def signal_then_fail(self, *arguments):
        count.append(None)
        if len(count) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            raise CaptureError("a fault")
        return run(self, *arguments)

    monkeypatch.setattr(Step, "run", signal_then_fail)
    with pytest.raises(CaptureError, match="a fault"):
        train_all(jobs(tmp_path))
    assert not saved(tmp_path, 0)


def test_a_signal_to_one_of_two_processes_saves_every_run(tmp_path):
    launch_two(Path(__file__).with_name("two_interrupted_beside.py"), str(tmp_path))
