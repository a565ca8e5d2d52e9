"""The validate command on images in files: the run's own figures, and one line for images that are not its own."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

from ltzoo.cli.validate import main
from ltzoo.evaluate import plots, read_logits
from ltzoo.train import RunFolder
from tests.checkpoints.changes import change_config
from tests.data.files.trees import plant as plant_names
from tests.train.folders import figures, plant, plant_splits, run


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return plant_splits(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> dict[str, RunFolder]:
    """Runs by what they held out; tests leave them as they are."""
    output, options = tmp_path_factory.mktemp("output"), ("--epochs", "1")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "save_figure", lambda figure, path: path.touch())
        for amount in ("", "2", "0.25"):
            AcceleratorState._reset_state(reset_partial_state=True)
            held = ("--hold-out", amount) if amount else ()
            found[amount] = run(data, output / f"held{amount}", *options, *held)
    return found


@pytest.fixture
def own(data, tmp_path) -> Path:
    """A copy of the data."""
    return shutil.copytree(data, tmp_path / "data")


def last_of(folder: RunFolder) -> dict:
    return json.loads(folder.metrics.read_text())["last"]


def refused(capsys, folder: RunFolder | Path, data: Path, *options: str) -> str:
    """Measure through the command, which must refuse; the one line that it says."""
    capsys.readouterr()
    checkpoint = folder.checkpoint if isinstance(folder, RunFolder) else folder
    assert main(["--model", f"local-dir:{checkpoint}", "--data-dir", str(data), *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("validate.py: error: ") and len(captured.err) < 500
    return captured.err


@pytest.mark.parametrize("amount", ["2", "0.25"])
def test_images_held_out_as_in_training_give_the_runs_own_figures(amount, trained, data, tmp_path, capsys):
    found = figures(trained[amount].checkpoint, data, tmp_path / "f.json", "--hold-out", amount)
    assert found == last_of(trained[amount])
    assert f", {found['images']} held-out images, " in capsys.readouterr().out
    assert found["rule"] == "last epoch on held-out images"
    other = figures(trained[amount].checkpoint, data, tmp_path / "f.json")  # the test split
    assert (other["rule"], other["images"], other["class_counts"]) == ("last epoch", 5, found["class_counts"])
    assert ", 5 test images, " in capsys.readouterr().out


def test_workers_and_the_shape_of_the_data_change_nothing(trained, own, tmp_path):
    last = last_of(trained[""])
    assert figures(trained[""].checkpoint, own, tmp_path / "f.json", "-j", "2") == last
    shutil.rmtree(own / "train")
    shots = (own / "val").rename(own / "shots")
    paths = sorted(shots.rglob("*.png"), reverse=True)  # in another order
    lines = [f"shots/{path.parent.name}/{path.name},{path.parent.name}\n" for path in paths]
    (own / "test.csv").write_text("image,label\n" + "".join(lines))
    listed = figures(trained[""].checkpoint, own, tmp_path / "f.json")
    assert listed["per_class"] == last["per_class"] and listed["ece"] == pytest.approx(last["ece"])


def test_the_other_test_split_can_be_measured(trained, tmp_path):
    data = plant(tmp_path / "new" / "test", {"ant": 1, "bee": 2, "cat": 2}, 500).parent
    names = {"--logits": "l.safetensors", "--results-file": "r.csv", "--confusion": "c.csv"}
    files = ["--tta", "flip", *(text for flag, name in names.items() for text in (flag, str(tmp_path / name)))]
    found = figures(trained[""].checkpoint, data, tmp_path / "f.json", "--groups", "thirds", *files)
    assert (found["images"], list(found["groups"])) == (5, ["thirds", "count"])
    stored = read_logits(tmp_path / "l.safetensors")
    assert (stored.class_counts, stored.benchmark) == ((9, 5, 3), "imagefolder")
    assert stored.predictions.labels.tolist() == [0, 1, 1, 2, 2]
    assert (tmp_path / "c.csv").read_text().startswith("label,ant,bee,cat\nant,")
    (row,) = csv.DictReader((tmp_path / "r.csv").open())
    assert (row["img_size"], float(row["top1"])) == ("32", found["overall"])


def test_crops_are_stated_with_the_figures(trained, data, tmp_path, capsys):
    plain, crops = (tmp_path / name for name in ("plain.safetensors", "crops.safetensors"))
    figures(trained[""].checkpoint, data, tmp_path / "f.json", "--logits", str(plain))
    found = figures(trained[""].checkpoint, data, tmp_path / "f.json", "--logits", str(crops), "--tta", "crops")
    rule = "last epoch, logits averaged over five crops of 32 pixels, shorter side resized to 35"
    assert found["rule"] == read_logits(crops).rule == rule
    assert f"\n{rule} " in capsys.readouterr().out
    one, other = (read_logits(path).predictions for path in (plain, crops))
    assert one.labels.equal(other.labels) and not one.logits.allclose(other.logits)


def test_crops_are_for_images_in_files(finished_run, capsys):
    said = refused(capsys, finished_run, Path("data"), "--tta", "crops")
    assert "--tta crops needs images in files, and the images of digitslt have the size of the model's input" in said


def test_a_class_that_the_model_lacks_is_named(trained, own, capsys):
    plant(own / "val", {"dog": 1})
    assert "val has classes that training lacks: 'dog'; remove them" in refused(capsys, trained[""], own)
    shutil.rmtree(own / "val" / "dog")
    (own / "val" / "cat").rename(own / "val" / "Cat")
    assert "'Cat', training has 'cat': they differ only in case" in refused(capsys, trained[""], own)
    plant(own / "train", {"dog": 2})
    said = refused(capsys, trained["2"], own, "--hold-out", "2")
    assert "train has classes that training lacks: 'dog'" in said


def test_a_class_without_an_image_is_named(trained, own, capsys):
    shutil.rmtree(own / "val" / "bee")
    assert "1 of 3 classes have no test image in" in refused(capsys, trained[""], own)
    (own / "val" / "bee").mkdir()
    assert "1 class folders of" in refused(capsys, trained[""], own)


@pytest.mark.parametrize(
    ("where", "options", "found"),
    [
        ("nowhere", (), "nowhere does not exist; name the folder or list of your images"),
        ("train", (), "there are no test images in"),
        ("empty", (), "holds neither train/, train.csv"),
        ("train/ant/0.png", (), "0.png is neither a folder nor a list (.csv, .txt)"),
        ("", ("--hold-out", "3"), "--hold-out 3 would measure images that were trained on: training held out none"),
        ("", ("--image-root", "nowhere"), "the folder nowhere is not there; name what paths start from"),
        ("", ("--groups", "mislas"), "grouping rule 'mislas' is not defined on imagefolder; these are: count, thirds"),
    ],
)
def test_wrong_images_are_one_line(where, options, found, trained, own, capsys):
    (own / "empty").mkdir()
    assert found in refused(capsys, trained[""], own / where, *options)


def test_what_was_held_out_is_found_among_the_same_files_alone(trained, own, capsys):
    next((own / "train" / "ant").iterdir()).unlink()
    assert "are not those that training held some out of" in refused(capsys, trained["2"], own, "--hold-out", "2")
    assert "training held out 2" in refused(capsys, trained["2"], own, "--hold-out", "1")


def test_an_image_that_cannot_be_read_is_named_or_left_out(trained, own, tmp_path, capsys):
    image = own / "val" / "ant" / "1.png"
    image.write_bytes(b"<html>404</html>")
    said = refused(capsys, trained[""], own)
    assert "ant/1.png of" in said and "is damaged or not an image (not an image format that Pillow knows); " in said
    assert "raise --skip-unreadable by 1" in refused(capsys, trained[""], own, "--skip-unreadable", "0")
    assert figures(trained[""].checkpoint, own, tmp_path / "f.json", "--skip-unreadable", "1")["images"] == 4
    assert "left out, since it cannot be read: ant/1.png of" in capsys.readouterr().err


def test_options_for_files_are_refused_for_images_in_memory(finished_run, capsys):
    counted = (("--hold-out", "2"), ("--skip-unreadable", "1"), ("--workers", "0"))
    for options in (*counted, ("--image-column", "path"), ("--image-root", "x")):
        said = refused(capsys, finished_run, Path("data"), *options)
        assert f"{options[0]} needs images in files, but digitslt is in memory; leave it out" in said


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"class_counts": "gone"}, "does not say which classes there were"),
        ({"label_names": ["ant", "bee", "bee"]}, "does not say which classes there were"),
        ({"pretrained_cfg": {"interpolation": "foo"}}, "does not say how images reach the model"),
        ({"pretrained_cfg": {"input_size": [3, 0, 0]}}, "images cannot reach the model as it says"),
    ],
)
def test_a_damaged_description_is_one_line(changes, found, trained, data, tmp_path, capsys):
    folder = shutil.copytree(trained[""].checkpoint, tmp_path / "checkpoint")
    config = json.loads((folder / "config.json").read_text())
    if "pretrained_cfg" in changes:
        changes = {"pretrained_cfg": config["pretrained_cfg"] | changes["pretrained_cfg"]}
    change_config(folder, **changes)
    said = refused(capsys, folder, data)
    assert "config.json is damaged: " in said and found in said


def test_a_checkpoint_that_may_have_seen_other_pixels_is_measured_with_a_note(trained, data, tmp_path, capsys):
    folder = shutil.copytree(trained[""].checkpoint, tmp_path / "checkpoint")
    figures(folder, data, tmp_path / "now.json")
    assert "note: " not in capsys.readouterr().err
    run = json.loads((folder / "config.json").read_text())["run"]
    change_config(folder, run={key: value for key, value in run.items() if key != "decoding"})
    figures(folder, data, tmp_path / "then.json")
    said = capsys.readouterr().err
    assert said.startswith(f"note: local-dir:{folder} does not record") and said.count("\n") == 1
    assert (tmp_path / "now.json").read_bytes() == (tmp_path / "then.json").read_bytes()


def test_names_that_are_no_images_are_passed_over(trained, own, tmp_path):
    plant_names(own / "val", "ant/notes.txt", "readme.txt")
    assert figures(trained[""].checkpoint, own, tmp_path / "f.json") == last_of(trained[""])
