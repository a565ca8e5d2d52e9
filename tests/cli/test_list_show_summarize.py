"""list, show and summarize, and the module's own front door."""

import json
import subprocess
import sys

import pytest
import yaml

from ltzoo.__main__ import COMMANDS, main
from ltzoo.cli.browse import list_main, show_main, summarize_main
from ltzoo.recipes import recipe_from_dict
from ltzoo.registry import get_recipe, list_recipes


def test_list_prints_full_names(capsys):
    assert list_main(["*cifar100lt*"]) == 0
    names = capsys.readouterr().out.splitlines()
    assert len(names) == len(set(names)) == len(list_recipes("*cifar100lt*"))
    assert "resnet32_cifar100lt_vs_ssesam" in names
    assert list_main([]) == 0
    assert capsys.readouterr().out.splitlines() == list_recipes()


def test_list_without_a_match_says_so(capsys):
    assert list_main(["*places365*"]) == 2
    assert "no recipe matches '*places365*'" in capsys.readouterr().err


def test_list_counts_recipes_by_table(capsys):
    assert list_main(["resnet34_cifar100lt_ce_*", "--by-table"]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert lines == [
        "| B | Table 1 | 4 |",
        "| B | Table 3 | 7 |",
        "|  | no published figure | 0 |",
        "|  | all recipes | 7 |",
    ]


def test_a_reader_that_has_seen_enough_is_no_error():
    shell = f"{sys.executable} -m ltzoo list | head -n 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {shell}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_show_prints_the_recipe_its_figures_and_citations(capsys):
    assert show_main(["resnet32_cifar100lt_vs_sam"]) == 0
    text = capsys.readouterr().out
    document = yaml.safe_load(text)
    assert recipe_from_dict(document) == get_recipe("resnet32_cifar100lt_vs_sam")
    assert document["published"][0]["mean"]["overall"] == 46.6
    assert document["source"]["paper"] == "rangwani2022"
    for key in ("rangwani2022escaping", "kini2021labelimbalanced", "foret2021sharpness"):
        assert f"# @inproceedings{{{key}," in text


def test_summarize_gathers_runs(finished_run, tmp_path, capsys):
    file = tmp_path / "summary.json"
    assert summarize_main([str(finished_run.path), "--json", str(file)]) == 0
    (record,) = json.loads(file.read_text())
    last = json.loads(finished_run.metrics.read_text())["last"]
    assert record["n"] == 1
    assert record["overall"] == {"mean": last["overall"], "std": None}
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.startswith("| resnet20_digitslt_ce_sgd with schedule.epochs=2, ")  # overrides: not the recipe's figure
    assert f"| {last['overall']:.1f} |" in row


def test_summarize_shows_the_groups_that_are_asked_for(finished_run, tmp_path, capsys):
    file = tmp_path / "summary.json"
    groups = json.loads(finished_run.metrics.read_text())["last"]["groups"]
    assert summarize_main([str(finished_run.path), "--json", str(file)]) == 0
    assert json.loads(file.read_text())[0]["groups"] == "mislas"
    assert summarize_main([str(finished_run.path), "--groups", "thirds", "--json", str(file)]) == 0
    (record,) = json.loads(file.read_text())
    assert record["groups"] == "thirds"
    assert record["head"]["mean"] == groups["thirds"]["head"] != groups["mislas"]["head"]
    assert f"| {groups['thirds']['head']:.1f} |" in capsys.readouterr().out.splitlines()[-1]


def test_summarize_refuses_groups_that_a_run_lacks(finished_run, capsys):
    assert summarize_main([str(finished_run.path), "--groups", "half"]) == 2
    captured = capsys.readouterr()
    assert "no figures by the grouping rule 'half'; there are mislas, count, thirds\n" in captured.err
    assert captured.out == ""


def test_summarize_refuses_what_is_no_run(tmp_path, capsys):
    assert summarize_main([str(tmp_path)]) == 2
    assert "holds no finished run" in capsys.readouterr().err


@pytest.mark.parametrize(("argv", "message"), [([], "a command is missing"), (["tarin"], "'tarin' is no command")])
def test_the_front_door_names_its_commands(argv, message, capsys):
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert message in error
    assert all(name in error for name in COMMANDS)


def test_the_front_door_hands_on(capsys):
    assert main(["show", "resnet20_digitslt_ce_sgd"]) == 0
    assert "name: resnet20_digitslt_ce_sgd" in capsys.readouterr().out
    assert main(["--help"]) == 0
    assert "summarize" in capsys.readouterr().out
