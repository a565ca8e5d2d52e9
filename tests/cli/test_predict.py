"""The predict command: the logits that validate measures, as classes and probabilities under a prior."""

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import timm
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import save_file

from ltzoo import checkpoints
from ltzoo.__main__ import main
from ltzoo.cli import predict_images, validate
from ltzoo.cli.predict import main as predict
from ltzoo.data import SAMPLERS, InstanceSampler
from ltzoo.data.memory import LabelledImages
from ltzoo.evaluate import EvalOptions, adjust_logits, plots, predict_test, read_logits
from ltzoo.registry import create_model, get_recipe
from ltzoo.train import RunFolder
from tests.checkpoints.changes import change_config
from tests.data.pictures import Made
from tests.train.folders import plant_splits, run

SHARE = "pi_j the share of class j in the training images"
WEIGHT = "w_j the weight of class j at the end of the training"
COUNTS = (9, 5, 3)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return plant_splits(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> RunFolder:
    """A run with plain cross-entropy; tests leave it as it is."""
    AcceleratorState._reset_state(reset_partial_state=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "save_figure", lambda figure, path: path.touch())
        options = ("--epochs", "1", "--set", "input.shorter_side=36")
        return run(data, tmp_path_factory.mktemp("output"), *options, name="resnet50_imagefolder_ce_sgd")


def named(folder: RunFolder | Path) -> str:
    return f"local-dir:{folder.checkpoint if isinstance(folder, RunFolder) else folder}"


def predicted(model: str, tmp_path: Path, *argv: object) -> dict:
    """What the command writes as JSON; it must end well."""
    file = tmp_path / "predicted.json"
    assert predict(["--model", model, "--json", str(file), *map(str, argv)]) == 0
    return json.loads(file.read_text())


def probabilities(document: dict, classes=("ant", "bee", "cat")) -> torch.Tensor:
    """(N, C), in the order of the classes."""
    found = [{row["class"]: row["probability"] for row in image["classes"]} for image in document["images"]]
    return torch.tensor([[row[name] for name in classes] for row in found], dtype=torch.float64)


def refused(capsys, *argv: object) -> str:
    capsys.readouterr()
    assert predict([*map(str, argv)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (error,) = [line for line in captured.err.splitlines() if line.startswith("ltzoo predict: error: ")]
    assert len(error) < 500
    return error


def logits_of_validate(folder, data, tmp_path, *options: str) -> torch.Tensor:
    file = tmp_path / "l.safetensors"
    argv = ["--model", named(folder), "--data-dir", str(data), "--logits", str(file), *options]
    assert validate.main(argv) == 0
    return read_logits(file).predictions.logits


@pytest.mark.parametrize("options", [(), ("--tta", "flip"), ("-j", "2"), ("--tta", "crops")])
def test_logits_are_those_that_validate_measures_bit_for_bit(options, trained, data, tmp_path, monkeypatch):
    expected = logits_of_validate(trained, data, tmp_path, *options)
    seen = []

    def spy(*arguments):
        seen.append(predict_test(*arguments))
        return seen[-1]

    monkeypatch.setattr(predict_images, "predict_test", spy)
    found = predicted(named(trained), tmp_path, data / "val", *options)
    assert torch.equal(seen[0].logits, expected)
    assert torch.equal(probabilities(found), expected.double().softmax(dim=1))
    paths = sorted(str(path) for path in (data / "val").rglob("*.png"))
    assert [image["image"] for image in found["images"]] == paths
    # The same images in a list, or named one by one.
    lines = tmp_path / "images.txt"
    lines.write_text("".join(f"{path}\n" for path in paths))
    predicted(named(trained), tmp_path, lines, *options)
    predicted(named(trained), tmp_path, *paths, *options)
    assert all(torch.equal(other.logits, expected) for other in seen)


def test_the_table_and_the_csv_say_the_same(trained, data, tmp_path, capsys):
    images = sorted((data / "val" / "ant").glob("*.png"))
    table = tmp_path / "p.csv"
    found = predicted(named(trained), tmp_path, *images, "--topk", 2, "--csv", table)
    first, second, header, *lines = capsys.readouterr().out.splitlines()
    assert first == (
        f"{named(trained)}, 3 images: shorter side at most 36 pixels (bicubic), then "
        "shorter side resized to 33 pixels (bilinear), centre 32 x 32"
    ), first
    assert second == f"prior: train; the logits stand for the class prior pi_j, {SHARE} (loss ce)"
    assert header.split() == ["image", "class", "probability", "(%)"]
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == len(lines) == 6 and [row["rank"] for row in rows] == ["1", "2"] * 3
    whole = probabilities(predicted(named(trained), tmp_path, *images))
    for number, (line, row) in enumerate(zip(lines, rows, strict=True)):
        image, rank = divmod(number, 2)
        cells = line.split()
        assert row["image"] == str(images[image]) == found["images"][image]["image"]
        assert cells[:-2] == ([] if rank else [row["image"]])
        assert cells[-2:] == [row["class"], f"{100 * float(row['probability']):.1f}"]
        assert found["images"][image]["classes"][rank] == {
            "class": row["class"],
            "probability": float(row["probability"]),
        }
        assert float(row["probability"]) == float(whole[image].sort(descending=True).values[rank])


def test_priors_change_the_probabilities_as_bayes_rule_says(trained, data, tmp_path):
    where = data / "val"
    plain = probabilities(predicted(named(trained), tmp_path, where))
    uniform = predicted(named(trained), tmp_path, where, "--prior", "uniform")
    logits = logits_of_validate(trained, data, tmp_path)
    torch.testing.assert_close(probabilities(uniform), adjust_logits(logits, COUNTS, 1.0).softmax(1))
    assert uniform["prior"] == "uniform" and uniform["prior_is_exact"] is True
    shares = torch.tensor([0.2, 0.0, 0.8], dtype=torch.float64)
    (tmp_path / "s.json").write_text(json.dumps(dict(zip(("ant", "bee", "cat"), shares.tolist(), strict=True))))
    found = probabilities(predicted(named(trained), tmp_path, where, "--prior", tmp_path / "s.json"))
    joint = plain * shares / torch.tensor(COUNTS).double()
    torch.testing.assert_close(found, joint / joint.sum(dim=1, keepdim=True))
    own = dict(zip(("ant", "bee", "cat"), (count / sum(COUNTS) for count in COUNTS), strict=True))
    (tmp_path / "s.json").write_text(json.dumps(own))
    torch.testing.assert_close(
        probabilities(predicted(named(trained), tmp_path, where, "--prior", tmp_path / "s.json")), plain
    )


@pytest.mark.parametrize(
    ("changes", "words", "exact"),
    [
        ({"loss": {"name": "la", "tau": 1.0}}, "uniform (loss la)", True),
        ({"loss": {"name": "bs"}}, "uniform (loss bs)", True),
        ({"loss": {"name": "vs", "gamma": 0.15, "tau": 0.75}}, f"pi_j^0.25, {SHARE} (loss vs)", False),
        (
            {"reweighting": {"name": "drw", "start": 0, "beta": 0.99}},
            f"pi_j * w_j, {SHARE}, {WEIGHT} (loss ce)",
            True,
        ),
        ({"views": "mixed"}, f"pi_j, {SHARE} (loss ce)", False),
        ({"sampler": {"name": "class_aware", "per_class": 4, "epoch": "images"}}, "uniform (loss ce)", True),
    ],
)
def test_what_the_logits_stand_for_follows_from_the_recipe(changes, words, exact, trained, data, tmp_path, capsys):
    folder = shutil.copytree(trained.checkpoint, tmp_path / "checkpoint")
    recipe = json.loads((folder / "config.json").read_text())["recipe"]
    if changes == {"views": "mixed"}:
        changes = {"views": [recipe["views"][0] | {"mixup": 0.2}]}
    change_config(folder, recipe=recipe | changes)
    found = predicted(named(folder), tmp_path, data / "val")
    assert (found["prior_of_logits"], found["prior_is_exact"]) == (words, exact)
    printed = capsys.readouterr()
    assert f"the logits stand for the class prior {words}{'' if exact else ', approximately'}\n" in printed.out
    uniform = predicted(named(folder), tmp_path, data / "val", "--prior", "uniform")
    if "uniform" in words:
        torch.testing.assert_close(probabilities(uniform), probabilities(found))
    assert ("note: probabilities for another prior are approximate" in capsys.readouterr().err) is not exact


def test_of_another_sampler_the_prior_is_unknown(trained, data, tmp_path, monkeypatch, capsys):
    @dataclass(frozen=True)
    class Backwards(InstanceSampler):
        name = "backwards"

    monkeypatch.setitem(SAMPLERS, "backwards", Backwards)
    folder = shutil.copytree(trained.checkpoint, tmp_path / "checkpoint")
    recipe = json.loads((folder / "config.json").read_text())["recipe"]
    change_config(folder, recipe=recipe | {"sampler": {"name": "backwards"}})
    assert predicted(named(folder), tmp_path, data / "val")["prior_of_logits"] == "unknown"
    assert "prior: train; which class prior the logits stand for is unknown\n" in capsys.readouterr().out
    said = refused(capsys, "--model", named(folder), data / "val", "--prior", "uniform")
    assert "since its images were drawn by the sampler backwards; use --prior train" in said


def test_a_checkpoint_of_an_earlier_epoch_has_the_weights_of_that_epoch(trained, data, tmp_path):
    folder = shutil.copytree(trained.checkpoint, tmp_path / "checkpoint")
    recipe = json.loads((folder / "config.json").read_text())["recipe"]
    drw = recipe | {"reweighting": {"name": "drw", "start": 2, "beta": 0.99}}
    drw["schedule"] |= {"epochs": 4}
    change_config(folder, recipe=drw, epoch=2)
    assert predicted(named(folder), tmp_path, data / "val")["prior_of_logits"] == f"pi_j, {SHARE} (loss ce)"
    change_config(folder, epoch=3)
    assert (
        predicted(named(folder), tmp_path, data / "val")["prior_of_logits"]
        == f"pi_j * w_j, {SHARE}, {WEIGHT} (loss ce)"
    )


def test_a_cifar_model_sees_photos_at_its_own_size(tmp_path, monkeypatch, capsys):
    made = Made(7, size=(32, 32))
    for k in range(7):
        made.image(k).save(tmp_path / f"{k}.png")
    name, device = "resnet32_cifar100lt_ce_sgd", torch.device("cpu")
    found = predicted(name, tmp_path, *(tmp_path / f"{k}.png" for k in range(7)), "--topk", 100)
    benchmark = get_recipe(name).data
    pixels = torch.stack([torch.frombuffer(bytearray(made.image(k).tobytes()), dtype=torch.uint8) for k in range(7)])
    images = LabelledImages(pixels.view(7, 32, 32, 3), torch.zeros(7, dtype=torch.int64))
    expected = predict_test(create_model(name, pretrained=True), benchmark, images, EvalOptions(device))
    assert torch.equal(probabilities(found, benchmark.data_set.class_names), expected.logits.double().softmax(dim=1))
    assert found["input"] == (
        "shorter side resized to 32 pixels (bicubic), centre 32 x 32: the size of cifar100's images"
    )
    Made(1, size=(90, 60)).image(0).save(tmp_path / "wide.png")
    assert len(predicted(name, tmp_path, tmp_path / "wide.png")["images"]) == 1


def test_grey_models_and_computed_heads_are_refused_where_they_make_no_sense(data, tmp_path, capsys):
    said = refused(capsys, "--model", "resnet20_digitslt_ce_sgd", data / "val")
    assert "needs images with 1 channel, but image files are read as RGB" in said
    name = "resnet32_cifar100lt_ncm_sgd"
    assert "its head nearest_mean is computed, not trained" in refused(
        capsys, "--model", name, data / "val", "--prior", "uniform"
    )
    assert predicted(name, tmp_path, data / "val")["prior_of_logits"] == "unknown"


def test_augmentation_is_said(trained, data, tmp_path, capsys):
    crops = "logits averaged over five crops of 32 pixels, shorter side resized to 35"
    for tta, words in (("flip", "centre 32 x 32, logits averaged with those of the mirror image"), ("crops", crops)):
        found = predicted(named(trained), tmp_path, data / "val", "--tta", tta)
        assert found["input"].endswith(words) and found["test_time_augmentation"] == tta
        assert f", 5 images: {found['input']}\n" in capsys.readouterr().out
    said = refused(capsys, "--model", "resnet32_cifar100lt_ce_sgd", data / "val", "--tta", "crops")
    assert "--tta crops needs images in files, and the images of cifar100lt have the size of the model's input" in said


def test_a_checkpoint_of_timm_predicts_too(data, tmp_path, capsys):
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=3)
    folder = tmp_path / "timm"
    folder.mkdir()
    cfg = dict(model.pretrained_cfg) | {"num_classes": 3}
    config = {"architecture": "test_resnet", "num_classes": 3, "pretrained_cfg": cfg}
    save_file(model.state_dict(), folder / "model.safetensors")
    for names, expected in ((None, {"0", "1", "2"}), (["x", "y", "z"], {"x", "y", "z"})):
        (folder / "config.json").write_text(json.dumps(config | ({"label_names": names} if names else {})))
        found = predicted(named(folder), tmp_path, data / "val")
        assert {row["class"] for row in found["images"][0]["classes"]} == expected
        assert found["prior_of_logits"] == "unknown"
    said = refused(capsys, "--model", named(folder), data / "val", "--prior", "uniform")
    assert "config.json has no recipe; use --prior train" in said
    (folder / "config.json").write_text(json.dumps(config | {"label_names": ["x"]}))
    assert "its label_names are not those of 3 classes" in refused(capsys, "--model", named(folder), data / "val")


def test_unreadable_images_are_named_or_left_out(trained, data, tmp_path, capsys):
    own = shutil.copytree(data / "val", tmp_path / "own")
    (own / "ant" / "1.png").write_bytes(b"<html>404</html>")
    said = refused(capsys, "--model", named(trained), own)
    assert "ant/1.png of the images given is damaged or not an image" in said and "--skip-unreadable" in said
    found = predicted(named(trained), tmp_path, own, "--skip-unreadable", 1)
    assert "left out, since it cannot be read: " in capsys.readouterr().err
    assert len(found["images"]) == 4
    said = refused(capsys, "--model", named(trained), own / "ant" / "1.png", "--skip-unreadable", 1)
    assert "no image is left" in said


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("nowhere.jpg",), "nowhere.jpg does not exist"),
        (("--prior", "nothing.csv"), "the prior nothing.csv cannot be read"),
        (("--csv", "a.out", "--json", "./a.out"), "--csv and --json name the same file a.out; name two"),
    ],
)
def test_wrong_options_are_one_line(options, found, trained, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert found in refused(capsys, "--model", named(trained), data / "val", *options)
    assert list(tmp_path.iterdir()) == []


def test_the_command_is_one_of_ltzoos(trained, data, capsys):
    assert main(["predict", "--model", named(trained), str(data / "val" / "ant" / "0.png")]) == 0
    assert "ant/0.png" in capsys.readouterr().out
    assert checkpoints.read_config(trained.checkpoint)["label_names"] == ["ant", "bee", "cat"]
