"""A run that is resumed on another machine: what it chose itself is kept, what must be given is named by its flag."""

import pytest
import torch
import yaml

from ltzoo.errors import InputError
from ltzoo.registry import get_recipe
from ltzoo.train import RunFolder, TrainOptions, device, preparation, resumed, train
from ltzoo.train.resumed import flags, kept_choice
from tests.train.folders import files_of, interrupt_after

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


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_whose_state_is_missing_is_neither_begun_again_nor_changed(epochs, tmp_path, monkeypatch):
    recipe, options = RECIPE.with_epochs(3), TrainOptions(tmp_path, tmp_path / "output", resume=True)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(patch, epochs)
        train(recipe, options)
    folder = RunFolder(options.output / recipe.name / "seed0")
    folder.last_state.unlink()
    there = files_of(folder)
    monkeypatch.setattr(preparation, "device_name", lambda _: "another machine")
    with pytest.raises(InputError, match=r"last.safetensors is missing, but .* has trained epochs; put the file back"):
        train(recipe, options)
    assert files_of(folder) == there


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
