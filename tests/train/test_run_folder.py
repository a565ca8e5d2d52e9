"""Who may write in a run folder."""

import os
import shutil
import signal
import threading
import time
from contextlib import nullcontext

import pytest
import torch
from accelerate import Accelerator
from filelock import FileLock
from safetensors.torch import load_file

from ltzoo.atomic_write import WriteError
from ltzoo.errors import InputError, Interrupted
from ltzoo.recipes import recipe_to_dict
from ltzoo.registry import create_model, get_recipe
from ltzoo.train import RunFolder, TrainOptions, train
from ltzoo.train.interrupts import Interrupts
from ltzoo.train.run import Run
from ltzoo.train.run_resources import RunResources
from ltzoo.train.state import load_state, read_progress, save_tensors
from ltzoo.train.step import Step
from tests.limits import files_of_at_most, killed_before_call

RUN = {"seed": 0, "device": "cpu", "versions": {"torch": "2"}}
DOCUMENT = recipe_to_dict(get_recipe("resnet20_digitslt_ce_sgd")) | {"overrides": {}, "run": RUN}
SUBSET = {"rule": "cao", "sha256": "ab", "indices": [1]}


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    folder = RunFolder(tmp_path / "x" / "seed0")
    with folder.claim(DOCUMENT, SUBSET, resume=False):
        folder.last_state.write_bytes(b"a state")
    return folder


def claim(folder, document=DOCUMENT, subset=SUBSET, resume=True):
    with folder.claim(document, subset, resume):
        pass


def test_a_run_can_be_resumed_with_other_versions_and_on_another_machine(folder):
    claim(folder, DOCUMENT | {"run": RUN | {"versions": {"torch": "3"}, "machine": "another"}})


def test_how_a_run_computes_is_read_back_if_it_can_be(folder, tmp_path):
    assert folder.recorded() == RUN
    assert RunFolder(tmp_path / "none").recorded() == {}
    for damaged in ("", "a: [", "run: 3", "- run"):
        folder.recipe.write_text(damaged)
        assert folder.recorded() == {}


def test_a_run_cannot_be_resumed_on_another_device(folder):
    with pytest.raises(InputError, match=r"different settings \(run.device: cpu -> cuda\)"):
        claim(folder, DOCUMENT | {"run": RUN | {"device": "cuda"}})


def test_a_run_that_fails_before_its_first_state_leaves_nothing(tmp_path):
    folder = RunFolder(tmp_path / "x" / "seed0")
    with pytest.raises(ZeroDivisionError), folder.claim(DOCUMENT, SUBSET, resume=False):
        raise ZeroDivisionError
    assert not folder.path.exists()


@pytest.fixture
def signalled_removal(monkeypatch):
    """Send SIGTERM when the folder of a run is about to be removed."""
    remove = shutil.rmtree

    def remove_when_signalled(*arguments, **keywords):
        os.kill(os.getpid(), signal.SIGTERM)
        remove(*arguments, **keywords)

    monkeypatch.setattr(shutil, "rmtree", remove_when_signalled)


@pytest.mark.parametrize("second", [False, True])
def test_a_signal_does_not_stop_the_removal_of_a_folder_in_which_nothing_was_saved(second, tmp_path, signalled_removal):
    """A launcher signals the other processes while they end because of one that failed."""
    interrupts = Interrupts()
    claimed = RunFolder(tmp_path / "x" / "seed0").claim(DOCUMENT, SUBSET, False, interrupts.held)
    deferred = interrupts.deferred() if second else nullcontext()
    with interrupts, pytest.raises(Interrupted) as caught, deferred, claimed:
        if second:  # the first one came a while ago
            interrupts.number, interrupts.received = signal.SIGTERM, time.monotonic() - 60
        raise ZeroDivisionError
    assert isinstance(caught.value.__context__, ZeroDivisionError)
    assert not any(tmp_path.iterdir())


def test_a_run_that_fails_removes_its_folder_before_it_receives_a_signal(tmp_path, monkeypatch, signalled_removal):
    def fail(run):
        raise InputError("no")

    monkeypatch.setattr(Run, "_announce", fail)
    with pytest.raises(Interrupted):
        train(get_recipe("resnet20_digitslt_ce_sgd"), TrainOptions(tmp_path, tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("saved", [False, True])
def test_a_run_whose_process_is_ended_keeps_its_folder_if_it_has_a_state(saved, tmp_path):
    options = TrainOptions(tmp_path, tmp_path)
    run = Run(get_recipe("resnet20_digitslt_ce_sgd"), options, RunResources(torch.device("cpu")))
    run.claimed.enter_context(run.folder.claim(DOCUMENT, SUBSET, resume=False))
    if saved:
        run.folder.last_state.write_bytes(b"a state")
    watch = threading.Thread(target=run.abandon)
    watch.start()
    watch.join()
    assert run.folder.path.exists() == saved
    if saved:
        claim(run.folder)  # it is free


@pytest.mark.parametrize("size", [10, 200])
def test_a_folder_that_cannot_be_begun_leaves_nothing(size, tmp_path):
    folder = RunFolder(tmp_path / "output" / "x" / "seed0")
    with (
        files_of_at_most(size),
        pytest.raises(WriteError, match=r"/(subset.json|recipe.yaml) cannot be written: it is"),
    ):
        claim(folder, resume=False)
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_without_its_state_is_not_removed(folder):
    folder.last_state.unlink()
    folder.metrics.write_text("{}")
    with pytest.raises(ZeroDivisionError), folder.claim(DOCUMENT, SUBSET, resume=True):
        raise ZeroDivisionError
    assert folder.metrics.exists()


def test_a_run_that_fails_later_keeps_its_state(folder):
    with pytest.raises(ZeroDivisionError), folder.claim(DOCUMENT, SUBSET, resume=True):
        raise ZeroDivisionError
    assert folder.last_state.read_bytes() == b"a state"


def test_a_folder_that_exists_is_refused_without_resume(folder):
    with pytest.raises(InputError, match="exists; add --resume"):
        claim(folder, resume=False)


def test_other_settings_are_named(folder):
    with pytest.raises(InputError, match=r"different settings \(batch_size: \d+ -> 4\)"):
        claim(folder, DOCUMENT | {"batch_size": 4})


def test_a_field_that_is_overridden_is_named_once(folder):
    optimizer = DOCUMENT["optimizer"]
    lr = optimizer["lr"]
    changed = {"optimizer": optimizer | {"lr": 7.0}, "overrides": {"optimizer.lr": [lr, 7.0], "hold_out": [None, 5]}}
    with pytest.raises(InputError) as caught:
        claim(folder, DOCUMENT | changed)
    assert f"different settings (optimizer.lr: {lr} -> 7.0, hold_out: none -> 5); use" in str(caught.value)


def test_other_images_are_refused(folder):
    with pytest.raises(InputError, match="trained on different images"):
        claim(folder, subset=SUBSET | {"sha256": "cd"})


def test_a_folder_in_use_is_refused(folder):
    with FileLock(folder.path / "state" / "lock"), pytest.raises(InputError, match="in use by another process"):
        claim(folder)


@pytest.mark.parametrize("text", ["{", "", "3", "run: 3"])
@pytest.mark.parametrize("file", ["recipe", "subset"])
def test_a_damaged_run_is_refused(folder, file, text):
    getattr(folder, file).write_text(text)
    with pytest.raises(InputError, match=r"damaged run|cannot be read"):
        claim(folder)


def test_a_damaged_summary_is_refused(folder):
    folder.summary.write_text("epoch,loss\n0,1\n")
    with pytest.raises(InputError, match=r"summary.csv is damaged"):
        folder.read_history(1)


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="no run of ltzoo"):
        claim(RunFolder(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_that_stopped_before_it_began_is_begun(folder):
    folder.recipe.unlink()
    folder.last_state.unlink()
    claim(folder)
    assert folder.recipe.exists()


def test_a_run_that_was_killed_before_any_call_can_be_begun(tmp_path):
    """Until its first state is written, nothing can be lost."""

    def begin():
        with folder.claim(DOCUMENT, SUBSET, resume=True):
            folder.last_state.write_bytes(b"a state")

    number, killed = 0, True
    while killed:
        number += 1
        folder = RunFolder(tmp_path / str(number) / "seed0")
        killed = killed_before_call(number, folder.path, begin)
        begin()
        files = {path.name for path in folder.path.rglob("*") if path.is_file()}
        assert files == {"lock", "subset.json", "recipe.yaml", "last.safetensors"}
    assert number > 10


def test_rows_come_back_as_they_were_and_later_ones_are_dropped(folder):
    rows = [{"epoch": 0, "train_loss": 1.5, "lr": 0.1, "seconds": 2.0}, {"epoch": 1, "train_loss": 1.25, "tail": 3.0}]
    folder.write_history(rows)
    assert folder.summary.read_text().splitlines()[1] == "0,1.5,,,,,0.1,,,,2,"
    (row,) = folder.read_history(1)
    assert {key: value for key, value in row.items() if value is not None} == rows[0]


def test_a_damaged_or_foreign_state_is_refused(tmp_path, finished_run):
    copy = RunFolder(tmp_path / "resnet20_digitslt_ce_sgd" / "seed0")
    shutil.copytree(finished_run.path, copy.path)
    copy.metrics.unlink()
    recipe = get_recipe("resnet20_digitslt_ce_sgd").with_epochs(2)

    stored = copy.last_state.read_bytes()
    copy.last_state.write_bytes(stored[: len(stored) // 2])
    with pytest.raises(InputError, match=r"last.safetensors is missing or damaged"):
        train(recipe, TrainOptions(tmp_path, tmp_path, resume=True))
    with pytest.raises(InputError, match=r"last.safetensors is missing or damaged"):
        read_progress(copy.last_state)
    with pytest.raises(InputError, match=r"best.safetensors is missing or damaged"):
        read_progress(copy.selected("best"))

    copy.last_state.write_bytes(stored)
    other = get_recipe("resnet32_cifar10lt_ce_sgd")
    with pytest.raises(InputError, match="state of another model"):
        load_state(
            copy.last_state, Step(other, other.data.class_counts, create_model(other.name), Accelerator(), 0, None)
        )


def test_tensors_are_replaced_at_once(tmp_path):
    path = tmp_path / "state.safetensors"
    weights = create_model("resnet20_digitslt_ce_sgd").state_dict()
    save_tensors(path, weights)
    before = path.read_bytes()

    with (
        files_of_at_most(len(before) // 2),
        pytest.raises(WriteError, match=r"state.safetensors cannot be written: it"),
    ):
        save_tensors(path, weights)
    assert path.read_bytes() == before
    assert load_file(path).keys() == weights.keys()
