"""The validate command: figures, files, and one line for bad input."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from ltzoo import checkpoints
from ltzoo.checkpoints.files import write_manifest
from ltzoo.cli import measure_checkpoint
from ltzoo.cli.validate import main
from ltzoo.data.batches import EvalBatches
from ltzoo.data.memory import load_test
from ltzoo.evaluate import (
    Predictions,
    class_accuracy,
    group_accuracy,
    measure_calibration,
    predict,
    read_logits,
)
from ltzoo.recipes import recipe_to_dict
from ltzoo.recipes.model import build_model, model_arguments
from ltzoo.registry import create_model, get_recipe
from tests.checkpoints.changes import change_config


def model_of(run) -> str:
    return f"local-dir:{run.checkpoint}"


def test_it_measures_what_training_wrote(finished_run, tmp_path, capsys):
    files = {kind: tmp_path / kind for kind in ("figures.json", "results.csv", "classes.png")}
    argv = ["--model", model_of(finished_run), "--json", str(files["figures.json"])]
    argv += ["--results-file", str(files["results.csv"]), "--picture", str(files["classes.png"])]
    assert main(argv) == 0
    assert main(argv) == 0
    last = json.loads(finished_run.metrics.read_text())["last"]
    assert json.loads(files["figures.json"].read_text()) == last
    printed = capsys.readouterr().out.splitlines()
    assert f"{last['overall']:.1f}" in printed[2]
    assert printed[3] == "head: many-shot classes, mid: medium-shot, tail: few-shot"
    assert printed[4] == f"top-5 {last['top5']:.1f}, expected calibration error {last['ece']:.1f} (15 bins)"
    with files["results.csv"].open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert ",".join(rows[0]) == "model,img_size,top1,top1_err,top5,top5_err,param_count,head,mid,tail"
    assert float(rows[0]["top1"]) == pytest.approx(last["overall"], abs=1e-3)
    assert float(rows[0]["tail"]) == pytest.approx(last["groups"]["mislas"]["tail"], abs=1e-3)
    assert rows[0]["param_count"] == "0.27"
    assert Image.open(files["classes.png"]).width > 500


def test_logits_and_counts_are_those_of_the_figures(finished_run, tmp_path):
    files = {name: tmp_path / name for name in ("f.json", "l.safetensors", "c.csv", "c.png", "r.png", "p.png")}
    argv = ["--model", model_of(finished_run), "--groups", "count"]
    options = ["--json", "--logits", "--confusion", "--picture", "--reliability"]
    names = ["f.json", "l.safetensors", "c.csv", "p.png", "r.png"]
    assert (
        main([*argv, *(text for pair in zip(options, map(str, map(files.get, names)), strict=True) for text in pair)])
        == 0
    )
    assert main([*argv, "--confusion", str(files["c.png"])]) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(files)
    figures = json.loads(files["f.json"].read_text())

    stored = read_logits(files["l.safetensors"])
    per_class = class_accuracy(stored.predictions.logits, stored.predictions.labels)
    assert list(per_class) == figures["per_class"]
    assert [groups.rule for groups in stored.groupings] == ["count", "mislas", "thirds"]
    for groups in stored.groupings:
        assert group_accuracy(per_class, groups) == figures["groups"][groups.rule]
    assert stored.class_counts == get_recipe("resnet20_digitslt_ce_sgd").data.class_counts
    assert (stored.model, stored.benchmark) == (model_of(finished_run), "digitslt")
    assert (stored.recipe, stored.rule) == ("resnet20_digitslt_ce_sgd", "last epoch")
    layer = create_model(model_of(finished_run), pretrained=True).get_classifier()
    assert stored.classifier.weight_norms.tolist() == pytest.approx(layer.weight.detach().norm(dim=1).tolist())
    assert stored.classifier.bias.tolist() == layer.bias.tolist()

    lines = files["c.csv"].read_text().splitlines()
    assert lines[0] == "label,0,1,2,3,4,5,6,7,8,9"
    counts = np.array([[int(cell) for cell in line.split(",")] for line in lines[1:]])
    assert counts[:, 0].tolist() == list(range(10))
    assert counts[:, 1:].sum() == figures["images"]
    accuracy = 100 * counts[:, 1:].diagonal() / counts[:, 1:].sum(axis=1)
    assert accuracy.tolist() == pytest.approx(figures["per_class"])
    for name in ("c.png", "r.png", "p.png"):
        with Image.open(files[name]) as picture:
            assert picture.format == "PNG"


def test_the_worst_classes_are_printed_by_name(finished_run, tmp_path, capsys):
    file, table = tmp_path / "f.json", tmp_path / "c.csv"
    argv = ["--model", model_of(finished_run), "--json", str(file), "--confusion", str(table)]
    assert main([*argv, "--worst", "3"]) == 0
    header, *lines = capsys.readouterr().out.partition("\n\n")[2].splitlines()
    assert header.startswith("class  accuracy  test images  training images  most often taken for (images)")
    figures = json.loads(file.read_text())
    accuracy = figures["per_class"]
    worst = sorted(range(10), key=accuracy.__getitem__)[:3]
    assert [line.split()[:4] for line in lines] == [
        [str(j), f"{accuracy[j]:.1f}", "40", str(figures["class_counts"][j])] for j in worst
    ]
    with table.open() as counts:
        rows = {row["label"]: row for row in csv.DictReader(counts)}
    row = rows[str(worst[0])]
    others = [(name, int(row[name])) for name in row if name not in ("label", str(worst[0]))]
    name, count = max(others, key=lambda pair: pair[1])
    assert lines[0].split()[4:6] == [name, f"({count})" if lines[0].count("(") == 1 else f"({count}),"]
    assert main(argv) == 0
    assert "taken for" not in capsys.readouterr().out


def test_a_cosine_classifier_leaves_norms_and_bias_out_and_its_cosines_are_scaled(tmp_path):
    recipe = get_recipe("resnet20_digitslt_ldam_sgd")
    folder = tmp_path / "checkpoint"
    with checkpoints.new_checkpoint(folder) as fresh:
        checkpoints.write_model(fresh, build_model(recipe), model_arguments(recipe))
        checkpoints.update_config(fresh, {"recipe": recipe_to_dict(recipe)})
    files = ["--logits", str(tmp_path / "l.safetensors"), "--json", str(tmp_path / "f.json")]
    assert main(["--model", f"local-dir:{folder}", *files]) == 0
    stored = read_logits(tmp_path / "l.safetensors")
    assert stored.classifier is None
    # Cosines are no logits of probabilities: LDAM's loss scales them by 30, and so does whatever needs probabilities.
    model = create_model(f"local-dir:{folder}", pretrained=True)
    cosines = predict(model, EvalBatches(load_test(recipe.data, tmp_path), recipe.data.data_set)).logits
    assert cosines.abs().max() <= 1
    torch.testing.assert_close(stored.predictions.logits, 30 * cosines)
    ece = measure_calibration(Predictions(30 * cosines, stored.predictions.labels)).ece
    assert json.loads((tmp_path / "f.json").read_text())["ece"] == pytest.approx(ece, abs=0.01)


def test_a_recipe_with_parts_that_are_not_there_says_how_to_get_them(finished_run, tmp_path, capsys):
    folder = shutil.copytree(finished_run.checkpoint, tmp_path / "checkpoint")
    recipe = json.loads((folder / "config.json").read_text())["recipe"]
    change_config(folder, recipe=recipe | {"loss": {"name": "mine"}})
    assert main(["--model", f"local-dir:{folder}"]) == 2
    error = capsys.readouterr().err
    assert "checkpoint/config.json: loss.name must be one of ce, " in error
    assert "add --import MODULE" in error
    assert error.count("\n") == 1


def test_a_checkpoint_of_another_epoch_says_which(finished_run, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(finished_run.checkpoint, tmp_path / "checkpoint")
    change_config(folder, epoch=10)
    titles = []
    monkeypatch.setattr(measure_checkpoint, "draw_reliability", lambda path, title, bins: titles.append(title))
    monkeypatch.setattr(measure_checkpoint, "draw_confusion", lambda path, title, *rest: titles.append(title))
    monkeypatch.setattr(
        measure_checkpoint, "draw_classes", lambda path, title, figures, *rest: titles.append(figures.rule)
    )
    files = {"--json": "f.json", "--logits": "l.safetensors", "--picture": "p.png", "--reliability": "r.png"}
    argv = [word for option, name in files.items() for word in (option, str(tmp_path / name))]
    assert main(["--model", f"local-dir:{folder}", *argv, "--confusion", str(tmp_path / "c.png")]) == 0
    shown = capsys.readouterr().out
    assert "\nepoch 10 " in shown
    assert "last epoch" not in shown
    assert json.loads((tmp_path / "f.json").read_text())["rule"] == "epoch 10"
    assert read_logits(tmp_path / "l.safetensors").rule == "epoch 10"
    assert titles == ["epoch 10", *["resnet20_digitslt_ce_sgd\nepoch 10"] * 2]
    assert main(["--model", f"local-dir:{folder}", "--tta", "flip"]) == 0
    assert "\nepoch 10, logits averaged with those of the mirror image " in capsys.readouterr().out


def test_groups_and_flip_change_what_is_shown(finished_run, tmp_path, capsys):
    plain, flipped = tmp_path / "plain.json", tmp_path / "flipped.json"
    assert main(["--model", model_of(finished_run), "--groups", "thirds", "--json", str(plain)]) == 0
    assert main(["--model", model_of(finished_run), "--tta", "flip", "--json", str(flipped)]) == 0
    assert "groups by the rule thirds" in capsys.readouterr().out
    first, second = json.loads(plain.read_text()), json.loads(flipped.read_text())
    assert next(iter(first["groups"])) == "thirds"
    assert first["per_class"] != second["per_class"]  # a mirrored digit is no digit
    assert "mirror" in second["rule"]


def damaged(run, tmp_path, file, text):
    copy = tmp_path / "checkpoint"
    shutil.copytree(run.checkpoint, copy)
    (copy / file).write_text(text)
    write_manifest(copy)
    return copy


def test_bad_checkpoints_are_one_line_and_exit_code_2(finished_run, tmp_path, capsys):
    config = json.loads((finished_run.checkpoint / "config.json").read_text())
    other_network = json.dumps(config | {"architecture": "resnet32_cifar"})
    no_recipe = json.dumps({key: value for key, value in config.items() if key != "recipe"})
    other_classes = json.dumps(config | {"recipe": config["recipe"] | {"benchmark": "cifar100lt"}})
    cases = [
        ("config.json", "{", "is damaged: it is no JSON"),
        ("config.json", other_network, "does not fit resnet32_cifar"),
        ("config.json", no_recipe, "names no recipe"),
        ("config.json", other_classes, "the data folder data does not exist"),
        ("model.safetensors", "not a tensor", "is damaged"),
    ]
    for number, (file, text, message) in enumerate(cases):
        folder = damaged(finished_run, tmp_path / str(number), file, text)
        assert main(["--model", f"local-dir:{folder}", "--data-dir", str(tmp_path / "data")]) == 2
        error = capsys.readouterr().err
        assert message.replace("folder data", f"folder {tmp_path / 'data'}") in error
        assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--model", "local-dir:nowhere"], "there is no checkpoint folder nowhere"),
        (["--model", "output/x"], "'output/x' is no recipe's name; write local-dir:output/x or"),
        (["--model", "mine"], "'mine' is a folder and no recipe's name; write local-dir:mine"),
        (["--model", "resnet20_digitslt_vs_sesam"], "the nearest are"),
        (["--model", "resnet20_digitslt_vs_ssesam.seed9"], "no checkpoint of resnet20_digitslt_vs_ssesam.seed9: "),
    ],
)
def test_missing_models_are_one_line_and_exit_code_2(argv, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "mine").mkdir()
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("flag", ["--json", "--results-file", "--picture", "--reliability", "--confusion", "--logits"])
def test_a_file_that_cannot_be_written_is_named_before_any_work(flag, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--model", "local-dir:x", flag, str(tmp_path / "nowhere" / "file.png")])
    assert stop.value.code == 2
    assert "its folder does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "name", "ends"),
    [
        ("--picture", "a.jpg", ".png"),
        ("--reliability", "a.csv", ".png"),
        ("--reliability", "a", ".png"),
        ("--confusion", "a.json", ".csv or .png"),
        ("--confusion", "csv", ".csv or .png"),
        ("--logits", "a.pt", ".safetensors"),
    ],
)
def test_another_suffix_is_refused_before_any_work(flag, name, ends, tmp_path, capsys):
    assert main(["--model", "local-dir:nowhere", flag, str(tmp_path / name)]) == 2
    assert f"{flag} cannot write {name!r}; end the name in {ends}\n" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_two_options_that_name_one_file_are_refused_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["--model", "local-dir:x", "--picture", "a.png", "--confusion", str(tmp_path / "a.png")]) == 2
    assert "--picture and --confusion name the same file" in capsys.readouterr().err
    assert main(["--model", "local-dir:x", "--json", "a.png", "--results-file", "b.csv", "--picture", "./a.png"]) == 2
    assert "--json and --picture name the same file a.png; name two" in capsys.readouterr().err


def test_a_results_file_has_our_columns(finished_run, tmp_path, capsys):
    results = tmp_path / "results.csv"
    results.write_text("model,top1\n")
    assert main(["--model", model_of(finished_run), "--results-file", str(results)]) == 2
    assert "has other columns" in capsys.readouterr().err
    assert results.read_text() == "model,top1\n"


def test_a_run_folder_is_told_from_its_checkpoint(finished_run, capsys):
    assert main(["--model", f"local-dir:{finished_run.path}"]) == 2
    assert f"its checkpoint is {finished_run.checkpoint}" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_named(finished_run, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--model", model_of(finished_run), "--device", "nonsense"])
    assert stop.value.code == 2
    assert "device 'nonsense' cannot be used" in capsys.readouterr().err
