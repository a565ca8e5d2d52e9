"""Stored logits: there and back, and every file that is none of them refused with a line."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import ltzoo
from ltzoo.errors import InputError
from ltzoo.evaluate import LinearClassifier, StoredLogits, measure, read_logits, write_logits
from tests.evaluate.conftest import COUNTS, GROUPINGS


@pytest.fixture
def stored(predictions):
    linear = LinearClassifier(torch.arange(1.0, 7), torch.linspace(-1, 1, 6))
    return StoredLogits(
        predictions, COUNTS, linear, tuple(GROUPINGS), "local-dir:x", "digitslt", "a_name", "last epoch"
    )


def test_what_is_written_is_read_back(stored, tmp_path):
    path = tmp_path / "logits.safetensors"
    write_logits(path, stored)
    assert list(tmp_path.iterdir()) == [path]
    read = read_logits(path)
    assert torch.equal(read.predictions.logits, stored.predictions.logits)
    assert torch.equal(read.predictions.labels, stored.predictions.labels)
    assert torch.equal(read.classifier.weight_norms, stored.classifier.weight_norms)
    assert torch.equal(read.classifier.bias, stored.classifier.bias)
    for key in ("class_counts", "groupings", "model", "benchmark", "recipe", "rule"):
        assert getattr(read, key) == getattr(stored, key)
    figures = [measure(one.predictions, one.class_counts, one.groupings, one.rule) for one in (stored, read)]
    assert figures[0] == figures[1]


def test_the_file_may_be_read_by_whoever_may_read_its_neighbours(stored, tmp_path):
    write_logits(tmp_path / "a", stored)
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_the_grouping_that_was_asked_for_comes_first(stored, tmp_path):
    write_logits(tmp_path / "a", replace(stored, groupings=(GROUPINGS[2], GROUPINGS[0])))
    assert read_logits(tmp_path / "a").groupings == (GROUPINGS[2], GROUPINGS[0])
    with safe_open(tmp_path / "a", framework="pt") as file:
        metadata = file.metadata()
    save_file(load_file(tmp_path / "a"), tmp_path / "a", metadata | {"groups": "own"})
    assert read_logits(tmp_path / "a").groupings == (GROUPINGS[0], GROUPINGS[2])


def test_the_file_is_plain_safetensors_under_clear_keys(stored, tmp_path):
    write_logits(tmp_path / "a", stored)
    with safe_open(tmp_path / "a", framework="pt") as file:
        metadata = file.metadata()
    shapes = {key: (tuple(value.shape), value.dtype) for key, value in load_file(tmp_path / "a").items()}
    assert shapes == {
        "logits": ((10, 6), torch.float32),
        "labels": ((10,), torch.int64),
        "class_counts": ((6,), torch.int64),
        "classifier.weight_norms": ((6,), torch.float32),
        "classifier.bias": ((6,), torch.float32),
    }
    assert json.loads(metadata.pop("groupings"))["lop-sided"] == {"head": [0], "mid": [], "tail": [1, 2, 3, 4, 5]}
    assert metadata == {
        "kind": "ltzoo test logits, version 1",
        "model": "local-dir:x",
        "benchmark": "digitslt",
        "recipe": "a_name",
        "rule": "last epoch",
        "groups": "own",
        "ltzoo": ltzoo.__version__,
    }


def test_a_classifier_that_is_not_linear_leaves_its_keys_out(stored, tmp_path):
    write_logits(tmp_path / "a", replace(stored, classifier=None))
    assert set(load_file(tmp_path / "a")) == {"logits", "labels", "class_counts"}
    assert read_logits(tmp_path / "a").classifier is None


def refused(path, message):
    with pytest.raises(InputError, match=message) as caught:
        read_logits(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "validate --logits" in str(caught.value)


def test_missing_cut_off_and_foreign_files_are_refused(stored, tmp_path):
    path = tmp_path / "a"
    refused(path, "is missing or damaged")
    refused(tmp_path, "is missing or damaged")
    path.write_bytes(b"")
    refused(path, "is missing or damaged")
    path.write_text("logits, labels\n1, 2\n")
    refused(path, "is missing or damaged")
    write_logits(path, stored)
    path.write_bytes(path.read_bytes()[:-9])
    refused(path, "is missing or damaged")
    save_file({"logits": torch.zeros(2, 2)}, path)
    refused(path, "has no ltzoo test logits")
    save_file({"fc.weight": torch.zeros(2, 2)}, path, {"format": "pt", "kind": "weights"})
    refused(path, "has no ltzoo test logits")


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("logits", None, "logits is missing"),
        ("labels", None, "labels is missing"),
        ("class_counts", None, "class_counts is missing"),
        ("classifier.bias", None, "classifier.bias is missing"),
        ("classifier.weight_norms", None, "classifier.weight_norms is missing"),
        ("logits", lambda t: t[:, :5], r"logits is \(10, 5\) torch.float32, but should be \(10, 6\)"),
        ("logits", lambda t: t[:9], r"logits is \(9, 6\)"),
        ("logits", lambda t: t.double(), "logits is .* torch.float64"),
        ("logits", lambda t: t / 0, "logits is not finite"),
        ("labels", lambda t: t.int(), "labels is .* torch.int32"),
        ("labels", lambda t: t + 1, "labels range from 1 to 6, but there are 6 classes"),
        ("labels", lambda t: t - 1, "labels range from -1 to 4"),
        ("labels", lambda t: torch.tensor(3), r"labels is \(\) torch.int64, but should be \(1,\)"),
        ("labels", lambda t: t[:0], "labels is missing"),
        ("class_counts", lambda t: t * 0, "class_counts is not above 0"),
        ("classifier.weight_norms", lambda t: t - 1, "weight_norms is not above 0"),
        ("classifier.weight_norms", lambda t: t * torch.nan, "weight_norms is not finite"),
        ("classifier.bias", lambda t: t[1:], r"bias is \(5,\)"),
    ],
)
def test_tensors_that_cannot_be_are_refused(key, change, message, stored, tmp_path):
    path = tmp_path / "a"
    write_logits(path, stored)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    old = tensors.pop(key)
    save_file(tensors if change is None else tensors | {key: change(old).contiguous()}, path, metadata)
    refused(path, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": None}, "does not say its model"),
        ({"rule": None}, "does not say its rule"),
        ({"groups": None}, "its groups cannot be read"),
        ({"groups": "thirds"}, "its groups cannot be read"),
        ({"groupings": None}, "its groups cannot be read"),
        ({"groupings": "{"}, "its groups cannot be read"),
        ({"groupings": "[]"}, "its groups cannot be read"),
        ({"groupings": '{"own": 3}'}, "its groups cannot be read"),
        ({"groupings": '{"own": {"head": ["a"]}}'}, "its groups cannot be read"),
        ({"groupings": '{"own": {"head": [0, 1]}}'}, "the grouping omits class 2, 3, 4, 5"),
        ({"groupings": '{"own": {"head": [0, 1, 2, 3, 4, 5, 6]}}'}, "names the non-existent class 6"),
    ],
)
def test_metadata_that_cannot_be_are_refused(changes, message, stored, tmp_path):
    path = tmp_path / "a"
    write_logits(path, stored)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() | changes
    save_file(load_file(path), path, {key: value for key, value in metadata.items() if value is not None})
    refused(path, message)
