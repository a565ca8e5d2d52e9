"""A run that is resumed on another machine: what it chose itself is kept, what must be given is named by its flag."""

import json
from dataclasses import replace

import pytest
import torch
import yaml

from ltzoo.checkpoints.card import EARLIER_PARTS
from ltzoo.errors import InputError
from ltzoo.registry import get_recipe
from ltzoo.train import RunFolder, TrainOptions, device, preparation, resumed, train
from ltzoo.train.resumed import earlier_parts, flags, kept_choice, parts_in_words
from tests.train.folders import interrupt_after

RECIPE = get_recipe("resnet20_digitslt_ce_sgd").with_epochs(2)
CPU = torch.device("cpu")
TWO = {"device": "cpu", "processes": 1, "threads": 2, "channels_last": True}


@pytest.fixture
def cores(monkeypatch):
    """The number of cores that this machine seems to have."""

    def have(number):
        for module in (device, resumed):
            monkeypatch.setattr(module, "cores", lambda: number)

    return have


def kept(options, recorded=TWO, processes=1):
    return kept_choice(options, recorded, options.output, CPU, processes)


@pytest.fixture
def options(tmp_path):
    return TrainOptions(tmp_path / "data", tmp_path / "output", resume=True)


def test_a_run_goes_on_with_its_own_threads_and_ends_bit_for_bit_alike(tmp_path, monkeypatch):
    whole = train(RECIPE, TrainOptions(tmp_path, tmp_path / "whole"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(patch, 1)
        train(RECIPE, TrainOptions(tmp_path, tmp_path / "parts"))
    monkeypatch.setattr(preparation, "choose_threads", lambda *_: 2)  # what the other machine would choose
    parts = train(RECIPE, TrainOptions(tmp_path, tmp_path / "parts", resume=True))
    assert torch.get_num_threads() == 1
    for file in ("recipe.yaml", "checkpoint/model.safetensors", "state/last.safetensors", "metrics.json"):
        assert (whole.path / file).read_bytes() == (parts.path / file).read_bytes(), file


def interrupted(monkeypatch, epochs, options, machine):
    """Train some epochs on a machine of this name, and return what `recipe.yaml` then has of the run."""
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(preparation, "device_name", lambda _: machine)
        interrupt_after(patch, epochs)
        train(RECIPE.with_epochs(4), options)
    return recorded(options)


def recorded(options):
    return yaml.safe_load(RunFolder(options.output / RECIPE.name / "seed0").recipe.read_text())["run"]


@pytest.fixture
def one_thread_after():
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("one_thread_after")
def test_machine_and_threads_of_earlier_parts_are_recorded(options, monkeypatch, capsys):
    first = interrupted(monkeypatch, 1, options, "A")
    assert (first["machine"], first["threads"], first.get(EARLIER_PARTS)) == ("A", 1, None)
    assert EARLIER_PARTS not in interrupted(monkeypatch, 2, options, "A")
    in_a = {"epochs": 2, "steps": 0, "machine": "A", "threads": 1}
    second = interrupted(monkeypatch, 3, replace(options, threads=2), "A")
    assert (second["machine"], second["threads"], second[EARLIER_PARTS]) == ("A", 2, [in_a])
    monkeypatch.setattr(preparation, "device_name", lambda _: "B")
    folder = train(RECIPE.with_epochs(4), options)
    parts = [in_a, {"epochs": 3, "steps": 0, "machine": "A", "threads": 2}]
    whole, config = recorded(options), json.loads((folder.checkpoint / "config.json").read_text())["run"]
    for found in whole, config:
        assert (found["machine"], found["threads"], found[EARLIER_PARTS]) == ("B", 2, parts)
    assert "from epoch 4 (before: A, 1 thread; A, 2 threads)" in capsys.readouterr().err
    # A finished run is not resumed, whatever the machine.
    monkeypatch.setattr(preparation, "device_name", lambda _: "C")
    train(RECIPE.with_epochs(4), options)
    assert recorded(options) == whole


def test_a_part_that_ended_before_its_first_step_is_no_part(tmp_path, monkeypatch):
    state, now = tmp_path / "run" / "state" / "last.safetensors", {"machine": "B", "threads": 1}
    assert earlier_parts({}, now, state) == []
    assert earlier_parts({"machine": "A", "threads": 1}, now, state) == []
    state.parent.mkdir(parents=True)
    state.touch()
    monkeypatch.setattr(resumed, "read_progress", lambda _: (3, 7))
    parts = [{"epochs": 3, "steps": 7, "machine": "A", "threads": 1}]
    assert earlier_parts({"machine": "A", "threads": 1}, now, state) == parts
    assert earlier_parts({"machine": "C", "threads": 1, EARLIER_PARTS: parts}, now, state) == parts
    monkeypatch.setattr(resumed, "read_progress", lambda _: (3, 8))
    of_c = {"epochs": 3, "steps": 8, "machine": "C", "threads": None}
    assert earlier_parts({"machine": "C", "threads": None, EARLIER_PARTS: parts}, now, state) == [*parts, of_c]
    assert parts_in_words([*parts, *parts, of_c]) == "A, 1 thread; C"


@pytest.mark.parametrize("damaged", ["none", [3], [{"epochs": 1}], {"machine": "A"}])
def test_a_damaged_record_of_earlier_parts_is_refused(damaged, tmp_path):
    with pytest.raises(InputError, match=r"earlier_parts in recipe.yaml must be a list of epochs, steps, machine, thr"):
        earlier_parts({EARLIER_PARTS: damaged}, {"machine": "B", "threads": 1}, tmp_path / "state" / "last.safetensors")


@pytest.mark.parametrize("rows", [None, 1])
def test_a_state_without_its_epochs_in_the_summary_is_refused(rows, tmp_path, monkeypatch):
    recipe, options = RECIPE.with_epochs(3), TrainOptions(tmp_path, tmp_path / "output", resume=True)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(patch, 2)
        train(recipe, options)
    summary = RunFolder(options.output / recipe.name / "seed0").summary
    lines = summary.read_text().splitlines(keepends=True)
    summary.unlink() if rows is None else summary.write_text("".join(lines[: 1 + rows]))
    with pytest.raises(InputError, match=r"summary.csv does not have the 2 epochs of the saved state"):
        train(recipe, options)


def test_more_threads_than_there_are_cores_are_the_users_to_ask_for(options, cores):
    cores(1)
    with pytest.raises(InputError, match=r"used 2 threads, but there is 1 core for it here, .*; add --threads 2 to"):
        kept(options)
    cores(2)
    assert (kept(options).threads, kept(options).channels_last) == (2, True)


def test_what_the_user_gives_goes_before_what_was_recorded(options, cores):
    cores(1)
    given = TrainOptions(options.data_dir, options.output, threads=2, channels_last=False)
    assert kept(given) == given
    one = TrainOptions(options.data_dir, options.output, threads=1)
    assert kept(one).threads == 1


def test_a_run_of_one_thread_needs_no_more_and_several_processes_share_the_cores(options, cores):
    cores(1)
    assert kept(options, TWO | {"threads": 1}).threads == 1
    cores(4)
    assert kept(options, TWO | {"processes": 2}, 2).threads == 2
    with pytest.raises(InputError, match="used 4 threads per process, but there are 2 cores for it here"):
        kept(options, TWO | {"processes": 2, "threads": 4}, 2)


@pytest.mark.parametrize(
    "recorded",
    [{}, TWO | {"device": "cuda"}, TWO | {"processes": 2}, {"device": "cpu", "processes": 1, "threads": "two"}],
)
def test_nothing_is_taken_from_another_kind_of_run_or_a_damaged_record(recorded, options, cores):
    cores(8)
    assert kept(options, recorded) == options


def test_settings_to_give_again_are_named_by_their_flags():
    there = {"precision": "float32", "batch_size": 64, "views": [], "run": TWO | {"val_interval": "20,160:1"}}
    there["run"] |= {"capture": False, "torchcompile": None, "sync_bn": True}
    keys = ["precision", "batch_size", *(f"run.{key}" for key in there["run"])]
    assert flags(there, keys) == (
        " (--set precision=float32, --batch-size 64, the device cpu, 1 process, --channels-last, "
        "--val-interval 20,160:1, --eager, no --torchcompile, --sync-bn)"
    )
    assert flags(there, ["views", "run.start_sha256"]) == ""
    assert flags({"run": 3}, ["views"]) == ""


def test_other_settings_name_the_flag(tmp_path, finished_run):
    folder = RunFolder(tmp_path)
    run = yaml.safe_load(finished_run.recipe.read_text())
    other = run | {"run": run["run"] | {"val_interval": 5}}
    for file in ("recipe.yaml", "subset.json"):
        (tmp_path / file).write_bytes((finished_run.path / file).read_bytes())
    with pytest.raises(
        InputError, match=r"settings .run.val_interval: 1 -> 5.; use the same settings .--val-interval 1., or name"
    ):
        folder._check_same(other, {})
