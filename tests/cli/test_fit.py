"""The fit command: it trains what it prints, and ends with what validate and posthoc say."""

import contextlib
import csv
import hashlib
import io
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

from ltzoo.__main__ import main
from ltzoo.evaluate import plots, read_logits
from ltzoo.train import RunFolder
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
