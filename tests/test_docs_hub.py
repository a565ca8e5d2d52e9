"""docs/hub.md: its Python runs, its table of faults is that of the tests, its table of files that of the layout."""

import re
from pathlib import Path

import ltzoo
from ltzoo.checkpoints import files
from package_room import DIGITS
from tests.checkpoints.faults import table

PAGE = (Path(__file__).parents[1] / "docs" / "hub.md").read_text(encoding="utf-8")


def test_the_python_of_the_page_runs():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    names: dict = {}
    exec(code, names)
    assert names["model"].conv1.weight.shape[1] == 3
    assert len(names["features"].feature_info) == 3


def test_the_table_of_faults_is_that_of_the_tests():
    assert table() in PAGE


def test_every_file_of_the_layout_is_explained():
    assert all(f"`{name}`" in PAGE for name in (*files.FILES, files.MANIFEST))


def test_the_zoo_comes_with_the_package():
    pretrained = ltzoo.list_pretrained("*digits*")
    assert set(pretrained) == set(DIGITS)
    assert all(place.endswith(f"ltzoo/zoo/{name}") for name, place in pretrained.items())
    zoo = Path(__file__).parents[1] / "hub" / "zoo"
    assert sum(path.stat().st_size for path in zoo.rglob("*") if path.is_file()) < 48e6
