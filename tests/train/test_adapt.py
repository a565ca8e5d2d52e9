"""Adapt recipes on tiny networks: what moves, where the head begins, what is stored, and resuming."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from ltzoo.cli import landscape, predict, validate
from ltzoo.data.memory import LabelledImages
from ltzoo.train import RunFolder
from ltzoo.train import images as run_images
from tests.train.folders import code_of, files_of, interrupt_after, plant_splits, refused, run

NAME = "vitb16_imagefolder_adapt_la_sgd"
SSESAM = "vitb16_imagefolder_adapt_vs_ssesam"
BELOW = {"lora": ".lora_", "norm": "bn", "bias": "bias"}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A folder of pictures, and a file of pretrained weights with statistics that are not those of fresh weights."""
    root = tmp_path_factory.mktemp("adapt")
    plant_splits(root / "photos")
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=5, zero_init_last=False)
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(8, 3, 32, 32))
    save_file(model.state_dict(), root / "weights.safetensors")
    return root


@pytest.fixture(scope="module")
def tuned(root):
    """A run for each tuning, trained when it is asked for."""

    @cache
    def of(tuning: str) -> RunFolder:
        return run(root / "photos", root / tuning, *start(root), *words(tuning), name=NAME)

    return of


def start(root: Path) -> tuple[str, ...]:
    return "--initial-checkpoint", str(root / "weights.safetensors")


def words(tuning: str) -> tuple[str, ...]:
    return ("--head-only",) if tuning == "head" else ("--tuning", tuning)


def trained_weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    """The last epoch's state, under the names of the plain model."""
    state = load_file(folder.last_state)
    named = {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")}
    return {key.replace(".base_layer.", "."): value for key, value in named.items()}


@pytest.mark.parametrize("tuning", ["lora", "norm", "bias", "head"])
def test_frozen_weights_and_statistics_stay_bit_for_bit(tuned, root, tuning):
    after, before = trained_weights(tuned(tuning)), load_file(root / "weights.safetensors")
    below = {key: value for key, value in before.items() if not key.startswith("fc.")}
    moved = {key for key, value in below.items() if not torch.equal(after[key], value)}
    statistics = {key for key in below if "running" in key or key.endswith("num_batches_tracked")}
    assert statistics and not moved & statistics
    if tuning == "norm":
        batchnorm = {key for key in set(below) - statistics if below[key].ndim == 1}
        assert moved == batchnorm  # this network's convolutions have no bias
    elif tuning == "bias":
        assert moved == {key for key in below if key.endswith("bias")}
    else:
        assert not moved
    added = set(after) - set(before)
    assert added - {"fc.feature_length"} == {key for key in after if ".lora_" in key}
    assert bool(added - {"fc.feature_length"}) == (tuning == "lora")
    if tuning == "lora":
        assert all(bool(after[key].any()) for key in added if "lora_B" in key)  # 0 at first


@pytest.mark.parametrize("tuning", ["lora", "norm", "head"])
def test_the_checkpoint_is_a_plain_timm_model_of_the_same_predictions(tuned, root, tuning):
    folder, state = tuned(tuning), trained_weights(tuned(tuning))
    model = timm.create_model(f"local-dir:{folder.checkpoint}", pretrained=True).eval()
    plain = timm.create_model("test_resnet", num_classes=3)
    assert list(model.state_dict()) == list(plain.state_dict()) and type(model.fc) is nn.Linear
    assert not model.fc.bias.any()
    # As trained: features through the layers with W + B A, then scaled cosines.
    merged = {key: value for key, value in state.items() if key in plain.state_dict()}
    for key in [key for key in state if key.endswith("lora_B.default.weight")]:
        b, a = state[key], state[key.replace("lora_B", "lora_A")]
        name = key.replace("lora_B.default.", "")
        merged[name] = state[name] + torch.einsum("or,rikl->oikl", b[:, :, 0, 0], a)
    plain.load_state_dict(merged | {"fc.bias": torch.zeros(3)})
    images = torch.randn(16, 3, 32, 32)
    with torch.no_grad():
        features = plain.eval().forward_head(plain.forward_features(images), pre_logits=True)
        cosines = 25 * F.normalize(features, dim=1) @ F.normalize(state["fc.weight"], dim=1).T
        logits = model(images)
    lengths = features.norm(dim=1, keepdim=True) / state["fc.feature_length"]
    torch.testing.assert_close(logits, cosines * lengths, rtol=2e-3, atol=2e-2)  # float16 where no class changes
    assert 0.5 < float(lengths.mean()) < 2
    metrics = json.loads(folder.metrics.read_text())
    assert metrics["precision"] == ("bfloat16" if torch.cuda.is_available() else "float32")
    argv = ["--model", f"local-dir:{folder.checkpoint}", "--data-dir", str(root / "photos")]
    assert validate.main([*argv, "--json", str(root / "v.json")]) == 0
    assert json.loads((root / "v.json").read_text())["per_class"] == metrics["last"]["per_class"]


def test_stock_timm_loads_the_checkpoint_without_peft(tuned):
    code = "import sys, timm; timm.create_model('local-dir:' + sys.argv[1], pretrained=True); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(tuned("lora").checkpoint)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "timm" in done.stdout.split() and not {"peft", "ltzoo"} & set(done.stdout.split())


def plain_features(root: Path, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of pictures by timm and torchvision alone."""
    model = timm.create_model("test_resnet", num_classes=5)
    model.load_state_dict(load_file(root / "weights.safetensors"))
    settings = timm.data.resolve_data_config({"img_size": 32}, model=model)
    transform = timm.data.create_transform(**settings)
    paths = sorted((root / "photos" / split).rglob("*.png"))
    images = torch.stack([transform(Image.open(path).convert("RGB")) for path in paths])
    with torch.no_grad():
        found = model.eval().forward_head(model.forward_features(images), pre_logits=True)
    return found, torch.tensor([["ant", "bee", "cat"].index(path.parent.name) for path in paths])


@pytest.mark.parametrize("tuning", ["lora", "head"])
def test_before_the_first_step_the_head_is_the_nearest_class_mean(root, tuning):
    """With a learning rate that changes no float32 number, the last epoch is the start."""
    folder = run(root / "photos", root / f"still {tuning}", *start(root), *words(tuning), "--lr", "1e-30", name=NAME)
    features, labels = plain_features(root, "train")
    means = torch.stack([F.normalize(features[labels == j].mean(dim=0), dim=0) for j in range(3)])
    state = trained_weights(folder)
    torch.testing.assert_close(state["fc.weight"], means, rtol=0, atol=1e-4)
    tested, classes = plain_features(root, "val")
    predicted = (F.normalize(tested, dim=1) @ means.T).argmax(dim=1)
    expected = 100 * float((predicted == classes).double().mean())
    assert json.loads(folder.metrics.read_text())["last"]["overall"] == pytest.approx(expected)


@pytest.mark.parametrize("cached", [False, True])
def test_a_head_in_seconds_begins_with_the_class_means_too(root, cached):
    more = ("--cache-features", str(root / "features")) if cached else ("--set", "views.0.min_scale=null")
    folder = run(root / "photos", root / f"quick {cached}", *start(root), "--head-only", *more, name=NAME)
    assert json.loads(folder.metrics.read_text())["last"]["images"] == 5
    features, _ = plain_features(root, "train")
    length = trained_weights(folder)["fc.feature_length"]
    torch.testing.assert_close(length, features.norm(dim=1).mean(), rtol=0.1, atol=0)


def test_a_resumed_run_is_an_uninterrupted_one_and_epochs_are_stored_merged(root, monkeypatch):
    options = (*start(root), "--save-epochs", "1,2")
    whole = run(root / "photos", root / "whole", *options, name=SSESAM)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 1)
        assert code_of(root / "photos", root / "resumed", *options, name=SSESAM) == 130
    resumed = run(root / "photos", root / "resumed", *options, "--resume", name=SSESAM)
    states = [load_file(folder.last_state) for folder in (whole, resumed)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    stored = [files_of(folder)["epochs/epoch1/model.safetensors"] for folder in (whole, resumed)]
    assert stored[0] == stored[1]
    plain = timm.create_model("test_resnet", num_classes=3).state_dict().keys()
    assert load_file(whole.saved_epoch(1, 2) / "model.safetensors").keys() == plain


def test_bad_input_is_said_in_one_line(root, tmp_path, capsys):
    photos = root / "photos"
    said = refused(capsys, photos, tmp_path, name=NAME)  # --arch test_resnet without weights of its own
    assert "cannot be downloaded" in said or "has no pretrained weights" in said
    said = refused(capsys, photos, tmp_path, "--arch", "resnet20_cifar", name=NAME)
    assert said.startswith("timm has no pretrained weights of resnet20_cifar")
    vit = ("--arch", "test_vit", "--set", "start={name: fresh}")
    said = refused(capsys, photos, tmp_path, *vit, "--img-size", "50", name=NAME)
    assert said.startswith("test_vit does not accept images of shape (3, 50, 50)")
    said = refused(capsys, photos, tmp_path, *start(root), "--tuning", "norm", "--head-only", name=NAME)
    assert said.startswith("--head-only trains nothing below the classifier, --tuning does; choose one")
    said = refused(capsys, photos, tmp_path, *start(root), "--cache-features", name=NAME)
    assert "the recipe trains the weights or BatchNorm's statistics below the head; add --head-only" in said
    kept = ("--set", f"start={{name: weights, of: {root / 'weights.safetensors'}, head: kept}}")
    said = refused(capsys, photos, tmp_path, *kept, name=NAME)
    assert said == "the head scaled_cosine begins with the classes' mean features; set start.head=fresh"
    assert not list(tmp_path.iterdir())


def test_a_class_that_the_model_lacks_is_refused(tuned, root, tmp_path, capsys):
    more = plant_splits(tmp_path / "more", {"ant": 2, "bee": 2, "cat": 2, "dog": 2}, {"ant": 1, "dog": 1})
    folder = tuned("norm").checkpoint
    capsys.readouterr()
    assert validate.main(["--model", f"local-dir:{folder}", "--data-dir", str(more)]) == 2
    error = capsys.readouterr().err.strip()
    assert "dog" in error and error.count("\n") == 0


def test_images_in_memory_are_enlarged(root, tmp_path, monkeypatch):
    """CIFAR-10 at 48 pixels: a few images stand in for the data set."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (40, 32, 32, 3), dtype=torch.uint8, generator=generator)
    few = LabelledImages(pixels, torch.arange(40) % 10)

    def load_train(benchmark, rule, *where):
        from ltzoo.data import Subset

        return few, Subset(rule, "parquet", torch.arange(40).numpy())

    monkeypatch.setattr(run_images, "load_train", load_train)
    monkeypatch.setattr(run_images, "load_test", lambda *where: few)
    name = "vitb16_cifar10lt_adapt_la_sgd"
    folder = run(root / "photos", tmp_path, *start(root), "--img-size", "48", name=name)
    config = json.loads((folder.checkpoint / "config.json").read_text())
    cfg = config["pretrained_cfg"]
    assert (cfg["input_size"], cfg["crop_pct"]) == ([3, 48, 48], 1.0)
    model = timm.create_model(f"local-dir:{folder.checkpoint}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))
    seen = torch.stack([transform(few.image(k)) for k in range(40)])
    with torch.no_grad():
        right = model(seen).argmax(dim=1) == few.labels
    found = json.loads(folder.metrics.read_text())["last"]["overall"]
    assert found == pytest.approx(100 * float(right.double().mean()), abs=2.6)  # one image of 40
    # The checkpoint says how images are enlarged.
    picture = root / "photos" / "val" / "bee" / "0.png"
    checkpoint = ("--model", f"local-dir:{folder.checkpoint}")
    assert predict.main([*checkpoint, str(picture), "--json", str(tmp_path / "p.json")]) == 0
    shown = json.loads((tmp_path / "p.json").read_text())
    assert shown["input"] == f"shorter side resized to 48 pixels ({cfg['interpolation']}), centre 48 x 48"
    with torch.no_grad():
        expected = model(transform(Image.open(picture).convert("RGB"))[None]).softmax(dim=1).max()
    assert shown["images"][0]["classes"][0]["probability"] == pytest.approx(float(expected), abs=1e-4)
    assert landscape.main([*checkpoint, "--output", str(tmp_path / "l")]) == 2
