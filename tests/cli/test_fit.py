"""The fit command: it trains what it prints, ends with what validate and posthoc say, and refuses in one line."""

import contextlib
import csv
import hashlib
import io
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

from ltzoo.__main__ import main
from ltzoo.cli import fit, run_time
from ltzoo.cli.fit_plan import make_plan
from ltzoo.cli.run_time import RunTime, in_words
from ltzoo.errors import InputError
from ltzoo.evaluate import plots, read_logits
from ltzoo.train import RunFolder
from ltzoo.train.tune import Trial
from tests.checkpoints.denied_writes import read_only
from tests.cli.test_recipe_suggestion import profile
from tests.train.folders import plant, plant_splits

TINY = ("--arch", "test_resnet", "--img-size", "32", "-j", "0", "--epochs", "2", "--fresh")
WHOLE = {"ant": 12, "bee": 6, "cat": 3}


@dataclass(frozen=True)
class Fitted:
    """What a finished command has left behind."""

    data: Path
    folder: RunFolder
    output: str


def fitted(data: Path, output: Path, name: str, *options: str) -> Fitted:
    """Fit through the command, which must end well, and catch what it prints."""
    AcceleratorState._reset_state(reset_partial_state=True)
    with pytest.MonkeyPatch.context() as patch, capture() as printed:
        patch.setattr(plots, "save_figure", write_labels)
        assert main(["fit", str(data), *TINY, "--output", str(output), *options]) == 0
    return Fitted(data, RunFolder(output / name / "seed0"), printed.getvalue())


def write_labels(figure, path: Path) -> None:
    """Write what stands below a picture's horizontal axis in place of the picture."""
    path.write_text("\n".join(label.get_text() for label in figure.axes[0].get_xticklabels()))


def capture() -> contextlib.redirect_stdout:
    """Catch standard output, also in a fixture that outlives a test."""
    return contextlib.redirect_stdout(io.StringIO())


@pytest.fixture(scope="module")
def held_out(tmp_path_factory) -> Fitted:
    """The suggested recipe, on class folders without a test split."""
    data = plant(tmp_path_factory.mktemp("data"), WHOLE)
    return fitted(data, tmp_path_factory.mktemp("output"), "resnet50_imagefolder_vs_sam")


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Fitted:
    """Plain cross-entropy, on a training and a test split."""
    data = plant_splits(tmp_path_factory.mktemp("splits"))
    recipe = "resnet50_imagefolder_ce_sgd"
    return fitted(data, tmp_path_factory.mktemp("plain"), recipe, "--recipe", recipe)


def printed_command(text: str, name: str) -> list[str]:
    """The words of an ltzoo command in what was printed, without `ltzoo`."""
    (line,) = [line for line in text.splitlines() if line.strip().startswith(f"ltzoo {name} ")]
    return shlex.split(line)[1:]


def test_it_trains_what_the_printed_line_trains(held_out, tmp_path):
    words = printed_command(held_out.output, "train")
    assert words[:5] == ["train", "--recipe", "resnet50_imagefolder_vs_sam", "--data-dir", str(held_out.data)]
    assert words[5:11] == ["--hold-out", "0.1", "--set", "groups=thirds", "--batch-size", "4"]
    assert "--fresh" not in words
    assert main([*words, "--output", str(tmp_path)]) == 0
    weights = [
        folder / "checkpoint/model.safetensors" for folder in (tmp_path / words[2] / "seed0", held_out.folder.path)
    ]
    one, other = (hashlib.sha256(path.read_bytes()).hexdigest() for path in weights)
    assert one == other


def test_it_says_that_it_holds_out_and_why_each_option_is_there(held_out):
    assert "    --hold-out 0.1: there is no test split, so accuracy is measured on these images\n" in held_out.output
    assert "    --set groups=thirds: the rule count leaves one group empty\n" in held_out.output
    assert "held out       3        3  1.0 " in held_out.output
    assert "recipe: resnet50_imagefolder_vs_sam, since no class has 100 images" in held_out.output
    assert "nothing to re-balance afterwards (ltzoo posthoc), since training did it: the logits of " in held_out.output
    assert "--pretrained" not in held_out.output


@pytest.mark.parametrize("which", ["held_out", "plain"])
def test_it_ends_with_the_worst_classes_and_the_confusion_by_name(which, request, capsys):
    done: Fitted = request.getfixturevalue(which)
    before = done.output
    words = printed_command(before, "validate")
    assert main(words) == 0
    measured = capsys.readouterr().out
    assert measured in before
    assert "most often taken for (images)" in measured
    with (done.folder.path / "confusion.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["label", "ant", "bee", "cat"] and [row[0] for row in rows] == header[1:]
    stored = read_logits(done.folder.path / "logits.safetensors").predictions
    for j, row in enumerate(rows):
        chosen = stored.logits.argmax(dim=1)[stored.labels == j]
        assert [int(cell) for cell in row[1:]] == chosen.bincount(minlength=3).tolist()


def test_the_picture_and_the_card_of_the_checkpoint_name_the_classes(plain):
    assert (plain.folder.checkpoint / "classes.png").read_text().split() == ["ant", "bee", "cat"]
    card = (plain.folder.checkpoint / "README.md").read_text()
    assert "Each class, from the lowest accuracy on:" in card and "\n| ant | " in card


def test_the_card_says_what_was_stated_of_the_weights_in_a_file(plain, tmp_path, capsys):
    file = plain.folder.checkpoint / "model.safetensors"
    stated = ["--initial-license", "cc0", "--initial-data", "a thousand ants"]
    start = ("--initial-checkpoint", str(file), *stated, "--output", str(tmp_path), "--epochs", "1")
    recipe = ("--recipe", "resnet50_imagefolder_ce_sgd")
    assert main(["fit", str(plain.data), *TINY[:-1], *recipe, *start]) == 0
    assert shlex.join(stated) in capsys.readouterr().out
    card = (tmp_path / "resnet50_imagefolder_ce_sgd/seed0/checkpoint/README.md").read_text()
    assert f"the weights `{file}`: licence cc0; pretrained on a thousand ants (stated by whoever" in card


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--initial-license", "mit"), "--initial-license describes the weights of --initial-checkpoint; name them"),
        (("--initial-checkpoint", "w.pth", "--initial-data", "a\nb"), "--initial-data must be a line of 1 to 200"),
        (("--initial-checkpoint", "w.pth", "--initial-license", " "), "--initial-license must be a line of 1 to 200"),
    ],
)
def test_statements_that_cannot_be_taken(options, found, plain, tmp_path, capsys):
    assert main(["fit", str(plain.data), *TINY[:-1], *options, "--output", str(tmp_path / "o")]) == 2
    assert found in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_plain_cross_entropy_ends_with_what_re_balancing_would_change(plain, capsys):
    words = printed_command(plain.output, "posthoc")
    assert words == ["posthoc", str(plain.folder.path / "logits.safetensors"), "--la", "1"]
    assert main(words) == 0
    assert capsys.readouterr().out in plain.output
    assert "logit adjustment, tau 1" in plain.output
    assert "as asked for; suggested would be resnet50_imagefolder_vs_sam, since" in plain.output
    assert "--hold-out" not in plain.output


def test_a_finished_run_is_reported_again_by_resume(plain, capsys, tmp_path):
    options = ("--output", str(plain.folder.path.parents[1]), "--recipe", "resnet50_imagefolder_ce_sgd")
    assert main(["fit", str(plain.data), *TINY, *options]) == 2
    assert "exists; add --resume to continue it" in capsys.readouterr().err
    assert main(["fit", str(plain.data), *TINY, *options, "--resume"]) == 0
    again = capsys.readouterr().out
    assert f"time: not measured; the run in {plain.folder.path} is resumed" in again
    assert (
        plain.output.partition("\nresnet50_imagefolder_ce_sgd, seed 0")[2]
        == again.partition("\nresnet50_imagefolder_ce_sgd, seed 0")[2]
    )


def test_a_dry_run_prints_the_plan_and_writes_nothing(plain, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", str(plain.data), *TINY, "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "recipe: resnet50_imagefolder_vs_sam, since" in text
    assert "time: about " in text.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_the_time_is_that_of_the_steps_and_the_measurements(plain, tmp_path, monkeypatch):
    def step(self, setting):
        run_time.time.sleep(0.05)
        return 0.05

    monkeypatch.setattr(Trial, "step", step)
    data = ("--recipe", "resnet50_imagefolder_vs_ssesam", "--data-dir", str(plain.data), "--output", str(tmp_path))
    arguments = fit.train.build_parser("x").parse_args([*data, *TINY[:-1], "-b", "4", "--val-interval", "2"])
    recipe = fit.requested_recipe(arguments.recipe[0], arguments)
    found = run_time.estimate_run_time(recipe, fit.train.train_options(arguments), RunFolder(tmp_path / "x"))
    assert (found.device, found.steps) == ("cpu", 2 * 4)  # 17 images are 4 batches of 4; the last one has 5
    assert found.measurements == 1 + 3
    assert 0.05 <= found.step < 0.2
    assert found.seconds == pytest.approx(8 * (found.step + found.read) + 4 * found.measurement)
    assert list(tmp_path.iterdir()) == []


def test_a_head_on_cached_features_is_not_timed(plain, tmp_path, capsys):
    options = ("--head-only", "--cache-features", str(tmp_path / "f"), "--dry-run", "--output", str(tmp_path / "o"))
    assert main(["fit", str(plain.data), *TINY, *options]) == 0
    assert "time: not measured, since the head alone is computed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (5000, "83 min"), (12000, "3 h 20 min")]
)
def test_durations(seconds, words):
    assert in_words(seconds) == words
    assert str(RunTime("cpu", 1, seconds, 0.0, 0, 0.0)).startswith(f"about {words} on cpu: 1 step of ")


def planned(*given: str, counts=(120, 30, 5), no_test: bool = False) -> list[str]:
    """The words of the plan for these options."""
    arguments = fit.build_parser("ltzoo fit").parse_args(["photos", *given])
    return make_plan(arguments, [word for word in given if word != "--fresh"], profile(*counts), no_test).words


FULL = ["--recipe", "resnet50_imagefolder_vs_ssesam", "--data-dir", "photos"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], [*FULL, "--pretrained"]),
        (["--epochs", "3"], [*FULL, "--pretrained", "--epochs", "3"]),
        (["--fresh"], FULL),
        (["--pretrained"], [*FULL, "--pretrained"]),
        (["--initial-checkpoint", "w.pth"], [*FULL, "--initial-checkpoint", "w.pth"]),
        (["--set", "start.name=fresh"], [*FULL, "--set", "start.name=fresh"]),
        (
            ["--recipe", "resnet50_imagefolder_ce_sgd"],
            ["--data-dir", "photos", "--pretrained", "--recipe", "resnet50_imagefolder_ce_sgd"],
        ),
        (
            ["--recipe", "resnet50_imagefolder_crt_sgd"],  # it begins with the run of another recipe
            ["--data-dir", "photos", "--recipe", "resnet50_imagefolder_crt_sgd"],
        ),
    ],
)
def test_what_is_given_takes_the_place_of_what_is_suggested(given, words):
    assert planned(*given) == words


def test_small_folders_get_what_inspect_suggests_unless_it_is_given():
    small = ["--set", "groups=thirds", "--batch-size", "8"]
    first = ["--recipe", "resnet50_imagefolder_vs_sam", "--data-dir", "photos", "--hold-out", "0.1", "--pretrained"]
    counts = (19, 15, 4)
    assert planned(counts=counts, no_test=True) == [*first, *small]
    given = ("-b", "4", "--set", "groups=count")
    assert planned(*given, counts=counts, no_test=True) == [*first, *given]


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


def test_the_folder_comes_first(tmp_path, capsys):
    assert main(["fit", "--epochs", "2", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"ltzoo fit: error: the folder of images comes first: ltzoo fit {tmp_path} ...; found --epochs\n"
    )


def test_several_processes_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["fit", str(tmp_path)]) == 2
    assert "fit runs in one process; launch the line ltzoo train" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_one_line(plain, tmp_path, capsys):
    closed = tmp_path / "closed"
    closed.mkdir()
    with read_only(closed):
        assert main(["fit", str(plain.data), *TINY, "--output", str(closed / "output")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("ltzoo fit: error: ") and str(closed / "output") in error
    assert list(closed.iterdir()) == []


def test_weights_of_another_network_are_one_line(plain, tmp_path, capsys):
    options = ("--initial-checkpoint", "resnet32_cifar100lt_ce_sgd", "--output", str(tmp_path / "o"))
    assert main(["fit", str(plain.data), *TINY[:-1], *options]) == 2
    assert "is a resnet32_cifar, not a test_resnet; add --arch resnet32_cifar" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_a_checkpoint_of_other_classes_gets_a_fresh_classifier_and_is_not_measured(plain, tmp_path, capsys):
    data = tmp_path / "photos"
    for split in ("train", "val"):
        plant(data / split, {"dog": 4, "elk": 3}, 50 if split == "train" else 90)
    model = f"local-dir:{plain.folder.checkpoint}"
    assert main(["fit", str(data), *TINY[:-1], "--initial-checkpoint", model, "--dry-run"]) == 0
    assert "the classifier is fresh" in capsys.readouterr().err
    assert main(["validate", "--model", model, "--data-dir", str(data), "--confusion", str(tmp_path / "c.csv")]) == 2
    assert "classes that training lacks: 'dog', 'elk'" in capsys.readouterr().err
    assert not (tmp_path / "c.csv").exists()


def test_a_plan_is_refused_for_a_recipe_file_of_another_benchmark(tmp_path):
    path = tmp_path / "r.yaml"
    with capture() as text:
        assert main(["show", "resnet32_cifar10lt_ce_sgd"]) == 0
    path.write_text(text.getvalue())
    with pytest.raises(InputError, match="is a recipe for cifar10lt"):
        planned("--recipe", str(path))
