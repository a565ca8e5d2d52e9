"""Image files that cannot be read: named, left out if asked for; a run that met one resumes once it is repaired."""

import json
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

from ltzoo.evaluate import plots
from ltzoo.train import RunFolder
from ltzoo.train.progress import Progress
from tests.train.folders import NAME, figures, plant_splits, refused, run


@pytest.fixture
def own(tmp_path) -> Path:
    """A training and a test split, which the test may change."""
    return plant_splits(tmp_path / "data")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> RunFolder:
    """A run on images that can all be read."""
    AcceleratorState._reset_state(reset_partial_state=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "save_figure", lambda figure, path: path.touch())
        return run(plant_splits(tmp_path_factory.mktemp("data")), tmp_path_factory.mktemp("output"))


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def test_images_that_cannot_be_read_are_left_out_where_that_is_asked_for(own, tmp_path, capsys):
    output = tmp_path / "output"
    for name in ("train/ant/3.png", "val/ant/1.png"):
        spoil(own / name)
    for most in ("0", "1"):
        split, by = {"0": ("train", 1), "1": ("val", 1)}[most]
        said = refused(capsys, own, output, "--skip-unreadable", most)
        assert said.startswith(f"1 of {17 if split == 'train' else 5} images of {own / split} cannot be read: ant/")
        assert said.endswith(f"; repair or remove them, or raise --skip-unreadable by {by}")
        assert not output.exists()
    folder = run(own, output, "--skip-unreadable", "2")
    captured = capsys.readouterr()
    named = [line for line in (captured.out + captured.err).splitlines() if line.startswith("left out, since")]
    assert [line.split(": ")[1].split(" ")[0] for line in named] == ["ant/3.png", "ant/1.png"]
    last = json.loads(folder.metrics.read_text())["last"]
    assert (last["class_counts"], last["images"]) == ([8, 5, 3], 4)
    run(own, output, "--skip-unreadable", "5", "--resume")  # what may be left out is no setting
    assert figures(folder.checkpoint, own, tmp_path / "f.json", "--skip-unreadable", "1") == last


def test_a_class_of_which_no_image_can_be_read_is_named(own, tmp_path, capsys):
    spoil(own / "val/cat/0.png")
    said = refused(capsys, own, tmp_path / "output", "--skip-unreadable", "9")
    assert said.startswith("1 of 3 classes have no test image in ") and "'cat'" in said
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("name", ["train/ant/3.png", "val/ant/1.png"])
def test_an_image_that_cannot_be_read_is_named_and_nothing_is_left(name, own, tmp_path, capsys):
    spoil(own / name)
    said = refused(capsys, own, tmp_path / "output")
    split, _, image = name.partition("/")
    assert said.startswith(f"{image} of {own / split} is damaged or not an image (")
    assert said.endswith("; repair or remove it, or add --skip-unreadable")
    assert not (tmp_path / "output" / NAME / "seed0").exists()


@pytest.mark.parametrize("name", ["train/ant/3.png", "val/ant/1.png"])
def test_an_image_damaged_during_training_stops_the_run_which_can_be_resumed(
    name, own, uninterrupted, tmp_path, monkeypatch, capsys
):
    image, report = own / name, Progress.epoch
    content = image.read_bytes()

    def spoil_then_report(self, row, rates):
        spoil(image)
        report(self, row, rates)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "epoch", spoil_then_report)
        said = refused(capsys, own, tmp_path / "output")
    assert said.startswith(name.partition("/")[2])
    folder = RunFolder(tmp_path / "output" / NAME / "seed0")
    assert len(folder.read_history(9)) == 1 and not folder.metrics.exists()
    image.write_bytes(content)
    run(own, tmp_path / "output", "--resume")
    assert folder.last_state.read_bytes() == uninterrupted.last_state.read_bytes()
