"""Results: from a checkpoint, to a file and back, one a recipe and seed, held against the weights that are kept."""

import json
import shutil
from dataclasses import replace

import pytest

from folders import RESULTS
from ltzoo.checkpoints import PACKAGED, write_card
from ltzoo.checkpoints.card import EARLIER_PARTS
from ltzoo.checkpoints.files import write_manifest
from ltzoo.report import (
    contradictions,
    group_by_model,
    has_result,
    read_results,
    result_from_checkpoint,
    write_result,
    zoo_path,
    zoo_weights,
)
from package_room import DIGITS
from tests.checkpoints.changes import NAME, change_config, change_weights, flip_bit, refused
from tests.report.results import entry, result

PLACE = "hub/zoo"


def test_a_checkpoint_gives_figures_curve_seconds_machine_and_hashes(as_recipe, finished_run):
    found = result_from_checkpoint(as_recipe)
    assert (found.model, found.seed, found.benchmark, found.architecture) == (NAME, 0, "digitslt", "resnet20_cifar")
    assert found.path.as_posix() == f"{NAME}/seed0.json"
    metrics = json.loads((as_recipe / "metrics.json").read_text())
    assert {rule: figures.overall for rule, figures in found.figures.items()} == {
        rule: metrics[rule]["overall"] for rule in ("last", "best")
    }
    assert found.figures["best"].per_class == tuple(metrics["best"]["per_class"])
    assert found.epochs == {"last": 39, "best": metrics["best"]["epoch"]}
    rows = finished_run.read_history(2)
    assert found.curve["train_loss"] == [row["train_loss"] for row in rows]
    assert found.run["seconds"] == pytest.approx(sum(row["seconds"] for row in rows), abs=0.06)
    assert found.run["machine"]
    assert found.run["device"] == "cpu"
    assert found.subset_sha256 == metrics["subset_sha256"]
    assert found.weights_sha256 == zoo_weights(as_recipe.parent, NAME)


@pytest.mark.parametrize(
    "found",
    [result(), result(best=60.0, paper=70.0, seed=3, weights=PLACE), entry()],
    ids=["run", "all", "entry"],
)
def test_a_result_is_read_back_as_it_was_written(found, tmp_path):
    path = write_result(tmp_path, found)
    assert path == tmp_path / found.path
    assert read_results(tmp_path) == [found]
    assert has_result(tmp_path, found)
    assert has_result(tmp_path, replace(found, weights="elsewhere", run=found.run | {"seconds": 1.0}, versions={}))
    first = path.read_bytes()
    write_result(tmp_path, found)
    assert path.read_bytes() == first


@pytest.mark.parametrize("name", ["", "///", "two\nlines", "a | b", "<!-- end of zoo -->", "`a`", "[a](b)", NAME])
def test_names_that_tables_would_read_otherwise_are_refused(name, tmp_path):
    path = write_result(tmp_path, entry())
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model": name}))
    refused(lambda: read_results(tmp_path), "a model's name must be one line of text|is the name of a recipe")


def test_a_run_that_was_continued_elsewhere_names_its_machines_in_their_order(tmp_path):
    of_a, of_b = ({"epochs": 9, "steps": 0, "machine": machine, "threads": 1} for machine in "AB")
    whole = result()
    moved = replace(whole, run=whole.run | {EARLIER_PARTS: [of_b, of_a, of_b]})
    write_result(tmp_path, moved)
    assert read_results(tmp_path) == [moved]
    assert moved.machines == ("B", "A", "B", "a machine")
    assert group_by_model([moved])[whole.key].machines == "B, A, a machine"
    assert whole.machines == ("a machine",)


@pytest.mark.parametrize(
    ("run", "why"),
    [
        ({"machine": ""}, "must name its machine"),
        ({"machine": None}, "must name its machine"),
        ({EARLIER_PARTS: [3]}, "not subscriptable"),
        ({EARLIER_PARTS: [{"epochs": 9}]}, "machine"),
    ],
)
def test_a_run_without_its_machines_is_refused(run, why, tmp_path):
    path = write_result(tmp_path, result())
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"run": document["run"] | run}))
    refused(lambda: read_results(tmp_path), why)


def test_a_name_that_is_no_files_stays_in_its_folder():
    place = entry(model="../../a b:c/ü").path
    assert place.parent.as_posix() == "entries"
    assert "/" not in place.name
    assert " " not in place.name


def test_a_recipe_and_seed_have_one_result(tmp_path):
    write_result(tmp_path, result(accuracy=50.0))
    refused(
        lambda: has_result(tmp_path, result(accuracy=51.0)),
        r"a different result of the same run .overall 50.00, not 51.00; it differs in figures.",
    )
    assert not has_result(tmp_path, result(seed=1, accuracy=51.0))
    path = tmp_path / result().path
    shutil.copyfile(path, path.with_name("seed1.json"))
    refused(lambda: read_results(tmp_path), r"seed1.json is the result of .*ce_sgd/seed0, which must have only one")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda document: document.pop("figures"), "is not a result .KeyError"),
        (lambda document: document["figures"].pop("last"), "is not a result"),
        (lambda document: document["recipe"].update(batch_size=64), "differs in batch_size"),
        (lambda document: document["recipe"].update(batch_size="x"), "is not a result .InputError"),
        (lambda document: document["figures"]["last"].update(overall=99.0), "do not follow from the class accuracies"),
        (lambda document: document["figures"]["last"].update(overall=float("nan")), "has the number NaN"),
        (
            lambda document: document["figures"]["last"]["groups"]["count"].update(tail=51.0),
            "the group accuracies of last do not",
        ),
        (
            lambda document: document["figures"]["last"]["groups"].pop("count"),
            "do not follow from the class accuracies",
        ),
        (lambda document: document["figures"]["last"]["per_class"].pop(), "do not match the classes of digitslt"),
        (lambda document: document["figures"]["last"].update(per_class=["x"] * 10), "'x' is no figure in per cent"),
        (
            lambda document: document["figures"]["last"].update(per_class=[150.0] * 10),
            "150.0. is no figure in per cent",
        ),
        (
            lambda document: document["figures"]["last"].update(class_counts=[1] * 10),
            "do not match the classes of digitslt",
        ),
        (
            lambda document: document["figures"].update(worst=document["figures"]["last"]),
            "must have last, and only rules",
        ),
        (lambda document: document["run"].pop("seconds"), "is not a result .KeyError: 'seconds'"),
        (lambda document: document.update(seed="0"), "the seed must be a whole number"),
        (lambda document: document.update(benchmark="cifar10lt"), "must be the recipe's"),
        (lambda document: document["curve"].pop("tail"), "the curve must have the columns"),
        (lambda document: document["curve"]["tail"].pop(), "the curve must have the columns .*, of one length"),
        (lambda document: document["curve"]["tail"].__setitem__(0, float("inf")), "has the number Infinity"),
        (lambda document: document.update(model="nothing"), "model, benchmark and architecture must be the recipe's"),
    ],
)
def test_files_that_hold_no_result_are_named(change, match, tmp_path):
    path = write_result(tmp_path, result())
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    refused(lambda: read_results(tmp_path), match)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "\udcff", "[" * 100_000])
def test_files_that_hold_something_else_are_named(text, tmp_path):
    path = write_result(tmp_path, result())
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    refused(lambda: read_results(tmp_path), "is not a result")


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda folder: change_config(folder, overrides={"batch_size": [32, 64]}), "with overrides .batch_size"),
        (lambda folder: change_config(folder, run="gone"), "is not a complete checkpoint of a run .KeyError: 'run'"),
        (lambda folder: change_config(folder, recipe="gone"), "names no recipe"),
        (lambda folder: flip_bit(folder / "summary.csv"), "summary.csv is damaged"),
        (lambda folder: (folder / "metrics.json").unlink(), "metrics.json is missing"),
        (
            lambda folder: change_config(
                folder, recipe=json.loads((folder / "config.json").read_text())["recipe"] | {"batch_size": 64}
            ),
            "was not trained by the recipe .*: it differs in batch_size",
        ),
    ],
)
def test_a_checkpoint_without_a_result_is_named(damage, match, checkpoint):
    damage(checkpoint)
    refused(lambda: result_from_checkpoint(checkpoint), match)


def test_precision_is_no_other_recipe(checkpoint):
    recipe = json.loads((checkpoint / "config.json").read_text())["recipe"]
    change_config(checkpoint, recipe=recipe | {"precision": "bfloat16"})
    assert result_from_checkpoint(checkpoint).recipe.precision == "bfloat16"


def kept(checkpoint):
    return replace(result_from_checkpoint(checkpoint), weights=PLACE)


def test_what_is_kept_is_what_was_measured(checkpoint):
    zoo, measured = checkpoint.parent, kept(checkpoint)
    other = replace(measured, seed=1, weights=None)
    assert contradictions([measured, other], zoo, PLACE) == {}
    assert "no result names the weights" in contradictions([other], zoo, PLACE)[NAME]
    assert "2 results name" in contradictions([measured, replace(other, weights=PLACE)], zoo, PLACE)[NAME]
    better = replace(measured.figures["last"], overall=99.0)
    assert (
        "differs from the checkpoint" in contradictions([replace(measured, figures={"last": better})], zoo, PLACE)[NAME]
    )
    missing = replace(result("resnet20_digitslt_ce_sam"), weights=PLACE)
    assert "but there is none" in contradictions([measured, missing], zoo, PLACE)["resnet20_digitslt_ce_sam"]


def test_other_weights_and_damage_are_contradictions(checkpoint):
    measured = kept(checkpoint)
    change_weights(checkpoint, lambda weights: weights["fc.weight"].neg_())
    write_card(checkpoint)
    write_manifest(checkpoint)
    assert "measured with different weights" in contradictions([measured], checkpoint.parent, PLACE)[NAME]
    flip_bit(checkpoint / "model.safetensors")
    assert "model.safetensors is damaged or missing" in contradictions([measured], checkpoint.parent, PLACE)[NAME]
    (checkpoint / "model.safetensors").unlink()
    assert "model.safetensors is damaged or missing" in contradictions([measured], checkpoint.parent, PLACE)[NAME]


def test_a_place_is_a_path_from_where_the_results_are(tmp_path):
    (tmp_path / "hub" / "zoo").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "hub" / "zoo")
    assert zoo_path(tmp_path / "hub" / "zoo", tmp_path / "results") == PLACE
    assert zoo_path(tmp_path / "link", tmp_path / "results") == PLACE
    assert zoo_path(PACKAGED, RESULTS) == PLACE


def test_the_zoo_and_the_results_that_come_with_the_package_agree():
    results = read_results(RESULTS)
    assert contradictions(results, PACKAGED, zoo_path(PACKAGED, RESULTS)) == {}
    of_digits = {found.model for found in results if found.weights and "digitslt" in found.model}
    assert of_digits == set(DIGITS)
