"""Checkpoints that are kept on the way: the weights of their epoch, and nothing else of the run changes."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from ltzoo import checkpoints
from ltzoo.atomic_write import WriteError
from ltzoo.data.batches import EvalBatches
from ltzoo.data.memory import load_test
from ltzoo.errors import InputError
from ltzoo.evaluate import plots, predict
from ltzoo.recipes import override
from ltzoo.registry import create_model, get_recipe
from ltzoo.train import RunFolder, TrainOptions, saving, train, train_all
from ltzoo.train.checkpoints import Evaluation, check_saved_epochs
from ltzoo.train.progress import Progress
from ltzoo.train.saving import weights_of
from tests.limits import files_of_at_most

NAME = "resnet20_digitslt_ce_sgd"
QUICK = override(
    get_recipe(NAME).with_epochs(3), {"batch_size": 219, "optimizer.lr": 0.01, "architecture": "test_resnet"}
)
"""Two steps an epoch, on one thread."""


def options(output: Path, *epochs: int, resume: bool = False) -> TrainOptions:
    return TrainOptions(Path("data"), output, save_epochs=epochs, resume=resume)


def stop_after(monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    """Stop the run as Ctrl-C does, once `epochs` epochs are reported."""

    def stop(self, row, rates):
        if row["epoch"] + 1 == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "epoch", stop)


def stopped(output: Path, epochs: int, *save: int, recipe=QUICK) -> RunFolder:
    """A run that was stopped after some epochs."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, epochs)
        train(recipe, options(output, *save))
    return RunFolder(output / NAME / "seed0")


def weights_in_state(folder: RunFolder, part: str = "model.") -> dict[str, torch.Tensor]:
    state = load_file(folder.last_state)
    return {key.removeprefix(part): value for key, value in state.items() if key.startswith(part)}


def are_same(weights: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    return weights.keys() == others.keys() and all(torch.equal(weights[key], others[key]) for key in weights)


@pytest.fixture(scope="module")
def run(finished_run, tmp_path_factory) -> RunFolder:
    """The finished run once more, both epochs kept; tests leave it as it is."""
    AcceleratorState._reset_state(reset_partial_state=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "save_figure", lambda figure, path: path.touch())
        return train(get_recipe(NAME).with_epochs(2), options(tmp_path_factory.mktemp("kept"), 2, 1))


def test_nothing_else_of_a_run_changes(run, finished_run):
    files = ["recipe.yaml", "metrics.json", "state/last.safetensors", "state/best.safetensors"]
    files += [f"checkpoint/{name}" for name in ("model.safetensors", "config.json", "metrics.json", "README.md")]
    for file in files:
        assert (run.path / file).read_bytes() == (finished_run.path / file).read_bytes(), file
    assert "epoch" not in json.loads((run.checkpoint / "config.json").read_text())


def test_a_kept_checkpoint_is_whole_and_has_no_figures(run):
    assert sorted(path.name for path in (run.path / "epochs").iterdir()) == ["epoch1", "epoch2"]
    for folder in (run.path / "epochs").iterdir():
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert files == {
            "README.md",
            "SHA256SUMS",
            "config.json",
            "model.safetensors",
            "test/rand_tensors.safetensors",
        }
        assert checkpoints.damaged_files(folder) == []


def test_its_description_is_that_of_the_last_with_an_epoch_and_without_figures(run):
    last = json.loads((run.checkpoint / "config.json").read_text())
    expected = {key: value for key, value in last.items() if key != "metrics"}
    for epoch in (1, 2):
        assert checkpoints.read_config(run.saved_epoch(epoch, 2)) == expected | {"epoch": epoch}
        card = (run.saved_epoch(epoch, 2) / "README.md").read_text()
        assert f"\nEpoch {epoch} of 2, seed 0; " in card
        assert "Last epoch" not in card
        assert "## Figures" not in card
    assert "\nLast epoch of 2, seed 0; " in (run.checkpoint / "README.md").read_text()


def test_its_weights_are_float32_and_those_of_a_run_stopped_there(tmp_path):
    recipe = replace(QUICK, ema_decay=0.9)  # of which the average counts
    kept = train(recipe, options(tmp_path / "whole", 2)).saved_epoch(2, 3)
    weights = load_file(kept / "model.safetensors")
    folder = stopped(tmp_path / "stopped", 2, recipe=recipe)
    assert are_same(weights, weights_in_state(folder, "ema."))
    assert not are_same(weights, weights_in_state(folder))
    assert {value.dtype for value in weights.values()} == {torch.float32, torch.int64}


def test_it_is_a_model_by_its_path(run):
    recipe = get_recipe(NAME)
    model = create_model(f"local-dir:{run.saved_epoch(1, 2)}", pretrained=True)
    test = load_test(recipe.data, Path("data"))
    predictions = predict(model, EvalBatches(test, recipe.data.data_set))
    right = (predictions.predicted == predictions.labels).double()
    assert run.read_history(1)[0]["overall"] == pytest.approx(100 * float(right.mean()), abs=0.3)


def test_folders_sort_by_their_epochs(tmp_path):
    folder = RunFolder(tmp_path)
    assert [folder.saved_epoch(epoch, 200).name for epoch in (2, 10, 200)] == ["epoch002", "epoch010", "epoch200"]
    assert folder.saved_epoch(9, 9) == tmp_path / "epochs" / "epoch9"


def test_keeping_draws_nothing_that_training_would_draw(tmp_path, monkeypatch):
    keep, seen = saving.save_epoch, []

    def watched(*arguments):
        before = torch.get_rng_state()
        keep(*arguments)
        seen.append(torch.equal(before, torch.get_rng_state()))

    monkeypatch.setattr(saving, "save_epoch", watched)
    train(QUICK, options(tmp_path, 1, 3))
    assert seen == [True, True]


def test_a_resumed_run_keeps_what_is_to_come_and_leaves_what_is_kept(tmp_path):
    whole = train(QUICK, options(tmp_path / "whole", 1, 3))
    parts = stopped(tmp_path / "parts", 2, 1)
    before = {path: path.stat().st_mtime_ns for path in parts.saved_epoch(1, 3).rglob("*")}
    assert len(before) > 4
    train(QUICK, options(tmp_path / "parts", 1, 3, resume=True))
    assert {path: path.stat().st_mtime_ns for path in parts.saved_epoch(1, 3).rglob("*")} == before
    for epoch in (1, 3):
        one, other = (folder.saved_epoch(epoch, 3) / "model.safetensors" for folder in (whole, parts))
        assert one.read_bytes() == other.read_bytes()


def test_an_epoch_that_has_passed_is_refused_and_the_run_stays_as_it_is(tmp_path):
    folder = stopped(tmp_path, 2)
    before = folder.last_state.read_bytes()
    with pytest.raises(
        InputError, match=r"seed0 has already passed epoch 1 without saving it; leave it out of --save-epochs"
    ):
        train(QUICK, options(tmp_path, 1, 2, 3, resume=True))
    assert folder.last_state.read_bytes() == before
    assert len(folder.read_history(3)) == 2
    assert not (folder.path / "epochs").exists()
    assert train(QUICK, options(tmp_path, 3, resume=True)).saved_epoch(3, 3).exists()


def test_an_epoch_whose_state_is_the_last_is_kept_from_it(tmp_path, monkeypatch):
    write_model = checkpoints.write_model

    def on_a_full_disk(*arguments):
        with files_of_at_most(1000):
            write_model(*arguments)

    with (
        monkeypatch.context() as patch,
        pytest.raises(WriteError, match=r"epoch2 cannot be written: it is larger"),
    ):
        patch.setattr("ltzoo.train.checkpoints.checkpoints.write_model", on_a_full_disk)
        train(QUICK, options(tmp_path, 2))
    folder = RunFolder(tmp_path / NAME / "seed0")
    assert not (folder.path / "epochs").exists()
    weights = weights_in_state(folder)
    train(QUICK, options(tmp_path, 2, resume=True))
    assert are_same(load_file(folder.saved_epoch(2, 3) / "model.safetensors"), weights)


def test_a_finished_run_keeps_nothing_more(tmp_path):
    folder = train(QUICK, options(tmp_path, 1))
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*") if path.name != "lock"}
    train(QUICK, options(tmp_path, 1, resume=True))
    train(QUICK, options(tmp_path, resume=True))
    with pytest.raises(InputError, match=r"has already passed epoch 2, 3 without saving it"):
        train(QUICK, options(tmp_path, 1, 2, 3, resume=True))
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*") if path.name != "lock"} == before


def test_epochs_of_a_head_that_is_computed_are_refused():
    message = "^resnet20_digitslt_taunorm_sgd has no epochs, since its head is computed; leave --save-epochs out$"
    with pytest.raises(InputError, match=message):
        check_saved_epochs((1,), get_recipe("resnet20_digitslt_taunorm_sgd"))


@pytest.mark.parametrize(
    ("epochs", "message"),
    [
        ((4,), f"^{NAME} has no epoch 4 to save; --save-epochs takes 1 to 3$"),
        ((1, 0), "has no epoch 0 to save"),
        ((-1,), "has no epoch -1 to save"),
        ((2, 1, 2), "^--save-epochs names epoch 2 2 times; name it once$"),
    ],
)
def test_epochs_that_cannot_be_kept_are_refused_before_any_run_begins(epochs, message, tmp_path):
    longer = override(get_recipe("resnet20_digitslt_ce_sam"), {"batch_size": 219})
    with pytest.raises(InputError, match=message):
        train_all([(longer, options(tmp_path, 1)), (QUICK, options(tmp_path, *epochs))])
    assert list(tmp_path.iterdir()) == []


def test_what_fails_while_it_is_measured_is_not_an_error_of_writing(tmp_path, monkeypatch):
    """A full /dev/shm, say, which the workers that decode images use."""

    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Evaluation, "figures", fail)
    with pytest.raises(OSError, match="No space left on device") as caught:
        train(QUICK, options(tmp_path))
    assert not isinstance(caught.value, InputError)
    assert not (tmp_path / NAME / "seed0" / "checkpoint").exists()


def test_figures_are_those_of_the_weights_as_written(run):
    test, last = load_test(get_recipe(NAME).data, Path("data")), json.loads(run.metrics.read_text())["last"]
    predictions = predict(
        checkpoints.load_checkpoint(run.checkpoint), EvalBatches(test, get_recipe(NAME).data.data_set)
    )
    right = (predictions.predicted == predictions.labels).double()
    assert last["overall"] == pytest.approx(100 * float(right.mean()), abs=1e-6)
    assert load_file(run.checkpoint / "model.safetensors")["conv1.weight"].dtype == torch.float16


def tiny_classifier(step):
    """The weights with a classifier that is zero in float16, so that class 0 is always predicted."""
    return {key: value * 1e-9 if key.startswith("fc.") else value for key, value in weights_of(step).items()}


@pytest.mark.parametrize(("half", "dtype"), [(False, torch.float32), (True, torch.float16)])
def test_weights_that_float16_changes_are_rounded_if_asked(half, dtype, tmp_path, monkeypatch):
    monkeypatch.setattr("ltzoo.train.run.weights_of", tiny_classifier)
    run = train(QUICK.with_epochs(1), replace(options(tmp_path), half=half))
    assert {value.dtype for value in load_file(run.checkpoint / "model.safetensors").values()} <= {dtype, torch.int64}
    metrics = json.loads(run.metrics.read_text())
    assert (metrics["last"]["per_class"][1:] == [0.0] * 9) == half
    assert metrics["best"]["per_class"] == metrics["last"]["per_class"]  # the same epoch
    assert json.loads((run.checkpoint / "config.json").read_text())["run"].get("half", False) == half


def test_a_finished_run_in_float32_is_not_rounded_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr("ltzoo.train.run.weights_of", tiny_classifier)
    train(QUICK.with_epochs(1), options(tmp_path))
    with pytest.raises(InputError, match="is finished, with weights in float32; leave --half out, or name another"):
        train(QUICK.with_epochs(1), replace(options(tmp_path, resume=True), half=True))


def test_weights_beyond_float16_are_refused_and_the_run_ends_without_it(tmp_path, monkeypatch):
    def large(step):
        return {key: value + 1e5 if key == "bn1.running_var" else value for key, value in weights_of(step).items()}

    monkeypatch.setattr("ltzoo.train.run.weights_of", large)
    with pytest.raises(InputError, match=r"bn1.running_var has values beyond 65504, .* --resume, without --half"):
        train(QUICK.with_epochs(1), replace(options(tmp_path), half=True))
    run = train(QUICK.with_epochs(1), options(tmp_path, resume=True))
    assert load_file(run.checkpoint / "model.safetensors")["bn1.running_var"].isfinite().all()
