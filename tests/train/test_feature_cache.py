"""Heads on cached features: what the features are, that training on them is training on un-augmented images."""

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from ltzoo.cli import posthoc, validate
from ltzoo.cli.recipe_options import requested_recipe
from ltzoo.cli.train import build_parser
from ltzoo.data import Augmentation
from ltzoo.data.batches import BatchSettings, Delivery, FeatureBatches, TrainBatches, TrainLoader, epoch_sizes
from ltzoo.data.files.folders import read_folder
from ltzoo.data.memory import LabelledImages, load_train
from ltzoo.errors import InputError
from ltzoo.evaluate import FeatureKey, FeatureOrigin, StoredFeatures, read_features, write_features
from ltzoo.recipes import Fresh
from ltzoo.registry import get_recipe
from ltzoo.train import TrainOptions, preparation, train
from tests.data.pictures import Made
from tests.train.folders import plant, plant_splits, run

CRT = get_recipe("resnet20_digitslt_crt_sgd").with_epochs(2)
PLAIN = (Augmentation(crop_padding=0, horizontal_flip=False),)
CACHED = replace(CRT, views=PLAIN, trainable=replace(CRT.trainable, batchnorm="frozen"))


def options(output: Path, **changes) -> TrainOptions:
    return TrainOptions(Path("data"), output, **changes)


@pytest.fixture(scope="module")
def stages(finished_run, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("cached")
    shutil.copytree(finished_run.path, output / "resnet20_digitslt_ce_sgd" / "seed0")
    return output


@pytest.fixture(scope="module")
def cached(stages):
    return train(CACHED, options(stages / "a", first_stages=stages, cache_features=stages / "features"))


def test_a_head_on_cached_features_is_one_on_unaugmented_images(cached, stages):
    plain = train(CACHED, options(stages / "b", first_stages=stages))
    on_features, on_images = (load_file(folder.last_state) for folder in (cached, plain))
    assert on_features.keys() == on_images.keys()
    for key, value in on_images.items():
        torch.testing.assert_close(on_features[key], value, rtol=1e-4, atol=1e-5)
    figures = [json.loads(folder.metrics.read_text())["last"]["overall"] for folder in (cached, plain)]
    assert figures[0] == pytest.approx(figures[1], abs=0.51)


def test_the_second_run_takes_them_and_gets_the_same_head(cached, stages, capsys):
    again = train(CACHED, options(stages / "c", first_stages=stages, cache_features=stages / "features"))
    said = capsys.readouterr().err
    assert f"features of 438 images are taken from {stages / 'features' / 'train-'}" in said
    assert "augmented images would need their features anew in each of 2 epochs, about" in said
    states = [load_file(folder.last_state) for folder in (cached, again)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert len(list((stages / "features").iterdir())) == 2


def test_what_is_left_out_is_recorded(cached):
    document = yaml.safe_load(cached.recipe.read_text())
    assert {"trainable.batchnorm", "views.0.crop_padding"} <= document["overrides"].keys()
    (file,) = (cached.path.parents[2] / "features").glob("train-*")
    stored = read_features(file)
    assert document["run"]["features_of"] == stored.key.weights
    assert stored.features.shape == (438, 64) and stored.split == "train" and stored.seconds > 0


def test_the_command_leaves_augmentation_out_unless_it_was_asked_for():
    def recipe(*words: str):
        arguments = build_parser("train.py").parse_args(["--recipe", "x", "--head-only", "--cache-features", *words])
        return requested_recipe("resnet50_imagefolder_la_sgd", arguments)

    assert recipe().views == PLAIN
    for words in (["--mixup", "0.2"], ["--aa", "rand-m9"], ["--set", "views.0.min_scale=0.08"]):
        assert recipe(*words).views != PLAIN


@pytest.mark.parametrize("method", ["paco", "bcl"])
def test_a_loss_of_several_views_keeps_them_and_is_refused_for_them(method, tmp_path):
    words = ["--recipe", "x", "--head-only", "--cache-features", "--epochs", "2"]
    recipe = requested_recipe(f"resnet20_digitslt_{method}_sgd", build_parser("train.py").parse_args(words))
    assert len(recipe.views) == recipe.loss.views > 1
    said = f"--cache-features takes the features of one view, and the loss {method} needs views of the images"
    with pytest.raises(InputError, match=said):
        train(recipe, options(tmp_path, cache_features=tmp_path / "features"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("loss", ["la", "ce", "bs", "ldam_drw", "vs"])
def test_quick_heads_for_image_folders(loss, tmp_path, capsys):
    data, name = plant_splits(tmp_path / "photos"), f"resnet50_imagefolder_{loss}_sgd"
    words = ["--head-only", "--cache-features", "--initial-checkpoint", str(weights(tmp_path))]
    folder = run(data, tmp_path / "output", *words, name=name)
    assert sorted(path.name.split("-")[0] for path in (tmp_path / "output/features").iterdir()) == ["measured", "train"]
    model = f"local-dir:{folder.checkpoint}"
    (measured,) = (tmp_path / "output/features").glob("measured-*")
    capsys.readouterr()
    assert posthoc.main([str(measured), "--model", model, "--json", str(tmp_path / "p.json")]) == 0
    as_trained = json.loads((tmp_path / "p.json").read_text())["rows"][0]
    argv = ["--model", model, "--data-dir", str(data), "--json", str(tmp_path / "v.json")]
    assert validate.main(argv) == 0
    assert json.loads((tmp_path / "v.json").read_text())["per_class"] == as_trained["per_class"]


def weights(folder: Path) -> Path:
    """A file of weights for the tiny network of these tests."""
    import timm

    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet", num_classes=5).state_dict(), folder / "weights.pth")
    return folder / "weights.pth"


def test_one_changed_file_among_many_is_found(tmp_path, capsys):
    data = plant_splits(tmp_path / "photos", {"ant": 30, "bee": 20, "cat": 10})
    name = "resnet50_imagefolder_la_sgd"
    words = ["--head-only", "--cache-features", "--initial-checkpoint", str(weights(tmp_path))]
    run(data, tmp_path / "output", *words, name=name)
    # Not one of the 16 images whose features are computed again: those are 0, 4, 8 and so on.
    Made(1).image(77).save(data / "train" / "ant" / "3.png")
    shutil.rmtree(tmp_path / "output" / name)
    capsys.readouterr()
    run(data, tmp_path / "output", *words, name=name)
    said = capsys.readouterr().err
    assert "features of 60 images took" in said and "features of 5 images are taken from" in said
    assert len(list((tmp_path / "output/features").glob("train-*"))) == 2


def test_features_that_are_not_those_of_the_images_are_refused(cached, stages, tmp_path):
    folder = tmp_path / "features"
    shutil.copytree(stages / "features", folder)
    (file,) = folder.glob("train-*")
    stored = read_features(file)
    write_features(file, replace(stored, features=stored.features.flip(0)))
    with pytest.raises(InputError, match=r"the images have changed since the features in .*; remove the file"):
        train(CACHED, options(tmp_path / "output", first_stages=stages, cache_features=folder))


@pytest.mark.parametrize("part", ["weights", "images", "transform"])
def test_stale_features_are_found_by_their_key(cached, stages, tmp_path, part):
    folder = tmp_path / "features"
    shutil.copytree(stages / "features", folder)
    (file,) = folder.glob("train-*")
    stored = read_features(file)
    write_features(file, replace(stored, key=replace(stored.key, **{part: "other"})))
    with pytest.raises(InputError, match=f"are of other {part} than this run's; remove the file"):
        train(CACHED, options(tmp_path / "output", first_stages=stages, cache_features=folder))
    assert not list((tmp_path / "output").glob("*"))


def test_damaged_features_are_refused(cached, stages, tmp_path):
    folder = tmp_path / "features"
    shutil.copytree(stages / "features", folder)
    (file,) = folder.glob("train-*")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match=r"is missing or damaged .*; remove it, and train with --cache-features again"):
        train(CACHED, options(tmp_path / "output", first_stages=stages, cache_features=folder))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trainable": CRT.trainable}, "needs features that stay the same"),
        ({"trainable": replace(CRT.trainable, weights="all")}, "needs features that stay the same"),
        (
            {"views": CRT.views},
            "so that augmentation has no effect; leave out --cache-features, or all of --aa, --color-jitter",
        ),
    ],
)
def test_features_that_would_change_are_not_cached(changes, said, tmp_path):
    with pytest.raises(InputError, match=said):
        train(replace(CACHED, start=Fresh(), **changes), options(tmp_path, cache_features=tmp_path / "features"))
    assert not list(tmp_path.iterdir())


def test_computed_heads_use_the_cache_too(stages, cached, capsys):
    recipe = get_recipe("resnet20_digitslt_ncm_sgd")
    runs = [
        train(recipe, options(stages / name, first_stages=stages, cache_features=cache))
        for name, cache in (("d", stages / "features"), ("e", None))
    ]
    assert "features of 438 images are taken from" in capsys.readouterr().err
    heads = [load_file(folder.checkpoint / "model.safetensors")["fc.weight"] for folder in runs]
    torch.testing.assert_close(*heads, rtol=0, atol=1e-4)


def test_posthoc_on_features(cached, stages, capsys, tmp_path):
    (measured,), (training,) = ((stages / "features").glob(f"{split}-*") for split in ("measured", "train"))
    first = f"local-dir:{stages / 'resnet20_digitslt_ce_sgd' / 'seed0' / 'checkpoint'}"
    assert validate.main(["--model", first, "--logits", str(tmp_path / "logits.safetensors")]) == 0
    capsys.readouterr()
    rows = []
    for argv in ([str(measured), "--model", first], [str(tmp_path / "logits.safetensors")]):
        assert posthoc.main([*argv, "--la", "1", "--tau-norm", "1"]) == 0
        lines = capsys.readouterr().out.splitlines()
        if "--model" in argv:
            said = lines.pop(1)
            assert said.startswith(f"features from {measured}, written 2") and said.endswith(
                "not read or compared with them"
            )
        rows.append(lines[1:])
    assert rows[0] == rows[1]
    assert posthoc.main([str(training), "--model", first]) == 2
    assert "are of training images; give those of the images that are measured" in capsys.readouterr().err
    assert posthoc.main([str(measured), "--model", "resnet20_digitslt_ce_sam"]) == 2
    assert "are not of the weights of resnet20_digitslt_ce_sam" in capsys.readouterr().err


@pytest.fixture(scope="module")
def heads(tmp_path_factory) -> Path:
    """Heads on one backbone, measured on test images, held-out ones, those of other photos, and of other classes."""
    root, counts = tmp_path_factory.mktemp("heads"), {"ant": 9, "bee": 5, "cat": 3}
    plant_splits(root / "photos")
    plant_splits(root / "others", {"elk": 9, "fox": 5, "gnu": 3}, {"elk": 3, "fox": 1, "gnu": 1})
    plant(root / "alike" / "train", counts, 500)
    where = {"tested": "photos", "held": "photos", "alike": "alike", "other": "others"}
    words = ["--head-only", "--cache-features", str(root / "features"), "--initial-checkpoint", str(weights(root))]
    for name, data in where.items():
        held_out = ["--hold-out", "1"] if name in ("held", "alike") else []
        run(root / data, root / name, *words, *held_out, name="resnet50_imagefolder_la_sgd")
    return root


def head(root: Path, name: str) -> str:
    return f"local-dir:{root / name / 'resnet50_imagefolder_la_sgd' / 'seed0' / 'checkpoint'}"


def features_for(root: Path, name: str) -> str:
    config = json.loads((Path(head(root, name).removeprefix("local-dir:")) / "config.json").read_text())
    return str(root / "features" / f"measured-{config['run']['measured_features']}.safetensors")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tested", "5 test images, last epoch, from cached features"),
        ("held", "3 held-out images, last epoch on held-out images, from cached features"),
        ("other", "5 test images, last epoch, from cached features"),
    ],
)
def test_the_folder_has_the_features_of_each_head(heads, capsys, name, said):
    for features in (str(heads / "features"), features_for(heads, name)):
        assert posthoc.main([features, "--model", head(heads, name)]) == 0
        assert f"on imagefolder, {said}, groups by" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("features", "name", "said"),
    [
        ("held", "tested", "held out with --hold-out 1, which {} may have been trained on: its training held out none"),
        ("other", "tested", "are of images of other classes than those of {} (elk, fox, gnu instead of ant, bee, cat)"),
        ("alike", "held", "are not of the images that the training of {} held out"),
    ],
)
def test_features_of_images_of_another_head_are_refused(heads, capsys, features, name, said):
    assert posthoc.main([features_for(heads, features), "--model", head(heads, name)]) == 2
    captured = capsys.readouterr()
    assert said.format(head(heads, name)) in captured.err and captured.out == ""


def test_without_a_recorded_file_the_one_that_fits_is_taken(cached, stages, heads, tmp_path, capsys):
    folder = tmp_path / "features"
    shutil.copytree(stages / "features", folder)
    first = f"local-dir:{stages / 'resnet20_digitslt_ce_sgd' / 'seed0' / 'checkpoint'}"
    for file in (heads / "features").glob("measured-*"):
        shutil.copy(file, folder)
    assert posthoc.main([str(folder), "--model", first]) == 0
    assert "400 test images" in capsys.readouterr().out
    (measured,) = (stages / "features").glob("measured-*")
    shutil.copy(measured, folder / "measured-more.safetensors")
    assert posthoc.main([str(folder), "--model", first]) == 2
    assert "has several files that fit" in capsys.readouterr().err
    assert posthoc.main([str(heads / "features"), "--model", first]) == 2
    assert "has no features of test or held-out images that fit" in capsys.readouterr().err


def test_the_run_prints_the_line_that_takes_its_features(tmp_path, capsys):
    data = plant_splits(tmp_path / "my photos")
    words = ["--head-only", "--cache-features", "--initial-checkpoint", str(weights(tmp_path))]
    run(data, tmp_path / "my output", *words, name="resnet50_imagefolder_ce_sgd")
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "ltzoo posthoc" in line)
    program, command, *argv = shlex.split(line.partition("without training: ")[2])
    assert (program, command) == ("ltzoo", "posthoc") and posthoc.main(argv) == 0
    (data / "val" / "ant" / "0.png").touch()
    run(data, tmp_path / "my output", *words, "--resume", name="resnet50_imagefolder_ce_sgd")
    capsys.readouterr()
    run(data, tmp_path / "my output", *words, name="resnet50_imagefolder_la_sgd")  # balanced by its loss
    assert "ltzoo posthoc" not in capsys.readouterr().err


def test_features_are_read_back(tmp_path):
    key = FeatureKey("w", "i", "t")
    origin = FeatureOrigin(("é", "b"), 0.1, "files:1")
    stored = StoredFeatures(key, "measured", torch.randn(3, 2), torch.tensor([0, 1, 1]), 1.5, origin)
    write_features(tmp_path / "f.safetensors", stored)
    again = read_features(tmp_path / "f.safetensors")
    assert (again.key, again.split, again.seconds, again.origin) == (key, "measured", 1.5, origin)
    assert torch.equal(again.features, stored.features) and torch.equal(again.labels, stored.labels)
    assert len({replace(key, **{part: "x"}).short for part in ("weights", "images", "transform")} | {key.short}) == 4


def test_features_come_in_the_order_of_the_images():
    recipe = CACHED
    images, _ = load_train(recipe.data, "cao", Path("data"))
    data_set = recipe.data.data_set
    settings = BatchSettings(data_set, PLAIN, 32, 3, recipe.sampler)
    delivery = Delivery(torch.device("cpu"))
    numbered = LabelledImages(torch.arange(438).view(-1, 1, 1, 1).expand(438, 16, 16, 1) % 256, images.labels)
    of_images = TrainBatches(LabelledImages(numbered.images.to(torch.uint8), images.labels), settings, delivery)
    sizes = epoch_sizes(images, settings)
    of_features = FeatureBatches(torch.arange(438.0)[:, None], images.labels, settings, delivery, sizes)
    assert of_images.sizes == of_features.sizes and len(of_images) == len(of_features)
    scale, shift = 255 * data_set.std[0], 255 * data_set.mean[0]
    for (pixels, labels), (features, same) in zip(of_images.epoch(5), of_features.epoch(5), strict=True):
        assert torch.equal(labels, same)
        assert torch.equal((pixels[:, 0, 0, 0] * scale + shift).round() % 256, features[:, 0] % 256)
    shares = [replace(delivery, process=process, processes=2) for process in (0, 1)]
    halves = [FeatureBatches(of_features.features, images.labels, settings, share, sizes).epoch(5) for share in shares]
    for (features, _), (first, _), (second, _) in zip(of_features.epoch(5), *halves, strict=True):
        assert torch.equal(features[0::2], first) and torch.equal(features[1::2], second)


def test_two_processes_share_every_batch_of_features_of_files(tmp_path, monkeypatch):
    """19 images in batches of 6: the last image joins the batch before it, for features as for the images."""
    files = read_folder(plant(tmp_path / "photos", {"ant": 10, "bee": 6, "cat": 3}))
    settings = BatchSettings(CACHED.data.data_set, PLAIN, 6, 0)
    delivery = Delivery(torch.device("cpu"), processes=2)
    assert epoch_sizes(files, settings) == TrainLoader(files, settings, delivery).sizes == [6, 6, 7]
    checked, used = [], []
    monkeypatch.setattr(preparation, "check_shares", lambda smallest, processes: checked.append(smallest) or smallest)
    begin = FeatureBatches.__init__

    def spy(self, *arguments) -> None:
        begin(self, *arguments)
        used.append([len(labels) for _, labels in self.epoch(0)])

    monkeypatch.setattr(FeatureBatches, "__init__", spy)
    data = plant_splits(tmp_path / "split", {"ant": 10, "bee": 6, "cat": 3})
    words = ["--head-only", "--cache-features", "--initial-checkpoint", str(weights(tmp_path)), "-b", "6"]
    run(data, tmp_path / "output", *words, name="resnet50_imagefolder_la_sgd")
    assert (checked, used) == ([6], [[6, 6, 7]])
