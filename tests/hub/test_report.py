"""hub/report.py: results become tables, plots and a page; a second run changes nothing; contradictions are refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import report
from ltzoo.recipes import Pretrained
from ltzoo.report import group_by_model, read_results, write_result
from tests.hub.runs import runs_of
from tests.hub.test_collect import collected, places
from tests.report.results import entry, result

ROOT = Path(__file__).parents[2]
__all__ = ["places"]


@pytest.fixture
def root(tmp_path, checkpoint, places):
    """A checkout with this one's documents, results of the digits and their zoo."""
    (tmp_path / "docs").mkdir()
    for name in ("README.md", *(f"docs/{name}.md" for name in ("reproduction", "rebalancing", "fast", "references"))):
        shutil.copyfile(ROOT / name, tmp_path / name)
    assert collected(runs_of(checkpoint, tmp_path / "output", [70.0, 80.0]), places) == 0
    write_result(tmp_path / "results", result("resnet20_digitslt_ce_sam", accuracy=75.0))
    return tmp_path


def reported(root, *arguments) -> int:
    places = ["--results", str(root / "results"), "--zoo", str(root / "zoo-of-the-package"), "--root", str(root)]
    return report.main([*places, *arguments])


def written(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in (root / "README.md", *(root / "docs").rglob("*"), *(root / "results").glob("*.csv"))
        if path.is_file()
    }


def test_everything_is_written_and_written_the_same_again(root, capsys):
    assert reported(root) == 0
    assert "3 results of 2 models: 7 texts and 1 plots written" in capsys.readouterr().out
    files = written(root)
    assert set(files) == {
        "README.md",
        "docs/reproduction.md",
        "docs/rebalancing.md",
        "docs/fast.md",
        "docs/references.md",
        "docs/index.html",
        "docs/images/epochs_resnet20_digitslt_ce.png",
        "results/results-digitslt.csv",
    }
    for name in ("README.md", "docs/reproduction.md"):
        assert "| `resnet20_digitslt_ce_sgd` | 75.0 ± 7.1 |" in files[name].decode()
    assert b"images/epochs_resnet20_digitslt_ce.png" in files["docs/reproduction.md"]
    assert b'"model":"resnet20_digitslt_ce_sam"' in files["docs/index.html"]
    assert reported(root) == 0
    assert written(root) == files


def test_weights_outside_the_package_are_not_offered(root):
    assert reported(root) == 0
    texts = {name: (root / name).read_text() for name in ("README.md", "docs/index.html")}
    write_result(root / "results", replace(result("resnet20_digitslt_ce_sam", accuracy=75.0), weights="output/zoo"))
    assert reported(root) == 0
    assert {name: (root / name).read_text() for name in texts} == texts


def test_check_says_what_is_stale_and_writes_nothing(root, capsys):
    assert reported(root) == 0
    assert reported(root, "--check") == 0
    write_result(root / "results", entry(accuracy=30.0))
    before = written(root)
    capsys.readouterr()
    assert reported(root, "--check") == 1
    said = capsys.readouterr().out
    assert "reproduction.md is out of date; run hub/report.py" in said
    assert "index.html is out of date" in said
    assert written(root) == before


def test_results_from_pretrained_weights_have_a_table_of_their_own():
    made = result("resnet20_digitslt_la_sgd", accuracy=99.0)
    adapted = replace(made, recipe=replace(made.recipe, start=Pretrained()))
    found = group_by_model([result("resnet20_digitslt_ce_sgd", accuracy=50.0), adapted])
    above, _, below = report._tables(list(found.values()), found).partition("From weights pretrained on other images")
    assert "`resnet20_digitslt_ce_sgd`" in above and "la_sgd" not in above
    assert "`resnet20_digitslt_la_sgd`" in below and "ce_sgd" not in below
    alone = report._tables([found["resnet20_digitslt_ce_sgd"]], found)
    assert "From weights" not in alone and alone + "\n\n" == above


def test_second_stages_stand_under_their_first_in_every_document(root):
    crt = result("resnet20_digitslt_crt_sgd", seed=1, accuracy=82.0)
    images = next(found.subset_sha256 for found in read_results(root / "results", "resnet20_digitslt_ce_sgd"))
    crt = replace(crt, subset_sha256=images, run=crt.run | {"start_seed": 0})
    write_result(root / "results", crt)
    assert reported(root) == 0
    files = {name: text.decode() for name, text in written(root).items() if name.endswith((".md", ".html"))}
    row = "| 82.0 | 82.0 | 82.0 | 82.0 |"
    cost = "1 (classifier on first-stage seed 0) | 1 x 10 | 2.0 + "
    assert f"| cRT (`crt`) {row} +12.0 | {cost}" in files["docs/rebalancing.md"]
    assert "No second stage" not in files["docs/rebalancing.md"]
    lines = files["docs/reproduction.md"].splitlines()
    (place,) = [
        number for number, line in enumerate(lines) if line.startswith("| ↳ `resnet20_digitslt_crt_sgd` | 82.0")
    ]
    assert lines[place - 1].startswith("| `resnet20_digitslt_ce_sgd` | 75.0")
    assert '"first_stage":"resnet20_digitslt_ce_sgd","passes":"1 x 10"' in files["docs/index.html"]


def test_pictures_are_missed_and_those_of_nobody_removed(root, capsys):
    assert reported(root) == 0
    picture = root / "docs" / "images" / "epochs_resnet20_digitslt_ce.png"
    stray = picture.rename(picture.with_name("epochs_resnet20_digitslt_xy.png"))
    assert reported(root, "--check") == 1
    said = capsys.readouterr().out
    assert f"{picture} is out of date" in said
    assert f"{stray} is out of date" in said
    assert reported(root) == 0
    assert picture.is_file()
    assert not stray.exists()


def test_a_table_of_no_results_any_more_is_found_and_removed(root, capsys):
    assert reported(root) == 0
    stray = root / "results" / "results-cifar10lt.csv"
    stray.touch()
    assert reported(root, "--check") == 1
    assert "results-cifar10lt.csv is out of date" in capsys.readouterr().out
    assert reported(root) == 0
    assert not stray.exists()


def test_notes_stand_below_their_table(root, capsys):
    name = "resnet32_cifar100lt_ce_sgd"
    write_result(root / "results", result(name, accuracy=39.0))
    (root / "results" / "notes.yaml").write_text(f"{name}: >\n  in bfloat16,\n  on other images\n")
    assert reported(root) == 0
    assert f"- `{name}`: in bfloat16, on other images\n" in (root / "docs" / "reproduction.md").read_text()
    (root / "results" / "notes.yaml").write_text("resnet32_cifar100lt_vs_sgd: nobody ran it")
    assert reported(root) == 2
    assert "has notes on resnet32_cifar100lt_vs_sgd, which have no result" in capsys.readouterr().err
    (root / "results" / "notes.yaml").write_text('{"a\\nb": a note, 7: another}')
    assert reported(root) == 2
    assert r"has notes on a\nb, 7, which have no result" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda root: shutil.rmtree(root / "results"), "results holds no result; hub/build.py or hub/collect.py"),
        (
            lambda root: shutil.rmtree(root / "zoo-of-the-package"),
            "zoo-of-the-package is not a folder; name that of the checkpoints with --zoo",
        ),
        (
            lambda root: shutil.rmtree(root / "zoo-of-the-package" / "resnet20_digitslt_ce_sgd"),
            "names a checkpoint in zoo-of-the-package, but there is none",
        ),
        (
            lambda root: write_result(root / "results", result(accuracy=1.0)),
            "no result names the weights",
        ),
        (
            lambda root: (root / "README.md").write_text("no table"),
            "README.md must have the lines <!-- report: zoo --> and <!-- end of zoo --> once",
        ),
        (lambda root: (root / "results" / "notes.yaml").write_text("- a\n- b"), "notes.yaml must be YAML"),
        (lambda root: (root / "results" / "notes.yaml").write_text("{"), "notes.yaml must be YAML"),
        (lambda root: (root / "docs" / "reproduction.md").unlink(), "reproduction.md cannot be used: No such file"),
    ],
)
def test_what_contradicts_is_refused_and_nothing_is_written(damage, match, root, capsys):
    damage(root)
    before = written(root)
    assert reported(root) == 2
    error = capsys.readouterr().err
    assert match in error
    assert error.count("\n") == 1
    assert written(root) == before
