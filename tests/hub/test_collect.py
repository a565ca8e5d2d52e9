"""hub/collect.py: finished runs become results, and the median run of a recipe the zoo's checkpoint."""

import json
import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

import collect
import package_room
from ltzoo.checkpoints import damaged_files, read_config
from ltzoo.report import contradictions, read_results
from tests.checkpoints.changes import NAME, change_config, flip_bit
from tests.hub.runs import runs_of
from tests.limits import files_of_at_most, killed_before_call

PLACE = "zoo-of-the-package"


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The zoo of the package and its results, both empty."""
    monkeypatch.setattr(collect, "ZOO", tmp_path / PLACE)
    return tmp_path / PLACE, tmp_path / "results"


def collected(runs, places) -> int:
    return collect.main([*runs, "--zoo", str(places[0]), "--results", str(places[1])])


def kept(places):
    """The seed in the zoo, and the seeds whose results say that their weights are kept."""
    results = read_results(places[1])
    return read_config(places[0] / NAME)["seed"], [r.seed for r in results if r.weights == PLACE]


@pytest.mark.parametrize(("accuracies", "seed"), [([70.0, 90.0, 80.0], 2), ([50.0], 0), ([60.0, 50.0], 1)])
def test_every_run_is_a_result_and_the_median_one_is_kept(accuracies, seed, checkpoint, tmp_path, places, capsys):
    assert collected(runs_of(checkpoint, tmp_path / "output", accuracies), places) == 0
    assert [result.figures["last"].overall for result in read_results(places[1])] == accuracies
    assert kept(places) == (seed, [seed])
    assert contradictions(read_results(places[1]), places[0], PLACE) == {}
    assert f'create_model("{NAME}", pretrained=True)' in (places[0] / NAME / "README.md").read_text()
    assert f"is seed {seed}, overall {accuracies[seed]:.2f}\n" in capsys.readouterr().out


def test_collecting_again_changes_nothing(checkpoint, tmp_path, places):
    runs = runs_of(checkpoint, tmp_path / "output", [70.0, 80.0])
    assert collected(runs, places) == 0
    before = {path: path.read_bytes() for place in places for path in place.rglob("*") if path.is_file()}
    assert collected(runs, places) == 0
    assert collected(runs[:1], places) == 0
    assert {path: path.read_bytes() for place in places for path in place.rglob("*") if path.is_file()} == before


def test_what_is_kept_gives_way_to_the_median_of_more_runs_only(checkpoint, tmp_path, places, capsys):
    runs = runs_of(checkpoint, tmp_path / "output", [70.0, 90.0, 80.0])
    assert collected(runs[:1], places) == 0
    assert kept(places) == (0, [0])
    assert collected(runs[1:2], places) == 0  # of two the lower one, which is there
    assert kept(places) == (0, [0])
    shutil.rmtree(tmp_path / "output" / NAME / "seed0")
    assert collected(runs[2:], places) == 0
    assert kept(places) == (2, [2])
    others = runs_of(checkpoint, tmp_path / "more", [0.0, 0.0, 0.0, 1.0, 2.0])
    capsys.readouterr()
    assert collected(others[3:], places) == 0  # the median of five is seed 0, whose run is gone
    assert "its run is not among these, so the zoo stays as it is" in capsys.readouterr().out
    assert kept(places) == (2, [2])


def test_a_checkpoint_without_a_result_is_not_replaced(checkpoint, tmp_path, places, capsys):
    runs = runs_of(checkpoint, tmp_path / "output", [70.0, 90.0, 80.0])
    assert collected(runs, places) == 0
    other = tmp_path / "other-results"
    assert collect.main([runs[0], "--zoo", str(places[0]), "--results", str(other)]) == 2
    assert "holds a checkpoint without a result in" in capsys.readouterr().err
    assert not other.exists()
    assert kept(places) == (2, [2])


def test_collecting_that_was_killed_after_the_checkpoint_goes_on(checkpoint, tmp_path, places):
    runs = runs_of(checkpoint, tmp_path / "output", [70.0])
    assert collected(runs, places) == 0
    shutil.rmtree(places[1])
    assert collected(runs, places) == 0
    assert kept(places) == (0, [0])


def test_a_collector_that_is_killed_before_any_call_leaves_a_sound_zoo(checkpoint, tmp_path, places):
    """Of three runs the second is kept first; then the third is collected, and is the median."""
    runs = runs_of(checkpoint, tmp_path / "output", [90.0, 70.0, 80.0])
    assert collected(runs[:2], places) == 0
    before = shutil.copytree(tmp_path / PLACE, tmp_path / "before" / PLACE), tmp_path / "before" / "results"
    shutil.copytree(places[1], before[1])
    assert kept(places) == (1, [1])
    number, seeds = 0, []
    while True:
        number += 6
        for place, copy in zip(places, before, strict=True):
            shutil.rmtree(place)
            shutil.copytree(copy, place)
        killed = killed_before_call(number, tmp_path, lambda: collected(runs[2:], places))
        assert damaged_files(places[0] / NAME) == []
        seeds.append(read_config(places[0] / NAME)["seed"])
        # Whatever is collected next, with these runs or with others, repairs what the results say of the weights.
        assert collected(runs[:1], places) == 0
        assert contradictions(read_results(places[1]), places[0], PLACE) == {}
        assert kept(places) == (seeds[-1], [seeds[-1]])
        assert collected(runs[2:], places) == 0
        assert kept(places) == (2, [2])
        assert not [path for place in places for path in place.rglob(".*.tmp")]
        if not killed:
            break
    assert seeds == [1] * seeds.count(1) + [2] * seeds.count(2)
    assert seeds[0] == 1 and seeds[-1] == 2


def test_two_collectors_at_once_lose_nothing(checkpoint, tmp_path, places):
    runs = runs_of(checkpoint, tmp_path / "output", [70.0, 90.0, 80.0, 60.0, 85.0, 50.0])
    children = []
    for part in (runs[:3], runs[3:]):
        child = os.fork()
        if child == 0:
            code = 99
            try:
                code = max(collected([run], places) for run in part)
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert [result.seed for result in read_results(places[1])] == list(range(6))
    assert contradictions(read_results(places[1]), places[0], PLACE) == {}
    assert collected(runs, places) == 0
    assert kept(places) == (0, [0])


def test_a_collector_waits_for_another_and_says_so(checkpoint, tmp_path, places, monkeypatch, capsys):
    monkeypatch.setattr(collect, "_PATIENCE", 0)
    places[1].mkdir()
    with FileLock(places[1] / ".lock"):
        assert collected(runs_of(checkpoint, tmp_path / "output", [50.0]), places) == 2
    assert "has been in use by another collector" in capsys.readouterr().err
    assert not places[0].exists()


def test_a_full_disk_leaves_zoo_and_results_sound(checkpoint, tmp_path, places, capsys):
    runs = runs_of(checkpoint, tmp_path / "output", [70.0, 90.0, 80.0])
    assert collected(runs[:1], places) == 0
    with files_of_at_most(100_000):  # enough for a result
        assert collected(runs[1:], places) == 2
    said = capsys.readouterr().err
    assert f"{NAME} cannot be written: it is larger than a file may be here" in said
    assert said.count("\n") == 1
    assert kept(places) == (0, [0])
    assert damaged_files(places[0] / NAME) == []
    assert collected(runs[1:], places) == 0
    assert kept(places) == (2, [2])


def test_the_packages_zoo_is_known_by_any_path(checkpoint, tmp_path, places, monkeypatch):
    runs = runs_of(checkpoint, tmp_path / "output", [70.0])
    places[0].mkdir()
    (tmp_path / "link").symlink_to(places[0])
    assert collect.main([*runs, "--zoo", str(tmp_path / "link"), "--results", str(places[1])]) == 0
    assert kept(places) == (0, [0])


def test_another_zoo_leaves_what_results_say_of_the_package(checkpoint, tmp_path, places):
    runs = runs_of(checkpoint, tmp_path / "output", [70.0])
    assert collected(runs, places) == 0
    assert collect.main([*runs, "--zoo", str(tmp_path / "other"), "--results", str(places[1])]) == 0
    assert (tmp_path / "other" / NAME / "model.safetensors").is_file()
    assert kept(places) == (0, [0])


def test_the_package_comes_before_another_zoo(checkpoint, tmp_path, places):
    runs = runs_of(checkpoint, tmp_path / "output", [70.0])
    assert collect.main([*runs, "--zoo", str(tmp_path / "other"), "--results", str(places[1])]) == 0
    assert [result.weights for result in read_results(places[1])] == ["other"]
    assert collected(runs, places) == 0
    assert kept(places) == (0, [0])
    assert contradictions(read_results(places[1]), places[0], PLACE) == {}


def test_a_checkpoint_of_the_same_weights_brings_its_own_result(checkpoint, tmp_path, places):
    """Trained again on the same processor, a run has the same weights and other times."""
    runs = runs_of(checkpoint, tmp_path / "output", [70.0])
    assert collected(runs, places) == 0
    (before,) = read_results(places[1])
    shutil.rmtree(places[0])
    path = Path(runs[0]) / "checkpoint"
    change_config(path, run=read_config(path)["run"] | {"machine": "another of this kind"})
    assert collected(runs, places) == 0
    (after,) = read_results(places[1])
    assert (after.run, after.weights) == (before.run | {"machine": "another of this kind"}, PLACE)
    assert contradictions([after], places[0], PLACE) == {}
    change_config(path, run=before.run)
    (places[1] / after.path).unlink()
    assert collected(runs, places) == 0  # the checkpoint stays, and so does its result
    assert read_results(places[1]) == [after]


def test_a_full_package_takes_no_more(checkpoint, tmp_path, places, monkeypatch, capsys):
    size = sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file())
    monkeypatch.setattr(package_room, "PACKAGE", int(1.5 * size))
    shutil.copytree(checkpoint, places[0] / "another")
    runs = runs_of(checkpoint, tmp_path / "output", [70.0])
    assert collected(runs, places) == 0
    said = f"left out of the package, which has {size / 1e6:.1f} of {1.5 * size / 1e6:.0f} MB; keep them elsewhere"
    assert said in capsys.readouterr().out
    assert not (places[0] / NAME).exists() and len(read_results(places[1])) == 1
    shutil.rmtree(places[0] / "another")
    assert collected(runs, places) == 0
    assert kept(places) == (0, [0])
    assert collected(runs, places) == 0  # its own checkpoint takes no second place
    assert kept(places) == (0, [0])


def test_large_weights_are_not_kept_in_the_package(checkpoint, tmp_path, places, monkeypatch, capsys):
    monkeypatch.setattr(package_room, "LARGEST", 1000)
    runs = runs_of(checkpoint, tmp_path / "output", [70.0])
    assert collected(runs, places) == 0
    assert "too large for the package; keep them elsewhere with --zoo DIR" in capsys.readouterr().out
    assert not places[0].exists()
    assert [result.weights for result in read_results(places[1])] == [None]
    assert collect.main([*runs, "--zoo", str(tmp_path / "other"), "--results", str(places[1])]) == 0
    assert (tmp_path / "other" / NAME).is_dir()
    assert [result.weights for result in read_results(places[1])] == ["other"]
    assert contradictions(read_results(places[1]), tmp_path / "other", "other") == {}


def test_runs_that_are_not_finished_or_not_the_recipe_are_refused_and_nothing_is_written(
    finished_run, checkpoint, tmp_path, places, capsys
):
    def refused(runs, match):
        assert collected(runs, places) == 2
        error = capsys.readouterr().err
        assert match in error
        assert error.count("\n") == 1
        assert not places[0].exists()
        assert not places[1].exists()

    first, second = runs_of(checkpoint, tmp_path / "output", [50.0, 60.0])
    refused([first, str(finished_run.path)], "was trained with overrides")
    refused([first, second, first], "is a second run of")
    (tmp_path / "run").mkdir()
    refused([first, str(tmp_path / "run")], "holds no finished run")
    change_config(Path(second) / "checkpoint", run="gone")
    refused([first, second], "is not a complete checkpoint of a run (KeyError: 'run'); train")
    flip_bit(Path(second) / "checkpoint" / "model.safetensors")
    refused([first, second], "model.safetensors is damaged; train the run again")


def test_another_run_of_a_seed_that_has_a_result_is_refused(checkpoint, tmp_path, places, capsys):
    assert collected(runs_of(checkpoint, tmp_path / "output", [50.0]), places) == 0
    again = runs_of(checkpoint, tmp_path / "again", [60.0, 70.0])
    assert collected(reversed(again), places) == 2
    assert (
        "seed0.json is a different result of the same run (overall 50.00, not 60.00; it differs in figures)"
        in capsys.readouterr().err
    )
    assert [result.seed for result in read_results(places[1])] == [0]
    assert kept(places) == (0, [0])


def test_a_file_in_the_place_of_a_folder_is_refused(checkpoint, tmp_path, places, capsys):
    places[1].write_text(json.dumps({}))
    assert collected(runs_of(checkpoint, tmp_path / "output", [50.0]), places) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_the_package_keeps_the_weights_of_a_few_recipes_on_the_digits_only(
    checkpoint, tmp_path, places, monkeypatch, capsys
):
    monkeypatch.setattr(package_room, "DIGITS", ("resnet20_digitslt_vs_sam",))
    runs = runs_of(checkpoint, tmp_path / "output", [70.0])
    assert collected(runs, places) == 0
    assert "left out of the package, which has those of few recipes on the digits; keep them" in capsys.readouterr().out
    assert not (places[0] / NAME).exists()
    (result,) = read_results(places[1])
    assert (result.seed, result.weights) == (0, None)
