"""Where training starts: fresh, or from weights of a checkpoint or of timm; what does not fit is one line."""

import shutil
from unittest.mock import Mock

import pytest
import timm
import torch
import yaml
from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalEntryNotFoundError
from safetensors.torch import load_file

from ltzoo import checkpoints
from ltzoo.recipes import override
from ltzoo.registry import get_recipe
from ltzoo.train.start import find_start
from tests.checkpoints.changes import change_config
from tests.each import check_each
from tests.train.beginnings import (
    FOLDER,
    GREY,
    OPTIONS,
    RGB,
    begin,
    check,
    from_,
    in_safetensors,
    one_line,
    start_of,
    stored,
)
from tests.train.folders import files_of, plant_splits, refused, run


def test_without_initial_weights_a_model_stays_fresh():
    begun = begin(from_("fresh"))
    assert begun.sha256 is None
    check(begun.weights, begun.fresh)


def test_of_a_checkpoint_of_other_classes_all_but_the_classifier_is_taken():
    begun = begin(from_(RGB))
    check(begun.weights, stored(), begun.fresh)
    assert begun.weights["fc.weight"].shape == (3, 64)
    assert len(begun.sha256) == 64
    assert begin(from_(RGB), ("ant", "bee")).sha256 == begun.sha256  # of what is taken alone


def test_as_many_classes_of_other_names_are_other_classes():
    begun = begin(from_(RGB), tuple(f"class {j}" for j in range(100)))
    check(begun.weights, stored(), begun.fresh)


@pytest.mark.parametrize("name", [RGB, GREY])
def test_the_classifier_of_the_very_same_classes_is_kept(name):
    recipe = override(get_recipe(name), {"start": start_of(name)})
    check(begin(recipe).weights, stored(name))


def test_the_classifier_of_a_folder_with_the_checkpoints_classes_is_kept():
    names = tuple(checkpoints.read_config(checkpoints.PACKAGED / RGB)["label_names"])
    same, reordered = begin(from_(RGB), names), begin(from_(RGB), (*names[1:], names[0]))
    check(same.weights, stored())
    check(reordered.weights, stored(), reordered.fresh)
    assert same.sha256 != reordered.sha256


def test_a_checkpoint_of_another_architecture_is_one_line():
    match = f"^{RGB} is a resnet32_cifar, not a resnet20_cifar; add --arch resnet32_cifar$"
    one_line(match, find_start, from_(RGB, "resnet20_cifar"), OPTIONS)
    one_line("needs images with 1 channels, but image files are read as RGB", begin, from_(GREY, "resnet20_cifar"))


@pytest.mark.parametrize(
    ("initial", "match"),
    [
        ("nowhere.pth", "^there is no file nowhere.pth to start from; check the path$"),
        ("runs/model_best.pth.tar", "^there is no file runs/model_best.pth.tar to start from; check the path$"),
        ("local-dir:nowhere", "^there is no checkpoint folder nowhere; check the path$"),
        ("resnet32_cifar100lt_ce_sgt", "^no recipe is called 'resnet32_cifar100lt_ce_sgt'; the nearest are"),
        ("runs/checkpoint", "^'runs/checkpoint' is no recipe's name; write local-dir:runs/checkpoint or"),
        ("", "^no recipe is called ''"),
    ],
)
def test_weights_that_are_not_there_are_one_line(initial, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one_line(match, find_start, override(FOLDER, {"start": start_of(initial)}), OPTIONS)


def test_a_damaged_checkpoint_is_one_line(tmp_path):
    folder = shutil.copytree(checkpoints.PACKAGED / RGB, tmp_path / "checkpoint")
    (folder / checkpoints.WEIGHTS).write_bytes((folder / checkpoints.WEIGHTS).read_bytes()[:-1])
    one_line("model.safetensors is damaged", begin, from_(f"local-dir:{folder}"))
    cfg = checkpoints.read_config(checkpoints.PACKAGED / RGB)["pretrained_cfg"]
    changes = [{"mean": None}, {"std": [1, 1, 0]}, {"input_size": [3, None, 32]}, {"crop_pct": "x"}]

    def check_cfg(change):
        change_config(folder, pretrained_cfg=cfg | change)
        one_line(
            r"^config.json is damaged: .*images.*; fetch it again$", find_start, from_(f"local-dir:{folder}"), OPTIONS
        )

    check_each([*changes, {"input_size": 3}, {"mean": [0.5]}, {"interpolation": 1}], check_cfg)


@pytest.mark.parametrize(
    ("architecture", "match"),
    [
        ("resnet32_cifar", "^timm has no pretrained weights of resnet32_cifar; timm.list_pretrained"),
        ("resnet18.nonsense", "^timm has no pretrained weights of resnet18.nonsense; it has resnet18.a1_in1k, "),
        ("resnet7", "^timm has no pretrained weights of resnet7; timm.list_pretrained"),
    ],
)
def test_an_architecture_without_pretrained_weights_is_one_line(architecture, match):
    one_line(match, find_start, from_("pretrained", architecture), OPTIONS)


def failing_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let timm build models as ever, but fail to fetch weights."""
    create = timm.create_model

    def create_or_fail(*arguments, pretrained=False, **options):
        if pretrained:
            raise error
        return create(*arguments, **options)

    monkeypatch.setattr(timm, "create_model", create_or_fail)


@pytest.mark.parametrize(
    "error",
    [
        OSError("We couldn't connect to the Hub\nand more"),
        LocalEntryNotFoundError("offline, and not in the cache"),
        HfHubHTTPError("503 Server Error", response=Mock()),
        HTTPError("the connection broke in the middle of the file"),
        RuntimeError("Error(s) in loading state_dict for ResNet:\n\tsize mismatch"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_pretrained_weights_that_cannot_be_fetched_are_one_line(error, monkeypatch):
    failing_with(error, monkeypatch)
    match = r"^timm's weights of test_resnet cannot be downloaded or do not fit \(.*\); check .* --initial-checkpoint$"
    one_line(match, begin, from_("pretrained", "test_resnet", size=32))


def test_pretrained_weights_are_taken_and_seen_as_timm_saw_them(monkeypatch):
    create, asked = timm.create_model, []

    def create_offline(name, pretrained=False, **options):
        model = create(name, **options)
        if pretrained:
            asked.append((name, options))
            torch.nn.init.constant_(next(model.parameters()), 0.25)
        return model

    monkeypatch.setattr(timm, "create_model", create_offline)
    begun = begin(from_("pretrained", "test_resnet.r160_in1k"))
    assert asked == [("test_resnet.r160_in1k", {"in_chans": 3})]
    assert bool((begun.weights["conv1.0.weight"] == 0.25).all()) and begun.weights["fc.weight"].shape[0] == 3
    assert torch.equal(begun.weights["fc.weight"], begun.fresh["fc.weight"])
    cfg, data_set = timm.get_pretrained_cfg("test_resnet.r160_in1k"), begun.benchmark.data_set
    assert (data_set.mean, data_set.std, data_set.crop_pct) == (cfg.mean, cfg.std, cfg.crop_pct)
    assert (data_set.image_size, data_set.interpolation) == (160, cfg.interpolation)


def test_images_are_seen_as_the_checkpoint_saw_them_unless_the_recipe_says_otherwise(tmp_path):
    folder = shutil.copytree(checkpoints.PACKAGED / RGB, tmp_path / "checkpoint")
    cfg = checkpoints.read_config(folder)["pretrained_cfg"]
    cfg |= {"input_size": [3, 40, 40], "mean": [0.4, 0.5, 0.6], "std": [0.3, 0.2, 0.1], "crop_pct": 0.8}
    change_config(folder, pretrained_cfg=cfg)
    initial = f"local-dir:{folder}"

    def seen(recipe):
        data_set = begin(recipe).benchmark.data_set
        return data_set.image_size, data_set.mean, data_set.std, data_set.crop_pct

    plain = (40, (0.4, 0.5, 0.6), (0.3, 0.2, 0.1), 0.8)
    assert seen(from_(initial)) == plain
    own = {"size": 48, "mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7), "crop_pct": 0.9}
    for key, value in own.items():
        expected = dict(zip(own, plain, strict=True)) | {key: value}
        asked = {key: list(value) if isinstance(value, tuple) else value}
        assert seen(from_(initial, **asked)) == tuple(expected.values())
    # A file does not say; the architecture does.
    file = in_safetensors(tmp_path / "file", stored())
    assert seen(from_(file))[1] == timm.get_pretrained_cfg("resnet32_cifar").mean


@pytest.mark.parametrize("of_file", [True, False])
@pytest.mark.parametrize("size", [48, 160])
def test_a_vits_weights_are_brought_to_another_image_size(of_file, size, tmp_path):
    torch.manual_seed(0)
    model = timm.create_model("test_vit", img_size=32, num_classes=5)
    checkpoints.save_checkpoint(tmp_path / "checkpoint", model, {"img_size": 32})
    weights = tmp_path / "checkpoint" / checkpoints.WEIGHTS
    initial = weights if of_file else f"local-dir:{tmp_path / 'checkpoint'}"
    begun = begin(from_(initial, "test_vit", size=size))
    fitted = timm.models.vision_transformer.checkpoint_filter_fn(
        load_file(weights), timm.create_model("test_vit", img_size=size, num_classes=0)
    )
    assert begun.weights["pos_embed"].shape[1] == 1 + (size // 16) ** 2
    check(begun.weights, fitted, begun.fresh, classifier="head.")


def test_a_run_records_its_initial_weights_and_cannot_be_resumed_from_others(tmp_path, monkeypatch, capsys):
    data, weights = plant_splits(tmp_path / "data"), stored()
    file = in_safetensors(tmp_path / "file", weights)
    options = ("--arch", "resnet32_cifar", "--initial-checkpoint", str(file), "--epochs", "1", "--head-only")
    folder = run(data, tmp_path, *options)
    matched = len([key for key in weights if not key.startswith("fc.")])
    said = f"starts from {file}: {matched} tensors match and are loaded, the classifier is fresh\n"
    assert capsys.readouterr().err.count(said) == 1
    document = yaml.safe_load(folder.recipe.read_text())
    assert document["run"]["start_sha256"] == begin(from_(file, size=32)).sha256
    assert document["start"] == {"name": "weights", "of": str(file), "head": None}
    before = files_of(folder)
    run(data, tmp_path, *options, "--resume")
    in_safetensors(tmp_path / "file", weights | {"conv1.weight": weights["conv1.weight"] * 2})
    said = refused(capsys, data, tmp_path, *options, "--resume")
    assert (
        "was started with different settings (run.start_sha256: " in said
        and "); use the same settings, or name another --output" in said
    )
    file.unlink()
    assert "there is no file" in refused(capsys, data, tmp_path, *options, "--resume")
    assert files_of(folder) == before
