"""docs/sharpness.md: every example runs as it stands there, on fewer images."""

import re
import sys
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

PAGE = (Path(__file__).parents[1] / "docs" / "sharpness.md").read_text(encoding="utf-8")
DATA, *EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.S)
HEADINGS = re.findall(r"^### (.*)", PAGE, re.M)
ALONE = {heading: code for heading, code in zip(HEADINGS, EXAMPLES, strict=True) if "torchrun" not in heading}
(SEVERAL,) = set(EXAMPLES) - set(ALONE.values())
"""The example of several processes, which tests/sharpness/test_processes.py runs."""
COUNTS, FEW = "[130, 92, 66, 47, 33, 24, 17, 12, 8, 6]", "[16, 8, 5, 4, 2, 1, 1, 1, 1, 1]"
FEW_IMAGES = DATA.replace(COUNTS, FEW)
"""The page's data, of which two batches are left."""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory, with the page's data."""
    assert COUNTS in DATA
    (tmp_path / "long_tail.py").write_text(FEW_IMAGES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("long_tail", None)
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("heading", ALONE)
def test_the_examples_run(heading, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    if "float16" in heading:  # in which convolutions take seconds on a CPU
        Path("long_tail.py").write_text(DATA.replace(COUNTS, "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"), encoding="utf-8")
    torch.manual_seed(0)
    names: dict = {}
    exec(ALONE[heading], names)
    assert names["loss"].isfinite()
    assert names["loss"] < 5


def test_all_examples_share_one_line():
    line = "loss = perturbed_backward(model, criterion, images, targets, table"
    assert all(line in code for code in EXAMPLES)
    assert line in PAGE.split("## Examples")[0]
