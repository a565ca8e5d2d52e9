"""A configuration from anybody: what is damaged, too long, or points elsewhere is refused in a line."""

import json

import pytest
import torch

from ltzoo import checkpoints
from ltzoo.registry import get_recipe
from tests.checkpoints.changes import change_config, flip_bit, refused, write_config


@pytest.mark.parametrize("content", ["", "{", "\xff", "[" * 100_000, "1" * 5000, "[]", "{}", '{"architecture": 3}'])
def test_a_damaged_config_is_refused(content, checkpoint):
    write_config(checkpoint, content)
    refused(
        lambda: checkpoints.load_checkpoint(checkpoint),
        "config.json (is damaged: it (is no JSON|is not UTF-8|is nested|has the number)|names no architecture)",
    )


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"architecture": "resnet21_cifar"}, "names an architecture unknown to timm: 'resnet21_cifar'"),
        ({"num_classes": "gone"}, "is damaged: num_classes is 'None'"),
        ({"num_classes": "ten"}, "is damaged: num_classes is 'ten'"),
        ({"model_args": None}, "is damaged: model_args is 'None'"),
        ({"pretrained_cfg": []}, r"is damaged: pretrained_cfg is '\[\]'"),
        ({"num_classes": -1}, "is damaged: num_classes is -1"),
        ({"recipe": {}, "epoch": "ten"}, "is damaged: epoch is 'ten'"),
        ({"num_classes": 10**13}, "is damaged: num_classes is 1"),
        ({"pretrained_cfg": "gone"}, "has timm's old layout, without pretrained_cfg; load it with timm"),
        ({"pretrained_cfg": {"classifier": 5}}, "is damaged: pretrained_cfg.classifier is '5'"),
        ({"pretrained_cfg": {"first_conv": {}, "classifier": [1]}}, "is damaged: pretrained_cfg.classifier"),
        ({"model_args": {"pretrained_filter_fn": "x"}}, "sets model_args.pretrained_filter_fn, which no"),
        ({"model_args": {"features_only": True}}, "sets model_args.features_only, which no"),
        ({"pretrained_cfg": {"colour": "red"}}, "describes no model that timm can build: .*colour"),
        ({"model_args": {"colour": "red"}}, "describes no model that timm can build: .*colour"),
        ({"model_args": {"classifier": "dense"}}, "describes no model that timm can build: .*'dense'"),
    ],
)
@pytest.mark.parametrize("pretrained", [True, False])
def test_a_config_that_describes_no_model_is_refused(changes, match, pretrained, checkpoint):
    change_config(checkpoint, **changes)
    refused(lambda: checkpoints.load_checkpoint(checkpoint, pretrained), f"config.json {match}")


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("pretrained_cfg.file", {"file": "/etc/passwd"}),
        ("pretrained_cfg.file", {"file": "../other/model.safetensors"}),
        ("pretrained_cfg.hf_hub_filename", {"hf_hub_filename": "../../evil.bin"}),
        ("pretrained_cfg.state_dict", {"state_dict": {"a": 1}}),
        ("model_args.checkpoint_path", {"checkpoint_path": "/tmp/evil.pth"}),
        ("model_args.pretrained_cfg_overlay", {"pretrained_cfg_overlay": {"file": "/tmp/evil.pth"}}),
        ("model_args.cache_dir", {"cache_dir": "/tmp"}),
    ],
)
def test_a_config_that_names_another_place_is_refused_and_nothing_is_opened(key, changes, checkpoint, monkeypatch):
    part = key.split(".")[0]
    config = json.loads((checkpoint / "config.json").read_text())
    change_config(checkpoint, **{part: config[part] | changes})
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("unpickled"))
    for pretrained in (True, False):
        refused(lambda p=pretrained: checkpoints.load_checkpoint(checkpoint, p), f"sets {key}, which no checkpoint may")


def test_a_config_with_many_long_class_names_is_read(checkpoint):
    names = [f"{k:0100}" for k in range(20_000)]
    change_config(checkpoint, label_names=names)
    assert (checkpoint / "config.json").stat().st_size > 2**20
    assert checkpoints.read_config(checkpoint)["label_names"] == names


def test_a_config_of_many_megabytes_is_refused_unread(checkpoint, monkeypatch):
    change_config(checkpoint, label_names=["x" * 100] * 170_000)
    monkeypatch.setattr(json, "loads", lambda *args: pytest.fail("parsed"))
    refused(lambda: checkpoints.load_checkpoint(checkpoint), r"config.json is too long .*it has 16\.\d MiB, more than")


@pytest.mark.parametrize("name", ["../config.json", "/etc/passwd", "a/../../b", "..\\\\b", "C:b"])
def test_a_manifest_that_names_a_file_outside_is_refused(name, checkpoint):
    with (checkpoint / "SHA256SUMS").open("a") as file:
        file.write(f"{'0' * 64}  {name}\n")
    refused(lambda: checkpoints.load_checkpoint(checkpoint), "SHA256SUMS names .*, outside the checkpoint")


def test_a_checkpoint_of_ours_without_its_manifest_is_refused_and_one_of_timm_is_not(checkpoint):
    (checkpoint / "SHA256SUMS").unlink()
    refused(lambda: checkpoints.load_checkpoint(checkpoint), "SHA256SUMS is missing; a checkpoint of ltzoo has it")
    change_config(checkpoint, library_name="gone")
    (checkpoint / "SHA256SUMS").unlink()
    checkpoints.load_checkpoint(checkpoint)


@pytest.mark.parametrize("content", ["", "nothing", "0" * 63 + "  config.json\n", "\xff" * 70])
def test_a_damaged_manifest_is_refused(content, checkpoint):
    (checkpoint / "SHA256SUMS").write_text(content, encoding="latin-1")
    refused(lambda: checkpoints.load_checkpoint(checkpoint), "SHA256SUMS is damaged")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_flipped_bit_is_found_and_named(name, checkpoint):
    flip_bit(checkpoint / name)
    refused(
        lambda: checkpoints.load_checkpoint(checkpoint), f"{name} is damaged: it is not the file that SHA256SUMS lists"
    )


@pytest.mark.parametrize(
    ("name", "epoch", "words"),
    [
        ("resnet32_cifar100lt_ce_sgd", None, "last epoch"),
        ("resnet32_cifar100lt_ce_sgd", 40, "epoch 40"),
        ("resnet32_cifar100lt_ncm_sgd", None, "computed, not trained"),
    ],
)
def test_the_weights_that_figures_are_of_are_named(name, epoch, words):
    assert checkpoints.evaluated_epoch(get_recipe(name), epoch) == words
