"""Files of a newer version: refused by its name where they cannot be read, accepted where they can."""

import hashlib
import importlib
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import ltzoo
from ltzoo import checkpoints, landscape, versions
from ltzoo.cli import validate
from ltzoo.errors import InputError
from ltzoo.evaluate import FeatureKey, FeatureOrigin, StoredFeatures, read_features, read_logits, write_features
from ltzoo.recipes import read_recipe
from ltzoo.recipes.registry import RECIPES
from ltzoo.report import read_results
from ltzoo.train import TrainOptions, train
from ltzoo.versions import NewerError, named_if_newer, newer_version
from tests.train.folders import interrupt_after

FILES = Path(__file__).parent / "fixtures" / "v0.2.0"
NAME = "tiny_digitslt_ce_sgd"
NEWER = "0.3.0"


@pytest.fixture(autouse=True)
def this_version(monkeypatch):
    """Let this be version 0.2.0, whatever it is, and register the fixture's network and recipe."""
    monkeypatch.setattr(versions, "VERSION", "0.2.0")
    monkeypatch.syspath_prepend(FILES)
    importlib.import_module("tiny_network")
    monkeypatch.setitem(RECIPES, NAME, read_recipe(FILES / "recipe.yaml"))


@pytest.fixture
def files(tmp_path):
    """A copy of the files of version 0.2.0."""
    return Path(shutil.copytree(FILES, tmp_path / "files"))


def refusal(file: Path, reason: str) -> str:
    return f"{file} was written by ltzoo {NEWER}, and this is 0.2.0: upgrade ltzoo ({reason})"


# Each format: change(files, version or None, key or None) alters a file, and read(files) reads it.


def change_document(path: Path, at: tuple[str, ...], version: str | None, key: str | None) -> Path:
    """Set the version in a JSON or YAML document, or remove it, and add an unknown key below `at`."""
    load, dump = (yaml.safe_load, yaml.safe_dump) if path.suffix == ".yaml" else (json.loads, json.dumps)
    document = load(path.read_text(encoding="utf-8"))
    owner = document["run"] if "run" in document and "versions" in document["run"] else document
    if version is None:
        owner.get("versions", {}).pop("ltzoo", None)
    else:
        owner["versions"]["ltzoo"] = version
    place = document
    for name in at:
        place = place[name]
    if key is not None:
        place[key] = 1
    path.write_text(dump(document), encoding="utf-8")
    return path


def change_tensors(path: Path, version: str | None, key: str | None) -> Path:
    """Set the version in the metadata of tensors, or remove it, and add an unknown tensor."""
    with safe_open(path, framework="pt") as file:
        metadata = {name: text for name, text in (file.metadata() or {}).items() if name != "ltzoo"}
    added = {} if key is None else {key: torch.zeros(1)}
    save_file(load_file(path) | added, path, metadata | ({} if version is None else {"ltzoo": version}))
    return path


def change_state(path: Path, version: str | None, key: str | None) -> Path:
    """Do the same with a state, whose metadata are one entry."""
    tensors = load_file(path) | ({} if key is None else {key: torch.zeros(1)})
    save_file(tensors, path, {"state": json.dumps(state_of(path) | {"versions": {"ltzoo": version}})})
    return path


def state_of(path: Path) -> dict:
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["state"])


def change_config(files, at, version, key):
    folder = files / "checkpoint"
    path = change_document(folder / "config.json", at, version, key)
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    own = f"{hashlib.sha256(path.read_bytes()).hexdigest()}  config.json"
    (folder / "SHA256SUMS").write_text("\n".join(own if line.endswith(" config.json") else line for line in lines))
    return path


def run_of(files):
    return files / "output" / NAME / "seed0"


def resume(files):
    train(RECIPES[NAME], TrainOptions(Path("data"), files / "output", resume=True))


def features(files):
    path = files / "features.safetensors"
    key, origin = FeatureKey("w", "i", "t"), FeatureOrigin(("ant", "bee"))
    write_features(path, StoredFeatures(key, "train", torch.zeros(2, 3), torch.tensor([0, 1]), 1.0, origin))
    return path


def analysis(files):
    row = dict.fromkeys(("model", "epoch", "set", "weights_sha256", "lambda_min", "lambda_max", "converged", "density"))
    document = {"benchmark": "digitslt", "settings": {"probes": 1}, "versions": {"ltzoo": "0.2.0"}, "spectra": [row]}
    (files / "landscape.json").write_text(json.dumps(document), encoding="utf-8")
    return files / "landscape.json"


FORMATS = {
    "checkpoint": (
        lambda f, v, k: change_config(f, (), v, k),
        lambda f: ltzoo.create_model(f"local-dir:{f / 'checkpoint'}", pretrained=True),
        "unknown field: x",
        None,
    ),
    "recipe of a checkpoint": (
        lambda f, v, k: change_config(f, ("recipe", "loss"), v, k),
        lambda f: checkpoints.read_recipe(f / "checkpoint"),
        "unknown key loss.x",
        "unknown key loss.x; .*; a newer version of ltzoo may have written it",
    ),
    "recipe file": (
        lambda f, v, k: change_document(run_of(f) / "recipe.yaml", (), v, k),
        lambda f: read_recipe(run_of(f) / "recipe.yaml"),
        "unknown key x",
        "unknown key x; .*; a newer version of ltzoo may have written it",
    ),
    "run folder": (
        lambda f, v, k: change_document(run_of(f) / "recipe.yaml", ("run",), v, k),
        resume,
        "unknown field: x",
        r"was started with different settings \(run\.x: ",
    ),
    "run state": (
        lambda f, v, k: change_state(run_of(f) / "state" / "last.safetensors", v, k),
        resume,
        "unknown field: x",
        None,
    ),
    "result": (
        lambda f, v, k: change_document(f / "results" / NAME / "seed0.json", ("figures", "last"), v, k),
        lambda f: read_results(f / "results"),
        "unknown field: figures.last.x",
        None,
    ),
    "logits": (
        lambda f, v, k: change_tensors(f / "logits.safetensors", v, k),
        lambda f: read_logits(f / "logits.safetensors"),
        "unknown field: x",
        None,
    ),
    "features": (
        lambda f, v, k: change_tensors(features(f), v, k),
        lambda f: read_features(f / "features.safetensors"),
        "unknown field: x",
        None,
    ),
    "landscape": (
        lambda f, v, k: change_document(analysis(f), ("settings",), v, k),
        lambda f: landscape.read_document(f / "landscape.json"),
        "unknown field: settings.x",
        None,
    ),
}
"""Format to how it is changed and read, what is said of a newer one, and what of an unrecorded version (None: read)."""


@pytest.mark.parametrize("kind", FORMATS)
def test_an_unknown_field_of_a_newer_version_is_refused_by_its_name(kind, files):
    change, read, said, _ = FORMATS[kind]
    path = change(files, NEWER, "x")
    with pytest.raises(NewerError) as refused:
        read(files)
    assert str(refused.value) == refusal(path, said)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_of_a_newer_version_that_can_be_read_is_read(kind, files):
    change, read, *_ = FORMATS[kind]
    change(files, NEWER, None)
    read(files)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("version", [None, "0.2.9"])
def test_without_a_newer_version_an_unknown_field_is_what_it_was_before(kind, version, files):
    change, read, _, before = FORMATS[kind]
    change(files, version, "x")
    if before is None:
        read(files)
    else:
        with pytest.raises(InputError, match=before) as refused:
            read(files)
        assert not isinstance(refused.value, NewerError)


def change_values(path: Path, **changes: object) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(document | changes), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "resnet9000"}, "it names an architecture unknown to timm: 'resnet9000'"),
        ({"num_classes": "ten"}, "num_classes is 'ten'"),
        ({"model_args": {"gates": 4}}, "it describes no model that timm can build: "),
    ],
)
def test_a_value_that_is_not_known_is_refused_too(changes, said, files):
    path = files / "checkpoint" / "config.json"
    change_values(path, **changes)
    change_config(files, (), NEWER, None)
    with pytest.raises(NewerError) as refused:
        ltzoo.create_model(f"local-dir:{files / 'checkpoint'}", pretrained=True)
    assert str(refused.value).startswith(refusal(path, said).removesuffix(")"))


def test_a_part_of_a_recipe_that_is_not_known_is_refused_too(files):
    path = run_of(files) / "recipe.yaml"
    change_document(path, (), NEWER, None)
    path.write_text(path.read_text(encoding="utf-8").replace("name: ce", "name: aurora"), encoding="utf-8")
    for read in (read_recipe, lambda path: resume(files)):
        with pytest.raises(NewerError, match=r"upgrade ltzoo \(loss\.name must be one of .*, not 'aurora'\)$"):
            read(path)


def test_logits_of_another_layout_are_refused_too(files):
    path = files / "logits.safetensors"
    save_file(load_file(path), path, {"kind": "ltzoo test logits, version 2", "ltzoo": NEWER})
    with pytest.raises(NewerError) as refused:
        read_logits(path)
    assert str(refused.value) == refusal(path, "it has no ltzoo test logits, version 1")


def test_a_hostile_checkpoint_is_not_excused_by_its_version(files):
    config = files / "checkpoint" / "config.json"
    change_values(config, pretrained_cfg=json.loads(config.read_text())["pretrained_cfg"] | {"file": "/etc/passwd"})
    change_config(files, (), NEWER, None)
    with pytest.raises(InputError, match=r"sets pretrained_cfg\.file, which no checkpoint may"):
        checkpoints.read_config(files / "checkpoint")


def test_states_and_logits_record_the_version(files, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(patch, 1)
        train(RECIPES[NAME], TrainOptions(Path("data"), files / "new"))
    assert state_of(files / "new" / NAME / "seed0" / "state" / "last.safetensors")["versions"] == {
        "ltzoo": ltzoo.__version__
    }
    assert (
        validate.main(["--model", f"local-dir:{files / 'checkpoint'}", "--logits", str(files / "n.safetensors")]) == 0
    )
    for path in (files / "n.safetensors", features(files)):
        with safe_open(path, framework="pt") as file:
            assert file.metadata()["ltzoo"] == ltzoo.__version__, path


@pytest.mark.parametrize(
    ("text", "newer"),
    [
        ("0.2.0", False),
        ("0.2.17", False),
        ("0.1.9", False),
        ("0.3.0", True),
        ("0.3.0.dev1", True),
        ("0.10.0", True),
        ("1.0", True),
        ("later", False),
        ("0.3.0\x1b[2J", False),
        ("9" * 5000 + ".0", False),
        ("", False),
        (0.3, False),
        (None, False),
    ],
)
def test_a_version_is_newer_by_its_first_two_numbers(text, newer):
    assert newer_version({"ltzoo": text}) == (text if newer else None)


@pytest.mark.parametrize("record", [None, [], "0.3.0", {"torch": "9.9"}, 3])
def test_what_is_no_record_of_versions_says_nothing(record):
    assert newer_version(record) is None


def test_the_reason_is_one_printable_line_of_bounded_length():
    with pytest.raises(NewerError) as refused, named_if_newer(Path("f"), {"ltzoo": NEWER}, ["a\nb" * 99]):
        pass
    assert str(refused.value).isprintable() and len(str(refused.value)) < 500
    with pytest.raises(NewerError) as refused, named_if_newer(Path("f"), {"ltzoo": NEWER}):
        raise ValueError("long " * 999)
    assert len(str(refused.value)) < 500


def test_an_error_of_the_disk_stays_itself():
    with pytest.raises(OSError, match="no space"), named_if_newer(Path("f"), {"ltzoo": NEWER}):
        raise OSError("no space")
