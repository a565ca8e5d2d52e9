"""The README's Python runs as it stands there, on the pixels that evaluation measures."""

import re
from pathlib import Path

import pytest
import torch

import ltzoo
from ltzoo.data.memory import load_test
from ltzoo.evaluate import EvalOptions, evaluate_model

TEXT = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
LOAD, LOOP = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


def measured(model: torch.nn.Module) -> dict[str, float]:
    """What `validate` measures of a model on the digits."""
    benchmark = ltzoo.get_benchmark("digitslt")
    test = load_test(benchmark, Path("data"))
    return evaluate_model(model, benchmark, test, "mislas", "last epoch", EvalOptions(torch.device("cpu"))).headline


def test_at_most_160_lines():
    assert len(TEXT.splitlines()) <= 160


def test_a_model_is_loaded_in_three_lines():
    names = {}
    exec(LOAD, names)
    assert names["logits"].shape == (1, 10)
    with torch.no_grad():
        right = [int(names["model"](image.unsqueeze(0)).argmax()) == label for image, label in names["test"]]
    assert 100 * sum(right) / len(right) == pytest.approx(measured(names["model"])["overall"])


def test_the_parts_make_a_plain_loop_whose_accuracy_is_what_validate_measures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = {}
    exec(LOOP, names)
    assert names["loss"].isfinite()
    expected = measured(names["model"])
    assert {"overall": expected["overall"], **names["accuracy"]} == pytest.approx(expected)
    assert names["accuracy"]["head"] > 50  # chance is 10
