"""The unfinished runs in hub/begun: each can be continued, and none of them has a result yet."""

from dataclasses import replace
from pathlib import Path

import pytest

from ltzoo.reading.yaml_text import read_yaml
from ltzoo.recipes import recipe_from_dict
from ltzoo.registry import get_recipe
from ltzoo.train import RunFolder
from ltzoo.train.state import read_tensors
from tests.launch import ROOT

FOLDERS = sorted((ROOT / "hub" / "begun").glob("*/seed*"))


@pytest.mark.parametrize("path", FOLDERS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_it_is_an_unfinished_run_of_a_recipe_as_it_is_now(path: Path):
    folder, recipe = RunFolder(path), get_recipe(path.parent.name)
    document = read_yaml(folder.recipe)
    assert not document.pop("overrides")
    assert f"seed{document.pop('run')['seed']}" == path.name
    assert replace(recipe_from_dict(document), precision=recipe.precision) == recipe
    tensors, _ = read_tensors(folder.last_state)
    assert all(tensor.isfinite().all() for tensor in tensors.values() if tensor.is_floating_point())
    done = len(folder.read_history(recipe.schedule.epochs))
    assert 0 < done < recipe.schedule.epochs
    assert not folder.metrics.exists()
    assert not (ROOT / "results" / recipe.name / f"{path.name}.json").exists()
