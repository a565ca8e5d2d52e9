"""docs/sharpness.md: every example runs as it stands there, on fewer images."""

import re
import sys
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from tests.launch import launch_two

PAGE = (Path(__file__).parents[1] / "docs" / "sharpness.md").read_text(encoding="utf-8")
DATA, *EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.S)
HEADINGS = re.findall(r"^### (.*)", PAGE, re.M)
ALONE = {heading: code for heading, code in zip(HEADINGS, EXAMPLES, strict=True) if "torchrun" not in heading}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory, with the page's data, of which two batches are left."""
    few = DATA.replace("[130, 92, 66, 47, 33, 24, 17, 12, 8, 6]", "[35, 8, 4, 3, 2, 1, 1, 1, 1, 1]")
    assert few != DATA
    (tmp_path / "long_tail.py").write_text(few, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("long_tail", None)
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("heading", ALONE)
def test_the_examples_run(heading, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    if "float16" in heading:  # in which convolutions take seconds on a CPU
        data = Path("long_tail.py")
        data.write_text(data.read_text(encoding="utf-8").replace("[35, 8, 4, 3, 2, ", "[1, 1, 1, 1, 1, "), "utf-8")
    torch.manual_seed(0)
    names: dict = {}
    exec(ALONE[heading], names)
    assert names["loss"].isfinite()
    assert names["loss"] < 5


def test_the_example_of_several_processes_runs(folder):
    (code,) = [code for heading, code in zip(HEADINGS, EXAMPLES, strict=True) if "torchrun" in heading]
    (folder / "several.py").write_text(f"{code}\nprint('loss', loss.isfinite().item())\n", encoding="utf-8")
    done = launch_two(folder / "several.py")
    assert done.stdout.count("True") == 2  # two processes may write between each other's words


def test_the_lines_of_the_first_example_are_those_of_the_others():
    line = "loss = perturbed_backward(model, criterion, images, targets, table"
    assert all(line in code for code in EXAMPLES)
    assert line in PAGE.split("## Examples")[0]
