"""A run that is continued elsewhere: machine, threads and versions of its earlier parts stay on record."""

import json
from dataclasses import replace

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState

from ltzoo.checkpoints.card import EARLIER_PARTS
from ltzoo.errors import InputError, Interrupted
from ltzoo.registry import get_recipe
from ltzoo.train import RunFolder, TrainOptions, earlier_parts, preparation, train
from ltzoo.train.earlier_parts import parts_in_words
from tests.train.folders import interrupt_after
from tests.train.test_interrupts import signal_in_step

RECIPE = get_recipe("resnet20_digitslt_ce_sgd").with_epochs(4)
A, B, C = ({"machine": machine, "threads": 1, "versions": {"torch": "2"}} for machine in "ABC")


def interrupted(monkeypatch, epochs, options, machine):
    """Train some epochs on a machine of this name, and return what `recipe.yaml` then has of the run."""
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(preparation, "device_name", lambda _: machine)
        interrupt_after(patch, epochs)
        train(RECIPE, options)
    return recorded(options)


def recorded(options):
    return yaml.safe_load(RunFolder(options.output / RECIPE.name / "seed0").recipe.read_text())["run"]


@pytest.fixture
def _one_thread_after():
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("_one_thread_after")
def test_recipe_and_checkpoint_name_the_earlier_parts(tmp_path, monkeypatch, capsys):
    options = TrainOptions(tmp_path / "data", tmp_path / "output", resume=True)
    first = interrupted(monkeypatch, 1, options, "A")
    assert (first["machine"], first["threads"], first.get(EARLIER_PARTS)) == ("A", 1, None)
    assert EARLIER_PARTS not in interrupted(monkeypatch, 2, options, "A")
    in_a = {"epochs": 2, "steps": 0, "machine": "A", "threads": 1, "versions": first["versions"]}
    second = interrupted(monkeypatch, 3, replace(options, threads=2), "A")
    assert (second["machine"], second["threads"], second[EARLIER_PARTS]) == ("A", 2, [in_a])
    monkeypatch.setattr(preparation, "device_name", lambda _: "B")
    folder = train(RECIPE, options)
    parts = [in_a, in_a | {"epochs": 3, "threads": 2}]
    whole, config = recorded(options), json.loads((folder.checkpoint / "config.json").read_text())["run"]
    for found in whole, config:
        assert (found["machine"], found["threads"], found[EARLIER_PARTS]) == ("B", 2, parts)
    assert "from epoch 4 (before: A, 1 thread; A, 2 threads)" in capsys.readouterr().err
    # A finished run is not resumed, whatever the machine.
    monkeypatch.setattr(preparation, "device_name", lambda _: "C")
    train(RECIPE, options)
    assert recorded(options) == whole


def test_a_part_that_ends_within_an_epoch_is_recorded_with_its_steps(tmp_path, monkeypatch):
    recipe, options = RECIPE.with_epochs(2), TrainOptions(tmp_path / "data", tmp_path / "output", resume=True)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(preparation, "device_name", lambda _: "A")
        signal_in_step(patch, 3)
        train(recipe, options)
    AcceleratorState._reset_state(reset_partial_state=True)
    monkeypatch.setattr(preparation, "device_name", lambda _: "B")
    train(recipe, options)
    (part,) = recorded(options)[EARLIER_PARTS]
    assert (part["epochs"], part["steps"], part["machine"]) == (0, 3, "A")


@pytest.fixture
def state(tmp_path, monkeypatch):
    """A state after three epochs and seven steps."""
    path = tmp_path / "run" / "state" / "last.safetensors"
    path.parent.mkdir(parents=True)
    path.touch()
    monkeypatch.setattr(earlier_parts, "read_progress", lambda _: (3, 7))
    return path


def test_a_part_ends_where_machine_threads_or_versions_change(state):
    end = {"epochs": 3, "steps": 7}
    assert earlier_parts.earlier_parts(A, A, state) == []
    for other in (B, A | {"threads": 2}, A | {"versions": {"torch": "3"}}):
        assert earlier_parts.earlier_parts(A, other, state) == [A | end]
    before = [A | {"epochs": 2, "steps": 0}]
    assert earlier_parts.earlier_parts(B | {EARLIER_PARTS: before}, B, state) == before
    assert earlier_parts.earlier_parts(B | {EARLIER_PARTS: before}, A, state) == [*before, B | end]
    words = parts_in_words([*before, *before, B | end, C | {"threads": None}], {"torch": "2"})
    assert words == "A, 1 thread; B, 1 thread; C"
    assert parts_in_words(before, {"torch": "3"}) == "A, 1 thread, torch 2"


def test_a_part_that_ended_before_its_first_step_is_none(state):
    before = [C | {"epochs": 1, "steps": 0}, A | {"epochs": 3, "steps": 7}]
    assert earlier_parts.earlier_parts(B | {EARLIER_PARTS: before}, C, state) == before
    assert earlier_parts.earlier_parts(B | {EARLIER_PARTS: before}, A, state) == before[:1]
    state.unlink()  # nothing was computed
    assert earlier_parts.earlier_parts(B | {EARLIER_PARTS: before}, A, state) == []


@pytest.mark.parametrize(
    "damaged", ["none", [3], [{"epochs": 1}], {"machine": "A"}, [A | {"epochs": 1, "steps": 0, "versions": None}]]
)
def test_a_damaged_record_of_earlier_parts_is_refused(damaged, state):
    with pytest.raises(InputError, match=r"earlier_parts in recipe.yaml must be a list of records with "):
        earlier_parts.earlier_parts({EARLIER_PARTS: damaged}, A, state)
