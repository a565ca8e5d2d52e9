"""What the fit command refuses: in one line, with nothing left behind, and before images are opened if it can."""

import shutil
from pathlib import Path

import pytest

from ltzoo.__main__ import main
from ltzoo.cli import fit
from ltzoo.train import device
from tests.checkpoints.denied_writes import read_only
from tests.cli.test_fit import TINY
from tests.train.folders import plant_splits


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A training and a test split."""
    return plant_splits(tmp_path_factory.mktemp("data"))


def single(root: Path) -> None:
    shutil.rmtree(root / "train/cat")
    shutil.rmtree(root / "train/bee")
    shutil.rmtree(root / "val/cat")
    shutil.rmtree(root / "val/bee")


def renamed(root: Path) -> None:
    (root / "val/cat").rename(root / "val/cow")


def without_val(root: Path) -> None:
    shutil.rmtree(root / "val")
    for path in sorted((root / "train/cat").iterdir())[1:]:
        path.unlink()


def lacking(root: Path) -> None:
    shutil.rmtree(root / "val/cat")


def damaged(root: Path) -> None:
    path = root / "train/ant/1.png"
    path.write_bytes(path.read_bytes()[:40])


BAD = {
    "one class": (single, (), "has only the class 'ant', but training needs at least two"),
    "a class with one image": (
        without_val,
        (),
        "to hold 0.1 of each class out of ROOT/train would leave 1 class without a training image: 'cat'; add images",
    ),
    "another class in val": (renamed, (), "ROOT/val has classes that training lacks: 'cow'; remove them"),
    "a class without an image in val": (lacking, (), "1 of 3 classes have no test image in ROOT/val: 'cat'"),
    "no folder": (shutil.rmtree, (), "ROOT does not exist"),
    "too few to skip": (damaged, ("--skip-unreadable", "0"), "cannot be read: ant/1.png"),
    "output among the images": (lambda root: None, ("--output", "ROOT/train/out"), "is inside the image folder"),
    "several seeds": (lambda root: None, ("--seed", "1", "2"), "fit trains one run, and --seed names several"),
    "a recipe of CIFAR": (
        lambda root: None,
        ("--recipe", "resnet32_cifar100lt_ce_sgd"),
        "resnet32_cifar100lt_ce_sgd is a recipe for cifar100lt, and fit trains on images of your own",
    ),
    "no such recipe": (lambda root: None, ("--recipe", "resnet50_imagefolder_x_sgd"), "no recipe is called"),
    "two starts": (lambda root: None, ("--pretrained",), "--fresh starts from fresh weights, and another option"),
    "a start that is there": (
        lambda root: None,
        ("--recipe", "resnet50_imagefolder_crt_sgd"),
        "resnet50_imagefolder_crt_sgd starts from trained weights (first_stage); leave --fresh out",
    ),
    "a batch of one image": (lambda root: None, ("-b", "1"), "has a single image, and the model cannot be trained on"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(case, tmp_path, monkeypatch, capsys):
    spoil, options, found = BAD[case]
    root = plant_splits(tmp_path / "photos")
    spoil(root)
    monkeypatch.chdir(tmp_path)
    options = [word.replace("ROOT", str(root)) for word in options]
    assert main(["fit", str(root), *TINY, *options]) == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("ltzoo fit: error: ")]
    assert len(lines) == 1 and error.endswith(f"{lines[0]}\n") and "Traceback" not in error
    assert found.replace("ROOT", str(root)) in lines[0]
    assert {path.name for path in tmp_path.iterdir()} <= {"photos"}
    assert not (root / "train/out").exists()


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--initial-license", "mit"), "--initial-license describes the weights of --initial-checkpoint; name them"),
        (("--initial-checkpoint", "w.pth", "--initial-data", "a\nb"), "--initial-data must be a line of 1 to 200"),
        (("--initial-checkpoint", "w.pth", "--initial-license", " "), "--initial-license must be a line of 1 to 200"),
    ],
)
def test_statements_that_cannot_be_taken(options, found, data, tmp_path, capsys):
    assert main(["fit", str(data), *TINY[:-1], *options, "--output", str(tmp_path / "o")]) == 2
    assert found in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_the_folder_comes_first(tmp_path, capsys):
    assert main(["fit", "--epochs", "2", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"ltzoo fit: error: the folder of images comes first: ltzoo fit {tmp_path} ...; found --epochs\n"
    )


def test_several_processes_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["fit", str(tmp_path)]) == 2
    assert "fit runs in one process; launch the line ltzoo train" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_one_line(data, tmp_path, capsys):
    closed = tmp_path / "closed"
    closed.mkdir()
    with read_only(closed):
        assert main(["fit", str(data), *TINY, "--output", str(closed / "output")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("ltzoo fit: error: ") and str(closed / "output") in error
    assert list(closed.iterdir()) == []


RECIPE = ("--recipe", "resnet50_imagefolder_ce_sgd")
EARLY = {
    "no such recipe": (("--recipe", "resnet50_imagefolder_x_sgd"), "no recipe is called"),
    "a recipe of CIFAR": (("--recipe", "resnet32_cifar100lt_ce_sgd"), "is a recipe for cifar100lt"),
    "two starts": (("--fresh", "--pretrained"), "--fresh starts from fresh weights, and another"),
    "two trained starts": (("--pretrained", "--initial-checkpoint", "w.pth"), "name two places to start from"),
    "no such file": (("--initial-checkpoint", "w.pth"), "there is no file w.pth"),
    "a statement of no weights": (("--initial-data", "moths"), "--initial-data describes the weights of"),
    "no first stage": (("--recipe", "resnet50_imagefolder_crt_sgd", "--seed", "5"), "no finished run of seed 5"),
    "a run that is there": ((*RECIPE, "--fresh"), "seed0 exists; add --resume to continue it"),
    "the suggested one is there": (("--fresh", "--seed", "3"), "seed3 exists; add --resume to continue it"),
    "output among the images": (("--fresh", "--output", "DATA/train/out"), "is inside the image folder"),
    "an output below a file": (
        ("--fresh", "--output", "output/file/o"),
        "cannot be written: a file is in the place of its folder",
    ),
    "a tracker": (("--fresh", "--log-with", "nothing"), "the tracker 'nothing' is not installed"),
    "an architecture": (("--fresh", "--arch", "resnet51"), "architecture 'resnet51' is unknown to timm"),
    "no weights of it": (("--arch", "resnet50.nothing"), "timm has no pretrained weights of resnet50.nothing"),
    "a field": (("--fresh", "--set", "optimizer.rate=1"), "optimizer.rate"),
    "a subset": (("--fresh", "--subset", "s.json"), "--subset needs a balanced data set to choose from"),
    "a cache": (("--fresh", "--image-cache", "c"), "--image-cache stores resized images"),
    "first stages of none": (("--fresh", "--first-stages", "c"), "--first-stages is for second stages"),
}


@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize("case", EARLY)
def test_what_needs_no_image_is_refused_before_one_is_opened(case, dry, data, tmp_path, monkeypatch, capsys):
    def opened(*arguments, **keywords):
        raise AssertionError("images are opened")

    monkeypatch.setattr(fit, "inspect_images", opened)
    monkeypatch.chdir(tmp_path)
    options, found = EARLY[case]
    for there in ("resnet50_imagefolder_ce_sgd/seed0", "resnet50_imagefolder_vs_sam/seed3"):
        (tmp_path / "output" / there).mkdir(parents=True)
    (tmp_path / "output/file").touch()
    arguments = ["fit", str(data), *(word.replace("DATA", str(data)) for word in options)]
    if dry and "is there" in case:  # a note will do
        with pytest.raises(AssertionError, match="images are opened"):
            main([*arguments, "--dry-run"])
        return
    assert main([*arguments, *(["--dry-run"] if dry else [])]) == 2
    assert found in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["output"]


def test_a_precision_that_the_device_lacks_is_refused_before_an_image_is_opened(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fit, "inspect_images", None)
    monkeypatch.setattr(device, "_has_tf32", lambda found: False)
    options = ("--fresh", "--set", "precision=tf32", "--output", str(tmp_path / "o"))
    assert main(["fit", str(data), *options]) == 2
    assert "tf32 cannot be used on " in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_weights_of_another_network_are_one_line(data, tmp_path, capsys):
    options = ("--initial-checkpoint", "resnet32_cifar100lt_ce_sgd", "--output", str(tmp_path / "o"))
    assert main(["fit", str(data), *TINY[:-1], *options]) == 2
    assert "is a resnet32_cifar, not a test_resnet; add --arch resnet32_cifar" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
