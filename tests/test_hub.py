"""Checkpoints: written and read bit for bit, found in their order, and refused when damaged."""

import json
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

import ltzoo
from ltzoo import hub
from ltzoo.errors import InputError
from ltzoo.recipes import model_arguments

NAME = "resnet20_digitslt_ldam_sgd"
ARGUMENTS = model_arguments(ltzoo.get_recipe(NAME))
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
    hub.save_checkpoint(folder, model, ARGUMENTS, {"recipe": {"name": NAME}, "class_counts": [130, 6]})
    return folder


@pytest.fixture
def checkpoint(written, tmp_path):
    """A copy of the checkpoint, to be damaged."""
    return shutil.copytree(written, tmp_path / "zoo" / NAME)


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No network, an empty cache, no variable, nothing that comes with the package."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "PACKAGED", ())
    monkeypatch.delenv("LTZOO_HUB", raising=False)


def refused(call, match):
    with pytest.raises(InputError, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


def change_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v != "gone"}))


def change_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def test_a_checkpoint_gives_the_same_logits_bit_for_bit(model, written):
    assert torch.equal(logits(hub.load_checkpoint(written)), logits(model))
    assert {path.name for path in written.iterdir()} == {"config.json", "model.safetensors"}
    config = json.loads((written / "config.json").read_text())
    assert config["architecture"] == "resnet20_cifar"
    assert config["recipe"] == {"name": NAME}
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
    hub.save_checkpoint(checkpoint, model, ARGUMENTS, {})
    assert {path.name for path in checkpoint.iterdir()} == {"config.json", "model.safetensors"}
    assert [path.name for path in checkpoint.parent.iterdir()] == [NAME]


def test_another_number_of_classes_has_a_fresh_classifier_on_the_same_backbone(model, written, tmp_path):
    loaded = hub.load_checkpoint(written, num_classes=3)
    assert loaded.fc.weight.shape == (3, 64)
    assert type(loaded.fc) is type(model.fc)
    for key, value in model.state_dict().items():
        if not key.startswith("fc."):
            assert torch.equal(loaded.state_dict()[key], value), key
    hub.save_checkpoint(tmp_path / "tuned", loaded, ARGUMENTS, {})
    assert torch.equal(logits(hub.load_checkpoint(tmp_path / "tuned")), logits(loaded))


def test_as_many_classes_as_before_keep_the_classifier(model, written):
    assert torch.equal(logits(hub.load_checkpoint(written, num_classes=10)), logits(model))


def test_a_missing_folder_or_file_is_refused(checkpoint, tmp_path):
    refused(lambda: hub.load_checkpoint(tmp_path / "none"), "there is no checkpoint folder .*none")
    refused(lambda: ltzoo.create_model(f"local-dir:{tmp_path}/none", pretrained=True), "no checkpoint folder")
    (checkpoint / "model.safetensors").unlink()
    refused(lambda: hub.load_checkpoint(checkpoint), "model.safetensors is missing; only safetensors are loaded")
    hub.load_checkpoint(checkpoint, pretrained=False)
    (checkpoint / "config.json").unlink()
    refused(lambda: hub.load_checkpoint(checkpoint), "config.json is missing or damaged")


def test_a_pickle_is_never_opened(checkpoint, model, monkeypatch):
    (checkpoint / "model.safetensors").unlink()
    torch.save(model.state_dict(), checkpoint / "pytorch_model.bin")
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("unpickled"))
    refused(lambda: hub.load_checkpoint(checkpoint), "only safetensors are loaded")
    refused(lambda: hub.load_checkpoint(checkpoint, num_classes=3), "only safetensors are loaded")


@pytest.mark.parametrize("content", ["", "{", "\xff", "[]", "{}", '{"architecture": 3}'])
def test_a_damaged_config_is_refused(content, checkpoint):
    (checkpoint / "config.json").write_text(content, encoding="latin-1")
    refused(lambda: hub.load_checkpoint(checkpoint), "config.json (is missing or damaged|names no architecture)")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"architecture": "resnet21_cifar"}, "names an architecture unknown to timm: 'resnet21_cifar'"),
        ({"num_classes": "gone"}, "is damaged: num_classes is None"),
        ({"num_classes": "ten"}, "is damaged: num_classes is 'ten'"),
        ({"model_args": None}, "is damaged: model_args is None"),
        ({"pretrained_cfg": []}, r"is damaged: pretrained_cfg is \[\]"),
        ({"pretrained_cfg": {"colour": "red"}}, "describes no model that timm can build: .*colour"),
        ({"model_args": {"colour": "red"}}, "describes no model that timm can build: .*colour"),
        ({"model_args": {"classifier": "dense"}}, "describes no model that timm can build: .*'dense'"),
    ],
)
@pytest.mark.parametrize("pretrained", [True, False])
def test_a_config_that_describes_no_model_is_refused(changes, match, pretrained, checkpoint):
    change_config(checkpoint, **changes)
    refused(lambda: hub.load_checkpoint(checkpoint, pretrained), f"config.json {match}")


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
    refused(lambda: hub.load_checkpoint(checkpoint), match)


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
    refused(lambda: hub.load_checkpoint(checkpoint, num_classes=num_classes), f"does not fit resnet20_cifar: {match}")


@pytest.mark.parametrize("length", [0, 5, 1000, -1])
def test_truncated_weights_are_refused(length, checkpoint):
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    refused(lambda: hub.load_checkpoint(checkpoint), r"model.safetensors is damaged \(")


def empty_checkpoint(folder, name=NAME):
    """A folder that is found, whatever is in it."""
    (folder / name).mkdir(parents=True)
    (folder / name / "config.json").write_text("{}")
    return folder


def test_places_are_tried_in_their_order(tmp_path, monkeypatch):
    named, variable, packaged = (empty_checkpoint(tmp_path / name) for name in ("named", "variable", "packaged"))
    asked = []

    def fetch(repository, revision=None):
        asked.append(repository)
        if repository == f"ltzoo/{NAME}":
            return Path("from the Hub")
        raise InputError(f"{repository} is not there")

    monkeypatch.setattr(hub, "fetch", fetch)
    monkeypatch.setattr(hub, "PACKAGED", (tmp_path / "absent", packaged))
    monkeypatch.setenv("LTZOO_HUB", str(variable))
    found = []
    for folder in (named, variable, packaged):
        found.append(hub.find_checkpoint(NAME, str(named)))
        shutil.rmtree(folder / NAME)
    assert found == [named / NAME, variable / NAME, packaged / NAME]
    assert asked == []
    assert hub.find_checkpoint(NAME, str(named)) == Path("from the Hub")
    assert asked == [f"ltzoo/{NAME}"]


def test_what_is_no_folder_is_a_user_of_the_hub_asked_in_turn(tmp_path, monkeypatch):
    asked = []

    def fetch(repository, revision=None):
        asked.append(repository)
        raise hub.NotOnHubError(f"{repository} is not there")

    monkeypatch.setattr(hub, "fetch", fetch)
    monkeypatch.setenv("LTZOO_HUB", "somebody")
    monkeypatch.setattr(hub, "PACKAGED", (tmp_path,))
    refused(
        lambda: hub.find_checkpoint(NAME, "me"), f"no checkpoint of {NAME}: tried me/.*somebody/.*{tmp_path}.*ltzoo/"
    )
    assert asked == [f"me/{NAME}", f"somebody/{NAME}", f"ltzoo/{NAME}"]
    monkeypatch.setattr(hub, "PACKAGED", (empty_checkpoint(tmp_path / "packaged"),))
    assert hub.find_checkpoint(NAME, "me") == tmp_path / "packaged" / NAME


def test_a_place_that_cannot_be_asked_ends_the_search(tmp_path, monkeypatch):
    def unreachable(repository, revision=None):
        raise InputError(f"{repository} cannot be reached")

    monkeypatch.setattr(hub, "fetch", unreachable)
    monkeypatch.setattr(hub, "PACKAGED", (empty_checkpoint(tmp_path / "packaged"),))
    refused(lambda: hub.find_checkpoint(NAME, "me"), f"no checkpoint of {NAME}: tried me/{NAME} cannot be reached")


def test_create_model_finds_a_named_checkpoint_and_its_seeds(model, checkpoint, monkeypatch):
    shutil.copytree(checkpoint, checkpoint.with_name(f"{NAME}.seed1"))
    change_weights(checkpoint.with_name(f"{NAME}.seed1"), lambda weights: weights["fc.weight"].neg_())
    zoo = str(checkpoint.parent)
    assert torch.equal(logits(ltzoo.create_model(NAME, pretrained=True, hub=zoo)), logits(model))
    monkeypatch.setenv("LTZOO_HUB", zoo)
    assert torch.equal(logits(ltzoo.create_model(NAME, pretrained=True)), logits(model))
    other = logits(ltzoo.create_model(f"{NAME}.seed1", pretrained=True))
    torch.testing.assert_close(other, -logits(model))
    refused(lambda: ltzoo.create_model(f"{NAME}.seed2", pretrained=True), "no checkpoint of .*seed2: tried")
    refused(lambda: ltzoo.create_model("resnet20_digitslt", pretrained=True), "no recipe is called")


def cached(cache, written, repository, commit, reference="main"):
    """Lay a checkpoint out as the Hub's cache does."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / reference).write_text(commit)
    return shutil.copytree(written, folder / "snapshots" / commit)


def test_a_cached_repository_is_loaded_without_the_network(model, written, tmp_path):
    main = cached(tmp_path / "cache", written, f"ltzoo/{NAME}", "a" * 40)
    other = cached(tmp_path / "cache", written, f"ltzoo/{NAME}", "b" * 40, "v2")
    change_weights(other, lambda weights: weights["fc.weight"].neg_())
    assert hub.fetch(f"ltzoo/{NAME}") == main
    assert torch.equal(logits(ltzoo.create_model(f"hf-hub:ltzoo/{NAME}", pretrained=True)), logits(model))
    assert torch.equal(logits(ltzoo.create_model(NAME, pretrained=True)), logits(model))
    for revision in ("v2", "b" * 40):
        found = ltzoo.create_model(f"hf-hub:ltzoo/{NAME}@{revision}", pretrained=True)
        torch.testing.assert_close(logits(found), -logits(model))
    refused(lambda: ltzoo.create_model(f"hf-hub:ltzoo/{NAME}@v3", pretrained=True), "cannot be had from the Hub")


def test_what_is_neither_cached_nor_reachable_is_refused():
    refused(lambda: ltzoo.create_model("hf-hub:somebody/model", pretrained=True), "somebody/model cannot be had from")
    refused(lambda: ltzoo.create_model(NAME, pretrained=True), f"no checkpoint of {NAME}: tried ltzoo/{NAME} cannot")


@pytest.mark.parametrize("repository", ["a b/c", "a/b/c", "", "/"])
def test_what_is_no_repository_is_refused(repository):
    refused(lambda: ltzoo.create_model(f"hf-hub:{repository}", pretrained=True), "cannot be had from the Hub")


def test_list_models_names_the_checkpoints_that_lie_in_folders(checkpoint, tmp_path, monkeypatch):
    empty_checkpoint(checkpoint.parent, f"{NAME}.seed1")
    monkeypatch.setattr(hub, "PACKAGED", (empty_checkpoint(tmp_path / "packaged", "resnet32_cifar10lt_ce_sgd"),))
    (checkpoint.parent / "no_checkpoint").mkdir()
    zoo = str(checkpoint.parent)
    everything = ["resnet20_digitslt_ldam_sgd", "resnet20_digitslt_ldam_sgd.seed1", "resnet32_cifar10lt_ce_sgd"]
    assert ltzoo.list_models(pretrained=True, hub=zoo) == everything
    assert ltzoo.list_models("*cifar10lt*", pretrained=True, hub=zoo) == everything[2:]
    assert ltzoo.list_models(pretrained=True) == everything[2:]
    monkeypatch.setenv("LTZOO_HUB", zoo)
    assert ltzoo.list_models("*digits*", pretrained=True) == everything[:2]
    assert len(ltzoo.list_models()) == len(ltzoo.list_recipes())
