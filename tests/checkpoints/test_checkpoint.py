"""Checkpoints: written and read bit for bit, adapted as timm does it, and refused when they do not fit."""

import json
import shutil

import pytest
import timm
import torch

import ltzoo
from ltzoo import checkpoints
from ltzoo.atomic_write import WriteError
from ltzoo.checkpoints import load, update_config, write_card
from ltzoo.checkpoints.files import write_manifest
from ltzoo.checkpoints.save import read_example
from ltzoo.recipes.model import model_arguments
from tests.checkpoints.changes import change_config, change_weights, refused
from tests.limits import files_of_at_most, killed_before_call

NAME = "resnet20_digitslt_ldam_sgd"
ARGUMENTS = model_arguments(ltzoo.get_recipe(NAME))
FILES = {"config.json", "model.safetensors", "README.md", "SHA256SUMS", "test"}
IMAGES = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def logits(model):
    with torch.no_grad():
        return model.eval()(IMAGES)


@pytest.fixture(scope="module")
def model():
    """A model whose weights and statistics are none of the initial ones."""
    torch.manual_seed(1)
    made = ltzoo.create_model(NAME)
    made(torch.randn(8, 1, 16, 16))
    return made.eval()


@pytest.fixture(scope="module")
def written(model, tmp_path_factory):
    """Its checkpoint."""
    folder = tmp_path_factory.mktemp("zoo") / NAME
    checkpoints.save_checkpoint(folder, model, ARGUMENTS)
    return folder


@pytest.fixture
def checkpoint(written, tmp_path):
    """A copy of the checkpoint, to be damaged."""
    return shutil.copytree(written, tmp_path / "zoo" / NAME)


def test_a_checkpoint_gives_the_same_logits_bit_for_bit(model, written):
    assert torch.equal(logits(checkpoints.load_checkpoint(written)), logits(model))
    assert {path.name for path in written.iterdir()} == FILES
    config = json.loads((written / "config.json").read_text())
    assert config["architecture"] == "resnet20_cifar"
    assert config["pretrained_cfg"]["input_size"] == [1, 16, 16]


def test_timm_itself_loads_a_checkpoint(model, written):
    loaded = timm.create_model(f"local-dir:{written}", pretrained=True)
    assert torch.equal(logits(loaded), logits(model))
    settings = timm.data.resolve_data_config({}, model=loaded)
    assert (*settings["mean"], *settings["std"]) == (0.3071, 0.3199)


def test_create_model_takes_a_folder(model, written):
    assert torch.equal(logits(ltzoo.create_model(f"local-dir:{written}", pretrained=True)), logits(model))
    fresh = ltzoo.create_model(f"local-dir:{written}")
    assert not torch.equal(fresh.conv1.weight, model.conv1.weight)


def test_writing_replaces_the_whole_folder(model, checkpoint):
    (checkpoint / "pytorch_model.bin").write_text("old")
    checkpoints.save_checkpoint(checkpoint, model, ARGUMENTS)
    assert {path.name for path in checkpoint.iterdir()} == FILES
    assert [path.name for path in checkpoint.parent.iterdir()] == [NAME]


def test_another_number_of_classes_has_a_fresh_classifier_on_the_same_backbone(model, written, tmp_path):
    loaded = checkpoints.load_checkpoint(written, num_classes=3)
    assert loaded.fc.weight.shape == (3, 64)
    assert type(loaded.fc) is type(model.fc)
    for key, value in model.state_dict().items():
        if not key.startswith("fc."):
            assert torch.equal(loaded.state_dict()[key], value), key
    checkpoints.save_checkpoint(tmp_path / "tuned", loaded, ARGUMENTS)
    assert torch.equal(logits(checkpoints.load_checkpoint(tmp_path / "tuned")), logits(loaded))


def test_as_many_classes_as_before_keep_the_classifier(model, written):
    assert torch.equal(logits(checkpoints.load_checkpoint(written, num_classes=10)), logits(model))


@pytest.mark.parametrize("half", [False, True])
def test_the_example_is_what_the_written_weights_give(half, model, tmp_path):
    with checkpoints.new_checkpoint(tmp_path / "c") as fresh:
        checkpoints.write_model(fresh, model, ARGUMENTS, half=half)
    images, output = read_example(tmp_path / "c")
    assert images.shape == (1, 1, 16, 16)
    loaded = checkpoints.load_checkpoint(tmp_path / "c")
    assert all(value.dtype != torch.float16 for value in loaded.state_dict().values())
    with torch.no_grad():
        assert torch.equal(loaded.eval()(images), output)
        assert torch.equal(model(images), output) != half
    assert (tmp_path / "c" / "model.safetensors").stat().st_size < (600_000 if half else 1_200_000)


def test_a_checkpoint_that_fails_leaves_the_one_that_was_there(checkpoint, model):
    before = (checkpoint / "SHA256SUMS").read_text()
    with pytest.raises(RuntimeError, match="in between"), checkpoints.new_checkpoint(checkpoint) as fresh:
        checkpoints.write_model(fresh, model, ARGUMENTS)
        raise RuntimeError("in between")
    assert (checkpoint / "SHA256SUMS").read_text() == before
    assert [path.name for path in checkpoint.parent.iterdir()] == [NAME]


def test_after_a_kill_before_any_call_the_checkpoint_is_whole(checkpoint):
    written_before = shutil.copytree(checkpoint, checkpoint.parents[1] / "copy")

    def write_new():
        with checkpoints.new_checkpoint(checkpoint) as fresh:
            shutil.copytree(written_before, fresh, dirs_exist_ok=True)
            (fresh / "curves.png").write_text("new")

    number, found = 0, []
    while True:
        number += 4  # tests/atomic_write has each call
        killed = killed_before_call(number, checkpoint.parent, write_new)
        with pytest.raises(RuntimeError, match="again"), checkpoints.new_checkpoint(checkpoint):
            raise RuntimeError("again")
        assert checkpoints.damaged_files(checkpoint) == []
        assert [path.name for path in checkpoint.parent.iterdir()] == [NAME]
        found.append((checkpoint / "curves.png").exists())
        (checkpoint / "curves.png").unlink(missing_ok=True)
        shutil.copyfile(written_before / "SHA256SUMS", checkpoint / "SHA256SUMS")
        if not killed:
            break
    assert found[0] is False
    assert found[-1] is True


@pytest.mark.parametrize("size", [500_000, 3_000])
def test_a_disk_that_is_full_leaves_the_one_that_was_there(size, checkpoint, model):
    before = (checkpoint / "SHA256SUMS").read_text()
    with files_of_at_most(size), pytest.raises(WriteError, match=f"{NAME} cannot be written: it is larger than"):
        checkpoints.save_checkpoint(checkpoint, model, ARGUMENTS)
    assert (checkpoint / "SHA256SUMS").read_text() == before
    assert [path.name for path in checkpoint.parent.iterdir()] == [NAME]


def test_others_can_read_all_files(written):
    assert {path.stat().st_mode & 0o777 for path in written.rglob("*") if path.is_file()} == {usual_mode(written)}


def usual_mode(folder):
    (folder / "usual").touch()
    mode = (folder / "usual").stat().st_mode & 0o777
    (folder / "usual").unlink()
    return mode


def test_no_classes_leave_the_features(model, written):
    loaded = checkpoints.load_checkpoint(written, num_classes=0)
    with torch.no_grad():
        assert torch.equal(loaded.eval()(IMAGES), model.forward_head(model.forward_features(IMAGES), pre_logits=True))


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_other_channels_adapt_the_first_convolution_alone(channels, model, written):
    loaded = checkpoints.load_checkpoint(written, in_chans=channels)
    assert loaded.conv1.weight.shape[1] == channels
    torch.testing.assert_close(loaded.conv1.weight.sum(dim=1, keepdim=True), model.conv1.weight)
    for key, value in model.state_dict().items():
        if key != "conv1.weight":
            assert torch.equal(loaded.state_dict()[key], value), key


def test_features_only_gives_the_stages_with_their_trained_weights(model, written):
    features = checkpoints.load_checkpoint(written, features_only=True, out_indices=(0, 2))
    wanted = model.forward_intermediates(IMAGES, indices=[0, 2], intermediates_only=True)
    with torch.no_grad():
        for found, expected in zip(features.eval()(IMAGES), wanted, strict=True):
            torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("write", [lambda folder: update_config(folder, {"a": "b"}), write_card])
def test_a_description_that_cannot_be_written_leaves_the_one_that_was_there(write, checkpoint):
    before = {path: path.read_bytes() for path in checkpoint.rglob("*") if path.is_file()}
    with files_of_at_most(100), pytest.raises(WriteError, match="cannot be written"):
        write(checkpoint)
    assert {path: path.read_bytes() for path in checkpoint.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("change", [{"num_classes": 3}, {"in_chans": 3}, {"features_only": True}])
def test_a_missing_stage_is_refused_whatever_is_asked_for(change, checkpoint):
    change_weights(checkpoint, lambda weights: weights.pop("layer3.2.conv2.weight"))
    refused(lambda: checkpoints.load_checkpoint(checkpoint, **change), "layer3.2.conv2.weight is missing")


def test_an_architecture_that_was_changed_by_arguments_is_refused(written):
    refused(lambda: checkpoints.load_checkpoint(written, classifier="linear"), "fc.bias is missing")
    refused(lambda: checkpoints.load_checkpoint(written, in_chans=3, classifier="linear"), "fc.bias is missing")
    assert checkpoints.load_checkpoint(written, num_classes=3, classifier="linear").fc.bias.shape == (3,)
    refused(lambda: checkpoints.load_checkpoint(written, num_classes=-1), "num_classes must be 0 or more, not -1")
    with pytest.raises(TypeError, match="colour"):
        checkpoints.load_checkpoint(written, colour="red")


def test_channels_that_timm_cannot_adapt_are_refused(tmp_path):
    small = {"layers": [1, 1, 1, 1], "width_factor": 0.25}
    checkpoints.save_checkpoint(tmp_path / "c", timm.create_model("tresnet_m", num_classes=3, **small), small)
    assert checkpoints.load_checkpoint(tmp_path / "c", in_chans=1).num_classes == 3
    refused(
        lambda: checkpoints.load_checkpoint(tmp_path / "c", in_chans=5), "timm cannot adapt body.conv1.* to 5 channels"
    )


def test_timm_reads_nothing_but_what_was_checked(model, checkpoint, monkeypatch):
    zeros = {key: torch.zeros_like(value) for key, value in model.state_dict().items()}
    torch.save(zeros, checkpoint / "pytorch_model.bin")
    check = load._check_fit
    monkeypatch.setattr(load, "_check_fit", lambda path, *rest, **free: (check(path, *rest, **free), path.unlink()))
    loaded = checkpoints.load_checkpoint(checkpoint)
    assert torch.equal(logits(loaded), logits(model))
    assert "state_dict" not in loaded.pretrained_cfg


def test_a_missing_folder_or_file_is_refused(checkpoint, tmp_path):
    refused(lambda: checkpoints.load_checkpoint(tmp_path / "none"), "there is no checkpoint folder .*none")
    refused(lambda: ltzoo.create_model(f"local-dir:{tmp_path}/none", pretrained=True), "no checkpoint folder")
    (checkpoint / "model.safetensors").unlink()
    refused(
        lambda: checkpoints.load_checkpoint(checkpoint), "model.safetensors is missing; only safetensors are loaded"
    )
    checkpoints.load_checkpoint(checkpoint, pretrained=False)
    (checkpoint / "config.json").unlink()
    refused(lambda: checkpoints.load_checkpoint(checkpoint), r"config.json is missing or cannot be read \(No such file")


def test_a_pickle_is_never_opened(checkpoint, model, monkeypatch):
    (checkpoint / "model.safetensors").unlink()
    torch.save(model.state_dict(), checkpoint / "pytorch_model.bin")
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("unpickled"))
    refused(lambda: checkpoints.load_checkpoint(checkpoint), "only safetensors are loaded")
    refused(lambda: checkpoints.load_checkpoint(checkpoint, num_classes=3), "only safetensors are loaded")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"architecture": "resnet32_cifar"}, "does not fit resnet32_cifar: layer1.3.conv1.weight is missing"),
        ({"num_classes": 7}, r"fc.weight is \(10, 64\), not \(7, 64\)"),
        ({"model_args": {"in_chans": 3}}, r"conv1.weight is \(16, 1, 3, 3\), not \(16, 3, 3, 3\)|fc.bias is missing"),
    ],
)
def test_weights_of_another_model_are_refused(changes, match, checkpoint):
    change_config(checkpoint, **changes)
    refused(lambda: checkpoints.load_checkpoint(checkpoint), match)


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda weights: weights.pop("layer2.1.conv1.weight"), "layer2.1.conv1.weight is missing"),
        (lambda weights: weights.pop("bn1.running_mean"), "bn1.running_mean is missing"),
        (
            lambda weights: weights.update({"fc.weight": torch.zeros(10, 63)}),
            r"fc.weight is \(10, 63\), not \(10, 64\)",
        ),
        (lambda weights: weights.update({"head.weight": torch.zeros(1)}), "it has no parameter head.weight"),
    ],
    ids=["no weight", "no statistics", "other shape", "extra"],
)
def test_weights_that_do_not_fit_are_refused_also_with_a_fresh_classifier(change, match, num_classes, checkpoint):
    change_weights(checkpoint, change)
    refused(
        lambda: checkpoints.load_checkpoint(checkpoint, num_classes=num_classes),
        f"does not fit resnet20_cifar: {match}",
    )


@pytest.mark.parametrize("length", [0, 5, 1000, -1])
def test_truncated_weights_are_refused(length, checkpoint):
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    refused(
        lambda: checkpoints.load_checkpoint(checkpoint),
        "model.safetensors is damaged: it is not the file that SHA256SUMS",
    )
    write_manifest(checkpoint)
    refused(lambda: checkpoints.load_checkpoint(checkpoint), r"model.safetensors is damaged \(")
