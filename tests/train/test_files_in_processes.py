"""Training on images in files in two processes: the same losses and figures as in one, and refusals that all share."""

import json
import shutil
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

from ltzoo.evaluate import plots
from ltzoo.train import RunFolder
from tests.launch import launch_two
from tests.train.folders import files_of, plant_splits, run

PLAIN = ("--set", "views.0.min_scale=null", "--set", "views.0.horizontal_flip=false", "-b", "6")
MIXED = "{min_scale: 0.3, crop_padding: 0, horizontal_flip: true, color_jitter: 0.4, auto_augment: null, %s}"
RUNS = {
    "frozen sgd": ("resnet50_imagefolder_ce_sgd", (*PLAIN, "--set", "trainable.batchnorm=frozen")),
    "frozen ssesam": ("resnet50_imagefolder_vs_ssesam", (*PLAIN, "--set", "trainable.batchnorm=frozen", "-j", "1")),
    "lora ssesam": ("vitb16_imagefolder_adapt_la_ssesam", (*PLAIN, "--set", "start={name: fresh}", "--lr", "0.1")),
    "mixed views": (
        "resnet50_imagefolder_ce_sgd",
        (
            *("-b", "6", "--set", "trainable.batchnorm=frozen", "--set", "partners={name: inverse_power, power: 0.2}"),
            *("--set", "loss={name: glmc, power: 1, consistency: 10, epochs: 2, projection_size: 8}"),
            *("--set", f"views=[{MIXED % 'mixup: 1, cutmix: 0'}, {MIXED % 'mixup: 0, cutmix: 1'}]"),
        ),
    ),
    "head ssesam": ("resnet50_imagefolder_la_ssesam", (*PLAIN, "--head-only", "--lr", "0.1")),
}
"""Where, to the recipe and options. BatchNorm, if it moved, would see each process's own images."""
TRAIN = {"ant": 9, "bee": 5, "cat": 3, "dog": 2, "emu": 1}
VAL = {"ant": 4, "bee": 3, "cat": 2, "dog": 1, "emu": 1}


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """The runs in one process and in two, and what was said by the two."""
    root = tmp_path_factory.mktemp("processes")
    plant_splits(root / "data", TRAIN, VAL)
    image = shutil.copytree(root / "data", root / "spoilt") / "val" / "ant" / "1.png"
    image.write_bytes(image.read_bytes()[:60])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "save_figure", lambda figure, path: path.touch())
        for where, (name, options) in RUNS.items():
            AcceleratorState._reset_state(reset_partial_state=True)
            run(root / "data", root / "one" / where, *options, name=name)
    of_one = files_of(folder_of(root, "one", "frozen sgd"))
    done = launch_two(Path(__file__).with_name("two_processes_of_files.py"), str(root), ends_well=False)
    return root, done, of_one


def folder_of(root: Path, processes: str, where: str) -> RunFolder:
    return RunFolder(root / processes / where / RUNS[where][0] / "seed0")


def test_both_processes_end_alike(launched):
    root, _, _ = launched
    codes = [json.loads((root / f"{rank}.json").read_text()) for rank in (0, 1)]
    refused = ("of one", "nowhere", "no weights", "unreadable")
    assert codes == [dict.fromkeys([*RUNS, *refused], 0) | dict.fromkeys(refused, 2) | {"skipped": 0}] * 2


@pytest.mark.parametrize("where", RUNS)
def test_two_processes_train_and_measure_as_one(where, launched):
    root, _, _ = launched
    one, two = (folder_of(root, processes, where) for processes in ("one", "two"))
    rows = list(zip(one.read_history(9), two.read_history(9), strict=True))
    assert len(rows) == 2
    for alone, together in rows:
        assert together["train_loss"] == pytest.approx(alone["train_loss"], rel=1e-5)
        for key in ("overall", "head", "mid", "tail", "lr", "rho_head", "rho_tail"):
            assert together[key] == alone[key], key
    metrics = [json.loads(folder.metrics.read_text()) for folder in (one, two)]
    for selection in ("last", "best"):
        figures = [found[selection] for found in metrics]
        for key in ("images", "overall", "per_class", "groups", "class_counts"):
            assert figures[0][key] == figures[1][key], key
    assert metrics[0]["last"]["images"] == 11


def test_a_run_cannot_be_resumed_with_another_number_of_processes(launched):
    root, done, of_one = launched
    said = (
        f"the run in {folder_of(root, 'one', 'frozen sgd').path} was started with different settings (run.processes: "
    )
    assert done.stderr.count(said) == 1
    assert files_of(folder_of(root, "one", "frozen sgd")) == of_one


def test_bad_input_is_said_once(launched):
    root, done, _ = launched
    said, _, _ = done.stderr.partition("the end")
    assert said.count("nowhere does not exist; name the folder or list of your images") == 1
    assert said.count("there is no file x.pth to start from; check the path") == 1
    assert said.count("val cannot be read: ant/1.png (") == 1
    assert (said + done.stdout).count("left out, since it cannot be read: ant/1.png") == 1
    assert said.count("train.py: error: ") == 4
    assert "Traceback" not in said
    assert not [path for path in (root / "two").iterdir() if path.name in ("nowhere", "none")]


def test_an_unreadable_image_of_one_process_is_named(launched):
    root, done, _ = launched
    _, _, said = done.stderr.partition("the end")
    reason = f"ant/1.png of {root / 'spoilt' / 'val'} is damaged or not an image ("
    assert f"error: {reason}" in said and f"error: process 1 has failed: InputError: {reason}" in said
    assert not (root / "two" / "met" / RUNS["frozen sgd"][0] / "seed0").exists()
