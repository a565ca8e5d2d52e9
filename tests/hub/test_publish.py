"""hub/publish.py: what it sends, and what it refuses to send."""

import json
from pathlib import Path

import pytest

import publish
from ltzoo.checkpoints import Verdict
from tests.checkpoints.changes import NAME, better_in_one_group, change_config, change_metrics, flip_bit


def test_publish_names_what_it_sent_and_gathers_a_collection(checkpoint, small_hub, capsys):
    zoo = ["--org", "zoo", "--zoo", str(checkpoint.parent)]
    assert publish.main([NAME, *zoo, "--dry-run", "--collection"]) == 0
    assert f"zoo/{NAME}: 9 files would be sent (README.md, " in capsys.readouterr().out
    assert small_hub.store.repositories == {}
    assert publish.main(["--all", *zoo, "--private", "--collection"]) == 0
    assert ", now v1\ncollection: zoo/ltzoo-long-tailed" in capsys.readouterr().out
    assert small_hub.store.repositories[f"zoo/{NAME}"].private
    assert publish.main(["--all", *zoo]) == 0
    assert f"zoo/{NAME}: unchanged, now v1\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "arguments", "match"),
    [
        (
            lambda folder: change_config(folder, overrides={"schedule.epochs": [40, 2]}),
            [],
            "with overrides (schedule.ep",
        ),
        (lambda folder: change_config(folder, recipe="gone"), [], "has no recipe; publish your own model with"),
        (lambda folder: flip_bit(folder / "curves.png"), [], "differs from its claims: curves.png is not the file"),
        (lambda folder: change_metrics(folder, better_in_one_group), ["--data-dir", "."], "measured again differs"),
        (lambda folder: None, ["--all"], "give names of checkpoints or --all, not both"),
    ],
)
def test_publish_refuses_and_sends_nothing(damage, arguments, match, checkpoint, small_hub, capsys):
    damage(checkpoint)
    assert publish.main([NAME, "--org", "zoo", "--zoo", str(checkpoint.parent), *arguments]) == 2
    error = capsys.readouterr().err
    assert match in error
    assert error.count("\n") == 1
    assert small_hub.asked == []


def test_publish_measures_again_only_with_a_data_folder(checkpoint, small_hub, monkeypatch):
    folders = []

    def verify(folder, data_dir, device):
        folders.append(data_dir)
        return Verdict((), None if data_dir is None else 0.0)

    monkeypatch.setattr(publish, "verify_checkpoint", verify)
    for more in ([], ["--data-dir", "elsewhere"]):
        assert publish.main([NAME, "--org", "zoo", "--zoo", str(checkpoint.parent), "--dry-run", *more]) == 0
    assert folders == [None, Path("elsewhere")]


def test_publish_refuses_another_recipe_under_the_name(checkpoint, small_hub, capsys):
    recipe = json.loads((checkpoint / "config.json").read_text())["recipe"]
    change_config(checkpoint, recipe=recipe | {"batch_size": 64})
    assert publish.main([NAME, "--org", "zoo", "--zoo", str(checkpoint.parent)]) == 2
    assert "was not trained by the recipe" in capsys.readouterr().err


def test_publish_refuses_another_seed_under_the_name(checkpoint, small_hub, capsys):
    checkpoint.rename(checkpoint.with_name(f"{NAME}.seed7"))
    assert publish.main([f"{NAME}.seed7", "--org", "zoo", "--zoo", str(checkpoint.parent)]) == 2
    assert "holds the run of seed 0, not 7" in capsys.readouterr().err
