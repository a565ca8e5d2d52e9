"""Several runs in one call: each has the result that it has alone, and one that fails stops none."""

import weakref
from copy import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from timm.layers import DropPath
from torch import Tensor, nn

from ltzoo.errors import InputError
from ltzoo.recipes import Recipe, override
from ltzoo.registry import get_recipe
from ltzoo.train import RunFolder, TrainOptions, preparation, side_by_side, train, train_all
from ltzoo.train.run import Run
from ltzoo.train.step import Step

RECIPE = get_recipe("resnet20_digitslt_ce_sgd").with_epochs(1)


DROPPING = override(RECIPE, {"architecture": "test_resnet", "batch_size": 128})


def test_each_result_of_runs_that_take_turns_is_that_of_the_run_alone(tmp_path, turns, monkeypatch, capsys):
    """Dropout and stochastic depth included: each run draws from random states of its own."""
    drop(monkeypatch)
    options = TrainOptions(Path("data"), tmp_path / "together")
    folders = train_all([(DROPPING, replace(options, seed=seed)) for seed in (3, 4)])
    said = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[0] for line in said if "epoch 1/1" in line] == [f"{RECIPE.name}.seed{k}" for k in (3, 4)]
    for seed, folder in zip((3, 4), folders, strict=True):
        alone = train(DROPPING, TrainOptions(Path("data"), tmp_path / "alone", seed=seed))
        for file in ("checkpoint/model.safetensors", "metrics.json"):
            assert (alone.path / file).read_bytes() == (folder.path / file).read_bytes(), file


def test_runs_share_the_time_while_they_take_turns(tmp_path, turns, monkeypatch):
    """Two at once: steps of the first run take a second, those of the second ten; the third is trained alone."""
    now, sound = [0.0], Step.__call__

    def call(self: Step, *batch: Tensor) -> Tensor:
        now[0] += {3: 1.0, 4: 10.0, 5: 2.0}[self.seed]
        return sound(self, *batch)

    monkeypatch.setattr(Step, "__call__", call)
    monkeypatch.setattr(side_by_side, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    options = TrainOptions(Path("data"), tmp_path)
    folders = train_all([(RECIPE, replace(options, seed=seed)) for seed in (3, 4, 5)], side_by_side=2)
    steps = now[0] / 13
    # The second run begins after the first one's first step.
    expected = [5.5 * steps, 5.5 * steps - 0.5, 2.0 * steps]
    seconds = [folder.read_history(1)[0]["seconds"] for folder in folders]
    assert seconds == pytest.approx(expected) and sum(seconds) + 0.5 == pytest.approx(now[0])


def test_no_jobs_give_no_run():
    assert train_all([]) == []


def drop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build the recipe's network with dropout and stochastic depth, which recipes do not have."""
    build = preparation.build_model

    def dropping(recipe: Recipe, **arguments: object) -> nn.Module:
        model = build(recipe, **arguments)
        model.drop_rate = 0.3
        for module in model.modules():
            if hasattr(module, "drop_path"):
                module.drop_path = DropPath(0.2)
        return model

    monkeypatch.setattr(preparation, "build_model", dropping)


def failing(monkeypatch: pytest.MonkeyPatch, seed: int, step: int, error: Exception) -> list[int]:
    """Let a step of one seed's run raise; returns the seeds of all steps, as they are taken."""
    taken, sound = [], Step.__call__

    def call(self: Step, *batch: Tensor) -> Tensor:
        taken.append(self.seed)
        if self.seed == seed and taken.count(seed) == step:
            raise copy(error)  # that of the test would keep the frames
        return sound(self, *batch)

    monkeypatch.setattr(Step, "__call__", call)
    return taken


OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity")
LOST = torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be")


@pytest.mark.parametrize(
    ("error", "match"),
    [
        (
            OUT_OF_MEMORY,
            r"seed1 ran out of memory \(CUDA out of memory. Tried .*\); its last state is kept; train fewer",
        ),
        (LOST, r"seed1 failed on the device \(CUDA error: an illegal memory access was encountered\); .* ltzoo doctor"),
        (InputError("training diverged in epoch 1"), "^training diverged in epoch 1$"),
        (OSError(28, "No space left on device", "output/x"), "seed1: output/x cannot be used: No space left on device"),
        (TypeError("the loss of a user\nhas a fault"), "seed1: TypeError: the loss of a user$"),
    ],
)
def test_an_error_ends_its_run_alone_and_its_place_is_taken(error, match, tmp_path, turns, monkeypatch, capsys):
    taken = failing(monkeypatch, 1, 2, error)
    kept = weakref.WeakSet[Run]()
    make = Run.__init__
    monkeypatch.setattr(Run, "__init__", lambda self, *args, **named: (make(self, *args, **named), kept.add(self))[0])
    jobs = [(DROPPING, TrainOptions(Path("data"), tmp_path, seed=seed)) for seed in range(4)]
    reported: list = []
    with pytest.raises(InputError, match=match):
        train_all(jobs, lambda recipe, folder: reported.append(folder.path.name), side_by_side=2)
    assert sorted(reported) == ["seed0", "seed2", "seed3"]
    steps = len(taken) // 3 if taken.count(1) != 2 else (len(taken) - 2) // 3
    assert [taken.count(seed) for seed in range(4)] == [steps, 2, steps, steps]
    assert taken[:4] == [0, 1, 0, 1]
    assert taken[4:8] == [0, 2, 0, 2]  # two at a time, and the next one took the place at once
    assert len(kept) == 0  # nothing holds the memory of a run that ended
    assert ("Traceback" in capsys.readouterr().err) == isinstance(error, TypeError)


def test_an_error_of_the_report_ends_none_of_the_others(tmp_path, turns):
    def report(recipe: Recipe, folder: RunFolder) -> None:
        if folder.path.name == "seed0":
            raise OSError(28, "No space left on device", "standard output")

    jobs = [(DROPPING, TrainOptions(Path("data"), tmp_path, seed=seed)) for seed in range(3)]
    with pytest.raises(InputError, match="seed0: standard output cannot be used: No space left on device"):
        train_all(jobs, report, side_by_side=2)
    assert all(RunFolder(tmp_path / RECIPE.name / f"seed{seed}").metrics.exists() for seed in range(3))


def test_a_run_alone_raises_what_no_user_can_mend_and_explains_the_rest(tmp_path, monkeypatch):
    options = TrainOptions(Path("data"), tmp_path)
    with monkeypatch.context() as patch:
        failing(patch, 0, 1, TypeError("a fault"))
        with pytest.raises(TypeError, match="a fault"):
            train(DROPPING, options)
    failing(monkeypatch, 0, 1, OUT_OF_MEMORY)
    with pytest.raises(InputError, match="choose --micro-batches, a smaller --batch-size or bfloat16"):
        train(DROPPING, options)
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_runs_on_streams_of_their_own_end_as_alone(tmp_path):
    recipe = get_recipe("resnet20_digitslt_vs_ssesam").with_epochs(4)
    jobs = [(recipe, TrainOptions(Path("data"), tmp_path / "together", seed=seed)) for seed in range(3)]
    for (_, options), folder in zip(jobs, train_all(jobs), strict=True):
        alone = train(recipe, replace(options, output=tmp_path / "alone"))
        losses = [[row["train_loss"] for row in run.read_history(4)] for run in (alone, folder)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_trackers_are_refused_side_by_side(tmp_path, turns):
    options = TrainOptions(Path("data"), tmp_path, trackers=("wandb",))
    with pytest.raises(InputError, match="trackers log one run at a time"):
        train_all([(RECIPE, options), (RECIPE, replace(options, seed=1))])


def test_a_run_that_fails_stops_none_of_the_others(tmp_path):
    (tmp_path / RECIPE.name / "seed0").mkdir(parents=True)
    with pytest.raises(InputError, match=r"^the run folder .*seed0 exists; add --resume"):
        jobs = [(RECIPE, TrainOptions(Path("data"), tmp_path, seed=seed)) for seed in (0, 1)]
        reported: list = []
        train_all(jobs, lambda recipe, folder: reported.append(folder.path.name))
    assert reported == ["seed1"]
    assert RunFolder(tmp_path / RECIPE.name / "seed1").metrics.exists()


def test_runs_that_cannot_be_trained_side_by_side_are_refused(tmp_path):
    options = TrainOptions(Path("data"), tmp_path)
    with pytest.raises(InputError, match="two runs would share a folder"):
        train_all([(RECIPE, options), (RECIPE, options)])
    with pytest.raises(InputError, match="must have the same precision, not bfloat16, float32"):
        train_all([(RECIPE, options), (replace(RECIPE, precision="bfloat16"), replace(options, seed=1))])
    assert not any(tmp_path.iterdir())
