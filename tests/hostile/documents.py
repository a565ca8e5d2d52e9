"""The readers of JSON, YAML and CSV, each with a valid example."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch

import report as hub_report
from ltzoo import checkpoints
from ltzoo.checkpoints.card import read_card_data
from ltzoo.checkpoints.files import write_manifest
from ltzoo.checkpoints.verification import verify_checkpoint
from ltzoo.cli import train_report
from ltzoo.data import get_benchmark, read_subset
from ltzoo.data.memory import load_subset
from ltzoo.doctor import read_report
from ltzoo.evaluate import append_results, read_shares, summarize_runs
from ltzoo.evaluate.tables import RESULT_COLUMNS
from ltzoo.landscape import read_document
from ltzoo.recipes import override, read_recipe, recipe_to_dict, to_yaml
from ltzoo.registry import get_recipe
from ltzoo.report import read_results, result_from_checkpoint
from ltzoo.train.run_folder import SUMMARY_COLUMNS, RunFolder
from tests.doctor.example import REPORT as DOCTOR_REPORT
from tests.hostile.outcome import Reader
from tests.hostile.texts import cards, csv_texts, json_texts, manifests, yaml_texts

NAME = "resnet20_digitslt_ce_sgd"
ROOT = Path(__file__).parents[2]


def copy_checkpoint(folder: Path) -> None:
    """Copy a checkpoint of the package."""
    shutil.copytree(ROOT / "hub" / "zoo" / NAME, folder, dirs_exist_ok=True)


def _copy_cifar(folder: Path) -> None:
    """Copy a checkpoint whose accuracy is not measured again where its data set is missing."""
    shutil.copytree(ROOT / "hub" / "zoo" / "resnet32_cifar100lt_ce_sgd", folder, dirs_exist_ok=True)


def copy_run(folder: Path) -> None:
    """Make a finished run out of a checkpoint."""
    copy_checkpoint(folder / "checkpoint")
    shutil.copy(folder / "checkpoint" / "metrics.json", folder / "metrics.json")
    document = json.loads((folder / "metrics.json").read_text())
    recipe = recipe_to_dict(get_recipe(NAME))
    (folder / "recipe.yaml").write_text(to_yaml(recipe | {"overrides": {}, "run": {"device": "cpu", "seed": 0}}))
    (folder / "subset.json").write_text(json.dumps({"sha256": document["subset_sha256"]}))
    shutil.copy(folder / "checkpoint" / "summary.csv", folder / "summary.csv")
    (folder / "state").mkdir()


def _checkpoint_file(file: str) -> dict[str, Any]:
    """The arguments of a reader of a checkpoint's file: a stranger writes hashes that fit."""
    return {"build": copy_checkpoint, "file": file, "finish": write_manifest}


def _config(folder: Path) -> Any:
    config, recipe = checkpoints.read_config(folder), checkpoints.read_recipe(folder)
    return config, checkpoints.benchmark_of(config, recipe)


def _build_natural(folder: Path) -> None:
    """A checkpoint whose classes and image size are known from its `config.json` alone."""
    copy_checkpoint(folder)
    config = json.loads((folder / "config.json").read_text())
    recipe = next(iter(_natural()))
    config |= {"recipe": recipe_to_dict(recipe), "class_counts": [5, 3], "label_names": ["a", "b"], "num_classes": 2}
    config["pretrained_cfg"] |= {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3}
    config["pretrained_cfg"] |= {"crop_pct": 0.9, "interpolation": "bicubic"}
    (folder / "config.json").write_text(json.dumps(config))


def _natural() -> list[Any]:
    from ltzoo.registry import list_recipes

    return [recipe for name in list_recipes("*imagefolder*") if (recipe := get_recipe(name)).natural]


def _recipe(folder: Path) -> Any:
    recipe = read_recipe(folder / "mine.yaml")
    document = recipe_to_dict(recipe)
    assert recipe_to_dict(override(recipe, {})) == document
    to_yaml(document)
    return document


def _resumed(folder: Path) -> Any:
    run = RunFolder(folder)
    found = dict(run.recorded())
    document = recipe_to_dict(get_recipe(NAME)) | {"overrides": {}, "run": {"device": "cpu", "seed": 0}}
    subset = json.loads((ROOT / "hub" / "zoo" / NAME / "metrics.json").read_text())["subset_sha256"]
    with run.claim(document, {"sha256": subset}, resume=True):
        return found


def _build_results(folder: Path) -> None:
    (folder / NAME).mkdir()
    shutil.copy(ROOT / "results" / NAME / "seed0.json", folder / NAME)


def _build_entry(folder: Path) -> None:
    (folder / "entries").mkdir()
    document = json.loads((ROOT / "results" / NAME / "seed0.json").read_text())
    document |= {"model": "timm:resnet20_cifar", "seed": None, "recipe": None, "curve": {}, "run": {"machine": "x"}}
    document |= {"claim": {"overall": 52.8, "source": "https://example.org"}, "weights": None}
    document["figures"] = {"last": document["figures"]["last"]}
    document["figures"]["last"].pop("epoch", None)
    (folder / "entries" / "digitslt_timm-resnet20-cifar.json").write_text(json.dumps(document))


def _verified(folder: Path) -> Any:
    verdict = verify_checkpoint(folder, folder / "data", torch.device("cpu"))
    assert all("\n" not in line and len(line) < 2000 for line in verdict.differences)
    return verdict


def _write(file: str, text: str) -> Any:
    return lambda folder: (folder / file).write_text(text)


def _build_notes(folder: Path) -> None:
    (folder / "notes.yaml").write_text(f"{NAME}: a remark\nother: >\n  another\n")


def _landscape() -> str:
    density = {"grid": [0.0, 1.0], "density": [0.5, 0.5], "sigma": 0.1}
    row = {"model": "m", "epoch": 1, "set": "all", "weights_sha256": "0", "lambda_min": -1.0, "lambda_max": 2.0}
    return json.dumps({"benchmark": "digitslt", "spectra": [row | {"converged": True, "density": density}]})


def _build_subset(folder: Path) -> None:
    subset = load_subset(get_benchmark("digitslt"), "cao", folder)
    (folder / "subset.json").write_text(json.dumps(subset.to_dict()))


def _append(folder: Path) -> None:
    row = dict.fromkeys(("model", "img_size", "top1", "top1_err", "top5", "top5_err", "param_count"), "1")
    append_results(folder / "results.csv", row | dict.fromkeys(("head", "mid", "tail"), "1"))


_SUMMARY = ",".join(SUMMARY_COLUMNS) + "\n0,2.5,10,20,10,,0.1,0,,,3.5,1\n1,1.5,20,30,10,5,0.01,0,,,3.5,1\n"

READERS = (
    Reader("config.json", read=_config, contents=json_texts, **_checkpoint_file("config.json")),
    Reader(
        "config.json of image files",
        read=_config,
        contents=json_texts,
        **_checkpoint_file("config.json") | {"build": _build_natural},
    ),
    Reader(
        "SHA256SUMS",
        copy_checkpoint,
        "SHA256SUMS",
        lambda f: (checkpoints.read_manifest(f), checkpoints.damaged_files(f)),
        manifests,
    ),
    Reader("model card", read=read_card_data, contents=cards, **_checkpoint_file("README.md")),
    Reader(
        "metrics.json, verified",
        read=_verified,
        contents=json_texts,
        dear=True,
        **_checkpoint_file("metrics.json") | {"build": _copy_cifar},
    ),
    Reader(
        "metrics.json, collected", read=result_from_checkpoint, contents=json_texts, **_checkpoint_file("metrics.json")
    ),
    Reader(
        "summary.csv, collected", read=result_from_checkpoint, contents=csv_texts, **_checkpoint_file("summary.csv")
    ),
    Reader("metrics.json, summarized", copy_run, "metrics.json", lambda f: summarize_runs([f]), json_texts),
    Reader(
        "metrics.json, reported",
        copy_run,
        "metrics.json",
        lambda f: train_report.report(get_recipe(NAME), RunFolder(f)),
        json_texts,
    ),
    Reader(
        "recipe YAML", _write("mine.yaml", to_yaml(recipe_to_dict(get_recipe(NAME)))), "mine.yaml", _recipe, yaml_texts
    ),
    Reader("run: recipe.yaml", copy_run, "recipe.yaml", _resumed, yaml_texts),
    Reader("run: subset.json", copy_run, "subset.json", _resumed, json_texts),
    Reader(
        "run: summary.csv",
        _write("summary.csv", _SUMMARY),
        "summary.csv",
        lambda f: RunFolder(f).read_history(9),
        csv_texts,
    ),
    Reader("subset file", _build_subset, "subset.json", lambda f: read_subset(f / "subset.json"), json_texts),
    Reader("result", _build_results, f"{NAME}/seed0.json", read_results, json_texts),
    Reader("leaderboard entry", _build_entry, "entries/digitslt_timm-resnet20-cifar.json", read_results, json_texts),
    Reader(
        "notes",
        _build_notes,
        "notes.yaml",
        lambda f: hub_report._read_notes(f / "notes.yaml", {NAME, "other"}),
        yaml_texts,
    ),
    Reader(
        "landscape.json",
        _write("landscape.json", _landscape()),
        "landscape.json",
        lambda f: read_document(f / "landscape.json"),
        json_texts,
    ),
    Reader(
        "report of ltzoo doctor",
        _write("doctor.json", json.dumps(DOCTOR_REPORT.to_dict())),
        "doctor.json",
        lambda f: read_report(f / "doctor.json"),
        json_texts,
    ),
    Reader(
        "class prior (JSON)",
        _write("prior.json", '{"a": 0.25, "b": 0.5, "c": 0.25}'),
        "prior.json",
        lambda f: read_shares(f / "prior.json", ("a", "b", "c")),
        json_texts,
    ),
    Reader(
        "class prior (CSV)",
        _write("prior.csv", "class,share\na,0.25\nb,0.5\nc,0.25\n"),
        "prior.csv",
        lambda f: read_shares(f / "prior.csv", ("a", "b", "c")),
        csv_texts,
    ),
    Reader(
        "results file of validate",
        _write("results.csv", ",".join(RESULT_COLUMNS) + "\n"),
        "results.csv",
        _append,
        csv_texts,
    ),
)
