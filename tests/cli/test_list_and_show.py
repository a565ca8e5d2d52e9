"""list and show: names, counts by table, and a recipe in sections that is read back."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import yaml

from ltzoo.cli import list as list_command
from ltzoo.cli import show
from ltzoo.recipes import Recipe, read_recipe, recipe_from_dict
from ltzoo.registry import get_recipe, list_recipes

HEAVY = ("timm", "torchvision", "accelerate", "pyarrow", "sklearn", "huggingface_hub", "matplotlib")


def test_list_prints_full_names(capsys):
    assert list_command.main(["*cifar100lt*"]) == 0
    names = capsys.readouterr().out.splitlines()
    assert len(names) == len(set(names)) == len(list_recipes("*cifar100lt*"))
    assert "resnet32_cifar100lt_vs_ssesam" in names
    assert list_command.main([]) == 0
    assert capsys.readouterr().out.splitlines() == list_recipes()


def test_list_without_a_match_says_so(capsys):
    assert list_command.main(["*places365*"]) == 2
    assert "no recipe matches '*places365*'; ltzoo list shows all recipes" in capsys.readouterr().err


def test_the_document_on_recipes_has_the_table_of_all(capsys):
    assert list_command.main(["--by-table"]) == 0
    document = Path(__file__).parents[2] / "docs" / "recipes.md"
    assert capsys.readouterr().out.strip() in document.read_text(encoding="utf-8")


def test_list_counts_recipes_by_table(capsys):
    assert list_command.main(["resnet34_cifar100lt_ce_*", "--by-table"]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert lines == [
        "| lyu2025 | Table 1 | 4 |",
        "| lyu2025 | Table 3 | 7 |",
        "|  | no published figure | 0 |",
        "|  | all recipes | 7 |",
    ]


def test_a_reader_that_closes_the_pipe_is_no_error():
    shell = f"{sys.executable} -m ltzoo list | head -n 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {shell}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_list_and_wrong_names_load_no_heavy_module():
    # Each main returns its exit code; what they print is of no interest here.
    script = f"""
import contextlib, io, sys
from ltzoo.__main__ import main

with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    codes = [main(words.split()) for words in (
        "list", "list *cifar*", "show wrong", "train --recipe wrong",
        "train --recipe resnet20_digitslt_ce_sam --set loss.tau=1", "validate --model wrong",
    )]
print(codes, [name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[0, 0, 2, 2, 2, 2] []\n"


def test_show_prints_the_recipe_its_figures_and_citations(tmp_path, capsys):
    name = "resnet32_cifar100lt_vs_sam"
    assert show.main([name]) == 0
    text = capsys.readouterr().out
    (tmp_path / "recipe.yaml").write_text(text)
    assert read_recipe(tmp_path / "recipe.yaml") == get_recipe(name)
    document = yaml.safe_load(text)
    assert document["published"][0]["mean"]["overall"] == 46.6
    assert document["source"]["paper"] == "rangwani2022"
    assert (
        "\n# cost: 470,004 parameters; 6 x 200 (forward passes of the network for an image in an epoch, times epochs)\n"
        in text
    )
    for key in ("rangwani2022escaping", "kini2021labelimbalanced", "foret2021sharpness"):
        assert f"# @inproceedings{{{key}," in text


def test_show_prints_the_method_first_then_the_training_then_the_source():
    text = show.describe(get_recipe("resnet50_imagenetlt_ldam_drw_sam"))
    document = yaml.safe_load(text)
    assert recipe_from_dict(document) == get_recipe("resnet50_imagenetlt_ldam_drw_sam")
    keys = list(document)
    assert keys[:3] == ["name", "architecture", "benchmark"]
    parts = ["start", "trainable", "head", "sampler", "views", "partners", "loss", "reweighting", "perturbation"]
    assert keys[3:12] == parts
    assert keys[-5:] == ["groups", "paper_rule", "protocol", "source", "published"]
    assert set(keys) == {field.name for field in fields(Recipe)}
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings[:2] == ["# the method", "# how it is trained"]
    assert "head (many-shot), mid (medium-shot) and tail (few-shot)" in headings[2]
    assert headings[3] == "# where it comes from"
