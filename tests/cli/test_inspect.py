"""The inspect command: what an image folder is like, a recipe to begin with, and one line for bad input."""

import io
import json
import shlex
import sys

import numpy as np
import pytest
from PIL import ExifTags, Image

from ltzoo.cli import train
from ltzoo.cli.inspect import main
from ltzoo.recipes import Pretrained
from tests.data.conftest import png

LONG = {"ant": 120, "bee": 25, "cat": 3}
SHORT = {"ant": 4, "bee": 2, "cat": 2}


def fill(folder, counts, seed=0, side=6):
    """Write as many images of each class as it says, all different."""
    generator = np.random.default_rng(seed)
    for name, n in counts.items():
        (folder / name).mkdir(parents=True)
        for k in range(n):
            image = generator.integers(0, 256, (side, side + 2, 3), dtype=np.uint8)
            (folder / name / f"{k}.png").write_bytes(png(image))
    return folder


@pytest.fixture
def animals(tmp_path):
    """Three classes with a long tail, and a test split."""
    fill(tmp_path / "animals/train", LONG)
    fill(tmp_path / "animals/test", SHORT, seed=1)
    return tmp_path / "animals"


def inspect(*argv, capsys):
    """What the command prints."""
    assert main([str(word) for word in argv]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def warnings(text):
    """The warnings in it."""
    return [line.removeprefix("warning: ") for line in text.splitlines() if line.startswith("warning: ")]


def notes(text):
    """The notes in it."""
    return [line.removeprefix("note: ") for line in text.splitlines() if line.startswith("note: ")]


def suggested(text):
    """The words of the command that it suggests."""
    return next(shlex.split(line) for line in text.splitlines() if line.startswith("  ltzoo train"))


def test_a_sound_folder(animals, capsys):
    text = inspect(animals, capsys=capsys)
    assert text.splitlines()[:10] == [
        f"{animals}: 3 classes",
        "       images  classes    IF  largest class  smallest class",
        "train     148        3  40.0        ant 120           cat 3",
        "test        8        3   2.0          ant 4           bee 2",
        "",
        "classes, images  head (many-shot)  mid (medium-shot)  tail (few-shot)",
        "count                      1, 120              1, 25             1, 3",
        "thirds                     1, 120              1, 25             1, 3",
        "",
        "the largest tenth of the classes (1) holds 81.1 % of the training images; 1 of 3 classes have fewer than 20",
    ]
    assert "median shorter side 6 pixels; the smallest image is 8 x 6 (train ant/0.png)" in text
    assert warnings(text) == []
    assert "suggested: resnet50_imagefolder_vs_ssesam, since the class counts have a long tail (IF 40)" in text
    assert "no promise for other images" in text
    assert suggested(text)[2:] == [
        *("--recipe", "resnet50_imagefolder_vs_ssesam"),
        *("--data-dir", str(animals)),
        "--pretrained",
    ]


def test_the_files_hold_what_is_printed(animals, tmp_path, capsys):
    picture, file = tmp_path / "counts.png", tmp_path / "all.json"
    text = inspect(animals, "--picture", picture, "--json", file, capsys=capsys)
    with Image.open(picture) as image:
        assert (image.format, image.size) == ("PNG", (960, 504))
    document = json.loads(file.read_text())
    assert (document["data_dir"], document["benchmark"], document["hold_out"]) == (str(animals), "imagefolder", None)
    assert document["class_names"] == list(LONG)
    assert (document["train_counts"], document["test_counts"]) == (list(LONG.values()), list(SHORT.values()))
    assert (document["imbalance_factor"], document["warnings"]) == (40, [])
    assert document["contents"]["smallest"] == {"split": "train", "name": "ant/0.png", "width": 8, "height": 6}
    assert document["suggestion"]["recipe"] == "resnet50_imagefolder_vs_ssesam"
    assert document["suggestion"]["command"] == suggested(text)
    assert document["suggestion"]["reason"] in text


@pytest.fixture
def spoilt(animals):
    """The same with one of each fault."""
    folders = {split: animals / split for split in ("train", "test")}
    (folders["test"] / "ant/leak.png").write_bytes((folders["train"] / "ant/7.png").read_bytes())
    (folders["train"] / "bee/also.png").write_bytes((folders["train"] / "ant/9.png").read_bytes())
    (folders["train"] / "bee/again.png").write_bytes((folders["train"] / "bee/2.png").read_bytes())
    (folders["test"] / "bee/again.png").write_bytes((folders["test"] / "bee/1.png").read_bytes())
    (folders["train"] / "ant/5.png").write_bytes((folders["train"] / "ant/5.png").read_bytes()[:60])
    for k in range(3):
        (folders["train"] / f"cat/{k}.png").write_bytes(b"no image")
    (folders["train"] / "dog").mkdir()
    (folders["train"] / "dog/0.png").write_bytes(png(np.zeros((2, 2, 3), np.uint8)))
    return animals


def test_each_fault_is_a_line(spoilt, capsys):
    text = inspect(spoilt, capsys=capsys)
    found = warnings(text)
    assert found[0] == (
        "1 image both in train and in test, which makes accuracies worthless; keep each in one: "
        "train ant/7.png (ant) = test ant/leak.png (ant)"
    )
    assert found[1] == "1 image with more than one label: train ant/9.png (ant) = train bee/also.png (bee)"
    assert found[2].startswith("4 images that cannot be read; fix or remove them: train ant/5.png (")
    assert found[2].endswith(", train cat/1.png (not an image format that Pillow knows), ...")
    assert found[3:] == [
        "no training image can be read of cat, which training refuses",
        "2 images more than once in train: train ant/9.png (ant) = train bee/also.png (bee), "
        "train bee/2.png (bee) = train bee/again.png (bee)",
        "1 image more than once in test: test bee/1.png (bee) = test bee/again.png (bee)",
        "1 class with a single training image: dog",
        "1 class without a test image, which training refuses: dog",
    ]
    assert suggested(text)[-3:] == ["--pretrained", "--skip-unreadable", "4"]
    assert "    --skip-unreadable 4: " in text


def test_quick_opens_no_image(spoilt, tmp_path, capsys):
    text = inspect(spoilt, "--quick", "--json", tmp_path / "all.json", capsys=capsys)
    assert warnings(text) == [
        "1 class with a single training image: dog",
        "1 class without a test image, which training refuses: dog",
    ]
    assert "shorter side" not in text
    assert "--skip-unreadable" not in suggested(text)
    assert json.loads((tmp_path / "all.json").read_text())["contents"] is None


def test_photos_that_a_camera_turned_are_said_to_be(animals, tmp_path, capsys):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image = Image.fromarray(np.arange(60, dtype=np.uint8).reshape(4, 5, 3))
    for split, name in (("train", "lying"), ("test", "too")):
        image.save(animals / split / "bee" / f"{name}.jpg", exif=exif)
    text = inspect(animals, "--json", tmp_path / "all.json", capsys=capsys)
    assert notes(text) == ["2 images turned upright by EXIF orientation: train bee/lying.jpg, test bee/too.jpg"]
    assert json.loads((tmp_path / "all.json").read_text())["notes"] == notes(text)
    assert "the smallest image is 4 x 5 (train bee/lying.jpg)" in text


def test_many_copies_of_an_image_do_not_fill_the_screen(animals, capsys):
    for k in range(20):
        (animals / f"test/ant/more{k}.png").write_bytes(png(np.zeros((4, 4, 3), np.uint8)))
    (line,) = warnings(inspect(animals, capsys=capsys))
    assert line.count("=") == 3
    assert line.endswith(" = ...")


def test_without_a_test_split_images_are_to_be_held_out(animals, capsys):
    text = inspect(animals / "train", capsys=capsys)
    assert warnings(text) == [
        f"there is no test split; test/ lies beside it: name {animals} as the data folder, or hold images out with "
        "--hold-out 0.1"
    ]
    (animals / "test").rename(animals / "more")
    text = inspect(animals / "train", capsys=capsys)
    assert warnings(text) == ["there is no test split; add one, or hold images out with --hold-out 0.1"]
    assert suggested(text)[4:] == ["--data-dir", str(animals / "train"), "--hold-out", "0.1", "--pretrained"]
    assert "    --hold-out 0.1: there is no test split\n" in text
    (animals / "train/dog").mkdir()
    (animals / "train/dog/0.png").write_bytes(png(np.zeros((2, 2, 3), np.uint8)))
    assert (
        "training refuses a class with a single image, which cannot be held out"
        in warnings(inspect(animals / "train", capsys=capsys))[0]
    )


@pytest.mark.parametrize(("flag", "value", "held"), [("--hold-out", "0.2", [24, 5, 2]), ("--holdout", "2", [2, 2, 2])])
def test_held_out_images_stand_in_the_place_of_the_test_split(flag, value, held, animals, tmp_path, capsys):
    twin = (animals / "train/bee/0.png").read_bytes()
    for k in range(3, 9):  # some of them are held out, and some are not
        (animals / f"train/cat/{k}.png").write_bytes(twin)
    text = inspect(animals, flag, value, "--json", tmp_path / "all.json", capsys=capsys)
    document = json.loads((tmp_path / "all.json").read_text())
    assert document["test_counts"] == held
    assert document["train_counts"] == [120 - held[0], 25 - held[1], 9 - held[2]]
    row = next(line.split() for line in text.splitlines() if line.startswith("held out"))
    assert row[2:4] == [str(sum(held)), "3"]
    assert "both in train and in what is held out" in warnings(text)[0]
    assert suggested(text)[6:8] == ["--hold-out", value]


def test_lists_and_tables_keep_their_options_in_the_command(animals, tmp_path, capsys):
    rows = [
        (f"{split}/{name}/{k}.png", name, split)
        for split, counts in (("train", LONG), ("test", SHORT))
        for name, n in counts.items()
        for k in range(n)
    ]
    table = tmp_path / "my table.csv"
    table.write_text("file,kind,split\n" + "".join(",".join(row) + "\n" for row in rows))
    argv = ["--image-root", animals, "--image-column", "file", "--label-column", "kind"]
    text = inspect(table, *argv, capsys=capsys)
    assert "train     148        3  40.0        ant 120           cat 3" in text
    words = suggested(text)
    assert words[4:] == ["--data-dir", str(table), *map(str, argv), "--pretrained"]
    arguments = train.build_parser("train").parse_args(words[2:])
    assert (arguments.data_dir, arguments.image_root) == (table, animals)
    assert train.requested_recipe(arguments.recipe[0], arguments).start == Pretrained()


def test_few_images_get_a_smaller_batch_and_other_groups(tmp_path, capsys):
    fill(tmp_path / "few", {"a": 30, "b": 5, "c": 2})
    text = inspect(tmp_path / "few", capsys=capsys)
    words = suggested(text)
    assert words[3] == "resnet50_imagefolder_vs_sam"
    assert words[6:] == ["--hold-out", "0.1", "--pretrained", "--set", "groups=thirds", "--batch-size", "8"]
    assert "    --batch-size 8: 37 training images do not fill the recipe's batch of 64\n" in text
    arguments = train.build_parser("train").parse_args(words[2:])
    recipe = train.requested_recipe(arguments.recipe[0], arguments)
    assert (recipe.groups, recipe.batch_size, arguments.hold_out) == ("thirds", 8, 0.1)


def test_one_class_is_said_to_be_one(tmp_path, capsys):
    fill(tmp_path / "one", {"a": 3})
    text = inspect(tmp_path / "one", "--picture", tmp_path / "one.png", capsys=capsys)
    assert text.startswith(f"{tmp_path / 'one'}: 1 class\n")
    assert "there is only one class: there is nothing to classify, and training refuses it" in warnings(text)
    assert (tmp_path / "one.png").is_file()


def test_names_that_no_terminal_shows(tmp_path, capsys):
    folder = fill(tmp_path / "od\udcffd\n$x$", {"a": 2})
    (folder / "a/b\nc\udcfe.png").write_bytes(b"")
    text = inspect(folder, "--picture", tmp_path / "odd.png", "--json", tmp_path / "odd.json", capsys=capsys)
    text.encode()
    assert r"cannot be read; fix or remove them: train a/b\nc\udcfe.png (" in text
    assert json.loads((tmp_path / "odd.json").read_text())["data_dir"] == str(folder)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_console_that_cannot_write_the_names_gets_them_escaped(encoding, tmp_path, monkeypatch):
    folder = fill(tmp_path / "photos", {"éclair": 4, "猫": 1, "a\u202eb": 3})
    (folder / "猫" / "\x1b[31m.png").write_bytes(b"")
    console = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", console)
    assert main([str(folder)]) == 0
    console.flush()
    text = console.buffer.getvalue().decode(encoding)
    assert "\x1b" not in text and "\u202e" not in text and r"\x1b[31m.png" in text
    names = {"ascii": r"\xe9clair 4", "cp1252": "éclair 4", "utf-8": "éclair 4"}
    assert names[encoding] in text and ("猫 2" if encoding == "utf-8" else r"\u732b 2") in text


def test_a_message_never_commands_the_terminal(tmp_path, capsys):
    assert main([str(tmp_path / "\x1b[31m\udcff")]) == 2
    assert r"/\x1b[31m\udcff does not exist" in capsys.readouterr().err


def test_files_in_both_splits_are_found_without_opening_them(animals, capsys):
    (animals / "test/bee/link.png").symlink_to(animals / "train/bee/3.png")
    found = warnings(inspect(animals, "--quick", capsys=capsys))
    assert found == ["1 image both in train and in test, which training refuses: train bee/3.png = test bee/link.png"]


def test_nested_folders_and_what_is_left_out_are_noted(animals, tmp_path, capsys):
    (animals / "train/bee/monday").mkdir()
    (animals / "train/bee/0.png").rename(animals / "train/bee/monday/0.png")
    (animals / "train/bee/0.heic").write_bytes(b"")
    (animals / "extra").mkdir()
    root = animals / "train"
    text = inspect(animals, "--quick", capsys=capsys)
    assert notes(text) == [
        f"{root}: left out 1 file without the suffix of an image (1 .heic): bee/0.heic",
        f"{root}: images lie in folders below class folders (bee/monday); the first folder is the class, so there are "
        "3; --class-folder innermost takes the innermost, of which there are 4",
        f"{animals}: not read: no split has such a name: extra/",
    ]
    text = inspect(root, "--quick", "--class-folder", "innermost", capsys=capsys)
    assert text.startswith(f"{root}: 4 classes")
    assert "--class-folder innermost" in text.partition("suggested")[2]
    assert train.build_parser("train").parse_args(suggested(text)[2:]).class_folder == "innermost"


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        (["{0}/none"], "none does not exist"),
        (["{0}/empty"], "empty holds neither"),
        (["{0}/animals/train/ant"], "nor class folders"),
        (["{0}/animals/train/ant/0.png"], "is neither a folder nor a list"),
        (["{0}/animals", "--hold-out", "3"], "to hold 3 of each class out"),
        (["{0}/animals", "--image-root", "{0}"], "--image-root"),
        (["{0}/animals", "--benchmark", "inat18"], "there is no"),
        (["{0}/animals", "--benchmark", "cifar10lt"], "invalid choice: 'cifar10lt'"),
        (["{0}/animals", "--hold-out", "0"], "must be at least 1"),
        (["{0}/animals", "--hold-out", "1.5"], "must be a share such as 0.1 or a whole number"),
        (["{0}/animals", "--hold-out", "0.x"], "must be a share such as 0.1 or a whole number"),
        (["{0}/animals", "--hold-out", "x"], "must be a whole number"),
        (["{0}/animals", "--picture", "{0}/a.jpg"], "cannot write 'a.jpg'; end the name in .png"),
        (["{0}/animals", "--picture", "{0}/a.png", "--json", "{0}/empty/../a.png"], "name the same file"),
        (["{0}/animals", "--json", "{0}/none/a.json"], "its folder does not exist"),
        ([], "required: DIR"),
    ],
)
def test_bad_input_is_one_line(argv, found, animals, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    files = [] if "--picture" in argv or "--json" in argv else ["--picture", "{0}/a.png", "--json", "{0}/a.json"]
    try:
        code = main([word.format(tmp_path) for word in [*argv, *files]])
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    captured = capsys.readouterr()
    assert found in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_a_list_that_names_a_missing_image_is_refused(tmp_path, capsys):
    (tmp_path / "list.csv").write_text("image,label\na.png,cat\n")
    for quick in ([], ["--quick"]):
        assert main([str(tmp_path / "list.csv"), *quick]) == 2
        assert "1 of the 1 images" in capsys.readouterr().err
