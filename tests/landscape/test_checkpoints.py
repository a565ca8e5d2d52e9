import json
from pathlib import Path

import pytest
import timm
import torch

from ltzoo import checkpoints
from ltzoo.checkpoints import PACKAGED
from ltzoo.errors import InputError
from ltzoo.landscape import read_checkpoint, read_checkpoints
from ltzoo.landscape.checkpoints import RunCheckpoint

SGD, SAM = "resnet20_digitslt_ce_sgd", "resnet20_digitslt_ce_sam"


@pytest.fixture
def changed(tmp_path):
    """Makes a copy of a checkpoint of the zoo whose config.json says something else."""

    def make(name="copy", **changes):
        folder = tmp_path / name
        with checkpoints.new_checkpoint(folder) as fresh:
            for file in ("model.safetensors", "config.json"):
                (fresh / file).write_bytes((PACKAGED / SGD / file).read_bytes())
            config = json.loads((fresh / "config.json").read_text()) | changes
            config = {key: value for key, value in config.items() if value is not None}
            (fresh / "config.json").write_text(json.dumps(config))
        return str(folder)

    return make


def test_a_name_is_the_run_that_the_zoo_keeps():
    subject = read_checkpoint(SGD)
    assert (subject.recipe.name, subject.epoch) == (SGD, 40)
    assert subject.label == f"{SGD}.seed{subject.seed} after epoch 40"
    assert subject.weights_sha256 == checkpoints.read_manifest(PACKAGED / SGD)["model.safetensors"]


def test_a_folder_goes_with_and_without_its_scheme(changed):
    folder = changed(epoch=10)
    for name in (folder, f"local-dir:{folder}"):
        assert read_checkpoint(name).epoch == 10


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": None}, "names no recipe"),
        ({"seed": None}, "was not written by a run: seed is missing"),
        ({"subset_sha256": None}, "was not written by a run: subset_sha256 is missing"),
        ({"seed": "0"}, "was not written by a run: seed is missing"),
        ({"epoch": -7}, "says epoch -7 of 40"),
        ({"epoch": 41}, "says epoch 41 of 40"),
        ({"num_classes": 5}, "holds a model of 5 classes, and digitslt has 10"),
    ],
)
def test_what_no_run_wrote_is_refused(changed, changes, said):
    with pytest.raises(InputError, match=said):
        read_checkpoint(changed(**changes))


def test_a_checkpoint_of_timms_own_is_refused(tmp_path):
    torch.manual_seed(0)
    checkpoints.save_checkpoint(tmp_path / "plain", timm.create_model("resnet20_cifar"))
    with pytest.raises(InputError, match="names no recipe"):
        read_checkpoint(str(tmp_path / "plain"))


def test_a_manifest_without_the_weights_is_refused(changed):
    folder = Path(changed())
    lines = (folder / "SHA256SUMS").read_text().splitlines(keepends=True)
    (folder / "SHA256SUMS").write_text("".join(line for line in lines if "model.safetensors" not in line))
    with pytest.raises(InputError, match="the hash of its weights is missing"):
        read_checkpoint(str(folder))


def test_a_run_with_overrides_says_so(changed):
    subject = read_checkpoint(changed(overrides={"optimizer.lr": [0.1, 0.2]}))
    assert subject.model == f"{SGD}.seed{subject.seed} with overrides"
    assert len(read_checkpoints([SGD, str(subject.folder)])) == 2


def test_subjects_share_benchmark_and_images(changed):
    assert [subject.recipe.name for subject in read_checkpoints([SGD, SAM])] == [SGD, SAM]
    other = json.loads((PACKAGED / SGD / "config.json").read_text())["recipe"] | {
        "name": "resnet20_cifar10lt_ce_sgd",
        "benchmark": "cifar10lt",
    }
    with pytest.raises(InputError, match=r"is a model of cifar10lt, .* of digitslt; analyse one benchmark"):
        read_checkpoints([SGD, changed("a", recipe=other)])
    with pytest.raises(InputError, match="was trained on other images of digitslt"):
        read_checkpoints([SAM, changed("b", subset_sha256="0" * 64)])


def test_one_checkpoint_is_not_named_twice(changed):
    with pytest.raises(InputError, match=r"are both resnet20_digitslt_ce_sgd.seed\d after epoch 40; name one"):
        read_checkpoints([SGD, changed()])


def test_of_those_kept_on_the_way_the_last_epoch_counts_once(changed):
    on_the_way = [changed("epoch10", epoch=10), changed("epoch40", epoch=40)]
    with pytest.raises(InputError, match="name one of them"):
        read_checkpoints([SGD], [changed("other", epoch=40, run={"device": "cuda"})])
    found = read_checkpoints([SGD], on_the_way)
    assert [(subject.epoch, subject.folder == PACKAGED / SGD) for subject in found] == [(40, True), (10, False)]
    assert [subject.epoch for subject in read_checkpoints([], on_the_way)] == [10, 40]
    assert all(isinstance(subject, RunCheckpoint) for subject in found)
