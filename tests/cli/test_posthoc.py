"""The posthoc command: one table from stored logits, and one line for bad input."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ltzoo.__main__ import main as front_door
from ltzoo.cli import validate
from ltzoo.cli.posthoc import main
from ltzoo.evaluate import read_logits, write_logits


@pytest.fixture(scope="module")
def logits(finished_run, tmp_path_factory):
    """The run's test logits, and what validate says of them."""
    folder = tmp_path_factory.mktemp("logits")
    argv = ["--model", f"local-dir:{finished_run.checkpoint}", "--json", str(folder / "figures.json")]
    assert validate.main([*argv, "--logits", str(folder / "logits.safetensors")]) == 0
    return folder / "logits.safetensors"


@pytest.fixture
def cosine(logits, tmp_path):
    """The same logits as those of a classifier that is not linear."""
    write_logits(tmp_path / "cosine.safetensors", replace(read_logits(logits), classifier=None))
    return tmp_path / "cosine.safetensors"


def table(text):
    """The printed table: label to its four figures."""
    rows = [line.rsplit(maxsplit=4) for line in text.splitlines() if line[-1].isdigit() and line[0] != " "]
    return {label: [float(cell) for cell in cells] for label, *cells in rows}


def accuracies(stored, logits):
    """Overall, head, mid and tail in per cent, counted anew; head, mid and tail as MiSLAS cuts ten classes."""
    right = logits.argmax(dim=1) == stored.predictions.labels
    per_class = [100 * float(right[stored.predictions.labels == j].double().mean()) for j in range(10)]
    return [100 * float(right.double().mean()), np.mean(per_class[:3]), np.mean(per_class[3:7]), np.mean(per_class[7:])]


def test_every_value_that_is_asked_for_has_its_row(logits, tmp_path, capsys):
    file = tmp_path / "figures.json"
    argv = [str(logits), "--la", "0", "1", "--la", "2.5", "1", "--tau-norm", "0.5", "1", "--json", str(file)]
    assert main(argv) == 0
    text = capsys.readouterr().out
    assert "on digitslt, 400 test images, last epoch, groups by the rule mislas" in text.splitlines()[0]
    assert text.splitlines()[1].split() == ["overall", "head", "mid", "tail"]

    stored = read_logits(logits)
    z, counts = stored.predictions.logits.double(), torch.tensor(stored.class_counts)
    norms, bias = stored.classifier.weight_norms.double(), stored.classifier.bias.double()
    expected = {"as trained": accuracies(stored, z)}
    for tau in (0, 1, 2.5):
        expected[f"logit adjustment, tau {tau}"] = accuracies(stored, z - tau * torch.log(counts / counts.sum()))
    for tau in (0.5, 1):
        expected[f"tau-normalisation, tau {tau}"] = accuracies(stored, (z - bias) / norms**tau)
    found = table(text)
    assert list(found) == list(expected)
    for label, values in expected.items():
        assert found[label] == pytest.approx(values, abs=0.0501)
    assert found["logit adjustment, tau 0"] == found["as trained"] != found["logit adjustment, tau 2.5"]

    document = json.loads(file.read_text())
    assert (document["benchmark"], document["recipe"]) == ("digitslt", "resnet20_digitslt_ce_sgd")
    rows = document["rows"]
    assert [(row["method"], row["tau"]) for row in rows] == [
        ("as trained", None),
        *[("logit adjustment", tau) for tau in (0, 1, 2.5)],
        *[("tau-normalisation", tau) for tau in (0.5, 1)],
    ]
    for row, values in zip(rows, expected.values(), strict=True):
        assert [row["overall"], *row["groups"]["mislas"].values()] == pytest.approx(values)
    assert rows[2]["rule"] == "last epoch, logit adjustment, tau 1"
    as_trained = json.loads((logits.parent / "figures.json").read_text())
    assert {key: rows[0][key] for key in as_trained} == as_trained | {"rule": "last epoch, as trained"}


def test_without_values_tau_is_1_for_both(logits, capsys):
    assert front_door(["posthoc", str(logits)]) == 0
    default = capsys.readouterr().out
    assert list(table(default)) == ["as trained", "logit adjustment, tau 1", "tau-normalisation, tau 1"]
    assert main([str(logits), "--la", "1", "--tau-norm", "1"]) == 0
    assert capsys.readouterr().out == default
    assert main([str(logits), "--tau-norm", "1"]) == 0
    assert list(table(capsys.readouterr().out)) == ["as trained", "tau-normalisation, tau 1"]


def test_held_out_images_are_called_so(logits, tmp_path, capsys):
    stored = read_logits(logits)
    write_logits(tmp_path / "held.safetensors", replace(stored, rule=f"{stored.rule} on held-out images"))
    assert main([str(tmp_path / "held.safetensors")]) == 0
    said = capsys.readouterr().out
    assert "400 held-out images, last epoch on held-out images, groups" in said and "test images" not in said


def test_values_that_print_alike_when_rounded_keep_their_rows(logits, capsys):
    assert main([str(logits), "--la", "1", "1.00000001"]) == 0
    assert len(table(capsys.readouterr().out)) == 3


def test_groups_change_what_is_shown(logits, tmp_path, capsys):
    file = tmp_path / "figures.json"
    assert main([str(logits), "--groups", "thirds", "--json", str(file)]) == 0
    text = capsys.readouterr().out
    assert "groups by the rule thirds" in text
    row = json.loads(file.read_text())["rows"][0]
    assert list(row["groups"]) == ["thirds", "mislas", "count"]
    assert table(text)["as trained"][1:] == pytest.approx(list(row["groups"]["thirds"].values()), abs=0.0501)


def refused(argv, message, capsys):
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_cosine_classifier_has_logit_adjustment_alone(cosine, capsys):
    assert main([str(cosine)]) == 0
    text = capsys.readouterr().out
    assert "logit adjustment, tau 1 " in text
    assert "tau-normalisation, tau" not in text
    assert text.splitlines()[-1] == "without tau-normalisation: the classifier is not a linear layer"
    refused([str(cosine), "--tau-norm", "1"], "has no weight norms", capsys)
    refused(
        [str(cosine), "--la", "1", "--tau-norm", "0"],
        "leave --tau-norm out: logit adjustment alone is possible, with --la 1\n",
        capsys,
    )


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("resnet20_digitslt_ce_sgd", None),
        (
            "resnet20_digitslt_la_sgd",
            r"note: the logits of \S+ stand for the class prior uniform \(loss la\), not",
        ),
        ("resnet20_digitslt_crt_sgd", r"note: the logits of \S+ stand for the class prior uniform \(loss ce\), not"),
        ("resnet20_digitslt_ncm_sgd", r"note: the head \S+ of \S+ was computed to balance the classes; re-balanced"),
        ("of_ones_own", None),
    ],
)
def test_logits_that_are_balanced_already_are_noted(recipe, said, logits, tmp_path, capsys):
    write_logits(tmp_path / "l.safetensors", replace(read_logits(logits), recipe=recipe))
    assert main([str(tmp_path / "l.safetensors")]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note:")]
    assert (re.match(said, *notes) is not None) if said else notes == []


def test_files_that_hold_no_logits_are_refused(logits, finished_run, tmp_path, capsys):
    refused([str(tmp_path / "nowhere")], "nowhere is missing or damaged", capsys)
    refused([str(finished_run.checkpoint / "model.safetensors")], "has no ltzoo test logits", capsys)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(logits.read_bytes()[:-100])
    refused([str(damaged), "--json", str(tmp_path / "a.json")], "is missing or damaged", capsys)
    save_file({"logits": torch.zeros(2, 2)}, damaged, {"kind": "ltzoo test logits, version 1"})
    refused([str(damaged)], "is damaged: it does not say its model", capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.safetensors"]


def test_a_grouping_rule_that_is_not_there_is_refused(logits, capsys):
    refused([str(logits), "--groups", "half"], "no groups by the rule 'half'; there are mislas, count, thirds", capsys)


def test_a_value_that_leaves_no_number_is_refused(logits, capsys):
    refused([str(logits), "--la", "1e308"], "with tau 1e+308 some logits are no longer finite", capsys)


@pytest.mark.parametrize("option", ["--la", "--tau-norm"])
@pytest.mark.parametrize("value", ["-1", "-0.5", "nan", "inf", "-inf", "one", ""])
def test_a_value_that_is_no_strength_is_refused(option, value, logits, capsys):
    with pytest.raises(SystemExit) as stop:
        main([str(logits), f"{option}={value}"])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert f"argument {option}: must be a finite number, not below 0, not {value!r}" in error
    assert error.count("\n") == 1


def test_an_option_without_a_value_and_a_file_that_cannot_be_written_are_refused(logits, tmp_path, capsys):
    for argv, message in (
        (["--la"], "argument --la: expected at least one argument"),
        (["--json", str(tmp_path / "nowhere" / "a.json")], "its folder does not exist"),
    ):
        with pytest.raises(SystemExit) as stop:
            main([str(logits), *argv])
        assert stop.value.code == 2
        assert message in capsys.readouterr().err
