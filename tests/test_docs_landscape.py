"""docs/landscape.md: its Python runs, and its images exist."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "landscape.md").read_text(encoding="utf-8")


def test_the_python_of_the_page_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    names: dict = {}
    exec(code, names)
    assert names["spectrum"].lowest.value < names["spectrum"].highest.value
    assert names["plane"].loss[2][2] == names["curvature"].value()
    assert capsys.readouterr().out


def test_the_pictures_of_the_page_are_there():
    found = re.findall(r"!\[[^]]+\]\(images/([^)]+)\)", PAGE)
    there = (Path(__file__).parents[1] / "docs" / "images").glob("landscape_*.png")
    assert found and sorted(found) == sorted(path.name for path in there)
