"""Second stages on a user's own folder of images: from the run of the first stage, or from a checkpoint."""

import shutil

import pytest
import timm
import torch
import yaml
from torch import nn

from ltzoo.checkpoints import read_config
from ltzoo.registry import create_model
from tests.train.folders import plant, plant_splits, refused, run

FIRST = "resnet50_imagefolder_ce_sgd"
SMALL = ("--arch", "resnet20_cifar")  # after the others, so that it is the one that counts

NUMBERED = ({"0": 9, "1": 5, "2": 3}, {"0": 3, "1": 1, "2": 1})


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return plant_splits(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def first(photos, tmp_path_factory):
    output = tmp_path_factory.mktemp("stages")
    run(photos, output, *SMALL, name=FIRST)
    return output


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Images in folders that are called by numbers, and the output folder with their first stage."""
    root = tmp_path_factory.mktemp("numbered")
    photos, output = plant_splits(root / "photos", *NUMBERED), root / "output"
    run(photos, output, *SMALL, name=FIRST)
    return photos, output


@pytest.mark.parametrize("method", ["crt", "lws", "disalign", "bsrt"])
def test_a_second_stage_is_trained_from_the_run_of_its_first(photos, first, method):
    folder = run(photos, first, *SMALL, name=f"resnet50_imagefolder_{method}_sgd")
    config = read_config(folder.checkpoint)
    assert config["architecture"] == "resnet20_cifar"
    assert config["label_names"] == ["ant", "bee", "cat"]
    model = create_model(f"local-dir:{folder.checkpoint}", pretrained=True)
    assert isinstance(model.get_classifier(), nn.Linear) == (method != "disalign")


def test_the_card_of_a_second_stage_says_what_its_first_stage_began_with(photos, first, tmp_path, capsys):
    file, stated = next(first.glob("*/seed0/checkpoint/model.safetensors")), ("--initial-license", "cc0")
    begun = run(photos, tmp_path, *SMALL, "--initial-checkpoint", str(file), *stated, name=FIRST)
    assert f"Training began with the weights `{file}`: licence cc0;" in (begun.checkpoint / "README.md").read_text()
    for name in ("resnet50_imagefolder_crt_sgd", "resnet50_imagefolder_taunorm_sgd"):
        second = run(photos, tmp_path, *SMALL, name=name)
        card = (second.checkpoint / "README.md").read_text()
        assert f"The first stage began with the weights `{file}`: licence cc0; pretrained on data that are not" in card
    written = yaml.safe_load(second.recipe.read_text())
    assert written["run"].pop("began_with")["start_stated"] == {"license": "cc0"}
    second.recipe.write_text(yaml.safe_dump(written))  # as an earlier version wrote it
    run(photos, tmp_path, *SMALL, "--resume", name="resnet50_imagefolder_taunorm_sgd")
    written["run"] |= {"start_stated": {"license": "mit"}, "versions": {"ltzoo": "999.0"}}
    second.recipe.write_text(yaml.safe_dump(written))
    said = refused(capsys, photos, tmp_path, *SMALL, "--resume", name="resnet50_imagefolder_taunorm_sgd")
    assert "was started with different settings (run.start_stated: " in said


@pytest.mark.parametrize("method", ["lws", "taunorm", "disalign"])
def test_classes_that_are_called_by_numbers_keep_their_classifier(numbered, method):
    photos, output = numbered
    folder = run(photos, output, *SMALL, name=f"resnet50_imagefolder_{method}_sgd")
    assert read_config(folder.checkpoint)["label_names"] == ["0", "1", "2"]


def test_mislas_keeps_the_classifier_of_classes_that_are_called_by_numbers(numbered):
    photos, output = numbered
    run(photos, output, *SMALL, name="resnet50_imagefolder_ce_mixup_sgd")
    folder = run(photos, output, *SMALL, name="resnet50_imagefolder_mislas_sgd")
    assert read_config(folder.checkpoint)["label_names"] == ["0", "1", "2"]


def test_other_numbers_than_the_first_stages_are_refused(numbered, tmp_path, capsys):
    photos, output = plant_splits(tmp_path / "photos", *NUMBERED), tmp_path / "output"
    for split in ("train", "val"):
        (photos / split / "2").rename(photos / split / "3")
    shutil.copytree(numbered[1] / FIRST, output / FIRST)
    said = refused(capsys, photos, output, *SMALL, name="resnet50_imagefolder_lws_sgd")
    assert said.startswith(f"{FIRST}, seed 0 was trained on other classes than this run (3)")


def test_any_network_of_timms_with_a_linear_classifier_will_do(photos, tmp_path):
    run(photos, tmp_path, name=FIRST)
    folder = run(photos, tmp_path, name="resnet50_imagefolder_lws_sgd")
    assert timm.create_model(f"local-dir:{folder.checkpoint}", pretrained=True).num_classes == 3


def test_a_network_without_such_a_head_is_named(photos, tmp_path, capsys):
    run(photos, tmp_path, name=FIRST)
    said = refused(capsys, photos, tmp_path, name="resnet50_imagefolder_disalign_sgd")
    assert "test_resnet" in said and "disalign" in said


def test_other_images_than_the_first_stages_are_refused(first, tmp_path, capsys):
    photos = plant_splits(tmp_path / "photos", {"ant": 9, "bee": 5, "cat": 2})
    output = tmp_path / "output"
    shutil.copytree(first / FIRST, output / FIRST)
    said = refused(capsys, photos, output, *SMALL, name="resnet50_imagefolder_crt_sgd")
    assert "was trained on different images than this run" in said


def test_other_classes_than_the_first_stages_are_refused(first, tmp_path, capsys):
    photos = plant_splits(tmp_path / "photos")
    for split in ("train", "val"):
        (photos / split / "cat").rename(photos / split / "cow")
    output = tmp_path / "output"
    shutil.copytree(first / FIRST, output / FIRST)
    said = refused(capsys, photos, output, *SMALL, name="resnet50_imagefolder_crt_sgd")
    assert said.startswith(f"{FIRST}, seed 0 was trained on other classes than this run (cow)")


def test_files_of_another_order_are_other_images(photos, first, tmp_path, capsys):
    """The indices are equal, the files are not."""
    other = plant(tmp_path / "photos" / "train", {"ant": 9, "bee": 5, "cat": 3}).parent
    plant(other / "val", {"ant": 1, "bee": 1, "cat": 1}, 500)
    (other / "train" / "ant" / "0.png").rename(other / "train" / "ant" / "zero.png")
    output = tmp_path / "output"
    shutil.copytree(first / FIRST, output / FIRST)
    said = refused(capsys, other, output, *SMALL, name="resnet50_imagefolder_crt_sgd")
    assert "was trained on different images than this run" in said


def test_one_line_re_balances_a_users_own_checkpoint(photos, first, tmp_path):
    """A first stage of one's own need not be in the output folder."""
    mine = f"local-dir:{first / FIRST / 'seed0' / 'checkpoint'}"
    name = "resnet50_imagefolder_lws_sgd"
    folder = run(photos, tmp_path, *SMALL, "--initial-checkpoint", mine, name=name)
    before, after = (create_model(path, pretrained=True) for path in (mine, f"local-dir:{folder.checkpoint}"))
    ratios = after.fc.weight / before.fc.weight
    torch.testing.assert_close(ratios, ratios[:, :1].expand_as(ratios), rtol=2e-2, atol=0)
