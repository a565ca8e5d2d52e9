"""Where training starts: fresh, or from weights of a checkpoint, a file or timm; what does not fit is one line."""

import argparse
import io
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import timm
import torch
import yaml
from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalEntryNotFoundError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ltzoo import checkpoints
from ltzoo.data import NATURAL_BENCHMARKS, Benchmark
from ltzoo.errors import InputError
from ltzoo.recipes import Recipe, override
from ltzoo.recipes.model import build_model, view_of
from ltzoo.registry import create_model, get_recipe
from ltzoo.train import TrainOptions
from ltzoo.train.start import find_start, load_start
from ltzoo.train.weight_file import read_weights
from tests.checkpoints.changes import change_config
from tests.each import check_each
from tests.train.folders import files_of, plant_splits, refused, run

RGB, GREY = "resnet32_cifar100lt_ce_sgd", "resnet20_digitslt_ce_sgd"
"""Checkpoints that come with the package."""
FOLDER = get_recipe("resnet50_imagefolder_ce_sgd")
OPTIONS = TrainOptions(Path("data"), Path("output"))

Weights = dict[str, Tensor]


@dataclass
class Begun:
    """A model with its initial weights, and what it was before."""

    fresh: Weights
    weights: Weights
    sha256: str | None
    benchmark: Benchmark


def begin(recipe: Recipe, classes: tuple[str, ...] = ("ant", "bee", "cat")) -> Begun:
    start = find_start(recipe, OPTIONS)
    if recipe.natural:
        view = view_of(recipe, start.cfg)
        benchmark = NATURAL_BENCHMARKS[recipe.benchmark].with_counts(range(len(classes), 0, -1), classes, view)
    else:
        benchmark = recipe.data
    torch.manual_seed(3)
    model = build_model(recipe, data_set=benchmark.data_set)
    fresh = {key: value.clone() for key, value in model.state_dict().items()}
    sha256 = load_start(model, start, benchmark.data_set)
    return Begun(fresh, model.state_dict(), sha256, benchmark)


def from_(initial: object, architecture: str = "resnet32_cifar", **settings: object) -> Recipe:
    changes = {f"input.{key}": value for key, value in settings.items()}
    return override(FOLDER, {"architecture": architecture, "start": start_of(initial), **changes})


def start_of(initial: object) -> dict[str, str]:
    return {"name": initial} if initial in ("fresh", "pretrained") else {"name": "weights", "of": str(initial)}


def stored(name: str = RGB) -> Weights:
    return create_model(name, pretrained=True).state_dict()


def check(found: Weights, expected: Weights, fresh: Weights | None = None, classifier: str = "fc.") -> None:
    """The weights are the expected ones; the classifier is fresh, where that is given."""
    assert found.keys() >= expected.keys() - {key for key in expected if key.startswith(classifier)}
    for key, value in found.items():
        source = fresh if fresh is not None and key.startswith(classifier) else expected
        assert torch.equal(value, source[key]), key


def one_line(match: str, call: Callable, *arguments: object) -> None:
    with pytest.raises(InputError, match=match) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_without_initial_weights_a_model_stays_fresh():
    begun = begin(from_("fresh"))
    assert begun.sha256 is None
    check(begun.weights, begun.fresh)


def test_of_a_checkpoint_of_other_classes_all_but_the_classifier_is_taken():
    begun = begin(from_(RGB))
    check(begun.weights, stored(), begun.fresh)
    assert begun.weights["fc.weight"].shape == (3, 64)
    assert len(begun.sha256) == 64
    assert begin(from_(RGB), ("ant", "bee")).sha256 == begun.sha256  # of what is taken alone


def test_as_many_classes_of_other_names_are_other_classes():
    begun = begin(from_(RGB), tuple(f"class {j}" for j in range(100)))
    check(begun.weights, stored(), begun.fresh)


@pytest.mark.parametrize("name", [RGB, GREY])
def test_the_classifier_of_the_very_same_classes_is_kept(name):
    recipe = override(get_recipe(name), {"start": start_of(name)})
    check(begin(recipe).weights, stored(name))


def test_the_classifier_of_a_folder_with_the_checkpoints_classes_is_kept():
    names = tuple(checkpoints.read_config(checkpoints.PACKAGED / RGB)["label_names"])
    same, reordered = begin(from_(RGB), names), begin(from_(RGB), (*names[1:], names[0]))
    check(same.weights, stored())
    check(reordered.weights, stored(), reordered.fresh)
    assert same.sha256 != reordered.sha256


def in_safetensors(path: Path, weights: Weights) -> Path:
    save_file(weights, path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


def pickled(suffix: str, wrap: Callable[[Weights], object]) -> Callable[[Path, Weights], Path]:
    def write(path: Path, weights: Weights) -> Path:
        torch.save(wrap(weights), path.with_suffix(suffix))
        return path.with_suffix(suffix)

    return write


def behind(prefix: str, weights: Weights) -> Weights:
    return {f"{prefix}{key}": value for key, value in weights.items()}


OTHER = {"a.weight": torch.ones(3), "steps": torch.tensor(3)}
WRITERS = {
    "safetensors": in_safetensors,
    "weights": pickled(".pth", lambda weights: weights),
    "of several processes": pickled(".pt", lambda weights: behind("module.", weights)),
    # As timm's train.py leaves it.
    "timm's run": pickled(".pth.tar", lambda weights: {"state_dict": weights, "args": argparse.Namespace()}),
    "average": pickled(".bin", lambda weights: {"state_dict": {"a": torch.ones(1)}, "state_dict_ema": weights}),
    "PyTorch's tutorial": pickled(
        ".pth",
        lambda weights: {"epoch": 3, "model_state_dict": weights, "optimizer_state_dict": {"state": {0: OTHER}}},
    ),
    "ImageNet example": pickled(
        ".pth.tar", lambda weights: {"state_dict": behind("module.", weights), "best_acc1": np.float64(71.5)}
    ),
    "model": pickled(".pth", lambda weights: {"model": weights, "optimizer": OTHER, "scores": np.ones((2, 3))}),
    "model_state": pickled(".pyth", lambda weights: {"model_state": weights, "cfg": "text"}),
    "within another": pickled(".ckpt", lambda weights: {"state": {"net": {"weights": weights}}, "step": 7}),
    "compiled": pickled(".pth", lambda weights: {"model": behind("_orig_mod.", weights)}),
    "compiled in processes": pickled(".pth", lambda weights: behind("module._orig_mod.", weights)),
    "Lightning": pickled(
        ".ckpt", lambda weights: {"state_dict": behind("model.", weights) | behind("metric.", OTHER), "epoch": 1}
    ),
    "teacher": pickled(".pth", lambda weights: {"teacher": behind("backbone.", weights) | behind("head.", OTHER)}),
    "torch's average": pickled(".pt", lambda weights: behind("module.", weights) | {"n_averaged": torch.tensor(4)}),
    "weights and average": pickled(
        ".pth", lambda weights: {"model": {key: value + 1 for key, value in weights.items()}, "model_ema": weights}
    ),
    "the same weights twice": pickled(".pth", lambda weights: {"model": weights, "best": dict(weights)}),
    "prefixed safetensors": lambda path, weights: in_safetensors(path, behind("model.", weights)),
    "no classifier": pickled(
        ".pth", lambda weights: {key: value for key, value in weights.items() if not key.startswith("fc.")}
    ),
    "no suffix that is known": pickled(".weights", lambda weights: weights),
}


@pytest.mark.parametrize("how", WRITERS)
def test_a_file_of_weights_is_taken_but_for_the_classifier(how, tmp_path):
    weights = stored()
    begun = begin(from_(WRITERS[how](tmp_path / "file.0", weights), size=32))
    check(begun.weights, weights, begun.fresh)
    assert begun.sha256 == begin(from_(RGB)).sha256  # the same weights, wherever they come from


def test_weights_in_half_precision_become_float32(tmp_path):
    weights = {key: value.half() if value.is_floating_point() else value for key, value in stored().items()}
    begun = begin(from_(in_safetensors(tmp_path / "half", weights), size=32))
    assert {value.dtype for value in begun.weights.values()} == {torch.float32, torch.int64}
    check(begun.weights, {key: value.to(begun.weights[key].dtype) for key, value in weights.items()}, begun.fresh)


class Code:
    """A pickle that runs a command as it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_files_that_hold_no_weights_are_one_line_and_run_nothing(tmp_path):
    buffer = io.BytesIO()
    torch.save(stored(), buffer)
    good = {".pth": buffer.getvalue(), ".safetensors": (checkpoints.PACKAGED / RGB / checkpoints.WEIGHTS).read_bytes()}
    code = Code(tmp_path / "ran")
    contents = [(suffix, content[:keep]) for suffix, content in good.items() for keep in (0, 9, 1000, -100)]
    contents += [(".pth", good[".safetensors"]), (".safetensors", good[".pth"]), (".pth.tar", b"text")]
    contents += [(".pth", pickle.dumps(code, 2)), (".bin", pickle.dumps({"fc.weight": code}, 2))]

    def check_content(case):
        suffix, content = case
        path = tmp_path / f"file{suffix}"
        path.write_bytes(content)
        one_line(rf"^{path} has no weights that can be read \(", begin, from_(path, size=32))

    check_each(contents, check_content)
    torch.save({"state_dict": stored(), "args": code}, tmp_path / "code.pt")
    one_line("has no weights that can be read", begin, from_(tmp_path / "code.pt", size=32))
    torch.save([torch.ones(2)], tmp_path / "list.pt")
    one_line("has no weights that can be read", begin, from_(tmp_path / "list.pt", size=32))
    assert not (tmp_path / "ran").exists()


def test_a_pipe_that_is_called_like_a_file_of_weights_is_refused_at_once(tmp_path):
    for name in ("x.safetensors", "x.pth"):
        os.mkfifo(tmp_path / name)
        one_line("x.* has no weights that can be read .*pipe", read_weights, tmp_path / name, {})


def test_weights_from_before_batches_were_counted_have_counts_of_zero(tmp_path):
    """As torch itself reads them, strictly."""
    weights = stored()
    old = {key: value for key, value in weights.items() if not key.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    begun = begin(from_(tmp_path / "old.pth", size=32))
    check(begun.weights, old | {key: torch.tensor(0) for key in weights.keys() - old.keys()}, begun.fresh)


def test_several_sets_of_weights_are_not_chosen_from(tmp_path):
    weights = stored()
    other = {key: value + 1 for key, value in weights.items()}
    for content, match in (
        ({"student": weights, "teacher": other}, r"has 2 sets of weights that fit \(student, teacher\); write the one"),
        (behind("student.", weights) | behind("teacher.", other), r"fit \(behind 'student.', behind 'teacher.'\)"),
        ({"ema": weights, "old": {"model_ema": other}}, r"fit \(ema, old/model_ema\)"),
    ):
        torch.save(content, tmp_path / "several.pth")
        one_line(match, begin, from_(tmp_path / "several.pth", size=32))


def test_a_moving_average_that_is_taken_is_named(tmp_path, caplog):
    path = WRITERS["weights and average"](tmp_path / "file", stored())
    begin(from_(path, size=32))
    assert f"{path} has weights and their moving average, model_ema: the average is taken" in caplog.text


def test_files_of_unexpected_things_say_what_they_have(tmp_path):
    for content, match in (
        (
            {"epoch": 3, "lr": 0.1},
            r"\(it has epoch, lr, and no tensors by name\); give a file of a state dict: torch.sav",
        ),
        ({}, r"\(it has nothing, and no tensors by name\)"),
        ([torch.ones(2)], r"\(it has a list, and no tensors by name\)"),
        (torch.ones(2), r"\(it has a Tensor, and no tensors by name\)"),
        (np.ones(2), r"\(it has a ndarray, and no tensors by name\)"),
        ({"fc": Path("x")}, r"objects that could run code are beside them: pathlib.*\); write the state dict alone to"),
        (
            timm.create_model("test_resnet"),
            r"objects that could run code .*timm.models.*\); write the state dict alone",
        ),
        (
            behind("a." * 5000, {"b": torch.ones(2)}),
            r"they lack 186 of 186, first conv1.weight 16x3x3x3; they have 1 th",
        ),
        ({"a": {"b": {"c": {"d": {"e": stored()}}}}}, r"\(it has a, and no tensors by name\)"),
    ):
        torch.save(content, tmp_path / "file.pth")
        one_line(match, begin, from_(tmp_path / "file.pth", size=32))


def test_weights_that_do_not_fit_are_one_line(tmp_path):
    weights = stored()
    cases = {
        "they lack 1 of 186, first conv1.weight 16x3x3x3": {
            key: value for key, value in weights.items() if key != "conv1.weight"
        },
        "they have 1 that it has not, first more 1": weights | {"more": torch.ones(1)},
        "1 of other shapes, first bn1.weight 17 in place of 16": weights | {"bn1.weight": torch.ones(17)},
        r"they have 1 that it has not, first epoch \(a number\)": weights | {"epoch": torch.tensor(1)},
    }
    what = "; name their architecture with --arch, or give weights of this one$"
    for wrong, changed in cases.items():
        path = in_safetensors(tmp_path / "file", changed)
        one_line(rf"^the weights of {path} do not fit resnet32_cifar: {wrong}{what}", begin, from_(path, size=32))
    path = in_safetensors(tmp_path / "file", behind("model.", weights))
    one_line(r"do not fit test_resnet: they lack .* of .*, first conv1.*; they have", begin, from_(path, "test_resnet"))


def test_a_checkpoint_of_another_architecture_is_one_line():
    match = f"^{RGB} is a resnet32_cifar, not a resnet20_cifar; add --arch resnet32_cifar$"
    one_line(match, find_start, from_(RGB, "resnet20_cifar"), OPTIONS)
    one_line("needs images with 1 channels, but image files are read as RGB", begin, from_(GREY, "resnet20_cifar"))


@pytest.mark.parametrize(
    ("initial", "match"),
    [
        ("nowhere.pth", "^there is no file nowhere.pth to start from; check the path$"),
        ("runs/model_best.pth.tar", "^there is no file runs/model_best.pth.tar to start from; check the path$"),
        ("local-dir:nowhere", "^there is no checkpoint folder nowhere; check the path$"),
        ("resnet32_cifar100lt_ce_sgt", "^no recipe is called 'resnet32_cifar100lt_ce_sgt'; the nearest are"),
        ("runs/checkpoint", "^'runs/checkpoint' is no recipe's name; write local-dir:runs/checkpoint or"),
        ("", "^no recipe is called ''"),
    ],
)
def test_weights_that_are_not_there_are_one_line(initial, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one_line(match, find_start, override(FOLDER, {"start": start_of(initial)}), OPTIONS)


def test_a_damaged_checkpoint_is_one_line(tmp_path):
    folder = shutil.copytree(checkpoints.PACKAGED / RGB, tmp_path / "checkpoint")
    (folder / checkpoints.WEIGHTS).write_bytes((folder / checkpoints.WEIGHTS).read_bytes()[:-1])
    one_line("model.safetensors is damaged", begin, from_(f"local-dir:{folder}"))
    cfg = checkpoints.read_config(checkpoints.PACKAGED / RGB)["pretrained_cfg"]
    changes = [{"mean": None}, {"std": [1, 1, 0]}, {"input_size": [3, None, 32]}, {"crop_pct": "x"}]

    def check_cfg(change):
        change_config(folder, pretrained_cfg=cfg | change)
        one_line(
            r"^config.json is damaged: .*images.*; fetch it again$", find_start, from_(f"local-dir:{folder}"), OPTIONS
        )

    check_each([*changes, {"input_size": 3}, {"mean": [0.5]}, {"interpolation": 1}], check_cfg)


@pytest.mark.parametrize(
    ("architecture", "match"),
    [
        ("resnet32_cifar", "^timm has no pretrained weights of resnet32_cifar; timm.list_pretrained"),
        ("resnet18.nonsense", "^timm has no pretrained weights of resnet18.nonsense; it has resnet18.a1_in1k, "),
        ("resnet7", "^timm has no pretrained weights of resnet7; timm.list_pretrained"),
    ],
)
def test_an_architecture_without_pretrained_weights_is_one_line(architecture, match):
    one_line(match, find_start, from_("pretrained", architecture), OPTIONS)


def failing_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let timm build models as ever, but fail to fetch weights."""
    create = timm.create_model

    def create_or_fail(*arguments, pretrained=False, **options):
        if pretrained:
            raise error
        return create(*arguments, **options)

    monkeypatch.setattr(timm, "create_model", create_or_fail)


@pytest.mark.parametrize(
    "error",
    [
        OSError("We couldn't connect to the Hub\nand more"),
        LocalEntryNotFoundError("offline, and not in the cache"),
        HfHubHTTPError("503 Server Error", response=Mock()),
        HTTPError("the connection broke in the middle of the file"),
        RuntimeError("Error(s) in loading state_dict for ResNet:\n\tsize mismatch"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_pretrained_weights_that_cannot_be_fetched_are_one_line(error, monkeypatch):
    failing_with(error, monkeypatch)
    match = r"^timm's weights of test_resnet cannot be downloaded or do not fit \(.*\); check .* --initial-checkpoint$"
    one_line(match, begin, from_("pretrained", "test_resnet", size=32))


def test_pretrained_weights_are_taken_and_seen_as_timm_saw_them(monkeypatch):
    create, asked = timm.create_model, []

    def create_offline(name, pretrained=False, **options):
        model = create(name, **options)
        if pretrained:
            asked.append((name, options))
            torch.nn.init.constant_(next(model.parameters()), 0.25)
        return model

    monkeypatch.setattr(timm, "create_model", create_offline)
    begun = begin(from_("pretrained", "test_resnet.r160_in1k"))
    assert asked == [("test_resnet.r160_in1k", {"in_chans": 3})]
    assert bool((begun.weights["conv1.0.weight"] == 0.25).all()) and begun.weights["fc.weight"].shape[0] == 3
    assert torch.equal(begun.weights["fc.weight"], begun.fresh["fc.weight"])
    cfg, data_set = timm.get_pretrained_cfg("test_resnet.r160_in1k"), begun.benchmark.data_set
    assert (data_set.mean, data_set.std, data_set.crop_pct) == (cfg.mean, cfg.std, cfg.crop_pct)
    assert (data_set.image_size, data_set.interpolation) == (160, cfg.interpolation)


def test_images_are_seen_as_the_checkpoint_saw_them_unless_the_recipe_says_otherwise(tmp_path):
    folder = shutil.copytree(checkpoints.PACKAGED / RGB, tmp_path / "checkpoint")
    cfg = checkpoints.read_config(folder)["pretrained_cfg"]
    cfg |= {"input_size": [3, 40, 40], "mean": [0.4, 0.5, 0.6], "std": [0.3, 0.2, 0.1], "crop_pct": 0.8}
    change_config(folder, pretrained_cfg=cfg)
    initial = f"local-dir:{folder}"

    def seen(recipe):
        data_set = begin(recipe).benchmark.data_set
        return data_set.image_size, data_set.mean, data_set.std, data_set.crop_pct

    plain = (40, (0.4, 0.5, 0.6), (0.3, 0.2, 0.1), 0.8)
    assert seen(from_(initial)) == plain
    own = {"size": 48, "mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7), "crop_pct": 0.9}
    for key, value in own.items():
        expected = dict(zip(own, plain, strict=True)) | {key: value}
        asked = {key: list(value) if isinstance(value, tuple) else value}
        assert seen(from_(initial, **asked)) == tuple(expected.values())
    # A file does not say; the architecture does.
    file = in_safetensors(tmp_path / "file", stored())
    assert seen(from_(file))[1] == timm.get_pretrained_cfg("resnet32_cifar").mean


@pytest.mark.parametrize("of_file", [True, False])
@pytest.mark.parametrize("size", [48, 160])
def test_a_vits_weights_are_brought_to_another_image_size(of_file, size, tmp_path):
    torch.manual_seed(0)
    model = timm.create_model("test_vit", img_size=32, num_classes=5)
    checkpoints.save_checkpoint(tmp_path / "checkpoint", model, {"img_size": 32})
    weights = tmp_path / "checkpoint" / checkpoints.WEIGHTS
    initial = weights if of_file else f"local-dir:{tmp_path / 'checkpoint'}"
    begun = begin(from_(initial, "test_vit", size=size))
    fitted = timm.models.vision_transformer.checkpoint_filter_fn(
        load_file(weights), timm.create_model("test_vit", img_size=size, num_classes=0)
    )
    assert begun.weights["pos_embed"].shape[1] == 1 + (size // 16) ** 2
    check(begun.weights, fitted, begun.fresh, classifier="head.")


def test_a_run_records_its_initial_weights_and_cannot_be_resumed_from_others(tmp_path, monkeypatch, capsys):
    data, weights = plant_splits(tmp_path / "data"), stored()
    file = in_safetensors(tmp_path / "file", weights)
    options = ("--arch", "resnet32_cifar", "--initial-checkpoint", str(file), "--epochs", "1", "--head-only")
    folder = run(data, tmp_path, *options)
    matched = len([key for key in weights if not key.startswith("fc.")])
    said = f"starts from {file}: {matched} tensors match and are loaded, the classifier is fresh\n"
    assert capsys.readouterr().err.count(said) == 1
    document = yaml.safe_load(folder.recipe.read_text())
    assert document["run"]["start_sha256"] == begin(from_(file, size=32)).sha256
    assert document["start"] == {"name": "weights", "of": str(file), "head": None}
    before = files_of(folder)
    run(data, tmp_path, *options, "--resume")
    in_safetensors(tmp_path / "file", weights | {"conv1.weight": weights["conv1.weight"] * 2})
    said = refused(capsys, data, tmp_path, *options, "--resume")
    assert (
        "was started with different settings (run.start_sha256: " in said
        and "); use the same settings, or name another --output" in said
    )
    file.unlink()
    assert "there is no file" in refused(capsys, data, tmp_path, *options, "--resume")
    assert files_of(folder) == before
