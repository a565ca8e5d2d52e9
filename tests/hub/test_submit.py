"""hub/submit.py: external models are measured and stored beside their claimed accuracy."""

import json

import pytest
import torch
from safetensors.torch import save_file

import submit
from ltzoo.data import get_benchmark
from ltzoo.data.memory import load_test
from ltzoo.evaluate import EvalOptions, evaluate_model
from ltzoo.registry import create_model
from ltzoo.report import Claim, read_results
from tests.checkpoints.changes import NAME

SOURCE = "https://example.org/paper?a=1#table"
THEIRS = """
import torch, ltzoo
from torch import nn
def model():
    return ltzoo.create_model("resnet20_digitslt_ce_sgd")
def nine_classes():
    return ltzoo.create_model("resnet20_digitslt_ce_sgd", num_classes=9)
def colour():
    return ltzoo.create_model("resnet20_digitslt_ce_sgd", in_chans=3)
def nothing():
    return None
def leaving():
    raise SystemExit(0)
def broken():
    raise RuntimeError("no\\nweights")
class NotFinite(nn.Module):
    def forward(self, images):
        return torch.full((len(images), 10), float("nan"))
class Pairs(nn.Module):
    def forward(self, images):
        return images, images
"""


@pytest.fixture
def submitted(tmp_path, monkeypatch):
    """Submit a model; returns the exit code."""
    (tmp_path / "theirs.py").write_text(THEIRS)
    monkeypatch.syspath_prepend(tmp_path)
    results = tmp_path / "results"

    def run(*arguments, model="theirs:model", benchmark="digitslt", claimed="52.8", source=SOURCE):
        line = ["--model", model, "--benchmark", benchmark, "--claimed", claimed, "--source", source]
        try:
            return submit.main([*line, *arguments, "--results", str(results), "--device", "cpu"])
        except SystemExit as error:
            return error.code

    run.results = results
    return run


@pytest.fixture
def weights(as_recipe, tmp_path):
    """Weights of a finished run, and the file that holds them."""
    model = create_model(f"local-dir:{as_recipe}", pretrained=True)
    save_file(model.float().state_dict(), tmp_path / "theirs.safetensors")
    return model, tmp_path / "theirs.safetensors"


def test_what_is_measured_stands_beside_what_is_claimed(submitted, weights, capsys):
    model, file = weights
    assert submitted("--weights", str(file), "--name", "Their best, ever", "--groups", "mislas") == 0
    (result,) = read_results(submitted.results)
    benchmark = get_benchmark("digitslt")
    options = EvalOptions(torch.device("cpu"))
    expected = evaluate_model(model, benchmark, load_test(benchmark, file.parent), "mislas", "as it was given", options)
    assert result.figures == {"last": expected}
    assert result.claim == Claim(52.8, SOURCE)
    assert (result.model, result.seed, result.recipe, result.weights) == ("Their best, ever", None, None, None)
    assert result.path.as_posix() == "entries/digitslt_Their-best--ever.json"
    shown = capsys.readouterr().out
    assert f"claimed ({SOURCE})" in shown
    assert ["measured", f"{expected.overall:.1f}"] in [line.split()[:2] for line in shown.splitlines()]
    assert submitted("--weights", str(file), "--name", "Their best, ever", "--groups", "mislas") == 0


def test_timms_models_are_made_for_the_benchmark(submitted, weights):
    assert submitted("--weights", str(weights[1]), model="timm:resnet20_cifar") == 0
    (result,) = read_results(submitted.results)
    assert result.architecture == "timm:resnet20_cifar"
    assert result.figures["last"].images == 400


def test_another_measurement_under_the_name_is_refused(submitted, weights, capsys):
    assert submitted("--weights", str(weights[1])) == 0
    assert submitted("--weights", str(weights[1]), claimed="99") == 2
    assert "a different result of the same run" in capsys.readouterr().err
    (result,) = read_results(submitted.results)
    assert result.claim.overall == 52.8
    assert submitted("--weights", str(weights[1]), "--groups", "thirds") == 2
    assert "it differs in groups" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["hf-hub:me/model", "local-dir:here", "no_such"])
def test_only_timms_own_networks_are_made(word, submitted, weights, capsys):
    assert submitted("--weights", str(weights[1]), model=f"timm:{word}") == 2
    assert f"timm:{word} cannot be created (" in capsys.readouterr().err


def damaged(folder):
    (folder / "damaged.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00 nothing")
    return str(folder / "damaged.safetensors")


def of_another_model(folder):
    save_file({"fc.weight": torch.zeros(3, 3)}, folder / "other.safetensors")
    return str(folder / "other.safetensors")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"model": "resnet20"}, "must be timm:NAME or MODULE:FUNCTION, not 'resnet20'"),
        (
            {"model": "timm:resnet20_cifar"},
            "timm:resnet20_cifar has no weights; give them with --weights",
        ),
        ({"model": "no_such:model"}, "no_such:model cannot be created (ModuleNotFoundError"),
        ({"model": "theirs:no_such"}, "theirs:no_such cannot be created (AttributeError"),
        ({"model": "theirs:broken"}, "theirs:broken cannot be created (RuntimeError: no)"),
        ({"model": "theirs:leaving"}, "theirs:leaving cannot be created (SystemExit: 0)"),
        ({"model": "theirs:nothing"}, "must return a torch module, not NoneType"),
        ({"model": "theirs:nine_classes"}, "must return logits (125, 10), not (125, 9)"),
        ({"model": "theirs:Pairs"}, "must return logits (125, 10), not tuple"),
        ({"model": "theirs:colour"}, "does not accept images of shape (1, 16, 16)"),
        ({"model": "theirs:NotFinite"}, "4000 logits are NaN"),
        ({"benchmark": "digits"}, "no benchmark is called 'digits'; the nearest are digitslt"),
        ({"claimed": "528"}, "must be per cent from 0 to 100, not '528'"),
        ({"claimed": "nan"}, "must be per cent from 0 to 100, not 'nan'"),
        ({"source": "a paper"}, "must be a URL that begins with http:// or https://, not 'a paper'"),
        ({"source": "javascript:alert(1)"}, "must be a URL"),
        ({"source": "https:"}, "must be a URL"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(changes, match, submitted, capsys):
    assert submitted(**changes) == 2
    error = capsys.readouterr().err
    assert match in error
    assert error.count("\n") == 1
    assert not submitted.results.exists()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda folder: str(folder / "weights.pth"), "must be a .safetensors file: pickles are not opened"),
        (lambda folder: str(folder / "none.safetensors"), "none.safetensors cannot be read: No such file"),
        (damaged, "damaged.safetensors is damaged"),
        (of_another_model, "other.safetensors does not fit the model"),
    ],
)
def test_weights_that_do_not_fit_are_refused(make, match, submitted, tmp_path, capsys):
    assert submitted("--weights", make(tmp_path)) == 2
    error = capsys.readouterr().err
    assert match in error
    assert error.count("\n") == 1
    assert not submitted.results.exists()


def test_an_entrys_file_is_json_that_names_no_recipe(submitted):
    assert submitted() == 0
    document = json.loads((submitted.results / "entries" / "digitslt_theirs-model.json").read_text())
    assert document["recipe"] is None
    assert document["claim"] == {"overall": 52.8, "source": SOURCE}
    assert NAME not in json.dumps(document)


@pytest.mark.parametrize("name", ["a | b", NAME, "two\nlines", ""])
def test_names_are_checked(name, submitted, capsys):
    assert submitted("--name", name) == 2
    assert "argument --name: " in capsys.readouterr().err
