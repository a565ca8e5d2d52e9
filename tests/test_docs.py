"""docs/add-a-method.md, run as it stands there."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from ltzoo.__main__ import main
from ltzoo.losses import LOSSES
from ltzoo.recipes import registry
from ltzoo.sharpness import PERTURBATIONS

PAGE = (Path(__file__).parents[1] / "docs" / "add-a-method.md").read_text(encoding="utf-8")
NAME = "resnet20_digitslt_rootmargin_raresam"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory, with the page's module; afterwards nothing of it is registered or importable."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    (tmp_path / "my_methods.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(registry, "RECIPES", dict(registry.RECIPES))
    before = [(table, dict(table)) for table in (LOSSES, PERTURBATIONS, sys.modules)]
    yield tmp_path
    for table, entries in before:
        for key in set(table) - set(entries):
            del table[key]


def run(line):
    """Run one line of the page, the scripts as the commands that they are."""
    for script in ("train", "validate"):
        line = line.replace(f"python {script}.py", f"ltzoo {script}")
    program, *words = shlex.split(line.replace("python -m ltzoo", "ltzoo"))
    assert program == "ltzoo"
    return main(words)


def test_the_commands_of_the_page_run(folder, capsys):
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
    show, train, validate = block.strip().splitlines()
    assert run(show) == 0
    shown = capsys.readouterr().out
    assert "name: root_margin\n  margin: 2.0" in shown
    assert "name: raresam\n  rho: 0.05" in shown
    assert run(f"{train} --epochs 1") == 0
    summary = (folder / "output" / NAME / "seed0" / "summary.csv").read_text(encoding="utf-8")
    assert ",0.05,," in summary
    capsys.readouterr()
    assert run(validate) == 0
    assert "last epoch" in capsys.readouterr().out


def test_without_the_module_there_is_no_such_recipe(capsys):
    assert main(["show", NAME]) == 2
    assert f"no recipe is called '{NAME}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (None, "the module 'other' cannot be imported: ModuleNotFoundError: No module named 'other'"),
        ("import ltzoo\nltzoo.nothing()", "has no attribute 'nothing' ("),
        ("import ltzoo\n\nltzoo.get_benchmark('no')", "other.py:3)"),
        ("def", "SyntaxError: "),
        ("import my_methods, ltzoo\nltzoo.register_loss(my_methods.RootMargin)", "called 'root_margin' exists already"),
        (
            "import my_methods, ltzoo\nltzoo.register_recipe(ltzoo.get_recipe('resnet20_digitslt_ce_sgd'))",
            "a recipe called 'resnet20_digitslt_ce_sgd' exists already; choose another name",
        ),
        (
            "from dataclasses import replace\nimport ltzoo\nltzoo.register_recipe(replace(ltzoo.get_recipe("
            "'resnet20_digitslt_ce_sgd'), name='resnet20_digitslt_mine', batch_size=7))",
            "contradicts its protocol digits in batch_size; give it a new protocol name",
        ),
    ],
)
def test_a_module_that_cannot_be_used_is_one_line(code, found, folder, capsys):
    if code:
        (folder / "other.py").write_text(code)
    assert main(["list", "--import", "other"]) == 2
    captured = capsys.readouterr()
    assert found in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            ("torch.as_tensor(class_counts, dtype=torch.float64)", "nothing"),
            "the loss 'root_margin' fails: NameError: ",
        ),
        (
            ("        return Adjusted", "        return torch.nn.CrossEntropyLoss()\n        return Adjusted"),
            "the loss 'root_margin' must return one value per image, shape (2,) for two images, not ()",
        ),
        (
            ("self.rho * k / 2)", "self.rho * k / 2 - epoch)"),
            "the perturbation 'raresam' fails in epoch 2: ValueError: ",
        ),
    ],
)
def test_methods_that_fail_are_one_line_and_leave_nothing(change, found, folder, capsys):
    module = folder / "my_methods.py"
    assert change[0] in module.read_text()
    module.write_text(module.read_text().replace(*change))
    assert main(["train", "--recipe", NAME, "--import", "my_methods", "--epochs", "2"]) == 2
    error = capsys.readouterr().err
    assert found in error
    assert error.count("\n") == error.count("2 drops of the learning rate") + 1  # a warning, and the error
    assert not (folder / "output").exists()


def test_a_file_is_no_module(capsys):
    assert main(["list", "--import", "my_methods.py"]) == 2
    assert "--import wants a module, not a file; write my_methods" in capsys.readouterr().err
