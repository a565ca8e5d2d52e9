"""A checkpoint of the zoo, and the small Hub behind the real client."""

import json
import shutil
import time

import huggingface_hub.constants
import pytest

from ltzoo.checkpoints import METRICS, find, update_config, write_card
from ltzoo.checkpoints.files import write_manifest
from ltzoo.recipes import recipe_to_dict
from ltzoo.registry import get_recipe
from tests.checkpoints.changes import NAME
from tests.checkpoints.hub_routes import GOOD_TOKEN
from tests.checkpoints.hub_session import HUB


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """An empty cache, no variable, no token, nothing that comes with the package; waits take no time."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(find, "PACKAGED", tmp_path / "packaged")
    for variable in ("LTZOO_HUB", "HF_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


@pytest.fixture
def small_hub(monkeypatch):
    """The small Hub, empty and in order; the client is online, with its token."""
    HUB.reset()
    HUB.start()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", GOOD_TOKEN)
    return HUB


@pytest.fixture(scope="session")
def as_recipe(finished_run, tmp_path_factory):
    """The checkpoint of a finished run that says that it was trained as its recipe says."""
    folder = shutil.copytree(finished_run.checkpoint, tmp_path_factory.mktemp("zoo") / NAME)
    update_config(folder, {"recipe": recipe_to_dict(get_recipe(NAME)), "overrides": {}})
    metrics = json.loads((folder / METRICS).read_text()) | {"overrides": {}}
    (folder / METRICS).write_text(json.dumps(metrics))
    write_card(folder)
    write_manifest(folder)
    return folder


@pytest.fixture
def checkpoint(as_recipe, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(as_recipe, tmp_path / "zoo" / NAME)
