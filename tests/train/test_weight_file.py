"""Files of weights, from other programs too, however they are wrapped; what does not fit is one line."""

import argparse
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from ltzoo import checkpoints
from ltzoo.train.weight_file import read_weights
from tests.each import check_each
from tests.train.beginnings import (
    RGB,
    Weights,
    begin,
    check,
    from_,
    in_safetensors,
    one_line,
    stored,
)


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
