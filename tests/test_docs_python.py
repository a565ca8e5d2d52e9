"""docs/python.md: the table has every public name, and the code runs as it stands there."""

import contextlib
import io
import re
from pathlib import Path

import ltzoo

PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")


def test_every_public_name_is_in_the_table():
    first_cells = re.findall(r"^\| (`.*?) \|", PAGE, re.M)
    names = {name for cell in first_cells for name in re.findall(r"`(\w+)", cell)}
    assert names == {*ltzoo.__all__} - {"__version__"}


def test_the_code_prints_what_its_comments_say():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "python.md", "exec"), {})
    names, recipe, tail = printed.getvalue().splitlines()
    assert "'resnet20_digitslt_ce_sam'" in names
    assert recipe.startswith("SSESAM(eta=20, ") and recipe.endswith(" 40")
    assert tail == "(7, 8, 9)"
