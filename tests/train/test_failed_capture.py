"""A run whose capture fails goes on eagerly in a new process, and its files say what has happened."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from ltzoo.errors import InputError, Interrupted
from ltzoo.recipes import override
from ltzoo.registry import get_recipe
from ltzoo.train import CaptureError, RunFolder, TrainOptions, cuda_graph, preparation, train, train_all
from ltzoo.train.record import FailedCapture
from tests.launch import ROOT
from tests.train.test_interrupts import signal_in_step

NAME = "resnet20_digitslt_ce_ssesam"
# One epoch per stage; in float32 the learning rate is the same number.
SETTINGS = {
    "optimizer.lr": 2**-6,
    "schedule.milestones": [],
    "schedule.factors": [],
    "perturbation.gamma": 0.5,
    "architecture": "test_resnet",
    "batch_size": 146,
}
REASON = "CUDA error: operation not permitted when stream is capturing"
SAID = f"the step cannot be captured: {REASON}; going on eagerly in a new process"


def command(output: Path, fails_at: int, *options: str) -> subprocess.CompletedProcess[str]:
    words = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    line = [sys.executable, str(Path(__file__).with_name("failing_capture.py")), str(fails_at)]
    return subprocess.run(
        [*line, "--recipe", NAME, "--epochs", "2", *words, "--output", str(output), *options],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )


def eager(output: Path) -> RunFolder:
    return train(override(get_recipe(NAME).with_epochs(2), SETTINGS), TrainOptions(Path("data"), output))


@pytest.mark.parametrize(("fails_at", "epoch"), [(1, 1), (2, 2)])
def test_it_goes_on_eagerly_in_a_new_process(fails_at, epoch, tmp_path):
    done = command(tmp_path / "failed", fails_at)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count(SAID) == 1
    assert "Traceback" not in done.stderr
    folder, expected = RunFolder(tmp_path / "failed" / NAME / "seed0"), eager(tmp_path / "eager")
    run = yaml.safe_load(folder.recipe.read_text())["run"]
    assert (run["capture"], run["capture_failed"]) == (False, {"epoch": epoch, "reason": REASON})
    # What was trained is what an eager run trains, up to the learning rate, which a captured step keeps in float32.
    for file in ("state/last.safetensors", "checkpoint/model.safetensors", "metrics.json"):
        assert (folder.path / file).read_bytes() == (expected.path / file).read_bytes(), file


def test_the_record_of_a_run_whose_captures_succeed_says_so(tmp_path):
    done = command(tmp_path, 99)
    assert done.returncode == 0, done.stderr[-3000:]
    run = yaml.safe_load(RunFolder(tmp_path / NAME / "seed0").recipe.read_text())["run"]
    assert run["capture"] is True and "capture_failed" not in run
    assert "each step as one graph" in done.stderr


def test_within_python_it_is_an_error_after_which_another_process_goes_on(tmp_path, monkeypatch):
    """The neighbours are interrupted; nothing is computed after the failure."""

    def record(step, warm_up, resources):
        raise CaptureError(REASON)

    recipe = override(get_recipe(NAME).with_epochs(2), SETTINGS)
    options = TrainOptions(Path("data"), tmp_path, resume=True)
    with monkeypatch.context() as patch:
        patch.setattr(cuda_graph, "record", record)
        patch.setattr(preparation, "why_not_captured", lambda *arguments: None)
        with pytest.raises(CaptureError, match=REASON):
            train(recipe, options)
        assert issubclass(CaptureError, InputError)
        patch.setattr(cuda_graph, "record", lambda *arguments: pytest.fail("it was captured again"))
        (folder,) = train_all([(recipe, options)])
    assert yaml.safe_load(folder.recipe.read_text())["run"]["capture_failed"]["epoch"] == 1
    assert folder.metrics.exists()


def test_the_record_says_which_steps_of_a_resumed_epoch_were_captured(tmp_path, monkeypatch):
    """A signal has stopped the run within its epoch; the process that resumes it cannot capture."""
    recipe = override(get_recipe(NAME).with_epochs(2), SETTINGS)

    def replayed(step, warm_up, resources):
        loss = torch.zeros(())
        return loss, lambda: loss.copy_(step())

    def failed(step, warm_up, resources):
        raise CaptureError(REASON)

    monkeypatch.setattr(preparation, "why_not_captured", lambda *arguments: None)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(cuda_graph, "record", replayed)
        signal_in_step(patch, 2)
        train(recipe, TrainOptions(Path("data"), tmp_path))
    monkeypatch.setattr(cuda_graph, "record", failed)
    with pytest.raises(CaptureError, match=REASON):
        train(recipe, TrainOptions(Path("data"), tmp_path, resume=True))
    folder = RunFolder(tmp_path / NAME / "seed0")
    assert folder.recorded()["capture_failed"] == {"epoch": 1, "reason": REASON, "step": 3}
    assert FailedCapture.of(folder.recorded()) == FailedCapture(1, REASON, 3)
